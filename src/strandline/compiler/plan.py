"""A compiled model: stages, each with its strategy and reason.

Plans are data; `programs` turns them into SQL.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from strandline.compiler import relations as r
from strandline.compiler.frames import Near
from strandline.schema import StrategyName

if TYPE_CHECKING:
    from sqlglot import exp


FAR = 1_000_000_000_000
"""Where `near` frames decide, `_back` of closed rows in the head is above this, of all before above twice."""


@dataclass(frozen=True)
class Lookup:
    """A left join with at most one partner, made when a stage's rows are written."""

    scan: r.Scan
    on: exp.Expr


@dataclass(frozen=True)
class Stage:
    """One stateful operator with its input, its state table and what is computed when rows are written.

    `operator` is None for the last stage of a plan without one (a projection or
    a join whose rows are just kept). `post` are the output expressions that the
    stage stores beside the operator's own columns; `lookups` feed them.
    """

    table: str
    operator: r.Aggregate | r.Window | r.TopK | None
    input: r.Relation
    strategy: StrategyName
    reason: str
    cheaper: str = ""
    lookups: tuple[Lookup, ...] = ()
    post: tuple[r.Out, ...] = ()
    back: int = 0
    """Rows at the end of each partition that stay in the head (`carry` only)."""
    open: int = 0
    """Of those, rows whose values later rows can still change; they are read from the head."""
    strict: bool = False
    """A row that ties with the head's last row is late (peers matter)."""
    near: tuple[Near, ...] = ()
    """Frames that reach by order value or peer group: rows in their reach are held and open as well."""
    unread: frozenset[str] = frozenset()
    """Columns that nothing reads from history: the head alone keeps them."""
    delicate: tuple[tuple[str, str], ...] = ()
    """Stored columns whose values may be equal and not the same, with what tells them apart."""

    @property
    def held_to(self) -> int:
        """Rows with `_back` up to this are in the head."""
        return 2 * FAR - 1 if self.near else self.back

    @property
    def open_to(self) -> int:
        """Rows with `_back` up to this can still change."""
        return FAR - 1 if self.near else self.open

    @property
    def raw(self) -> tuple[str, ...]:
        """Columns of the operator, before `post`."""
        if self.operator is None:
            return r.columns(self.input)
        if isinstance(self.operator, r.Window):
            return r.columns(self.input) + tuple(o.name for o in self.operator.computed)
        return r.columns(self.operator)

    @property
    def ids(self) -> tuple[str, ...]:
        return r.ids(self.operator) if self.operator is not None else r.ids(self.input)

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns whose hash is the bucket: groups, partition, or the row's identity."""
        if isinstance(self.operator, r.Aggregate):
            return tuple(o.name for o in self.operator.groups)
        if isinstance(self.operator, (r.Window, r.TopK)):
            return self.operator.partition
        return self.ids

    @property
    def stored_post(self) -> tuple[r.Out, ...]:
        """The outputs that are more than another name for a stored column."""
        return tuple(o for o in self.post if o.source not in self.raw)

    @property
    def reads(self) -> frozenset[str]:
        """Stored tables whose change may change this stage."""
        return r.tables(self.input) | {look.scan.table for look in self.lookups}

    @property
    def name(self) -> str:
        """What the stage does, in the theory's words."""
        if self.operator is None:
            joined = any(isinstance(n, (r.Join, r.SemiJoin)) for n in r.walk(self.input))
            return "join" if joined else "projection"
        if isinstance(self.operator, r.Aggregate) and not self.operator.aggregates and self.operator.grouped:
            return "distinct"
        return {"Aggregate": "aggregate", "Window": "window", "TopK": "top-k"}[type(self.operator).__name__]


@dataclass(frozen=True)
class Output:
    """How the model's rows are read from the last stage: (column, stored column) and a row filter."""

    table: str
    columns: tuple[tuple[str, str], ...]
    ids: tuple[str, ...]
    unique: tuple[str, ...] = ()
    where: exp.Expr | None = None


@dataclass(frozen=True)
class Plan:
    """A model, compiled. `query` is its SQL with names resolved and ties broken: the recompute."""

    model: str
    sql: str
    query: str
    stages: tuple[Stage, ...]
    output: Output
    reads: frozenset[str]
    """Source tables and models named by the query, in lower case."""
    full_reason: str = field(default="")

    @property
    def strategy(self) -> StrategyName:
        """The costliest strategy among the stages."""
        order: list[StrategyName] = ["full", "keyed", "partition", "merge", "carry", "stateless"]
        found = {s.strategy for s in self.stages}
        return next((s for s in order if s in found), "full")
