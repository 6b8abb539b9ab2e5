"""`s.*` and `unnest(s)` of a struct: a column for each field, where its fields are known.

They are known of a table's columns, of structs written out, and of what lists, subqueries and
aggregates hand on of these. What is not known stays as it is, for the engine.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from strandline.compiler.catalog import Catalog
from strandline.compiler.ctes import common_table
from strandline.compiler.free import aliases
from strandline.compiler.outputs import spelled_columns
from strandline.compiler.spelling import from_items
from strandline.compiler.trees import find_all

Kind = exp.DataType
HANDS_ON = (exp.ArgMax, exp.ArgMin, exp.First, exp.Last, exp.AnyValue, exp.Max, exp.Min)
WRAPPERS = (exp.Alias, exp.Paren, exp.Filter, exp.IgnoreNulls, exp.RespectNulls, exp.Order)
LISTS = (exp.DType.ARRAY, exp.DType.LIST)
UNKNOWN = exp.DType.UNKNOWN


def without_struct_stars(tree: exp.Expr, catalog: Catalog) -> None:
    """Write the fields out, in place; those of subqueries first, whose columns others name."""
    for select in reversed(find_all(tree, exp.Select)):
        outputs = [new for e in select.expressions for new in spread_fields(e, select, catalog)]
        if len(outputs) != len(select.expressions) or any(
            a is not b for a, b in zip(outputs, select.expressions, strict=True)
        ):
            select.set("expressions", outputs)


def keep_field_names(tree: exp.Expr) -> None:
    """A struct's field is called as it was written: its name is part of the value, as JSON shows."""
    for field in find_all(tree, exp.PropertyEQ):
        field.this.meta["case_sensitive"] = True


def spread_fields(output: exp.Expr, select: exp.Select, catalog: Catalog) -> list[exp.Expr]:
    """One output for each field; the output itself where it is no struct, or none that is known."""
    whole, recursive = struct_of(output, select)
    kind = kind_of(whole, select, catalog) if whole is not None else None
    if whole is None or kind is None:
        return [output]
    if recursive and kind.this in LISTS:
        whole, kind = exp.Explode(this=whole.copy()), kind.expressions[0]
    if kind.this != exp.DType.STRUCT:
        return [output]
    fields = list(fields_of(whole, kind, recursive))
    return [output] if any(f is None for f in fields) else [f for f in fields if f is not None]


def struct_of(output: exp.Expr, select: exp.Select) -> tuple[exp.Expr | None, bool]:
    """What `s.*` and `unnest(s)` take apart, and whether all that is within it too."""
    if isinstance(output, exp.Column) and isinstance(output.this, exp.Star):
        named = output.table.lower() in {a.lower() for a in aliases(select)}
        plain = not any(output.this.args.values()) and not output.args.get("db")
        return (None if named or not plain else exp.Column(this=output.args["table"].copy())), False
    call = output.unalias()
    if not isinstance(call, exp.Explode):
        return None, False
    options = [e.sql().lower().replace(" ", "") for e in call.expressions]
    if options and options != ["recursive:=true"]:
        return None, False
    return call.this, bool(options)


def fields_of(whole: exp.Expr, kind: Kind, recursive: bool) -> Iterator[exp.Expr | None]:
    """An output for each field; None for one of which it is not known what there is to take apart."""
    for field in kind.expressions:
        if not isinstance(field, exp.ColumnDef):
            yield None
            continue
        inner = field.args.get("kind")
        title = exp.to_identifier(field.name, quoted=True)
        one = exp.Dot(this=exp.paren(whole.copy()), expression=title)
        if recursive and inner is not None and inner.this == exp.DType.STRUCT:
            yield from fields_of(one, inner, recursive)
        elif recursive and (inner is None or inner.this in (*LISTS, UNKNOWN)):
            yield None
        else:
            yield exp.alias_(one, title.copy())


def kind_of(expr: exp.Expr, select: exp.Select, catalog: Catalog) -> Kind | None:
    """The type of an expression over the FROM of a SELECT, as far as structs are concerned."""
    if isinstance(expr, (*WRAPPERS, *HANDS_ON)):
        return kind_of(expr.this, select, catalog)
    match expr:
        case exp.Column():
            return kind_of_column(expr, select, catalog)
        case exp.Cast():
            found: Kind = expr.to
            return found
        case exp.Struct():
            return kind_of_struct(expr, select, catalog)
        case exp.Dot():
            return kind_of_field(kind_of(expr.this, select, catalog), expr.name)
        case exp.Explode() | exp.Bracket():
            return element(kind_of(expr.this, select, catalog))
        case exp.ArrayAgg():
            return listed(kind_of(expr.this, select, catalog))
        case exp.Anonymous() if expr.name.lower() == "map_entries" and expr.expressions:
            return entries(kind_of(expr.expressions[0], select, catalog))
        case exp.Array() if expr.expressions:
            return listed(kind_of(expr.expressions[0], select, catalog))
    return None


def kind_of_struct(struct: exp.Struct, select: exp.Select, catalog: Catalog) -> Kind | None:
    """Of a struct written out; a field's own type may be unknown."""
    fields: list[exp.Expr] = []
    for pair in struct.expressions:
        if not isinstance(pair, exp.PropertyEQ):
            return None
        kind = kind_of(pair.expression, select, catalog) or Kind(this=UNKNOWN)
        fields.append(exp.ColumnDef(this=exp.to_identifier(pair.name, quoted=True), kind=kind.copy()))
    return Kind(this=exp.DType.STRUCT, expressions=fields, nested=True)


def kind_of_field(kind: Kind | None, name: str) -> Kind | None:
    found = (f.args.get("kind") for f in (kind.expressions if kind is not None else []) if f.name == name)
    return next(found, None)


def listed(kind: Kind | None) -> Kind | None:
    return Kind(this=exp.DType.ARRAY, expressions=[kind.copy()], nested=True) if kind is not None else None


def entries(kind: Kind | None) -> Kind | None:
    """The type of `map_entries(m)`, by that of the map."""
    if kind is None or kind.this != exp.DType.MAP or len(kind.expressions) != 2:
        return None
    pairs = zip(("key", "value"), kind.expressions, strict=True)
    fields = [exp.ColumnDef(this=exp.to_identifier(n, quoted=True), kind=k.copy()) for n, k in pairs]
    return listed(Kind(this=exp.DType.STRUCT, expressions=fields, nested=True))


def element(kind: Kind | None) -> Kind | None:
    return kind.expressions[0] if kind is not None and kind.this in LISTS and kind.expressions else None


def kind_of_column(column: exp.Column, select: exp.Select, catalog: Catalog) -> Kind | None:
    """Of the one FROM item that has the column."""
    if isinstance(column.this, exp.Star) or column.args.get("db"):
        return None
    items = [
        i for i in from_items(select) if not column.table or i.alias_or_name.lower() == column.table.lower()
    ]
    found = [k for i in items if (k := kind_within(i, column.name.lower(), select, catalog)) is not None]
    return found[0] if len(found) == 1 else None


def kind_within(item: exp.Expr, name: str, select: exp.Select, catalog: Catalog) -> Kind | None:
    """The type of a FROM item's column; None where it has none of the name, or it is not known."""
    alias = item.args.get("alias")
    titles = [c.name.lower() for c in alias.columns] if isinstance(alias, exp.TableAlias) else []
    if isinstance(item, exp.Unnest):
        return element(kind_of(item.expressions[0], select, catalog)) if titles[:1] == [name] else None
    cte = common_table(item) if isinstance(item, exp.Table) else None
    holder = cte if cte is not None else item
    if isinstance(holder.this, exp.Query):
        return kind_of_output(holder, name, catalog)
    readable = catalog.get(item.name.lower()) if isinstance(item, exp.Table) else None
    types = {c.name.lower(): c.type for c in readable.columns} if readable is not None and not titles else {}
    return Kind.build(types[name], dialect="duckdb") if name in types else None


def kind_of_output(holder: exp.Expr, name: str, catalog: Catalog) -> Kind | None:
    """The type of a subquery's output column."""
    query = holder.this.unnest() if isinstance(holder.this, exp.Subquery) else holder.this
    names = spelled_columns(exp.Subquery(this=query, alias=holder.args.get("alias")), catalog)
    if not isinstance(query, exp.Select) or names is None or len(names) != len(query.expressions):
        return None
    outputs = {n.lower(): e for n, e in zip(names, query.expressions, strict=True)}
    return kind_of(outputs[name], query, catalog) if name in outputs else None
