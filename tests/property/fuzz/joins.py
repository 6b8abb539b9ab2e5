"""FROM clauses: one relation or a join of several."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fuzz.constants import make_values
from fuzz.exprs import condition
from fuzz.froms import more
from fuzz.scope import Col, Gen, Relation, Scope, merged, qualified
from fuzz.subqueries import subquery_condition

KINDS = ("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN", "CROSS JOIN")
WEIGHTS = (38, 26, 7, 9, 6, 6, 3)


@dataclass(frozen=True)
class Source:
    """A FROM clause and what is visible over it."""

    text: str
    scope: Scope


def pick(gen: Gen) -> Relation:
    if gen.chance(0.03):
        return make_values(gen)
    return gen.rng.choice(gen.relations)


def make_source(gen: Gen, joins: int | None = None) -> Source:
    """One relation, or a join of two or three."""
    rng = gen.rng
    count = rng.choices((0, 1, 2), (52, 36, 12))[0] if joins is None else joins
    first = pick(gen)
    alias = gen.fresh("t")
    if count == 0 and first.named and gen.chance(0.5):
        return Source(first.sql, Scope(first.columns, first.total, first.copies))
    source = Source(f"{first.sql} AS {alias}", qualified(first, alias))
    for _ in range(count):
        source = _joined(gen, source, pick(gen) if gen.chance(0.85) else first)
    if gen.chance(0.14):
        return Source(*more(gen, source.text, source.scope))
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
        filtered = right if relation.key else replace(right, copies=None)
        return Source(f"{left.text} CROSS JOIN {name}", merged([left.scope, filtered]))
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
    if gen.chance(0.05):
        gen.tag("join:subquery")  # DuckDB 2.0.0 may fail on a LIMIT in one
        parts.append(f"({subquery_condition(gen, rng.choice((left, right)), -1)})")
    return " AND ".join(parts)
