"""Subqueries: as conditions and as values, correlated in every way, nested, over groups and limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from fuzz.exprs import condition
from fuzz.scope import Col, Gen, Relation, Scope, qualified

SETS = ("UNION", "UNION ALL", "EXCEPT", "EXCEPT ALL", "INTERSECT", "INTERSECT ALL")
EQUAL = ("=", "=", "=", "IS NOT DISTINCT FROM")
ORDERED = ("<", "<=", ">", "<>")


@dataclass(frozen=True)
class Inner:
    """A relation to select from, what is visible in it, and the outer columns that it does not hide."""

    relation: Relation
    text: str
    scope: Scope
    outer: Scope

    @property
    def pairs(self) -> list[tuple[Col, Col]]:
        """(outer, inner) columns of one kind."""
        inner = self.scope.comparable()
        return [(a, b) for a in self.outer.comparable() for b in inner if a.kind == b.kind]


def make_inner(gen: Gen, outer: Scope) -> Inner:
    relation = gen.rng.choice(gen.relations)
    alias = gen.fresh("s")
    return Inner(relation, f"{relation.sql} AS {alias}", qualified(relation, alias), visible(outer, relation))


def visible(outer: Scope, relation: Relation) -> Scope:
    """The outer columns that a subquery over `relation` does not hide by a name of its own."""
    names = {c.sql for c in relation.columns}
    return Scope(tuple(c for c in outer.columns if c.sql not in names), outer.total)


def plain(scope: Scope) -> Scope:
    """Of columns and aggregates those that a subquery may name: plain columns."""
    return Scope(tuple(c for c in scope.columns if re.fullmatch(r"[\w.]+", c.sql)))


def where(gen: Gen, inner: Inner, depth: int, *, correlated: bool = True) -> str:
    """The WHERE of a subquery: terms of its own, and terms that name the outer row."""
    rng = gen.rng
    terms = [condition(gen, inner.scope, 0)] if gen.chance(0.3) else []
    pairs = inner.pairs if correlated else []
    for a, b in rng.sample(pairs, min(len(pairs), rng.choice((1, 1, 1, 2)))):
        operator = rng.choice(EQUAL if gen.chance(0.75) else ORDERED)
        if operator != "=":
            gen.tag("subquery:by-condition")
        terms.append(
            f"{a.sql} {operator} {b.sql}" if gen.chance(0.5) else f"{b.sql} {flipped(operator)} {a.sql}"
        )
    if pairs and depth > 0 and gen.chance(0.12):
        gen.tag("subquery:nested")
        both = Scope((*inner.scope.columns, *inner.outer.columns))
        terms.append(subquery_condition(gen, both, depth - 1))
    joined = f" {'OR' if gen.chance(0.1) else 'AND'} ".join(f"({t})" for t in terms)
    return f" WHERE {joined}" if terms else ""


def flipped(operator: str) -> str:
    return operator.translate(str.maketrans("<>", "><")) if operator != "<>" else operator


def rows(gen: Gen, inner: Inner, value: Col, depth: int, *, correlated: bool = True) -> str:
    """A subquery of one column: plain, distinct, grouped, limited, or a set operation."""
    rng = gen.rng
    filtered = f"FROM {inner.text}{where(gen, inner, depth, correlated=correlated)}"
    kinds = ("plain", "distinct", "group", "limit", "set")
    how = rng.choices(kinds, (70, 5, 8, 8, 9))[0] if depth >= 0 else "plain"
    total = inner.scope.total
    if how == "distinct":
        return f"SELECT DISTINCT {value.sql} {filtered}"
    if how == "group":
        gen.tag("subquery:grouped")
        return f"SELECT {value.sql} {filtered} GROUP BY {value.sql} HAVING count(*) {rng.choice('<>=')} 1"
    if how == "limit" and total:
        gen.tag("subquery:limited")
        offset = f" OFFSET {rng.randint(1, 2)}" if gen.chance(0.3) else ""
        return f"SELECT {value.sql} {filtered} ORDER BY {', '.join(total)} LIMIT {rng.randint(0, 3)}{offset}"
    if how == "set":
        second = make_inner(gen, inner.outer)
        same = [c for c in second.scope.comparable() if c.kind == value.kind]
        if same:
            gen.tag("subquery:setop")
            other = f"SELECT {rng.choice(same).sql} FROM {second.text}{where(gen, second, 0)}"
            return f"SELECT {value.sql} {filtered} {rng.choice(SETS)} {other}"
    return f"SELECT {value.sql} {filtered}"


def subquery_condition(gen: Gen, outer: Scope, depth: int = 1) -> str:
    """[NOT] EXISTS, [NOT] IN, ANY, ALL, comparison with a scalar subquery, correlated or not.

    `depth` bounds the nesting; below 0 the subquery is a plain SELECT.
    """
    rng = gen.rng
    inner = make_inner(gen, outer)
    if not inner.pairs:
        return condition(gen, outer)
    a, b = rng.choice(inner.pairs)
    negated = rng.choice(("", "NOT "))
    correlated = gen.chance(0.6)
    kinds = ("exists", "in", "any", "tuple", "scalar")
    how = rng.choices(kinds, (27, 33, 17, 5, 18))[0]
    gen.tag(f"subquery:{'not-' if negated and how[0] in 'ei' else ''}{how}{'-correlated' * correlated}")
    if how == "exists":
        body = rows(gen, inner, Col("1", "int") if gen.chance(0.6) else b, depth, correlated=gen.chance(0.9))
        return f"{negated}EXISTS ({body})"
    if how == "tuple":
        c, d = rng.choice(inner.pairs)
        tail = where(gen, inner, 0, correlated=False)
        return f"({a.sql}, {c.sql}) {negated}IN (SELECT {b.sql}, {d.sql} FROM {inner.text}{tail})"
    if how == "in":
        return f"{a.sql} {negated}IN ({rows(gen, inner, b, depth, correlated=correlated)})"
    if how == "any":
        operator = rng.choice(("=", "<>", "<", "<=", ">", ">="))
        body = rows(gen, inner, b, depth, correlated=correlated)
        return f"{a.sql} {operator} {rng.choice(('ANY', 'ALL', 'SOME'))} ({body})"
    tail = where(gen, inner, depth, correlated=correlated)
    function = rng.choice(("max", "min"))
    return f"{a.sql} {rng.choice(('=', '<=', '>'))} (SELECT {function}({b.sql}) FROM {inner.text}{tail})"


def scalar_subquery(gen: Gen, outer: Scope) -> Col:
    """A scalar subquery as a value: an aggregate, a lookup by key, the first row, a list."""
    inner = make_inner(gen, outer)
    columns = inner.scope.comparable()
    if not columns:
        return Col(f"(SELECT count(*) FROM {inner.text})", "int")
    makers: list[Callable[[Gen, Inner, Col], Col | None]] = [_looked_up, _first, _listed, _deep]
    makers += [_aggregated] * 4
    return gen.rng.choice(makers)(gen, inner, gen.rng.choice(columns)) or _aggregated(
        gen, inner, gen.rng.choice(columns)
    )


def _aggregated(gen: Gen, inner: Inner, column: Col) -> Col:
    rng = gen.rng
    correlated = gen.chance(0.75)
    gen.tag("subquery:select-correlated" if correlated else "subquery:select")
    tail = where(gen, inner, 1, correlated=correlated)
    if gen.chance(0.3):
        return Col(f"(SELECT count(*) FROM {inner.text}{tail})", "int")
    function = rng.choice(("max", "min", "count", "count DISTINCT"))
    kind = "int" if function.startswith("count") else column.kind
    call = f"count(DISTINCT {column.sql})" if function == "count DISTINCT" else f"{function}({column.sql})"
    ints = inner.outer.of("int")
    if kind == "int" and column.kind == "int" and ints and gen.chance(0.15):
        gen.tag("subquery:outer-in-aggregate")
        call = f"max({column.sql} + {rng.choice(ints).sql})"
    having = " HAVING count(*) > 1" if gen.chance(0.08) else ""
    return Col(f"(SELECT {call} FROM {inner.text}{tail}{having})", kind)


def _looked_up(gen: Gen, inner: Inner, column: Col) -> Col | None:
    """The one row of a keyed table."""
    keys = [next(c for c in inner.scope.columns if c.sql.endswith(f".{k}")) for k in inner.relation.key]
    found = [[a for a, b in inner.pairs if b == k] for k in keys]
    if not keys or not all(found):
        return None
    gen.tag("subquery:lookup")
    test = " AND ".join(f"{k.sql} = {gen.rng.choice(f).sql}" for k, f in zip(keys, found, strict=True))
    return Col(f"(SELECT {column.sql} FROM {inner.text} WHERE {test})", column.kind)


def _first(gen: Gen, inner: Inner, column: Col) -> Col | None:
    """The first row of each outer row's, under an order that leaves no choice."""
    if not inner.scope.total:
        return None
    gen.tag("subquery:first-row")
    tail = where(gen, inner, 1, correlated=gen.chance(0.85))
    order = ", ".join(t + gen.rng.choice(("", " DESC")) for t in inner.scope.total)
    offset = " OFFSET 1" if gen.chance(0.15) else ""
    return Col(f"(SELECT {column.sql} FROM {inner.text}{tail} ORDER BY {order} LIMIT 1{offset})", column.kind)


def _listed(gen: Gen, inner: Inner, column: Col) -> Col:
    gen.tag("subquery:array")
    body = f"SELECT {column.sql} FROM {inner.text}{where(gen, inner, 0)} ORDER BY {column.sql}"
    return Col(f"len(ARRAY({body}))", "int") if gen.chance(0.3) else Col(f"ARRAY({body})", "list")


def _deep(gen: Gen, inner: Inner, column: Col) -> Col:
    """An aggregate over a derived table that names the outer row."""
    gen.tag("subquery:derived")
    body = rows(gen, inner, Col(f"{column.sql} AS x", column.kind), 1)
    if "GROUP BY" in body:
        body = body.replace(f"GROUP BY {column.sql} AS x", f"GROUP BY {column.sql}")
    function = gen.rng.choice(("max", "min", "count"))
    name = gen.fresh("z")
    kind = "int" if function == "count" else column.kind
    return Col(f"(SELECT {function}({name}.x) FROM ({body}) AS {name})", kind)
