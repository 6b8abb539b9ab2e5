"""Which common table expression a name means."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import exp


def common_table(source: exp.Table) -> exp.CTE | None:
    """The CTE that a table's name means here, innermost first; a CTE sees those before it, not itself."""
    if source.db:
        return None
    chain: list[exp.Expr] = [source]
    while chain[-1].parent is not None:
        chain.append(chain[-1].parent)
    inside = {id(n) for n in chain}
    for current in chain:
        with_ = current.args.get("with_")
        found: exp.CTE | None = None
        for cte in with_.expressions if with_ is not None else []:
            if id(cte) in inside:
                break
            found = cte if cte.alias.lower() == source.name.lower() else found
        if found is not None:
            return found
    return None
