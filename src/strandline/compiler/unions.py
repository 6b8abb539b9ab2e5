"""Bag unions under fresh column names."""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.binding import Context, Scope


def union_all(
    branches: tuple[r.Relation, ...], names: tuple[str, ...], scope: Scope, ctx: Context
) -> tuple[r.Relation, Scope]:
    """A bag union under fresh names, with a tag and the branches' ids as identity."""
    fresh = {n: ctx.names.fresh(n) for n in names}
    tag = ctx.names.fresh("branch")
    id_names = [[ctx.names.fresh("id") for _ in r.ids(b)] for b in branches]
    every = [i for ids in id_names for i in ids]
    projected = []
    for number, (branch, own) in enumerate(zip(branches, id_names, strict=True)):
        outs = [r.Out(fresh[n], r.column(c)) for n, c in zip(names, r.columns(branch), strict=False)]
        outs.append(r.Out(tag, exp.Literal.number(number)))
        source = dict(zip(own, r.ids(branch), strict=True))
        outs += [r.Out(i, r.column(source[i]) if i in source else exp.Null()) for i in every]
        projected.append(r.Project(branch, tuple(outs), (tag, *every)))
    union = r.Union(tuple(projected), (*fresh.values(), tag, *every), (tag, *every))
    return union, {key: fresh[value] for key, value in scope.items() if value in fresh}
