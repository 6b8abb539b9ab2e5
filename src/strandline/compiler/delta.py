"""The change of a linear or bilinear relation, from the changes of the tables under it.

For every relation R there are five readings: `new` and `old` states, the rows
`plus` added and `minus` removed, and `kept` = new − plus = old − minus. With
row identities in place of weights the rules of Budiu et al. (DBSP, VLDB 2023,
§ 3, bilinear operators) read:

    plus(L ⋈ R)  = plus(L) ⋈ new(R)  ⊎ kept(L) ⋈ plus(R)
    minus(L ⋈ R) = minus(L) ⋈ old(R) ⊎ kept(L) ⋈ minus(R)

An outer, semi, anti or ASOF join re-evaluates the kept left rows that a changed
right row touches, before and after. None stands for the empty relation.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.text import minus, plus, same, sql, stored

UNEQUAL = (exp.LT, exp.LTE, exp.GT, exp.GTE)
Changed = frozenset[str]
"""Sides of stored tables: `data/x+` where rows came, `data/x-` where rows went; the others are empty."""


def sides(tables: Iterable[str]) -> Changed:
    """Both sides of these tables."""
    return frozenset(f"{table}{side}" for table in tables for side in "+-")


def touches(changed: Changed, tables: Iterable[str]) -> bool:
    """True where any side of any of the tables changed."""
    return bool(changed & sides(tables))


def render(node: r.Relation, part: str, changed: Changed) -> str | None:
    """A SELECT for one reading of a relation; None where that reading is empty for certain."""
    match node:
        case r.Scan():
            return scan(node, part, changed)
        case r.Constant():
            return None if part in ("plus", "minus") else node.sql
        case r.Unnest():
            below = render(node.input, part, changed)
            return below and f"SELECT n.*, {spread(node)} FROM ({below}) AS n"
        case r.Filter():
            below = render(node.input, part, changed)
            return below and f"SELECT * FROM ({below}) AS f WHERE {sql(node.predicate)}"
        case r.Project():
            below = render(node.input, part, changed)
            outs = ", ".join(f"{sql(o.expr)} AS {r.quote(o.name)}" for o in node.outs)
            return below and f"SELECT {outs or '1 AS one'} FROM ({below}) AS p"
        case r.Union():
            return union(node, part, changed)
        case r.Join() if node.kind == "inner":
            return inner(node, part, changed)
        case r.Join() | r.SemiJoin():
            return touched(node, part, changed)
    raise AssertionError(f"{type(node).__name__} is a stage boundary")


def scan(node: r.Scan, part: str, changed: Changed) -> str | None:
    """A stored table or its change set."""
    came, went = (f"{node.table}{side}" in changed for side in "+-")
    if part in ("plus", "minus") and not (came if part == "plus" else went):
        return None
    cols = ", ".join(f"t.{r.quote(s)} AS {r.quote(n)}" for n, s in node.columns)
    if part in ("plus", "minus"):
        return f"SELECT {cols} FROM {plus(node.table) if part == 'plus' else minus(node.table)} AS t"
    now = f"SELECT {cols} FROM {stored(node.table)} AS t"
    if part == "new" or not (came or went):
        return now
    places = dict(node.columns)
    ids = [places[i] for i in node.ids]
    kept = f"{now} ANTI JOIN {plus(node.table)} AS d ON {same(ids, 't', 'd')}" if came else now
    if part == "kept" or not went:
        return kept
    return f"{kept} UNION ALL SELECT {cols} FROM {minus(node.table)} AS t"


def spread(node: r.Unnest) -> str:
    """The elements and their places; shorter lists are padded with NULL by the engine itself."""
    lists = [(sql(o.expr), r.quote(o.name)) for o in node.lists]
    length = "greatest(" + ", ".join(f"coalesce(len({text}), 0)" for text, _ in lists) + ")"
    places = f"range(1, {length} + 1)"
    if node.padded:
        lists = [(f"CASE WHEN {length} > 0 THEN {text} ELSE [NULL] END", name) for text, name in lists]
        places = f"CASE WHEN {length} > 0 THEN {places} ELSE [NULL] END"
    parts = [*lists, (places, r.quote(node.place))]
    return ", ".join(f"unnest({text}) AS {name}" for text, name in parts)


def union(node: r.Union, part: str, changed: Changed) -> str | None:
    """All branches; an unchanged one stays as an empty side so that types do not depend on what changed."""
    parts = [render(b, part, changed) for b in node.inputs]
    if not any(parts):
        return None
    texts = []
    for branch, text in zip(node.inputs, parts, strict=True):
        rows = text or f"SELECT * FROM ({render(branch, 'new', changed)}) AS e WHERE FALSE"
        texts.append(f"SELECT * FROM ({rows}) AS u")
    names = ", ".join(f"{r.quote(n)}" for n in node.names)
    return f"SELECT * FROM ({' UNION ALL '.join(texts)}) AS x({names})"


def joined(kind: str, left: str, right: str, on: exp.Expr | None) -> str:
    """Two rendered relations, joined."""
    on = comparable(on) if on is not None and kind in ("SEMI", "ANTI") else on
    condition = sql(on) if on is not None else "TRUE"
    columns = "l.*" if kind in ("SEMI", "ANTI") else "l.*, r.*"
    return f"SELECT {columns} FROM ({left}) AS l {kind} JOIN ({right}) AS r ON {condition}"


def comparable(on: exp.Expr) -> exp.Expr:
    """A condition as a semi join takes it: DuckDB 2.0.0 has no loop for it that compares INTERVALs."""
    terms = list(on.flatten()) if isinstance(on, exp.And) else [on]
    spans = [
        t for t in terms if isinstance(t, UNEQUAL) and any(s.is_type("interval") for s in t.args.values())
    ]
    if not spans:
        return on
    told = [exp.Is(this=exp.paren(t), expression=exp.true()) if t in spans else t for t in terms]
    return exp.and_(*told)


def inner(node: r.Join, part: str, changed: Changed) -> str | None:
    """The bilinear rule."""
    if part not in ("plus", "minus"):
        left, right = render(node.left, part, changed), render(node.right, part, changed)
        return joined("INNER", left or "", right or "", node.on)
    state = "new" if part == "plus" else "old"
    terms = []
    delta_left = render(node.left, part, changed)
    if delta_left:
        terms.append(joined("INNER", delta_left, render(node.right, state, changed) or "", node.on))
    delta_right = render(node.right, part, changed)
    if delta_right:
        terms.append(joined("INNER", render(node.left, "kept", changed) or "", delta_right, node.on))
    return " UNION ALL ".join(terms) or None


def touched(node: r.Join | r.SemiJoin, part: str, changed: Changed) -> str | None:
    """Outer, semi, anti and ASOF joins: changed left rows, and kept ones that a changed right row matches."""
    kind = node.kind.upper() if isinstance(node, r.Join) else "ANTI" if node.anti else "SEMI"
    changes = [c for c in (render(node.right, p, changed) for p in ("plus", "minus")) if c]
    either = " UNION ALL ".join(f"SELECT * FROM ({c}) AS c" for c in changes)
    kept = render(node.left, "kept", changed) or ""
    if part == "kept":
        # rows that a changed right row matches are given anew, so they are not kept
        kept = joined("ANTI", kept, either, node.on) if changes else kept
        return joined(kind, kept, render(node.right, "new", changed) or "", node.on)
    if part not in ("plus", "minus"):
        left, right = render(node.left, part, changed), render(node.right, part, changed)
        return joined(kind, left or "", right or "", node.on)
    state = render(node.right, "new" if part == "plus" else "old", changed) or ""
    terms = []
    delta_left = render(node.left, part, changed)
    if delta_left:
        terms.append(joined(kind, delta_left, state, node.on))
    if changes:
        affected = joined("SEMI", kept, either, node.on)
        terms.append(joined(kind, affected, state, node.on))
    return " UNION ALL ".join(terms) or None
