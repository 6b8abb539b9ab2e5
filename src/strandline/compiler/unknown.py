"""Which name of a query cannot be resolved, where it stands, and what may have been meant.

Asked once the resolver has failed. Only what is certain is said: where the columns of a FROM item are
not known here, the resolver's own words stand.
"""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler.catalog import Catalog
from strandline.compiler.free import leaves
from strandline.compiler.outputs import spelled_columns
from strandline.compiler.trees import find_all
from strandline.errors import UnknownNameError, nearest

Items = dict[str, list[str] | None]
"""The FROM items that a name may mean: alias → columns, None where they are not known."""
UNTOLD = "name the columns and their tables."
"""The hint where only the resolver has spoken, which may not know what it met: the engine knows better."""


def unknown_name(error: Exception, query: exp.Query, catalog: Catalog) -> UnknownNameError:
    """The error for a query whose names the resolver did not find."""
    columns = [c for c in find_all(query, exp.Column) if isinstance(c.this, exp.Identifier)]
    for column in sorted(columns, key=lambda c: int(c.this.meta.get("start") or 0)):
        found = complaint(column, catalog)
        if found is not None:
            return UnknownNameError(found[0], hint=found[1])
    doubled = str(error).startswith("Alias already used")
    hint = "give one of them another alias." if doubled else UNTOLD
    return UnknownNameError(str(error), hint=hint)


def place(identifier: exp.Expr) -> str:
    """` (line 2, column 5)`, where that is known: lines and columns are counted from 1."""
    meta = identifier.meta
    if not meta.get("line"):
        return ""
    return f" (line {meta['line']}, column {meta['col'] - (meta['end'] - meta['start'])})"


def complaint(column: exp.Column, catalog: Catalog) -> tuple[str, str] | None:
    """(message, hint) for a reference that certainly means nothing, or several things."""
    if column.args.get("db") or column.find_ancestor(exp.Lambda, exp.Comprehension, exp.Pivot) is not None:
        return None
    around = selects_around(column)
    scopes = [items_of(select, catalog) for select in around]
    if not scopes or any(names is None for items in scopes for names in items.values()):
        return None
    name, table = column.name, column.table
    columns = [n for items in scopes for names in items.values() for n in names or []]
    lowered = {n.lower() for n in columns}
    if table:
        return qualified_complaint(column, scopes, lowered)
    if name.lower() in lowered:
        holders = [a for a, names in scopes[0].items() if name.lower() in {n.lower() for n in names or []}]
        if len(holders) < 2 or merges(around[0]):
            return None
        choice = " or ".join(f"{a}.{name}" for a in holders)
        return f"{name!r} is a column of {' and of '.join(holders)}{place(column.this)}", f"write {choice}."
    titles = {e.alias for select in around for e in select.expressions if e.alias}
    if name.lower() in {t.lower() for t in titles} or any(name.lower() == a for a in scopes[0]):
        return None
    return f"there is no column {name!r}{place(column.this)}", nearest(name, {*columns, *titles})


def qualified_complaint(column: exp.Column, scopes: list[Items], known: set[str]) -> tuple[str, str] | None:
    """For `table.column`; what looks like a table may be a struct's name."""
    name, table = column.name, column.table
    holder = next((items[table.lower()] for items in scopes if table.lower() in items), None)
    if holder is None:
        if table.lower() in known:
            return None
        aliases = [a for items in scopes for a in items]
        at = place(column.args["table"])
        return f"{table!r} is no table or alias of this query{at}", nearest(table, aliases)
    if name.lower() in {n.lower() for n in holder}:
        return None
    return f"{table} has no column {name!r}{place(column.this)}", nearest(name, holder)


def selects_around(node: exp.Expr) -> list[exp.Select]:
    """The SELECTs whose FROM items a name may mean, innermost first; not beyond a CTE."""
    found: list[exp.Select] = []
    above = node.parent
    while above is not None and not isinstance(above, exp.CTE):
        if isinstance(above, exp.Select):
            found.append(above)
        above = above.parent
    return found


def items_of(select: exp.Select, catalog: Catalog) -> Items:
    """The FROM items of a SELECT."""
    from_ = select.args.get("from_")
    first = [from_.this] if from_ is not None else []
    items = [*first, *(j.this for j in select.args.get("joins") or []), *(select.args.get("laterals") or [])]
    return {
        leaf.alias_or_name.lower(): spelled_columns(leaf, catalog) for item in items for leaf in leaves(item)
    }


def merges(select: exp.Select) -> bool:
    """Whether a join makes one column of two, or shows one side alone."""
    joins = select.args.get("joins") or []
    return any(j.args.get("using") or j.method == "NATURAL" or j.is_semi_or_anti_join for j in joins)
