"""The algebra: a query as a tree of frozen relations.

Every relation has named columns and *ids*: the columns that together tell its
rows apart (a row identity, NULL-safe). Identities make a change set a pair of
row sets, removed and added, and confine bags to the edge where rows come in.
Column references inside expressions are bare quoted names, unique per query.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from strandline.compiler.trees import find_all


@dataclass(frozen=True)
class Out:
    """A named expression over the columns of the relation below."""

    name: str
    expr: exp.Expr

    @property
    def source(self) -> str | None:
        """The column this merely renames, if that is all it does."""
        return self.expr.name if isinstance(self.expr, exp.Column) else None


@dataclass(frozen=True)
class Scan:
    """A stored table: a source table or a stage's table. `columns` pairs (name here, stored name)."""

    table: str
    columns: tuple[tuple[str, str], ...]
    ids: tuple[str, ...]
    unique: tuple[str, ...] = ()


@dataclass(frozen=True)
class Constant:
    """Rows written in the query itself (VALUES): they never change."""

    sql: str
    names: tuple[str, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Unnest:
    """One row per place in the longest of some lists, with the elements there (linear).

    `padded` keeps rows whose list is empty or NULL, with NULL for element and place; it takes one list.
    """

    input: Relation
    lists: tuple[Out, ...]
    place: str
    padded: bool = False


@dataclass(frozen=True)
class Filter:
    """Rows for which the predicate is true (linear)."""

    input: Relation
    predicate: exp.Expr


@dataclass(frozen=True)
class Project:
    """Computed columns; the input's ids are always among them (linear)."""

    input: Relation
    outs: tuple[Out, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Join:
    """`inner` or `left` join; right and full joins are lowered to these (bilinear).

    `asof` and `asof left` pair a left row with the nearest of the right rows that match.
    """

    kind: str
    left: Relation
    right: Relation
    on: exp.Expr | None


@dataclass(frozen=True)
class SemiJoin:
    """Left rows with (`anti`: without) a partner on the right."""

    left: Relation
    right: Relation
    on: exp.Expr | None
    anti: bool = False


@dataclass(frozen=True)
class Union:
    """Bag union; columns by position, `tag` tells the branches' ids apart (linear)."""

    inputs: tuple[Relation, ...]
    names: tuple[str, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Aggregate:
    """One row per distinct `groups` value; without groups, exactly one row. Distinct has no aggregates."""

    input: Relation
    groups: tuple[Out, ...]
    aggregates: tuple[Out, ...]
    grouped: bool = True


@dataclass(frozen=True)
class Level:
    """Window functions, and expressions over them that functions of a later level look at."""

    functions: tuple[Out, ...]
    outs: tuple[Out, ...] = ()

    @property
    def computed(self) -> tuple[Out, ...]:
        """Both, in order of evaluation."""
        return (*self.functions, *self.outs)


@dataclass(frozen=True)
class Window:
    """Window functions sharing one PARTITION BY and ORDER BY; all partition and order keys are columns.

    `levels` are nested windows of the same partition and order, evaluated before `functions`.
    """

    input: Relation
    partition: tuple[str, ...]
    order: tuple[Order, ...]
    ties: tuple[Order, ...]
    functions: tuple[Out, ...]
    levels: tuple[Level, ...] = ()

    @property
    def stack(self) -> tuple[Level, ...]:
        """All levels in order of evaluation, `functions` being the last."""
        return (*self.levels, Level(self.functions))

    @property
    def computed(self) -> tuple[Out, ...]:
        """Everything it adds to its input."""
        return tuple(out for level in self.stack for out in level.computed)


@dataclass(frozen=True)
class TopK:
    """Rows `offset`+1 … `offset`+`limit` of each partition, in a total order."""

    input: Relation
    partition: tuple[str, ...]
    order: tuple[Order, ...]
    limit: int | None
    offset: int = 0


@dataclass(frozen=True)
class Order:
    """One ORDER BY term over a column; `wraps` where an hour after its values may be before them."""

    column: str
    descending: bool = False
    nulls_first: bool = False
    wraps: bool = False

    @property
    def sql(self) -> str:
        direction = "DESC" if self.descending else "ASC"
        nulls = "FIRST" if self.nulls_first else "LAST"
        return f"{quote(self.column)} {direction} NULLS {nulls}"


Relation = Scan | Constant | Unnest | Filter | Project | Join | SemiJoin | Union | Aggregate | Window | TopK


def quote(name: str) -> str:
    """An identifier, always quoted."""
    return '"' + name.replace('"', '""') + '"'


def column(name: str, kind: exp.DataType | None = None) -> exp.Column:
    """A bare column reference by its unique name; it remembers its type where that is given."""
    reference = exp.Column(this=exp.Identifier(this=name, quoted=True))
    if kind is not None:
        reference.type = kind
    return reference


def columns(node: Relation) -> tuple[str, ...]:
    """The names of a relation's columns, in order."""
    match node:
        case Scan():
            return tuple(name for name, _ in node.columns)
        case Constant():
            return node.names
        case Unnest():
            return (*columns(node.input), *(o.name for o in node.lists), node.place)
        case Filter() | TopK():
            return columns(node.input)
        case Project():
            return tuple(o.name for o in node.outs)
        case Join():
            return columns(node.left) + columns(node.right)
        case SemiJoin():
            return columns(node.left)
        case Union():
            return node.names
        case Aggregate():
            return tuple(o.name for o in node.groups + node.aggregates)
        case Window():
            return columns(node.input) + tuple(o.name for o in node.computed)


def ids(node: Relation) -> tuple[str, ...]:
    """The names of the columns that identify a row (NULL-safe)."""
    match node:
        case Scan() | Constant() | Project() | Union():
            return node.ids
        case Unnest():
            return (*ids(node.input), node.place)
        case Filter() | TopK() | Window():
            return ids(node.input)
        case Join():
            return ids(node.left) if lookup(node) else ids(node.left) + ids(node.right)
        case SemiJoin():
            return ids(node.left)
        case Aggregate():
            return tuple(o.name for o in node.groups)


def inputs(node: Relation) -> tuple[Relation, ...]:
    """The relations directly below."""
    match node:
        case Scan() | Constant():
            return ()
        case Join() | SemiJoin():
            return (node.left, node.right)
        case Union():
            return node.inputs
        case _:
            return (node.input,)


def walk(node: Relation) -> Iterator[Relation]:
    """The relation and everything below it, top first."""
    yield node
    for child in inputs(node):
        yield from walk(child)


def mere_scan(node: Relation) -> bool:
    """True where a relation's rows are those of the one table that it reads, or some of them."""
    return all(isinstance(n, (Scan, Project, Filter)) for n in walk(node))


def tables(node: Relation) -> frozenset[str]:
    """The stored tables a relation reads."""
    return frozenset(n.table for n in walk(node) if isinstance(n, Scan))


def references(expr: exp.Expr | None) -> frozenset[str]:
    """The column names an expression mentions."""
    return frozenset(c.name for c in find_all(expr, exp.Column)) if expr is not None else frozenset()


def conjuncts(expr: exp.Expr | None) -> list[exp.Expr]:
    """The terms of a top-level AND."""
    if expr is None:
        return []
    return list(expr.flatten()) if isinstance(expr, exp.And) else [expr]


def equalities(on: exp.Expr | None) -> list[tuple[str, str]]:
    """The `column = column` terms of a join condition."""
    return [
        (term.this.name, term.expression.name)
        for term in conjuncts(on)
        if isinstance(term, exp.EQ)
        and isinstance(term.this, exp.Column)
        and isinstance(term.expression, exp.Column)
    ]


def lookup(node: Join) -> bool:
    """True where every left row meets at most one right row: what is equated tells the right rows apart."""
    return node.kind.startswith("asof") or tells_apart(node.right, equated(node))


def stored_lookup(node: Join) -> bool:
    """A lookup that equates a stored key, column by column."""
    unique = node.right.unique if isinstance(node.right, Scan) else ()
    if isinstance(node.right, Aggregate):
        unique = ids(node.right)
    own = set(columns(node.right))
    joined = {a if a in own else b for a, b in equalities(node.on) if (a in own) != (b in own)}
    return bool(unique) and set(unique) <= joined


def equated(node: Join) -> frozenset[str]:
    """The right side's columns that the condition sets equal to something of the left side."""
    own = set(columns(node.right))
    return frozenset(
        side.name
        for term in conjuncts(node.on)
        if isinstance(term, (exp.EQ, exp.NullSafeEQ))
        for side, other in ((term.this, term.expression), (term.expression, term.this))
        if isinstance(side, exp.Column) and side.name in own and not references(other) & own
    )


def tells_apart(node: Relation, named: frozenset[str]) -> bool:
    """True where no two rows agree in the named columns (NULLs being equal)."""
    match node:
        case TopK() if node.limit == 1 and set(node.partition) <= named:
            return True
        case Filter() | TopK() | Window():
            return tells_apart(node.input, named)
        case SemiJoin():
            return tells_apart(node.left, named)
        case Project():
            back = {o.source for o in node.outs if o.source is not None and o.name in named}
            return tells_apart(node.input, frozenset(b for b in back if b))
        case Join():
            return tells_apart(node.left, named) and (lookup(node) or tells_apart(node.right, named))
        case Scan() if node.unique and set(node.unique) <= named:
            return True
        case Aggregate() if not node.grouped:
            return True
    return bool(ids(node)) and set(ids(node)) <= named
