"""USING over several joins: each join compares with the column that the joins before it have merged.

The parser's own expansion compares with the first table that has a column of
the name, which is NULL where an outer join before it found no row there; and it
knows no ASOF, where the last column named is the one that is searched.
"""

from __future__ import annotations

from sqlglot import exp
from sqlglot.errors import OptimizeError

from strandline.compiler.relations import conjuncts
from strandline.compiler.trees import find_all

USING = "strandline_using"


def mark_using(tree: exp.Expr) -> None:
    """Remember which joins are by column name, before they are expanded to conditions.

    Raises OptimizeError where a comma stands before one: the parser would look for its columns there too.
    """
    for holder in find_all(tree, exp.Select, exp.Table):
        comma = False
        for join in holder.args.get("joins") or []:
            if join.args.get("using") or join.method == "NATURAL":
                join.meta[USING] = True
                if comma:
                    raise OptimizeError("USING and NATURAL after a comma are resolved by the engine alone")
            comma = comma or is_comma(join)


def is_comma(join: exp.Join) -> bool:
    """`a, b`: what stands behind the comma is joined first."""
    return not any(join.args.get(a) for a in ("on", "using", "method", "side", "kind"))


def mend_using(tree: exp.Expr) -> None:
    """Let every expanded condition compare with the merged column."""
    for select in find_all(tree, exp.Select):
        from_ = select.args.get("from_")
        if from_ is not None:
            mend_joins(from_.this, select.args.get("joins") or [])


def mend_joins(item: exp.Expr, joins: list[exp.Join]) -> dict[str, exp.Expr]:
    """The joins on a FROM item, those in parentheses first; gives the merged columns by name."""
    inner = in_parentheses(item)
    merged = mend_joins(inner, inner.args["joins"]) if inner is not None else {}
    for join in joins:
        inner = in_parentheses(join.this)
        if inner is not None:
            mend_joins(inner, inner.args["joins"])
        if join.meta.get(USING) and join.args.get("on") is not None:
            mend_join(join, merged)
    return merged


def in_parentheses(item: exp.Expr) -> exp.Expr | None:
    """`(a JOIN b …)`: the first table, which holds the joins."""
    inner = item.this if isinstance(item, exp.Subquery) else None
    return inner if isinstance(inner, exp.Table) and inner.args.get("joins") else None


def mend_join(join: exp.Join, merged: dict[str, exp.Expr]) -> None:
    """One expanded join; `merged` has the columns that joins before it merged, and gains this one's."""
    terms: list[exp.Expr] = []
    for term in conjuncts(join.args["on"]):
        right = term.expression
        left = merged.get(right.name) or first(term.this)
        terms.append(exp.EQ(this=left.copy(), expression=right.copy()))
        if join.side == "RIGHT":
            merged[right.name] = right.copy()
        elif join.side == "FULL":
            merged[right.name] = exp.Coalesce(this=left.copy(), expressions=[right.copy()])
        elif not join.is_semi_or_anti_join:
            merged[right.name] = left.copy()
    if join.method == "ASOF":
        terms[-1] = exp.GTE(this=terms[-1].this, expression=terms[-1].expression)
    join.set("on", exp.and_(*terms))


def first(left: exp.Expr) -> exp.Expr:
    """Of several columns that are not merged the engine takes none (they are ambiguous), so one is meant."""
    return left.this if isinstance(left, exp.Coalesce) else left
