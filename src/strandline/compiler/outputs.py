"""The columns that a FROM item has, as they are spelled, before names are resolved."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from strandline.compiler.catalog import Catalog
from strandline.compiler.ctes import common_table
from strandline.compiler.free import leaves
from strandline.compiler.using import is_comma

Columns = Callable[[exp.Expr], list[str] | None]
"""The columns of a FROM item as they are spelled; None where they are not known."""
Column = tuple[str, str]
"""(table alias, column as it is spelled)"""


def spelled_columns(source: exp.Expr, catalog: Catalog) -> list[str] | None:
    """The columns of a table, a model, a CTE or a subquery; None for anything else."""
    if isinstance(source, exp.Table):
        cte = common_table(source)
        if cte is not None:
            return titled(query_columns(cte.this, catalog), cte.args.get("alias"))
        readable = catalog.get(source.name.lower())
        known = [c.name for c in readable.columns] if readable is not None else None
        return titled(known, source.args.get("alias"))
    if isinstance(source, exp.Subquery) and isinstance(source.this, exp.Query):
        return titled(query_columns(source.this, catalog), source.args.get("alias"))
    return None


def titled(known: list[str] | None, alias: exp.Expr | None) -> list[str] | None:
    """With the names that an alias gives to the first of them."""
    if known is None or not isinstance(alias, exp.TableAlias):
        return known
    renamed = [c.name for c in alias.columns]
    return [*renamed, *known[len(renamed) :]]


def query_columns(query: exp.Expr, catalog: Catalog) -> list[str] | None:
    """The output columns of a query; None where one has no name of its own here."""
    if isinstance(query, exp.SetOperation):
        return None if query.args.get("by_name") else query_columns(query.this, catalog)
    if isinstance(query, exp.Subquery) and isinstance(query.this, exp.Query):
        return query_columns(query.this, catalog)
    if not isinstance(query, exp.Select):
        return None
    names: list[str] = []
    for output in query.expressions:
        if isinstance(output, exp.Star) and not any(output.args.values()):
            below = columns_of(query, lambda leaf: spelled_columns(leaf, catalog))
            if below is None:
                return None
            names += [name for _, name in below]
        elif isinstance(output, exp.Alias) or (
            isinstance(output, exp.Column) and not isinstance(output.this, exp.Star)
        ):
            names.append(output.alias_or_name)
        else:
            return None
    return names


def columns_of(select: exp.Select, columns: Columns) -> list[Column] | None:
    """All columns of FROM in order; None where some are not known, or merged by name."""
    from_ = select.args.get("from_")
    joins = select.args.get("joins") or []
    merged = any(j.args.get("using") or j.method or j.is_semi_or_anti_join for j in joins)
    if from_ is None or merged or any(is_comma(j) and isinstance(j.this, exp.Lateral) for j in joins):
        return None
    all_of_them: list[Column] = []
    for item in (from_.this, *(j.this for j in joins)):
        for leaf in leaves(item):
            known = columns(leaf)
            if known is None or leaf.args.get("pivots"):
                return None
            all_of_them += [(leaf.alias_or_name, name) for name in known]
    return all_of_them
