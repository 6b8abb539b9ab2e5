"""Whole SELECTs: projections, aggregates, windows, DISTINCT, set operations, CTEs, LIMIT."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fuzz.aggregates import group_clause, make_aggregate, make_groups
from fuzz.exprs import condition, expression
from fuzz.functions import shown_only
from fuzz.joins import make_source
from fuzz.levels import make_levels
from fuzz.scope import Col, Gen, Relation, Scope
from fuzz.subqueries import plain, scalar_subquery, subquery_condition
from fuzz.windows import Spec, direction, make_spec, make_window


@dataclass(frozen=True)
class Query:
    """A SELECT, the columns it gives, and those that tell its rows apart (None: nothing does).

    `key` are columns that no two of its rows share, where that is known.
    """

    sql: str
    columns: tuple[Col, ...]
    total: tuple[str, ...] | None
    key: tuple[str, ...] = ()

    def relation(self, name: str | None = None) -> Relation:
        """As something to select from: under a name, or in brackets."""
        named = name is not None
        return Relation(name or f"({self.sql})", self.columns, self.total, named, self.key if named else ())


def make_query(gen: Gen, depth: int = 1) -> Query:
    """A random query over gen.relations; `depth` bounds the nesting of subqueries."""
    rng = gen.rng
    how = rng.choices(
        ("plain", "aggregate", "window", "levels", "setop", "cte", "nested", "topk", "distinct_on"),
        (20, 25, 18, 8, 9, 7, 9, 4, 3) if depth > 0 else (32, 34, 24, 4, 0, 0, 0, 3, 3),
    )[0]
    gen.tag(f"query:{how}")
    makers = {
        "plain": _plain,
        "aggregate": _aggregate,
        "window": _window,
        "levels": _levels,
        "topk": _topk,
        "distinct_on": _distinct_on,
    }
    if how in makers:
        return makers[how](gen)
    if how == "setop":
        return _setop(gen, depth)
    return _cte(gen, depth) if how == "cte" else _nested(gen, depth)


def _where(gen: Gen, scope: Scope, p: float = 0.45) -> str:
    if not gen.chance(p):
        return ""
    gen.tag("filter")
    if gen.chance(0.3):
        test = subquery_condition(gen, scope)
        if gen.chance(0.4):
            test = f"{test} {gen.rng.choice(('AND', 'AND', 'OR'))} {condition(gen, scope)}"
        return f" WHERE {test}"
    return f" WHERE {condition(gen, scope, 2)}"


def named(columns: list[Col]) -> tuple[str, tuple[Col, ...]]:
    """The select list, and the columns as they are named outside."""
    items = [f"{c.sql} AS c{i}" for i, c in enumerate(columns)]
    return ", ".join(items), tuple(Col(f"c{i}", c.kind, c.exact) for i, c in enumerate(columns))


def total_within(scope: Scope, columns: list[Col]) -> tuple[str, ...] | None:
    """Output names that order totally: the scope's own if all are shown, else all if comparable."""
    places = {c.sql: f"c{i}" for i, c in reversed(list(enumerate(columns)))}
    if scope.total is not None and all(name in places for name in scope.total):
        return tuple(places[name] for name in scope.total)
    return tuple(places.values()) if all(c.comparable for c in columns) else None


def _items(gen: Gen, scope: Scope, most: int = 4) -> list[Col]:
    columns = [expression(gen, scope) for _ in range(gen.rng.randint(1, most))]
    if scope.total and gen.chance(0.6):
        known = {c.sql: c for c in scope.columns}
        columns = [known[n] for n in scope.total if n in known and known[n] not in columns] + columns
    if gen.chance(0.07):
        columns.append(scalar_subquery(gen, scope))
    if gen.chance(0.03):
        gen.tag("subquery:as-a-value")
        columns.append(Col(f"({subquery_condition(gen, scope)})", "bool"))
    nested = shown_only(gen, scope) if gen.chance(0.07) else None
    if nested is not None:
        columns.append(nested)
    times = scope.of("ts")
    if times and gen.chance(0.15):
        gen.tag("expr:interval")
        columns.append(Col(f"({gen.rng.choice(times).sql} - {gen.rng.choice(times).sql})", "ival"))
    return columns


def _plain(gen: Gen) -> Query:
    source = make_source(gen)
    if gen.chance(0.08) and " " not in source.text:
        gen.tag("select:star")
        relation = next(r for r in gen.relations if r.sql == source.text)
        where = _where(gen, source.scope)
        return Query(f"SELECT * FROM {source.text}{where}", relation.columns, relation.total)
    columns = _items(gen, source.scope)
    distinct = gen.chance(0.2) and all(c.comparable for c in columns)
    items, outer = named(columns)
    where = _where(gen, source.scope, 0.6)
    if distinct:
        gen.tag("distinct")
        total = tuple(c.sql for c in outer)
        return Query(f"SELECT DISTINCT {items} FROM {source.text}{where}", outer, total)
    return Query(f"SELECT {items} FROM {source.text}{where}", outer, total_within(source.scope, columns))


def _aggregate(gen: Gen) -> Query:
    """Groups and aggregates, scalar expressions above them, windows above them, HAVING."""
    source = make_source(gen)
    where = _where(gen, source.scope)
    groups = make_groups(gen, source.scope)
    clause = group_clause(gen, groups)
    calls = [make_aggregate(gen, source.scope) for _ in range(gen.rng.randint(1, 4))]
    special = "ROLLUP" in clause or "CUBE" in clause or "SETS" in clause
    if not groups:
        gen.tag("group:none")
    total = None if special else tuple(g.sql for g in groups)
    after = Scope((*groups, *calls), total if groups else None)
    columns = [*groups, *calls]
    columns += _above(gen, after, plain=not special and "ALL" not in clause)
    having = f" HAVING {condition(gen, after, 1)}" if groups and gen.chance(0.2) else ""
    if groups and not special and plain(after).columns and gen.chance(0.08):
        gen.tag("subquery:having")
        having = f"{having} AND" if having else " HAVING"
        having += f" ({subquery_condition(gen, plain(after), 0)})"
    if groups and not special and plain(after).columns and gen.chance(0.06):
        gen.tag("subquery:beside-aggregates")
        columns.append(scalar_subquery(gen, plain(after)))
    if having:
        gen.tag("having")
    items, outer = named(columns)
    names = tuple(f"c{i}" for i in range(len(groups)))
    known = names if groups and not special else None
    return Query(f"SELECT {items} FROM {source.text}{where}{clause}{having}", outer, known)


def _above(gen: Gen, after: Scope, *, plain: bool) -> list[Col]:
    """Expressions and windows over groups and aggregates of the same SELECT."""
    columns = []
    usable = Scope(tuple(c for c in after.columns if c.kind in {"int", "str", "dec", "dbl"}), after.total)
    if usable.columns and gen.chance(0.25):
        gen.tag("expr:above-aggregate")
        columns.append(expression(gen, usable, depth=1))
    if plain and after.total and gen.chance(0.2):
        gen.tag("window:over-aggregate")
        columns.append(make_window(gen, after))
    return columns


def _window(gen: Gen) -> Query:
    """One to four window columns of one or more specifications, sometimes with QUALIFY."""
    rng = gen.rng
    source = make_source(gen)
    scope = source.scope
    if scope.total is None and gen.chance(0.7):
        source = make_source(gen, 0)
        scope = source.scope
    shared: list[Spec] = []
    for _ in range(rng.choice((1, 1, 1, 2))):
        alone = scope.copies is not None or not any(s.total for s in shared)
        shared.append(make_spec(gen, scope, total=gen.chance(0.75) and alone))
    if len(shared) > 1:
        gen.tag("window:several-specs")
    windows = [make_window(gen, scope, rng.choice(shared)) for _ in range(rng.randint(1, 4))]
    columns = _items(gen, scope, 3)
    where = _where(gen, scope, 0.3)
    qualify = ""
    if gen.chance(0.18):
        gen.tag("qualify")
        test = make_window(gen, scope, rng.choice(shared))
        inside = Scope((test,)) if test.comparable else scope
        qualify = f" QUALIFY {condition(gen, inside, 0)}"
        if gen.chance(0.5) and shared[0].total:
            gen.tag("qualify:top-k")
            qualify = f" QUALIFY row_number() OVER ({shared[0].text(placed=True)}) <= {rng.randint(1, 3)}"
    if gen.chance(0.25):
        gen.tag("expr:above-window")
        first = windows[0]
        windows[0] = replace(expression(gen, Scope((first,)), first.kind, 1), exact=first.exact)
    columns += windows
    items, outer = named(columns)
    distinct = "DISTINCT " if gen.chance(0.06) and all(c.comparable for c in columns) else ""
    if distinct:
        gen.tag("distinct", "distinct:over-window")
    # windows may tell apart rows that are equal where they come from
    apart = scope if scope.copies == () else replace(scope, total=None)
    total = tuple(c.sql for c in outer) if distinct else total_within(apart, columns)
    over = shared[0].text(placed=shared[0].total)
    clause = ""
    if over and f"OVER ({over})" in f"{items}{qualify}" and gen.chance(0.3):
        gen.tag("window:named")
        items, qualify = (t.replace(f"OVER ({over})", "OVER w") for t in (items, qualify))
        clause = f" WINDOW w AS ({over})"
    return Query(f"SELECT {distinct}{items} FROM {source.text}{where}{clause}{qualify}", outer, total)


def _levels(gen: Gen) -> Query:
    made = make_levels(gen)
    if made is None:
        return _window(gen)
    sql, columns, key = made
    return Query(sql, columns, key or None, key)


def _topk(gen: Gen) -> Query:
    """ORDER BY … LIMIT, under an order that leaves no choice."""
    rng = gen.rng
    source = make_source(gen)
    columns = _items(gen, source.scope)
    comparable = [i for i, c in enumerate(columns) if c.comparable]
    total = total_within(source.scope, columns)
    items, outer = named(columns)
    query = f"SELECT {items} FROM {source.text}{_where(gen, source.scope)}"
    if total is None:
        return Query(query, outer, None)
    gen.tag("limit")
    first = [f"c{rng.choice(comparable)}"] if comparable and gen.chance(0.7) else []
    order = [n + direction(gen) for n in [*first, *(t for t in total if t not in first)]]
    share = gen.chance(0.15)
    if share:
        gen.tag("limit:share")
    limit = f" LIMIT {rng.choice((15, 40, 75)) if share else rng.randint(0, 6)}{'%' if share else ''}"
    limit += f" OFFSET {rng.randint(1, 3)}" if gen.chance(0.25) else ""
    return Query(f"{query} ORDER BY {', '.join(order)}{limit}", outer, total)


def _distinct_on(gen: Gen) -> Query:
    """DISTINCT ON (…) … ORDER BY a total order."""
    source = make_source(gen)
    columns = _items(gen, source.scope)
    total = total_within(source.scope, columns)
    first = next((i for i, c in enumerate(columns) if c.comparable), None)
    items, outer = named(columns)
    where = _where(gen, source.scope)
    if total is None or first is None:
        return Query(f"SELECT {items} FROM {source.text}{where}", outer, total)
    gen.tag("distinct-on")
    order = ", ".join([f"c{first}", *(t + direction(gen) for t in total if t != f"c{first}")])
    text = f"SELECT DISTINCT ON (c{first}) {items} FROM {source.text}{where} ORDER BY {order}"
    return Query(text, outer, (f"c{first}",))


def _setop(gen: Gen, depth: int) -> Query:
    """Two or three branches with the same kinds of columns."""
    rng = gen.rng
    operator = rng.choice(
        ("UNION ALL", "UNION ALL", "UNION", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL")
    )
    gen.tag(f"setop:{operator.lower().replace(' ', '-')}")
    kinds = None
    branches = []
    for _ in range(rng.choices((2, 3), (85, 15))[0]):
        source = make_source(gen, 0 if gen.chance(0.8) else 1)
        scope = Scope(tuple(source.scope.comparable()), None)
        if kinds is None:
            kinds = (
                [rng.choice(scope.columns).kind for _ in range(rng.randint(1, 3))]
                if scope.columns
                else ["int"]
            )
        columns = [expression(gen, scope, kind, 1 if gen.chance(0.3) else 0) for kind in kinds]
        items, outer = named(columns)
        branches.append(f"SELECT {items} FROM {source.text}{_where(gen, source.scope)}")
    columns = tuple(Col(c.sql, k) for c, k in zip(outer, kinds or [], strict=True))
    return Query(f" {operator} ".join(branches), columns, tuple(c.sql for c in columns))


def _cte(gen: Gen, depth: int) -> Query:
    """WITH one or two names, used once or twice by what follows."""
    count = gen.rng.choice((1, 1, 2))
    inner = Gen(gen.rng, list(gen.relations), gen.tags, gen.number)
    names = []
    parts = []
    for _ in range(count):
        part = make_query(inner, 0)
        name = inner.fresh("cte")
        parts.append(f"{name} AS ({part.sql})")
        names.append(part.relation(name))
        inner.relations.append(names[-1])
    inner.relations = names * 3 + gen.relations
    body = make_query(inner, 0)
    gen.number = inner.number
    if sum(body.sql.count(n.sql) for n in names) > 1:
        gen.tag("cte:twice")
    return Query(f"WITH {', '.join(parts)} {body.sql}", body.columns, body.total)


def _nested(gen: Gen, depth: int) -> Query:
    """A query over a query: aggregates over windows, windows over windows, and so on."""
    inner = make_query(gen, depth - 1)
    outer = Gen(gen.rng, [inner.relation()] * 4 + gen.relations[:1], gen.tags, gen.number)
    made = make_query(outer, 0)
    gen.number = outer.number
    return made
