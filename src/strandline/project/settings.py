"""Reads values out of TOML so that every complaint names the file, the line and the nearest setting.

Nothing here knows which settings Strandline has; the package around it does.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strandline.errors import ConfigurationError, nearest

Reader = Callable[[Any], Any]
"""Turns a TOML value into a Python one, or raises ValueError saying what was expected."""

_KEY = re.compile(r"""^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_VARIABLE = re.compile(r"(\$?)\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Section:
    """One table of the file: its values, and where it stands for the error messages."""

    file: Path
    lines: Mapping[tuple[str, ...], int]
    path: tuple[str, ...]
    values: Mapping[str, Any]

    @property
    def title(self) -> str:
        return f"[{'.'.join(self.path)}]" if self.path else "the top level"

    def error(self, message: str, *, setting: str = "", hint: str = "") -> ConfigurationError:
        """A ConfigurationError placed at this section, or at one setting of it."""
        path = (*self.path, setting) if setting else self.path
        return ConfigurationError(message, where=self.place(path), hint=hint)

    def place(self, path: tuple[str, ...]) -> str:
        """`strandline.toml:12` for the closest enclosing thing whose line is known."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.file.name}:{self.lines[path]}" if path else self.file.name

    def child(self, name: str) -> Section:
        """The table `name` inside this one; an absent one is empty."""
        value = self.values.get(name, {})
        if not isinstance(value, dict):
            raise self.error(
                f"{name!r} must be a table, not {_kind(value)}",
                setting=name,
                hint=f"write it as [{'.'.join((*self.path, name))}] with its settings below.",
            )
        return Section(self.file, self.lines, (*self.path, name), value)

    def children(self) -> list[Section]:
        return [self.child(name) for name in self.values]

    def only(self, known: Iterable[str]) -> None:
        """Refuse any setting that is not known, naming the nearest one that is."""
        names = tuple(known)
        for name in self.values:
            if name not in names:
                raise self.error(
                    f"{self.title} has no setting {name!r}; {nearest(name, names)}",
                    setting=name,
                    hint="correct the name or remove the line.",
                )

    def get(self, name: str, read: Reader, default: Any = None) -> Any:
        """The value of a setting through its reader; `default` where it is not written."""
        if name not in self.values:
            return default
        try:
            return read(self.values[name])
        except ValueError as problem:
            raise self.error(
                f"{name!r} in {self.title} must be {problem}, not {_kind(self.values[name])}",
                setting=name,
                hint="correct the value.",
            ) from None

    def need(self, name: str, read: Reader, example: str) -> Any:
        """As `get`, for a setting without which there is no going on."""
        if name not in self.values:
            raise self.error(f"{self.title} needs the setting {name!r}", hint=f"add  {name} = {example}")
        return self.get(name, read)


def load(file: Path, environment: Mapping[str, str] | None = None) -> Section:
    """The file's top level, with `${NAME}` in strings replaced from the environment.

    Raises ConfigurationError when the file is missing, is not TOML, or names an unset variable.
    """
    try:
        text = file.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no {file.name} in {file.parent}",
            hint="run `strandline init` there, or name the project's folder.",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigurationError(
            f"it is not valid TOML: {problem}", where=file.name, hint="correct the line."
        ) from None
    except OSError as problem:
        raise ConfigurationError(
            f"it cannot be read: {problem.strerror}", where=str(file), hint="name the project's folder."
        ) from problem
    raw = Section(file, _line_numbers(text), (), values)
    expanded = _expand(values, (), raw, os.environ if environment is None else environment)
    return Section(file, raw.lines, (), expanded)


def text(value: Any) -> str:
    """Reader: a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text")
    return value


def any_text(value: Any) -> str:
    """Reader: a text that may be of blanks only, such as a tab."""
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def texts(value: Any) -> tuple[str, ...]:
    """Reader: a list of texts, or one."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(i, str) for i in items):
        raise ValueError("a list of texts")
    return tuple(items)


def whole(value: Any) -> int:
    """Reader: a whole number of at least 1; a text of digits counts, since variables are texts."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a whole number of at least 1")
    return value


def number(value: Any) -> float:
    """Reader: a number of at least 0."""
    try:
        result = float(value) if isinstance(value, str) else value
    except ValueError:
        result = None
    if isinstance(result, bool) or not isinstance(result, int | float) or not result >= 0:
        raise ValueError("a number of at least 0")
    return float(result)


def share(value: Any) -> float:
    """Reader: a number above 0 and at most 1."""
    result = number(value)
    if not 0 < result <= 1:
        raise ValueError("a number above 0 and at most 1")
    return result


def flag(value: Any) -> bool:
    """Reader: true or false."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def names(value: Any) -> tuple[str, ...]:
    """Reader: one name or a list of names."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not items or not all(isinstance(i, str) and i.strip() for i in items):
        raise ValueError("a name or a list of names")
    return tuple(items)


def one_of(*choices: str) -> Reader:
    """A reader for one of a few words."""

    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(repr(c) for c in choices)}")
        return str(value)

    return read


def _kind(value: Any) -> str:
    return "a table" if isinstance(value, dict) else repr(value)


def _expand(value: Any, path: tuple[str, ...], raw: Section, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {k: _expand(v, (*path, k), raw, environment) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(v, path, raw, environment) for v in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        escaped, name = match.groups()
        if escaped:  # `$${NAME}` is how a literal `${NAME}` is written
            return f"${{{name}}}"
        if name not in environment:
            raise ConfigurationError(
                f"the environment variable {name!r} is not set",
                where=raw.place(path),
                hint=f"set it (export {name}=…), or write $${{{name}}} if the text itself is meant.",
            )
        return environment[name]

    return _VARIABLE.sub(replace, value)


def _line_numbers(source: str) -> dict[tuple[str, ...], int]:
    """Where each header and key stands. tomllib keeps no positions, so this reads the plain cases by eye."""
    lines: dict[tuple[str, ...], int] = {}
    section: tuple[str, ...] = ()
    for number_, line in enumerate(source.splitlines(), start=1):
        if line.lstrip().startswith("["):
            section = _header(line) or section
            lines.setdefault(section, number_)
        elif match := _KEY.match(line):
            key = _header(f"[{match[1]}]")
            for end in range(1, len(key) + 1):  # `a.b = 1` also tells where `a` began
                lines.setdefault((*section, *key[:end]), number_)
    return lines


def _header(line: str) -> tuple[str, ...]:
    try:
        value: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:  # a line of a multi-line value that only looks like a header
        return ()
    path: list[str] = []
    while isinstance(value, dict | list) and value:
        if isinstance(value, list):  # [[an array of tables]]
            value = value[0]
            continue
        name = next(iter(value))
        path.append(name)
        value = value[name]
    return tuple(path)
