"""The kinds of the arguments of public calls: what is wrong is said, instead of failing somewhere below.

The annotations of a public method are what is checked; kinds that are not listed here (frames, functions)
are looked at where they are used.
"""

from __future__ import annotations

import functools
import inspect
import numbers
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast, get_args

from strandline.errors import UsageError
from strandline.schema import BatchKind, Column, Parity

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def _is_text(value: Any) -> bool:
    """A string that can be written down: one half of a surrogate pair cannot."""
    return isinstance(value, str) and (value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value))


def _is_names(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(_is_text(v) for v in value)


def _is_columns(value: Any) -> bool:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return False
    return all(isinstance(c, Column) and _is_names([c.name, c.type]) for c in value)


def _is_parities(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(one, Parity) for one in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return isinstance(value, Mapping) and _is_names([*value, *value.values()])


def _is_kind(value: Any) -> bool:
    return isinstance(value, str) and value in get_args(BatchKind)


Kind = tuple[str, Callable[[Any], bool]]
KINDS: dict[str, Kind] = {
    "None": ("None", lambda v: v is None),
    "str": ("a string", _is_text),
    "bool": ("True or False", lambda v: isinstance(v, bool)),
    "int": ("a whole number", lambda v: isinstance(v, numbers.Integral) and not isinstance(v, bool)),
    "float": ("a number", _is_number),
    "Path": ("a path", lambda v: isinstance(v, os.PathLike)),
    "Callable": ("a function", callable),
    "Mapping": ("a dict by name", lambda v: isinstance(v, Mapping) and _is_names(list(v))),
    "Sequence[str]": ("a list of strings", _is_names),
    "Sequence[Column]": ("a list of sl.Column(name, type)", _is_columns),
    "Sequence[Parity]": ("a list of sl.Parity", _is_parities),
    "Mapping[str, str]": ("a dict of strings", _is_texts),
    "Queries": ("a dict of strings", _is_texts),
    "BatchKind": (f"one of {', '.join(get_args(BatchKind))}", _is_kind),
}
"""By annotation, whole or without its brackets: how it is called, and whether a value is one."""


def checked(function: F, name: str = "") -> F:
    """The function, refusing arguments of another kind than it says with a UsageError.

    `name` is what users call it by, where that is another.
    """
    signature = inspect.signature(function)
    wanted = {n: kinds for n, p in signature.parameters.items() if (kinds := _kinds(p.annotation))}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # Python's own words for a missing or an unknown argument
            return function(*args, **kwargs)
        for argument, kinds in wanted.items():
            if argument in given and not any(is_one(given[argument]) for _, is_one in kinds):
                words = [word for word, _ in kinds]
                raise _refusal(name or function.__name__, argument, given[argument], words)
        return function(*args, **kwargs)

    return cast("F", call)


def called(name: str) -> Callable[[F], F]:
    """`checked`, for a function that users call by another name than its own."""
    return lambda function: checked(function, name)


def checked_methods(cls: type[T]) -> type[T]:
    """The class with all its public methods `checked`."""
    for name, thing in list(vars(cls).items()):
        if not name.startswith("_") and inspect.isfunction(thing):
            setattr(cls, name, checked(thing))
        elif not name.startswith("_") and isinstance(thing, classmethod):
            setattr(cls, name, classmethod(checked(thing.__func__)))
    return cls


def _kinds(annotation: Any) -> list[Kind]:
    """What an annotation (as text) admits; nothing where one of its parts is not ours to check."""
    if not isinstance(annotation, str):
        return []
    parts = re.findall(r"[\w.]+(?:\[(?:[^\[\]]|\[[^\[\]]*\])*\])?", annotation)
    found = [KINDS.get(part) or KINDS.get(part.partition("[")[0]) for part in parts]
    return [kind for kind in found if kind is not None] if all(found) else []


def _refusal(function: str, name: str, value: Any, words: Sequence[str]) -> UsageError:
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}…"
    named = " or ".join(word for word in words if word != "None")
    kind = "" if value is None else f" ({type(value).__name__})"
    return UsageError(
        f"{name} is {shown}{kind}, not {named}",
        where=f"{function}()",
        hint=f"give {named}{', or leave it out' if 'None' in words else ''}.",
    )
