"""Python functions as models: the decorator `@sl.model` and the value it makes of a function.

    import polars as pl
    import strandline as sl

    @sl.model(keys=["day"], inputs=["orders"])
    def daily(orders: pl.LazyFrame) -> pl.LazyFrame:
        return orders.group_by("day").agg(pl.col("amount").sum())

The function stays an ordinary function that can be called and tested by itself.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from strandline.arguments import checked
from strandline.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])
ATTRIBUTE = "strandline_model"


@dataclass(frozen=True)
class ModelFunction:
    """A function and what was declared about it.

    `inputs` are fed with the rows of the touched `keys`, `lookup` with all rows; both in this order,
    as the function's arguments. `text` is the code whose change rebuilds the model.
    """

    call: Callable[..., Any]
    name: str
    keys: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    lookup: tuple[str, ...] = ()
    rowwise: bool = False
    text: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """Every table and model it is fed with, as written."""
        return (*self.inputs, *self.lookup)

    def declared(self) -> dict[str, object]:
        """What is kept of the declaration beside the code."""
        lists = {"keys": self.keys, "inputs": self.inputs, "lookup": self.lookup}
        return {"name": self.name, "rowwise": self.rowwise, **{n: list(v) for n, v in lists.items()}}


@checked
def model(
    *,
    keys: Sequence[str] = (),
    inputs: Sequence[str] | None = None,
    lookup: Sequence[str] = (),
    rowwise: bool = False,
    name: str | None = None,
) -> Callable[[F], F]:
    """Declare that a function's result is to be kept as a table.

    keys
        Columns of the inputs and of the result. The rows of one key depend on the inputs' rows of
        that key (and on `lookup` tables) alone; on a change only the touched keys are computed again.
    inputs
        The tables and models whose rows the function takes, one argument each (default: its arguments).
    lookup
        Reference data, given whole after the inputs; a change of it computes every key again.
    rowwise
        The result of a row depends on that row alone: the function is given just the changed rows.
    name
        The model's name, where it is not the function's.

    The function takes polars LazyFrames and returns a LazyFrame, a DataFrame, a pandas frame or an
    Arrow table. Raises ConfigurationError for declarations that contradict each other.
    """

    def declare(function: F) -> F:
        label = name or function.__name__
        read = _inputs(function, label, inputs, lookup)
        if rowwise and len(read) != 1:
            raise ConfigurationError(
                f"a row-wise model takes one input, not {len(read)}",
                where=f"model {label}",
                hint="put reference data into lookup=[…].",
            )
        if hasattr(function, ATTRIBUTE):  # declared once more, as another model: both declarations count
            function = _another(function)
        made = ModelFunction(function, label, tuple(keys), read, tuple(lookup), rowwise, code_of(function))
        setattr(function, ATTRIBUTE, made)
        return function

    return declare


def _another(function: F) -> F:
    @functools.wraps(function)
    def call(*frames: Any) -> Any:
        return function(*frames)

    return call  # type: ignore[return-value]


def _inputs(
    function: Callable[..., Any], label: str, inputs: Sequence[str] | None, lookup: Sequence[str]
) -> tuple[str, ...]:
    read = list(inputs) if inputs is not None else list(inspect.signature(function).parameters)
    if inputs is None and lookup:
        read = [name for name in read if name not in lookup]
    if isinstance(inputs, str) or not read:
        raise ConfigurationError(
            "it names no inputs", where=f"model {label}", hint='write inputs=["table", …], a list of names.'
        )
    return tuple(read)


def model_function(thing: Any) -> ModelFunction:
    """What `@sl.model` declared about a function. Raises ConfigurationError where it was not declared."""
    found = thing if isinstance(thing, ModelFunction) else getattr(thing, ATTRIBUTE, None)
    if not isinstance(found, ModelFunction):
        raise ConfigurationError(
            f"{getattr(thing, '__name__', thing)!r} is neither SQL nor a declared function",
            hint="decorate it: @sl.model(keys=[…], inputs=[…]).",
        )
    return found


def functions_of(namespace: dict[str, Any], text: str) -> list[ModelFunction]:
    """The models that a module's namespace declares, in order; all change with the module's text."""
    found = [getattr(value, ATTRIBUTE, None) for value in namespace.values()]
    own = {id(f): f for f in found if isinstance(f, ModelFunction)}
    return [replace(f, text=text) for f in own.values()]


def code_of(function: Callable[..., Any]) -> str:
    """A function's source, or a hash of its byte code where there is no source (a REPL)."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        if code is None:
            return repr(function)
        return hashlib.sha256(code.co_code + repr(code.co_consts).encode()).hexdigest()
