"""Join conditions: which rows of two sides belong together, and what becomes of those without partner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.binding import Context, Lowered, Scope, bind, copied, refuse_subqueries, replace
from strandline.compiler.correlation import same_keys
from strandline.compiler.free import bound_columns, free
from strandline.compiler.reject import UnsupportedError
from strandline.compiler.subqueries import lower_predicate, outermost, scalars
from strandline.compiler.trees import has
from strandline.compiler.unions import union_all

Joined = tuple[r.Relation, Scope]
"""The joined rows, and the names of their columns."""


@dataclass(frozen=True)
class Condition:
    """The terms of ON as `written` and those already bound, and the names on either side."""

    left: Scope
    right: Scope
    written: tuple[exp.Expr, ...]
    tied: tuple[exp.Expr, ...] = ()

    @property
    def both(self) -> Scope:
        return {**self.left, **self.right}


def matched(kind: str, left: r.Relation, right: r.Relation, on: Condition, ctx: Context) -> Joined:
    """A join of a kind: LEFT, RIGHT, FULL (also ASOF), SEMI, ANTI, ASOF, or inner for anything else."""
    hard = [t for t in on.written if has(t, exp.Query)]
    plain = [*on.tied, *(bind(t, on.both) for t in on.written if t not in hard)]
    if not hard:
        return attached(kind, left, right, plain, on, ctx)
    if kind.startswith("ASOF"):
        raise UnsupportedError("a subquery in the condition of an ASOF join has no incremental rule")
    if kind in ("LEFT", "RIGHT", "FULL", "SEMI", "ANTI"):
        terms = [bind(t, on.both) for t in hard]
        found = with_values(left, right, terms, on, ctx)
        if found is not None:
            left, right, mapping = found
            return attached(kind, left, right, [*plain, *(replace(t, mapping) for t in terms)], on, ctx)
    pairs: r.Relation = r.Join("inner", left, right, exp.and_(*plain) if plain else None)
    for term in hard:
        pairs = lower_predicate(pairs, term, on.both, ctx)
    return by_pairs(kind, left, right, pairs, on, ctx)


def attached(
    kind: str, left: r.Relation, right: r.Relation, terms: Sequence[exp.Expr], on: Condition, ctx: Context
) -> Joined:
    """The join under a condition over columns alone."""
    condition = exp.and_(*terms) if terms else None
    refuse_subqueries(condition)
    if kind in ("SEMI", "ANTI"):
        return r.SemiJoin(left, right, condition, anti=kind == "ANTI"), on.left
    if kind == "RIGHT":
        return r.Join("left", right, left, condition), on.both
    if kind == "FULL":
        whole = r.Join("left", left, right, condition)
        alone = r.SemiJoin(right, left, condition, anti=True)
        return padded(whole, [alone], r.columns(whole), on.both, ctx)
    if kind in ("ASOF RIGHT", "ASOF FULL"):
        chosen = r.Join("asof", left, right, condition)
        whole = r.Join("asof left", left, right, condition) if kind == "ASOF FULL" else chosen
        return padded(whole, [in_pairs(right, chosen, ctx, anti=True)], r.columns(whole), on.both, ctx)
    return r.Join(kind.lower() or "inner", left, right, condition), on.both


def padded(
    whole: r.Relation, alone: Sequence[r.Relation], names: tuple[str, ...], scope: Scope, ctx: Context
) -> Joined:
    """L ⟗ R = (L ⟕ R) ⊎ (NULLs × (R ▷ L)): rows without partner get NULL in the columns they lack."""
    branches = [whole]
    for rows in alone:
        own = set(r.columns(rows))
        outs = tuple(r.Out(n, r.column(n) if n in own else exp.Null()) for n in names)
        branches.append(r.Project(rows, outs, r.ids(rows)))
    return union_all(tuple(branches), names, scope, ctx) if alone else (whole, scope)


def by_pairs(
    kind: str, left: r.Relation, right: r.Relation, pairs: r.Relation, on: Condition, ctx: Context
) -> Joined:
    """The join whose matching pairs are known: rows without partner are those that are in no pair."""
    if kind in ("SEMI", "ANTI"):
        return in_pairs(left, pairs, ctx, anti=kind == "ANTI"), on.left
    kept = {"LEFT": [left], "RIGHT": [right], "FULL": [left, right]}.get(kind, [])
    alone = [in_pairs(rows, pairs, ctx, anti=True) for rows in kept]
    names = r.columns(left) + r.columns(right)
    listed = dict.fromkeys([*names, *r.ids(pairs)])
    whole = r.Project(pairs, tuple(r.Out(n, r.column(n)) for n in listed), r.ids(pairs))
    return padded(whole, alone, names, on.both, ctx)


def in_pairs(rows: r.Relation, pairs: r.Relation, ctx: Context, *, anti: bool) -> r.SemiJoin:
    """The rows of one side that are in a pair, or (`anti`) in none."""
    mine = r.ids(rows)
    used = copied(Lowered(pairs, tuple((i, i) for i in mine)), ctx)
    return r.SemiJoin(rows, used.node, same_keys(mine, tuple(c for _, c in used.outputs)), anti)


def with_values(
    left: r.Relation, right: r.Relation, terms: Sequence[exp.Expr], on: Condition, ctx: Context
) -> tuple[r.Relation, r.Relation, dict[exp.Expr, exp.Expr]] | None:
    """Subqueries of the condition as columns of the side that they depend on; None where that is both."""
    mapping: dict[exp.Expr, exp.Expr] = {}
    for sub in (s for t in terms for s in outermost(t)):
        if depends_only(sub, on.right):
            right, more = scalars(right, [sub], on.right, ctx)
        elif depends_only(sub, on.left):
            left, more = scalars(left, [sub], on.left, ctx)
        else:
            return None
        mapping.update(more)
    return left, right, mapping


def depends_only(sub: exp.Expr, scope: Scope) -> bool:
    """True where a bound subquery, and what it is compared with, name columns of one side."""
    return bound_columns(sub) <= set(scope.values()) and set(free(sub)) <= set(scope)
