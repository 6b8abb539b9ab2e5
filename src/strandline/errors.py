"""Every exception Strandline raises on purpose.

StrandlineError                 base: what, where, why, what to do next
├── UsageError                  the call or the command line is wrong            (exit 2)
│   ├── ConfigurationError      strandline.toml, model settings, unknown names   (exit 2)
│   ├── SchemaError             a table, column or type does not fit             (exit 2)
│   └── UnknownNameError        no such table, model, column; names the nearest  (exit 2)
├── CompileError                the query cannot be kept                         (exit 2)
│   ├── ParseError              it is not SQL the dialect knows
│   ├── RejectedError           volatile functions and the like
│   └── StrictError             `strict` is set and the plan holds `full`        (exit 3)
├── InputError                  a change set or a file cannot be taken as it is  (exit 1)
├── EngineError                 the database refused a statement                 (exit 1)
│   └── LockedError             another process holds the warehouse
├── ModelError                  a Python model's function failed                 (exit 1)
└── ParityError                 a maintained table differs from its recompute    (exit 1)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

HELD = "the warehouse is held by"
"""How the message of a LockedError begins that names the holder."""


class StrandlineError(Exception):
    """What went wrong, where, why, and what to do next.

    ``str(error)`` is one readable paragraph; the parts stay available as
    attributes so that a program need not parse it.
    """

    exit_code = 1

    def __init__(
        self, message: str, *, where: str = "", hint: str = "", cause: BaseException | None = None
    ) -> None:
        self.message = message
        self.where = where
        self.hint = hint
        super().__init__(message)
        if cause is not None:
            self.__cause__ = cause

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} Next: {self.hint}" if self.hint else text


class UsageError(StrandlineError):
    """The call or the command line is wrong; nothing was touched."""

    exit_code = 2


class ConfigurationError(UsageError):
    """A setting is unknown, missing or of the wrong kind."""


class SchemaError(UsageError):
    """A table, column or type does not fit what is there."""


class UnknownNameError(UsageError):
    """No table, model or column has this name; the nearest one is named."""


class CompileError(StrandlineError):
    """The query cannot be kept up to date; said before anything is created."""

    exit_code = 2


class ParseError(CompileError):
    """The text is not SQL that the dialect knows (line and column given)."""


class RejectedError(CompileError):
    """The query's result is not a function of its inputs (volatile functions and the like)."""


class StrictError(CompileError):
    """`strict` is set and a stage could only be kept by full recompute."""

    exit_code = 3


class InputError(StrandlineError):
    """A change set or a file cannot be taken as it is; nothing was applied."""


class EngineError(StrandlineError):
    """The database refused a statement; the transaction was rolled back."""


class LockedError(EngineError):
    """Another process holds the warehouse for writing; its name is in the message."""


class ModelError(StrandlineError):
    """A Python model's function raised or returned something unusable."""


class ParityError(StrandlineError):
    """A maintained table differs from its full recompute."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The sentence naming the known name closest to `name`, or listing the known ones."""
    names = sorted(known)
    lowered = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5)
    if close:
        return f"did you mean {lowered[close[0]]!r}?"
    return f"known: {', '.join(names)}." if names else "there are none yet."
