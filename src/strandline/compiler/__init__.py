"""SQL in, Plan out; knows no engine.

    parse → qualify (names, types, ties) → reject → lower → PASSES → cut into stages
"""

from __future__ import annotations

from collections.abc import Callable

from strandline.compiler import relations as r
from strandline.compiler import rewrite
from strandline.compiler.catalog import Catalog, Readable, SourceColumn
from strandline.compiler.lowering import Context, Lowered, lower
from strandline.compiler.names import Names, stage_table
from strandline.compiler.plan import Output, Plan, Stage
from strandline.compiler.qualify import parse, qualified
from strandline.compiler.reject import Unsupported, reject_volatile
from strandline.compiler.stages import cut
from strandline.compiler.text import DIALECT
from strandline.errors import StrictError

__all__ = ["PASSES", "Catalog", "Plan", "Readable", "SourceColumn", "Stage", "compile"]

Pass = Callable[[r.Relation], r.Relation]

PASSES: tuple[Pass, ...] = (
    rewrite.merge_projections,
    rewrite.push_filters,
    rewrite.late_lookups,
    rewrite.merge_projections,
    rewrite.top_k,
)


def compile(sql: str, catalog: Catalog, model: str = "query", *, strict: bool = False) -> Plan:
    """Compile one SELECT into a maintenance plan.

    Raises ParseError, UnknownNameError or RejectedError before anything is
    created; StrictError where `strict` is set and the query has no incremental
    rule. Anything else without a rule becomes a plan that recomputes, with the reason.
    """
    parsed = parse(sql, DIALECT)
    reject_volatile(parsed)
    tree = qualified(parsed, catalog, DIALECT)
    reads = frozenset(t.name.lower() for t in parsed.find_all(_table()) if t.name.lower() in catalog)
    text = tree.sql(dialect=DIALECT)
    names = tuple(parsed.named_selects)
    try:
        lowered = optimized(lower(tree, Context(catalog, Names())))
        stages, output = cut(model, lowered)
    except Unsupported as why:
        if strict:
            raise StrictError(
                f"model {model!r} is strict, and could only be kept by full recompute: {why}",
                hint="rewrite the query, or set strict = false.",
            ) from None
        columns = tuple((n, n) for n in names)
        table = stage_table(model, 0)
        return Plan(model, sql, text, (), Output(table, columns, ("_rid",)), reads, str(why))
    return Plan(model, sql, text, stages, output, reads)


def _table() -> type:
    from sqlglot import exp

    return exp.Table


def optimized(lowered: Lowered) -> Lowered:
    """The lowered query after every pass, without unused columns."""
    node = lowered.node
    for one in PASSES:
        node = one(node)
    needed = frozenset(c for _, c in lowered.outputs) | set(r.ids(node))
    return Lowered(rewrite.prune(node, needed), lowered.outputs)
