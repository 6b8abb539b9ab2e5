"""FROM clauses: one relation or a join of several; and subqueries as conditions."""

from __future__ import annotations

from dataclasses import dataclass

from fuzz.exprs import condition
from fuzz.scope import Col, Gen, Relation, Scope, merged, qualified

KINDS = ("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN", "CROSS JOIN")
WEIGHTS = (38, 26, 7, 9, 6, 6, 3)


@dataclass(frozen=True)
class Source:
    """A FROM clause and what is visible over it."""

    text: str
    scope: Scope


def pick(gen: Gen) -> Relation:
    return gen.rng.choice(gen.relations)


def make_source(gen: Gen, joins: int | None = None) -> Source:
    """One relation, or a join of two or three."""
    rng = gen.rng
    count = rng.choices((0, 1, 2), (52, 36, 12))[0] if joins is None else joins
    first = pick(gen)
    alias = gen.fresh("t")
    if count == 0 and first.named and gen.chance(0.5):
        return Source(first.sql, Scope(first.columns, first.total))
    source = Source(f"{first.sql} AS {alias}", qualified(first, alias))
    for _ in range(count):
        source = _joined(gen, source, pick(gen) if gen.chance(0.85) else first)
    if count and gen.chance(0.04):
        gen.tag("join:comma")
    return source


def _joined(gen: Gen, left: Source, relation: Relation) -> Source:
    rng = gen.rng
    alias = gen.fresh("t")
    right = qualified(relation, alias)
    kind = rng.choices(KINDS, WEIGHTS)[0]
    if f" {relation.sql} " in f" {left.text} ":
        gen.tag("join:self")
    gen.tag(f"join:{kind.split()[0].lower()}")
    if kind == "CROSS JOIN":
        small = condition(gen, right, 0)
        name = f"(SELECT * FROM {relation.sql} AS {alias} WHERE {small}) AS {alias}"
        return Source(f"{left.text} CROSS JOIN {name}", merged([left.scope, right]))
    using = _using(gen, left, relation) if gen.chance(0.12) else None
    on = f"USING ({using})" if using else f"ON {_on(gen, left.scope, right)}"
    if using:
        gen.tag("join:using")
    text = f"{left.text} {kind} {relation.sql} AS {alias} {on}"
    if kind in {"SEMI JOIN", "ANTI JOIN"}:
        return Source(text, left.scope)
    return Source(text, merged([left.scope, right]))


def _using(gen: Gen, left: Source, relation: Relation) -> str | None:
    """A column name that both sides have once."""
    names = [c.sql.split(".", 1)[-1] for c in left.scope.columns]
    both = [c.sql for c in relation.columns if names.count(c.sql) == 1 and c.comparable]
    kinds = {c.sql.split(".", 1)[-1]: c for c in left.scope.columns}
    both = [b for b in both if kinds[b].comparable and _kind(relation, b) == kinds[b].kind]
    return gen.rng.choice(both) if both else None


def _kind(relation: Relation, name: str) -> str:
    return next(c.kind for c in relation.columns if c.sql == name)


def _pairs(left: Scope, right: Scope) -> list[tuple[Col, Col]]:
    return [(a, b) for a in left.comparable() for b in right.comparable() if a.kind == b.kind]


def _on(gen: Gen, left: Scope, right: Scope) -> str:
    """An equality (or two), with or without a further condition; sometimes no equality at all."""
    rng = gen.rng
    pairs = _pairs(left, right)
    if not pairs:
        gen.tag("join:no-equality")
        return f"({condition(gen, left, 0)}) AND ({condition(gen, right, 0)})"
    selective = [p for p in pairs if p[0].kind != "bool"] or pairs
    a, b = rng.choice(selective)
    if gen.chance(0.1):
        gen.tag("join:non-equi")
        return f"{a.sql} {rng.choice(('<', '<=', '>'))} {b.sql} AND {condition(gen, right, 0)}"
    if gen.chance(0.08):
        gen.tag("join:null-safe")
        return f"{a.sql} IS NOT DISTINCT FROM {b.sql}"
    parts = [f"{a.sql} = {b.sql}" if gen.chance(0.7) else f"{b.sql} = {a.sql}"]
    if gen.chance(0.15):
        c, d = rng.choice(pairs)
        parts.append(f"{c.sql} {rng.choice(('=', '<=', '<>'))} {d.sql}")
    if gen.chance(0.1):
        gen.tag("join:expression-key")
        ints = [p for p in pairs if p[0].kind == "int"]
        if ints:
            c, d = rng.choice(ints)
            parts = [f"{c.sql} = {d.sql} + 1"]
    if gen.chance(0.15):
        gen.tag("join:residual")
        parts.append(f"({condition(gen, rng.choice((left, right)), 0)})")
    return " AND ".join(parts)


def _visible(outer: Scope, relation: Relation) -> Scope:
    """The outer columns that a subquery over `relation` does not hide by a name of its own."""
    names = {c.sql for c in relation.columns}
    return Scope(tuple(c for c in outer.columns if c.sql not in names))


def subquery_condition(gen: Gen, outer: Scope) -> str:
    """[NOT] EXISTS, [NOT] IN, comparison with a scalar subquery, correlated or not."""
    rng = gen.rng
    relation = pick(gen)
    alias = gen.fresh("s")
    inner = qualified(relation, alias)
    pairs = _pairs(_visible(outer, relation), inner)
    if not pairs:
        return condition(gen, outer)
    a, b = rng.choice(pairs)
    extra = f" AND {condition(gen, inner, 0)}" if gen.chance(0.35) else ""
    negated = rng.choice(("", "NOT "))
    where = rng.choice(
        ("exists", "exists", "in", "in", "in-correlated", "scalar", "scalar-correlated", "any")
    )
    gen.tag(f"subquery:{'not-' if negated and where[0] in 'ei' else ''}{where}")
    source = f"{relation.sql} AS {alias}"
    if where == "exists":
        return f"{negated}EXISTS (SELECT 1 FROM {source} WHERE {b.sql} = {a.sql}{extra})"
    if where == "in":
        tail = f" WHERE {condition(gen, inner, 0)}" if extra else ""
        return f"{a.sql} {negated}IN (SELECT {b.sql} FROM {source}{tail})"
    if where == "any":
        return f"{a.sql} {rng.choice(('= ANY', '>= ANY', '<> ALL'))} (SELECT {b.sql} FROM {source})"
    c, d = rng.choice(pairs)
    if where == "in-correlated":
        return f"{a.sql} {negated}IN (SELECT {b.sql} FROM {source} WHERE {d.sql} = {c.sql})"
    function = rng.choice(("max", "min"))
    tail = f" WHERE {d.sql} = {c.sql}" if where == "scalar-correlated" else ""
    return f"{a.sql} {rng.choice(('=', '<=', '>'))} (SELECT {function}({b.sql}) FROM {source}{tail})"


def scalar_subquery(gen: Gen, outer: Scope) -> Col:
    """A scalar subquery as a value: an aggregate over another relation, correlated or not."""
    rng = gen.rng
    relation = pick(gen)
    alias = gen.fresh("s")
    inner = qualified(relation, alias)
    pairs = _pairs(_visible(outer, relation), inner)
    source = f"{relation.sql} AS {alias}"
    tail = ""
    if pairs and gen.chance(0.7):
        gen.tag("subquery:select-correlated")
        a, b = rng.choice(pairs)
        tail = f" WHERE {b.sql} = {a.sql}"
    else:
        gen.tag("subquery:select")
    columns = inner.comparable()
    if not columns or gen.chance(0.3):
        return Col(f"(SELECT count(*) FROM {source}{tail})", "int")
    column = rng.choice(columns)
    function = rng.choice(("max", "min", "count"))
    kind = "int" if function == "count" else column.kind
    return Col(f"(SELECT {function}({column.sql}) FROM {source}{tail})", kind)
