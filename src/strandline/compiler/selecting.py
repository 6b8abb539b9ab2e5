"""The clauses of one SELECT, bound and lowered: predicates, grouping, windows, outputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as evolve

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.aggregates import aggregate_units, bare_columns
from strandline.compiler.beside import spread
from strandline.compiler.binding import (
    Context,
    Domain,
    Lowered,
    Scope,
    bind,
    empty_value,
    order_terms,
    refuse_subqueries,
    replace,
)
from strandline.compiler.correlation import domain_rows, same_keys
from strandline.compiler.free import Reference, bound_columns, free
from strandline.compiler.inferring import TIMES_OF_DAY, kind
from strandline.compiler.positions import SETS
from strandline.compiler.reject import UnsupportedError
from strandline.compiler.subqueries import scalars
from strandline.compiler.trees import copy_of, find_all, has, rebuilt
from strandline.compiler.unions import union_all


@dataclass(frozen=True)
class Clauses:
    """Bound clauses of a SELECT; expressions shrink to columns as stages below compute them."""

    outputs: tuple[tuple[str, exp.Expr], ...]
    groups: tuple[exp.Expr, ...] = ()
    sets: tuple[tuple[exp.Expr, ...], ...] = ()
    grouped: bool = False
    having: exp.Expr | None = None
    qualify: exp.Expr | None = None
    distinct: bool = False
    distinct_on: tuple[exp.Expr, ...] = ()
    order: tuple[exp.Ordered, ...] = ()
    limit: int | None = None
    offset: int = 0
    keys: tuple[str, ...] = ()
    """Columns that tie a correlated subquery to outer rows: part of every group, partition and limit."""
    given: tuple[tuple[Reference, exp.Expr], ...] = ()
    """Aggregates that its subqueries name, and the references by which they do."""

    @staticmethod
    def of(
        select: exp.Select,
        scope: Scope,
        keys: tuple[str, ...],
        given: tuple[tuple[Reference, exp.Expr], ...] = (),
    ) -> Clauses:
        """Bind every clause of a SELECT to the columns of its FROM."""
        names = {e.alias: e.unalias() for e in select.expressions}

        def bound(expr: exp.Expr) -> exp.Expr:
            # ORDER BY and DISTINCT ON may name an output column instead of an input column
            def alias(node: exp.Expr) -> exp.Expr:
                named = isinstance(node, exp.Column) and not node.table
                return copy_of(names[node.name]) if named and node.name in names else node

            return bind(rebuilt(expr, alias), scope)

        group = select.args.get("group")
        outputs = tuple((e.alias_or_name, bind(e.unalias(), scope)) for e in select.expressions)
        distinct = select.args.get("distinct")
        on = distinct.args.get("on") if distinct is not None else None
        order = select.args.get("order")
        picks = bool(select.args.get("limit") or select.args.get("offset") or on)
        having = bound(select.args["having"].this) if select.args.get("having") else None
        groups = group_expressions(group, outputs, having, scope)
        return Clauses(
            outputs=outputs,
            groups=groups,
            sets=grouping_sets(group, scope),
            grouped=group is not None and bool(groups or not group.args.get("all")),
            having=having,
            qualify=bound(select.args["qualify"].this) if select.args.get("qualify") else None,
            distinct=distinct is not None and on is None,
            distinct_on=tuple(bound(e) for e in on.expressions) if on is not None else (),
            order=tuple(term(bound(t)) for t in order.expressions) if order is not None and picks else (),
            limit=constant(select.args.get("limit")),
            offset=constant(select.args.get("offset")) or 0,
            keys=keys,
            given=tuple((reference, bind(call, scope)) for reference, call in given),
        )

    def all(self) -> Iterator[exp.Expr]:
        """Every expression evaluated after grouping."""
        yield from (e for _, e in self.outputs)
        yield from (e for e in (self.having, self.qualify) if e is not None)
        yield from self.distinct_on
        yield from self.order

    def replaced(self, mapping: dict[exp.Expr, exp.Expr]) -> Clauses:
        """The clauses with computed subexpressions replaced by their columns."""
        if not mapping:
            return self

        def one(expr: exp.Expr | None) -> exp.Expr | None:
            return replace(expr, mapping) if expr is not None else None

        return evolve(
            self,
            outputs=tuple((n, replace(e, mapping)) for n, e in self.outputs),
            having=one(self.having),
            qualify=one(self.qualify),
            groups=tuple(replace(e, mapping) for e in self.groups),
            sets=tuple(tuple(replace(e, mapping) for e in one) for one in self.sets),
            distinct_on=tuple(replace(e, mapping) for e in self.distinct_on),
            order=tuple(term(replace(t, mapping)) for t in self.order),
        )


def term(expr: exp.Expr) -> exp.Ordered:
    """An ORDER BY term stays one when what it orders by is replaced."""
    assert isinstance(expr, exp.Ordered)
    return expr


def group_expressions(
    group: exp.Group | None,
    outputs: tuple[tuple[str, exp.Expr], ...],
    having: exp.Expr | None,
    scope: Scope,
) -> tuple[exp.Expr, ...]:
    """The GROUP BY expressions; ALL means outputs of columns that are no aggregates, and HAVING's."""
    if group is None:
        return ()
    if group.args.get("all"):
        shown = [e for _, e in outputs if of_columns(e, scope) and not any(True for _ in aggregate_units(e))]
        return tuple(dict.fromkeys([*shown, *(bare_columns(having) if having is not None else ())]))
    if any(isinstance(e, SETS) for e in group.expressions):
        return tuple(dict.fromkeys(e for one in grouping_sets(group, scope) for e in one))
    found = [bind(e, scope) for e in group.expressions if not empty_tuple(e)]
    # all rows are one group of a constant, but without rows there is none
    kept = [e for e in found if not isinstance(e, exp.Literal)] or [exp.true() for _ in found[:1]]
    return tuple(dict.fromkeys(kept))


def of_columns(expr: exp.Expr, scope: Scope) -> bool:
    """True for what names a column in scope, in a subquery too; all else is the same for every row."""
    return bool(bound_columns(expr)) or any(name in scope for name in free(expr))


def empty_tuple(expr: exp.Expr) -> bool:
    return isinstance(expr, exp.Tuple) and not expr.expressions


def grouping_sets(group: exp.Group | None, scope: Scope) -> tuple[tuple[exp.Expr, ...], ...]:
    """The sets of ROLLUP, CUBE and GROUPING SETS: the product of all items' sets; empty without any."""
    if group is None or not any(isinstance(e, SETS) for e in group.expressions):
        return ()
    found: list[tuple[exp.Expr, ...]] = [()]
    for item in group.expressions:
        bound = [[tuple(bind(e, scope) for e in one)] for one in sets_of(item)]
        found = [(*left, *right) for left in found for one in bound for right in one]
    return tuple(tuple(dict.fromkeys(one)) for one in found)


def told_apart(
    node: r.Relation, group: exp.Group | None, scope: Scope, ctx: Context
) -> tuple[r.Relation, Scope]:
    """Names of one column in grouping sets become columns of their own: a set may leave out one of them."""
    if group is None or not any(isinstance(e, SETS) for e in group.expressions):
        return node, scope
    named = dict.fromkeys((c.table, c.name) for c in find_all(group, exp.Column))
    taken: set[str] = set()
    again: dict[tuple[str, str], str] = {}
    for name in (n for n in named if n in scope):
        if scope[name] in taken:
            again[name] = ctx.names.fresh(name[1])
        taken.add(scope[name])
    if not again:
        return node, scope
    kept = [r.Out(c, r.column(c)) for c in r.columns(node)]
    added = [r.Out(copy, r.column(scope[name])) for name, copy in again.items()]
    return r.Project(node, (*kept, *added), r.ids(node)), {**scope, **again}


def sets_of(item: exp.Expr) -> list[tuple[exp.Expr, ...]]:
    """The grouping sets of one GROUP BY item."""
    parts = [tuple_of(p) for p in item.expressions]
    flat = [tuple(e for part in parts[:n] for e in part) for n in range(len(parts), -1, -1)]
    match item:
        case exp.Rollup():
            return flat
        case exp.Cube():
            picks = [[p for i, p in enumerate(parts) if mask >> i & 1] for mask in range(2 ** len(parts))]
            return [tuple(e for part in pick for e in part) for pick in picks]
        case exp.GroupingSets():
            return [
                one
                for p in item.expressions
                for one in (sets_of(p) if isinstance(p, SETS) else [tuple_of(p)])
            ]
    return [tuple_of(item)]


def tuple_of(expr: exp.Expr) -> tuple[exp.Expr, ...]:
    """The expressions of a grouping set; brackets around one mean nothing."""
    return tuple(e.unnest() for e in (expr.expressions if isinstance(expr, exp.Tuple) else (expr,)))


def constant(clause: exp.Expr | None) -> int | None:
    """The value of LIMIT, OFFSET or FETCH FIRST, which is one row where it has no number."""
    if clause is None:
        return None
    options = clause.args.get("limit_options")
    value = clause.expression
    if isinstance(clause, exp.Fetch):
        value = clause.args.get("count") or exp.Literal.number(1)
        options = options is not None and (options.args.get("percent") or options.args.get("with_ties"))
    if not isinstance(value, exp.Literal) or not value.name.isdigit() or options:
        raise UnsupportedError("LIMIT and OFFSET are kept only for constant whole numbers")
    return int(value.name)


def lower_scalar_subqueries(
    node: r.Relation, clauses: Clauses, scope: Scope, ctx: Context
) -> tuple[r.Relation, Clauses]:
    """Scalar subqueries in outputs and the like become joins with one row.

    Beside aggregates those in an aggregate's own arguments come before the
    grouping, the others (`lower_late_subqueries`) after it.
    """
    units = [*(u for e in clauses.all() for u in aggregate_units(e)), *(call for _, call in clauses.given)]
    within = [*units, *clauses.groups] if units or clauses.grouped else clauses.all()
    holders = [e for e in within if has(e, exp.Query)]
    if not holders:
        return node, clauses
    node, mapping = scalars(node, holders, scope, ctx)
    return node, clauses.replaced(mapping)


def lower_late_subqueries(
    node: r.Relation, clauses: Clauses, scope: Scope, ctx: Context
) -> tuple[r.Relation, Clauses]:
    """Subqueries beside aggregates: of the rows grouped, they see what they are grouped by."""
    holders = [e for e in clauses.all() if has(e, exp.Query)]
    if not holders:
        return node, clauses
    node, mapping = scalars(node, holders, scope, ctx)
    clauses = clauses.replaced(mapping)
    for expr in clauses.all():
        refuse_subqueries(expr)
    return node, clauses


def lower_grouping(
    node: r.Relation, clauses: Clauses, scope: Scope, ctx: Context
) -> tuple[r.Relation, Clauses, Scope]:
    """GROUP BY and aggregate calls, if there are any; grouping sets are a union of aggregates.

    Of the names in scope those stay that the rows are grouped by.
    """
    calls = [u for e in clauses.all() for u in aggregate_units(e)]
    units = list(dict.fromkeys([*calls, *(call for _, call in clauses.given)]))
    if not units and not clauses.grouped:
        return node, clauses, scope
    if clauses.sets:
        units = [u for u in units if not isinstance(u, exp.Grouping)]
        node, mapping, keys = union_of_sets(node, clauses, units, ctx)
    else:
        node, mapping, keys = aggregate_over(node, clauses.groups, units, clauses, ctx)
    seen = {key: mapping.get(r.column(name)) for key, name in scope.items()}
    seen |= {reference: mapping.get(call) for reference, call in clauses.given}
    after = {key: col.name for key, col in seen.items() if isinstance(col, exp.Column)}
    return node, evolve(clauses.replaced(mapping), keys=keys), after


Grouped = tuple[r.Relation, dict[exp.Expr, exp.Expr], tuple[str, ...]]
"""Groups, the columns that stand for what was grouped by and aggregated, and the outer keys among them."""


def aggregate_over(
    node: r.Relation,
    by: tuple[exp.Expr, ...],
    units: list[exp.Expr],
    clauses: Clauses,
    ctx: Context,
) -> Grouped:
    """One aggregate; without groups every value of a correlated subquery's domain has a row."""
    keys = tuple(r.Out(ctx.names.fresh(k), r.column(k)) for k in clauses.keys)
    groups = tuple(r.Out(ctx.names.fresh(output_name(g, clauses)), g) for g in by)
    aggregates = tuple(r.Out(ctx.names.fresh(output_name(u, clauses)), u) for u in units)
    grouped = r.Aggregate(node, (*keys, *groups), aggregates, bool(keys or groups))
    names = tuple(k.name for k in keys)
    mapping = {o.expr: typed(o) for o in (*keys, *groups, *aggregates)}
    if groups or not isinstance(ctx.correlation, Domain):
        return grouped, mapping, names
    base, _, outer = domain_rows(ctx.correlation, ctx)
    whole = r.Join("left", base, grouped, same_keys(outer, names))
    mapping |= {k.expr: r.column(o) for k, o in zip(keys, outer, strict=True)}
    return whole, mapping | {o.expr: empty_value(o) for o in aggregates}, outer


def union_of_sets(node: r.Relation, clauses: Clauses, units: list[exp.Expr], ctx: Context) -> Grouped:
    """One aggregate per grouping set.

    A group column that a set leaves out is NULL; GROUPING() tells which.
    """
    calls = list(dict.fromkeys(g for e in clauses.all() for g in find_all(e, exp.Grouping)))
    keys = [r.column(k) for k in clauses.keys]
    wanted = [*keys, *(g for g in clauses.groups if g not in keys), *units]
    branches = []
    for one in clauses.sets:
        aggregate, mapping, _ = aggregate_over(node, one, units, clauses, ctx)
        outs = [r.Out(ctx.names.fresh("col"), mapping.get(e, exp.Null())) for e in wanted]
        outs += [r.Out(ctx.names.fresh("grouping"), grouping_bits(c, one)) for c in calls]
        kept = [r.Out(i, r.column(i)) for i in r.ids(aggregate)]
        branches.append(r.Project(aggregate, (*outs, *kept), r.ids(aggregate)))
    names = r.columns(branches[0])[: len(wanted) + len(calls)]
    union, _ = union_all(tuple(branches), names, {}, ctx)
    assert isinstance(union, r.Union)
    columns = dict(zip([*wanted, *calls], union.names, strict=False))
    mapped = {e: typed(r.Out(n, e)) for e, n in columns.items()}
    return union, mapped, union.names[: len(keys)]


def grouping_bits(call: exp.Expr, present: tuple[exp.Expr, ...]) -> exp.Expr:
    """GROUPING(a, b, …): one bit per argument, set where the grouping set leaves it out."""
    value = 0
    for arg in call.expressions:
        value = value * 2 + (arg.unnest() not in present)
    return exp.cast(exp.Literal.number(value), "BIGINT")


def typed(out: r.Out) -> exp.Expr:
    """A reference to a computed column that remembers its type."""
    return r.column(out.name, out.expr.type)


def output_name(expr: exp.Expr, clauses: Clauses) -> str:
    """The output's own name where the expression is an output, else its function's or column's."""
    for name, output in clauses.outputs:
        if output == expr and not name.startswith("_col_"):
            return name
    return expr.name if isinstance(expr, exp.Column) else expr.key


def lower_windows(node: r.Relation, clauses: Clauses, ctx: Context) -> tuple[r.Relation, Clauses]:
    """One Window relation per distinct PARTITION BY and ORDER BY, stacked."""
    calls = list(dict.fromkeys(w for e in clauses.all() for w in find_all(e, exp.Window)))
    mapping: dict[exp.Expr, exp.Expr] = {}
    specs: dict[tuple[tuple[exp.Expr, ...], tuple[exp.Ordered, ...]], list[exp.Window]] = {}
    for call in calls:
        refuse_subqueries(call)
        partition = tuple(call.args.get("partition_by") or ())
        user = tuple(order_terms(call.args.get("order"), ties=False))
        specs.setdefault((partition, user), []).append(call)
    for (partition, user), group in specs.items():
        node, more = window_relation(node, partition, user, group, clauses, ctx)
        mapping.update(more)
    return node, clauses.replaced(mapping)


def window_relation(
    node: r.Relation,
    partition: tuple[exp.Expr, ...],
    user: tuple[exp.Ordered, ...],
    calls: list[exp.Window],
    clauses: Clauses,
    ctx: Context,
) -> tuple[r.Relation, dict[exp.Expr, exp.Expr]]:
    """All calls over one specification; computed keys are projected first."""
    ties = {t.this: t for c in calls for t in order_terms(c.args.get("order"), ties=True)}
    partition = (*(r.column(k) for k in clauses.keys if r.column(k) not in partition), *partition)
    keys = [*partition, *(t.this for t in user), *ties]
    node, keyed = keys_as_columns(node, keys, ctx)
    functions = []
    mapping: dict[exp.Expr, exp.Expr] = {}
    for call in calls:
        bare = exp.Window(this=copy_of(call.this), spec=copy_or_none(call.args.get("spec")))
        bare.type = call.type
        if user:
            # an order without terms: `frames` and `needs_total` ask whether there is one
            bare.set("order", exp.Order(expressions=[]))
        out = r.Out(ctx.names.fresh(output_name(call, clauses)), bare)
        functions.append(out)
        mapping[call] = typed(out)
    window = r.Window(
        node,
        tuple(keyed[p] for p in partition),
        tuple(ordered(t, keyed) for t in user),
        tuple(ordered(t, keyed) for t in ties.values()),
        tuple(functions),
    )
    return window, mapping


def copy_or_none(expr: exp.Expr | None) -> exp.Expr | None:
    return copy_of(expr) if expr is not None else None


def ordered(term: exp.Ordered, keyed: dict[exp.Expr, str]) -> r.Order:
    wraps = kind(term.this) in TIMES_OF_DAY
    return r.Order(keyed[term.this], bool(term.args.get("desc")), bool(term.args.get("nulls_first")), wraps)


def keys_as_columns(
    node: r.Relation, keys: list[exp.Expr], ctx: Context
) -> tuple[r.Relation, dict[exp.Expr, str]]:
    """Partition and order keys as columns, computing those that are expressions."""
    found: dict[exp.Expr, str] = {k: k.name for k in keys if isinstance(k, exp.Column)}
    computed = {k: ctx.names.fresh("key") for k in dict.fromkeys(keys) if k not in found}
    if computed:
        kept = [r.Out(c, r.column(c)) for c in r.columns(node)]
        added = [r.Out(name, k) for k, name in computed.items()]
        node = r.Project(node, tuple(kept + added), r.ids(node))
    return node, {**found, **computed}


def lower_unnest(node: r.Relation, clauses: Clauses, ctx: Context) -> tuple[r.Relation, Clauses]:
    """unnest() in SELECT: the row once for each place in the longest of the lists."""
    node, mapping = spread(node, tuple(e for _, e in clauses.outputs), ctx)
    return node, clauses.replaced(mapping)


def lower_outputs(node: r.Relation, clauses: Clauses, ctx: Context) -> Lowered:
    """Projection, DISTINCT, DISTINCT ON and LIMIT."""
    node, clauses = lower_unnest(node, clauses, ctx)
    keys = [*clauses.distinct_on, *(t.this for t in clauses.order)]
    names = {e: ctx.names.fresh(n) for n, e in reversed(clauses.outputs) if not isinstance(e, exp.Column)}
    outs = [r.Out(name, e) for e, name in names.items()]
    hidden = {k: ctx.names.fresh("key") for k in keys if not isinstance(k, exp.Column) and k not in names}
    outs += [r.Out(name, e) for e, name in hidden.items()]
    place = {**names, **hidden}
    passed = [e.name for e in [*(e for _, e in clauses.outputs), *keys] if isinstance(e, exp.Column)]
    kept = dict.fromkeys([*passed, *r.ids(node), *clauses.keys])
    node = r.Project(node, (*(r.Out(c, r.column(c)) for c in kept), *outs), r.ids(node))

    def at(expr: exp.Expr) -> str:
        return expr.name if isinstance(expr, exp.Column) else place[expr]

    outputs = tuple((n, at(e)) for n, e in clauses.outputs)
    keyed = {t.this: at(t.this) for t in clauses.order}
    order = tuple(ordered(t, keyed) for t in clauses.order)
    outer = clauses.keys
    if clauses.distinct_on:
        node = r.TopK(node, (*outer, *(at(e) for e in clauses.distinct_on)), order, 1)
    if clauses.distinct:
        wanted = dict.fromkeys([*outer, *(c for _, c in outputs)])
        groups = tuple(r.Out(ctx.names.fresh(c), r.column(c)) for c in wanted)
        renames = {o.expr.name: o.name for o in groups}
        node = r.Aggregate(node, groups, ())
        outputs = tuple((n, renames[c]) for n, c in outputs)
        order = tuple(evolve(t, column=renames[t.column]) for t in order if t.column in renames)
        outer = tuple(renames[c] for c in outer)
    if clauses.limit is not None or clauses.offset:
        node = r.TopK(node, outer, order, clauses.limit, clauses.offset)
    return Lowered(node, outputs, outer)
