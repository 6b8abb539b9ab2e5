"""SQL in, Plan out; knows no engine.

parse → qualify (names, types, ties) → reject → lower → PASSES → cut into stages
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as evolve

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.binding import Lowered
from strandline.compiler.catalog import Catalog, Readable, SourceColumn
from strandline.compiler.copies import numbered
from strandline.compiler.delicate import mark
from strandline.compiler.lowering import lower_query
from strandline.compiler.names import stage_table
from strandline.compiler.parsing import parse
from strandline.compiler.passes.late_lookups import late_lookups
from strandline.compiler.passes.lift_projections import lift_projections
from strandline.compiler.passes.merge_projections import merge_projections
from strandline.compiler.passes.nest_windows import nest_windows
from strandline.compiler.passes.prune import prune
from strandline.compiler.passes.push_filters import push_filters
from strandline.compiler.passes.split_distinct import split_distinct
from strandline.compiler.passes.top_k import top_k
from strandline.compiler.plan import Output, Plan, Stage
from strandline.compiler.qualify import qualified
from strandline.compiler.reject import UnsupportedError, reject_volatile
from strandline.compiler.stages import cut
from strandline.compiler.text import DIALECT
from strandline.compiler.trees import copy_of, find_all, no_collecting
from strandline.errors import ConfigurationError, StrictError, nearest
from strandline.schema import StrategyName

__all__ = [
    "PASSES",
    "Catalog",
    "Plan",
    "Readable",
    "SourceColumn",
    "Stage",
    "compile",
    "force",
    "recompute_plan",
    "unresolved_plan",
]

Pass = Callable[[r.Relation], r.Relation]

PASSES: tuple[Pass, ...] = (
    merge_projections,
    push_filters,
    late_lookups,
    top_k,
    nest_windows,
    lift_projections,
    merge_projections,
    top_k,
    split_distinct,
)


def compile(sql: str, catalog: Catalog, model: str = "query", *, strict: bool = False) -> Plan:
    """Compile one SELECT into a maintenance plan.

    Raises ParseError, UnknownNameError or RejectedError before anything is
    created; StrictError where `strict` is set and the query has no incremental
    rule. Anything else without a rule becomes a plan that recomputes, with the reason.
    """
    with no_collecting():
        return compiled(sql, catalog, model, strict)


def compiled(sql: str, catalog: Catalog, model: str, strict: bool) -> Plan:
    """The work of `compile`."""
    parsed = parse(sql, DIALECT)
    reject_volatile(parsed)
    tree = qualified(parsed, catalog, DIALECT)
    reads = frozenset(t.name.lower() for t in find_all(parsed, exp.Table) if t.name.lower() in catalog)
    text = numbered(copy_of(tree), catalog).sql(dialect=DIALECT, copy=False)
    names = tuple(parsed.named_selects)
    try:
        lowered = optimized(lower_query(tree, catalog))
        stages, output = cut(model, lowered)
    except UnsupportedError as why:
        if strict:
            raise StrictError(
                f"model {model!r} is strict, and could only be kept by full recompute: {why}",
                hint="rewrite the query, or set strict = false.",
            ) from None
        return recompute_plan(
            Plan(model, sql, text, (), Output("", tuple((n, n) for n in names), ()), reads), str(why)
        )
    return Plan(model, sql, text, mark(stages, catalog), output, reads)


def unresolved_plan(sql: str, catalog: Catalog, model: str, reason: str) -> Plan | None:
    """The recompute of a query whose names only the engine can resolve; None where it reads nothing known."""
    parsed = parse(sql, DIALECT)
    reads = frozenset(t.name.lower() for t in find_all(parsed, exp.Table) if t.name.lower() in catalog)
    known = reads | {c.alias.lower() for c in find_all(parsed, exp.CTE)}
    tables = [t for t in find_all(parsed, exp.Table) if not isinstance(t.this, exp.Func)]
    if not reads or any(t.name.lower() not in known for t in tables):
        return None
    columns = tuple((n, n) for n in parsed.named_selects)
    return recompute_plan(Plan(model, sql, sql, (), Output("", columns, ()), reads), reason, as_written=True)


def recompute_plan(plan: Plan, reason: str, *, as_written: bool = False) -> Plan:
    """The plan that recomputes and keeps what differs.

    `as_written` where only the user's own text will do.
    """
    output = Output(stage_table(plan.model, 0), plan.output.columns, ("_rid",))
    text = plan.sql.strip().rstrip(";") if as_written else plan.query
    return evolve(plan, query=text, stages=(), output=output, full_reason=reason)


def force(plan: Plan, strategy: str | None) -> Plan:
    """The plan with a strategy chosen by hand.

    That is `full`, or `partition`/`keyed` where a stage would carry or merge.
    Raises ConfigurationError for any other.
    """
    if strategy in (None, "auto", "incremental") or plan.full_reason:
        return plan
    if strategy == "full":
        return recompute_plan(plan, "the model's settings ask for it")
    if strategy not in FORCED:
        raise ConfigurationError(
            f"strategy {strategy!r} cannot be chosen",
            hint=nearest(strategy, [*FORCED, "full", "incremental"]),
        )
    why = "the model's settings ask for it"
    chosen, replaced = FORCED[strategy]
    stages = tuple(
        evolve(s, strategy=chosen, reason=why, back=0, open=0) if s.strategy == replaced else s
        for s in plan.stages
    )
    return evolve(plan, stages=stages)


FORCED: dict[str, tuple[StrategyName, StrategyName]] = {
    "partition": ("partition", "carry"),
    "keyed": ("keyed", "merge"),
}
"""By the name it is asked for: a strategy, and the one it takes the place of."""


def optimized(lowered: Lowered) -> Lowered:
    """The lowered query after every pass, without unused columns."""
    node = lowered.node
    for one in PASSES:
        node = one(node)
    needed = frozenset(c for _, c in lowered.outputs) | set(r.ids(node))
    return Lowered(prune(node, needed), lowered.outputs)
