"""What a query may read, as the compiler sees it: names, types, identities; no engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import exp


@dataclass(frozen=True)
class SourceColumn:
    """A column as the user names it, where it is stored, and its type in the engine's words."""

    name: str
    stored: str
    type: str


@dataclass(frozen=True)
class Readable:
    """A source table or a model that queries may name.

    `table` is the stored table behind it, `ids` its identity columns there,
    `unique` the user-visible columns known to be unique and not null
    (a declared key, the group keys of a model); `where` hides stored rows.
    """

    name: str
    columns: tuple[SourceColumn, ...]
    table: str
    ids: tuple[str, ...]
    unique: tuple[str, ...] = ()
    where: exp.Expr | None = None


Catalog = Mapping[str, Readable]
"""Readables by lower-case name."""
