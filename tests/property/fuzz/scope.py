"""What a query can see: columns with their kinds, and what orders the rows totally."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from fuzz.tables import Table

COMPARABLE = ("int", "big", "dbl", "dec", "str", "bool", "ts", "date")


@dataclass(frozen=True)
class Col:
    """One visible expression. `exact` is False for floats whose last digits depend on the order
    of summation: those are shown, never compared, grouped or ordered by."""

    sql: str
    kind: str
    exact: bool = True

    @property
    def comparable(self) -> bool:
        return self.exact and self.kind in COMPARABLE


@dataclass(frozen=True)
class Relation:
    """Something that can stand in FROM: its SQL text and its columns, unqualified.

    `total` names columns that tell any two differing rows apart; None where there are none.
    `copies` is what tells equal rows apart in plain DuckDB (see `windows`); None where nothing does.
    """

    sql: str
    columns: tuple[Col, ...]
    total: tuple[str, ...] | None
    named: bool = True  # a plain name, not a subquery
    key: tuple[str, ...] = ()  # columns that no two rows share
    stored: bool = False  # a table or a model, which the oracle keeps as a table

    @property
    def copies(self) -> tuple[str, ...] | None:
        return () if self.key else ("rowid",) if self.stored else None


@dataclass(frozen=True)
class Scope:
    """The columns that expressions may use, and SQL expressions that order the rows totally."""

    columns: tuple[Col, ...]
    total: tuple[str, ...] | None = None
    copies: tuple[str, ...] | None = None

    def of(self, *kinds: str, exact: bool = False) -> list[Col]:
        return [c for c in self.columns if c.kind in kinds and (c.exact or not exact)]

    def comparable(self) -> list[Col]:
        return [c for c in self.columns if c.comparable]


@dataclass
class Gen:
    """The generator's state: randomness, fresh names and the operators used so far."""

    rng: random.Random
    relations: list[Relation] = field(default_factory=list)
    tags: Counter[str] = field(default_factory=Counter)
    number: int = 0

    def fresh(self, stem: str) -> str:
        self.number += 1
        return f"{stem}{self.number}"

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def tag(self, *names: str) -> None:
        self.tags.update(names)


def of_table(table: Table) -> Relation:
    columns = tuple(Col(c.name, c.kind) for c in table.columns)
    return Relation(
        table.name, columns, table.key or tuple(c.sql for c in columns), key=table.key, stored=True
    )


def total_of(columns: tuple[Col, ...], within: tuple[str, ...] | None = None) -> tuple[str, ...] | None:
    """`within` where it is given, else all columns if every one of them can be compared."""
    if within is not None:
        return within
    return tuple(c.sql for c in columns) if all(c.comparable for c in columns) else None


def qualified(relation: Relation, alias: str) -> Scope:
    columns = tuple(Col(f"{alias}.{c.sql}", c.kind, c.exact) for c in relation.columns)
    total = None if relation.total is None else tuple(f"{alias}.{name}" for name in relation.total)
    copies = None if relation.copies is None else tuple(f"{alias}.{name}" for name in relation.copies)
    return Scope(columns, total, copies)


def merged(scopes: list[Scope]) -> Scope:
    """All columns of several sides of a join; ordered totally only if every side is."""
    columns = tuple(c for s in scopes for c in s.columns)
    if any(s.total is None for s in scopes):
        return Scope(columns, None)
    known = all(s.copies is not None for s in scopes)
    copies = tuple(name for s in scopes for name in s.copies or ()) if known else None
    return Scope(columns, tuple(name for s in scopes for name in s.total or ()), copies)
