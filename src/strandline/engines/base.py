"""The engine protocol: everything the warehouse asks of a database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from strandline.schema import Column

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; gaps are declared here, never discovered at run time."""

    name: str
    dialect: str
    transactional_tables: bool
    many_writers: bool


class Engine(Protocol):
    """One connection. `execute` returns the statement's count (rows written, or the one number selected).

    What runs `alone` is small, and should not be divided among threads.
    """

    capabilities: Capabilities

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int: ...

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...

    def arrow(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table: ...

    def describe(self, sql: str) -> tuple[Column, ...]: ...

    def load(self, frame: pa.Table, sql: str) -> int: ...

    def alone(self) -> AbstractContextManager[None]: ...

    def transaction(self) -> AbstractContextManager[None]: ...

    def reader(self) -> Engine: ...

    def checkpoint(self) -> None: ...

    def close(self) -> None: ...
