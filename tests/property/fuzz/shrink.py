"""Makes a failing World small: fewer models, batches, rows, and a shorter query."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import sqlglot
from sqlglot import exp

from fuzz.check import Finding, check
from fuzz.tables import Batch, Change, Table, TableColumn
from fuzz.world import World, mentions

Fails = Callable[[World], bool]


def shrink(world: World, finding: Finding, seconds: float = 30.0) -> World:
    """The smallest World found in the time that still fails in the same way (greedy)."""
    limit = time.monotonic() + seconds

    def fails(candidate: World) -> bool:
        return time.monotonic() < limit and same_fault(candidate, finding)

    blamed = [finding.model] if finding.model != "?" else [m.name for m in world.models]
    alone = (_alone(world, replace(finding, model=name)) for name in blamed)
    small = next((candidate for candidate in alone if fails(candidate)), world)
    steps = (_models, _no_early, _batches, _changes, _rows, _query, _rows, _columns, _values)
    before = None
    while before != small and time.monotonic() < limit:
        before = small
        for step in steps:
            small = _greedy(small, step, fails)
    return small


def same_fault(world: World, finding: Finding) -> bool:
    try:
        found = check(world, verify=finding.kind == "verify" or finding.batch == 99).findings
    except Exception:
        return False
    return any(f.signature == finding.signature for f in found)


def _greedy(world: World, step: Callable[[World], Iterator[World]], fails: Fails) -> World:
    """Take every candidate that still fails; start the step again from it."""
    improved = True
    while improved:
        improved = False
        for candidate in step(world):
            if fails(candidate):
                world, improved = candidate, True
                break
    return world


def _alone(world: World, finding: Finding) -> World:
    """Only the failing model and what it reads."""
    wanted = {finding.model}
    for model in reversed(world.models):
        if model.name in wanted:
            wanted |= model.uses
    models = tuple(m for m in world.models if m.name in wanted)
    return _trimmed(replace(world, models=models)) if models else world


def _trimmed(world: World) -> World:
    """Without tables that no model reads."""
    used = {u for m in world.models for u in m.uses}
    tables = tuple(t for t in world.tables if t.name in used)
    keep = {t.name for t in tables}
    batches = tuple(tuple(c for c in b if c.table in keep) for b in world.batches)
    return replace(world, tables=tables, batches=batches)


def _models(world: World) -> Iterator[World]:
    for gone in world.models:
        rest = tuple(m for m in world.models if m.name != gone.name and gone.name not in m.uses)
        if rest:
            yield _trimmed(replace(world, models=rest))


def _no_early(world: World) -> Iterator[World]:
    if world.early:
        yield replace(world, early=frozenset())


def _batches(world: World) -> Iterator[World]:
    """Drop a later batch; or join one to the first."""
    for place in range(len(world.batches) - 1, 0, -1):
        rest = world.batches[:place] + world.batches[place + 1 :]
        yield replace(world, batches=rest)
    if len(world.batches) > 2:
        first, second, *others = world.batches
        yield replace(world, batches=((*first, *second), *others))


def _changes(world: World) -> Iterator[World]:
    for number, batch in enumerate(world.batches):
        for place in range(len(batch)):
            yield _with(world, number, batch[:place] + batch[place + 1 :])


def _with(world: World, number: int, batch: Batch) -> World:
    return replace(world, batches=(*world.batches[:number], batch, *world.batches[number + 1 :]))


def _rows(world: World) -> Iterator[World]:
    """Drop halves, quarters and single rows of every change."""
    for number, batch in enumerate(world.batches):
        for place, change in enumerate(batch):
            for smaller in _smaller(change):
                yield _with(world, number, (*batch[:place], smaller, *batch[place + 1 :]))


def _smaller(change: Change) -> Iterator[Change]:
    for side in ("inserts", "deletes"):
        rows = getattr(change, side)
        size = len(rows)
        while size >= 1:
            for start in range(0, len(rows), size):
                kept = rows[:start] + rows[start + size :]
                yield replace(change, inserts=kept) if side == "inserts" else replace(change, deletes=kept)
            size //= 2


def _values(world: World) -> Iterator[World]:
    """Make inserted values NULL or plain, column by column (keys and deletes stay)."""
    tables = {t.name: t for t in world.tables}
    for name, table in tables.items():
        if not table.key:
            continue
        for place, column in enumerate(table.columns):
            if column.name in table.key:
                continue
            for plain in (None, {"int": 1, "str": "a", "bool": True}.get(column.kind)):
                yield from _blanked(world, name, place, plain)


def _blanked(world: World, name: str, place: int, plain: object) -> Iterator[World]:
    for number, batch in enumerate(world.batches):
        for position, change in enumerate(batch):
            for index, row in enumerate(change.inserts):
                if change.table == name and row[place] is not None and row[place] != plain:
                    new = (*row[:place], plain, *row[place + 1 :])
                    rows = (*change.inserts[:index], new, *change.inserts[index + 1 :])
                    changed = replace(change, inserts=rows)
                    yield _with(world, number, (*batch[:position], changed, *batch[position + 1 :]))


def _columns(world: World) -> Iterator[World]:
    """Drop columns that no query mentions."""
    text = " ".join(m.sql for m in world.models)
    for table in world.tables:
        for place, column in enumerate(table.columns):
            if column.name in table.key or column.plain in text or len(table.columns) == 1:
                continue
            if "*" in text.replace("(*)", "") or not table.key:
                continue
            yield _without(world, table, column, place)


def _without(world: World, table: Table, column: TableColumn, place: int) -> World:
    smaller = replace(table, columns=tuple(c for c in table.columns if c is not column))

    def cut(change: Change) -> Change:
        if change.table != table.name:
            return change
        inserts = tuple(r[:place] + r[place + 1 :] for r in change.inserts)
        return replace(
            change, inserts=inserts, deletes=tuple(r[:place] + r[place + 1 :] for r in change.deletes)
        )

    tables = tuple(smaller if t is table else t for t in world.tables)
    return replace(world, tables=tables, batches=tuple(tuple(map(cut, b)) for b in world.batches))


def _query(world: World) -> Iterator[World]:
    """Shorter versions of each model's SQL."""
    for place, model in enumerate(world.models):
        for sql in shorter(model.sql):
            uses = frozenset(u for u in model.uses if mentions(sql, u))
            smaller = replace(model, sql=sql, uses=uses)
            models = (*world.models[:place], smaller, *world.models[place + 1 :])
            yield replace(world, models=models)


def shorter(sql: str) -> Iterator[str]:
    """Every query that is this one with one part taken out; most are valid, the oracle decides."""
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    nodes = [n for n in tree.walk() if isinstance(n, exp.Expr)]
    seen = {sql}
    for index in range(len(nodes)):
        for edit in EDITS:
            copy = tree.copy()
            target = [n for n in copy.walk() if isinstance(n, exp.Expr)][index]
            copy = edit(copy, target) or copy
            text = copy.sql(dialect="duckdb", unsupported_level=sqlglot.ErrorLevel.IGNORE)
            if text not in seen and len(text) < len(sql):
                seen.add(text)
                yield text


def _drop(tree: exp.Expr, node: exp.Expr) -> exp.Expr | None:
    """Drop a clause, a join, or one item of a list of several."""
    clauses = (exp.Where, exp.Having, exp.Qualify, exp.Limit, exp.Offset, exp.Join, exp.Distinct)
    listed = node.arg_key in {"expressions", "partition_by"} and isinstance(node.parent, exp.Expr)
    several = listed and len(node.parent.args.get(node.arg_key or "") or []) > 1
    if isinstance(node, clauses) or several or node.arg_key == "partition_by":
        node.pop()
    elif isinstance(node, exp.Filter):
        node.replace(node.this.copy())
    elif isinstance(node, exp.WindowSpec):
        node.pop()
    return None


def _hoist(tree: exp.Expr, node: exp.Expr) -> exp.Expr | None:
    """Put a part in the place of the whole: one side of AND, of a set operation, of a CASE."""
    child = node.args.get("this")
    if isinstance(node, exp.SetOperation | exp.Binary | exp.Paren | exp.Not | exp.Func | exp.Window) and (
        isinstance(child, exp.Expr)
    ):
        if node is tree:
            return child.copy()
        node.replace(child.copy())
    return None


def _hoist_right(tree: exp.Expr, node: exp.Expr) -> exp.Expr | None:
    child = node.args.get("expression")
    if isinstance(node, exp.SetOperation | exp.Binary) and isinstance(child, exp.Expr):
        if node is tree:
            return child.copy()
        node.replace(child.copy())
    return None


def _constant(tree: exp.Expr, node: exp.Expr) -> exp.Expr | None:
    if isinstance(node, exp.Case | exp.If | exp.Subquery) and node.arg_key != "this":
        node.replace(exp.Literal.number(1))
    return None


EDITS = (_drop, _hoist, _hoist_right, _constant)
