"""One spelling for what FROM can say in several ways, before names are resolved.

`range(…)` and `generate_series(…)` in FROM are lists unnested, `LATERAL unnest(…)`
is `unnest(…)`, and every such item names its columns. Over constants, or under a
condition of an outer join, it is a subquery: `FROM (SELECT unnest(range(3)) AS n) AS r`.
"""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler.arrays import listed_above
from strandline.compiler.json_groups import spelled_aggregate
from strandline.compiler.made_rows import rows_unnested
from strandline.compiler.trees import find_all, has

SERIES = {"range": "range", "generateseries": "generate_series", "generate_series": "generate_series"}
"""Table functions that give what a list function of the same name holds."""


def spelled(tree: exp.Query) -> exp.Query:
    """The query with such FROM items of every SELECT rewritten, in place."""
    for grouping in find_all(tree, exp.GroupingId):
        grouping.replace(exp.Grouping(expressions=grouping.expressions))
    listed_above(tree)
    for call in find_all(tree, exp.Anonymous):
        series = as_list(call)
        if series is not None:
            call.replace(exp.Explode(this=series))
        spelled_aggregate(call)
    for select in find_all(tree, exp.Select):
        for item in from_items(select):
            rows = rows_unnested(item)
            if rows is not None:
                item.replace(rows)
                continue
            values = item.this.unnest() if isinstance(item, exp.Lateral) else item
            if isinstance(values, exp.Values) and has(values, exp.Column):
                item.replace(rows_as_lists(values, item.args.get("alias")))
                continue
            unnest = as_unnest(item)
            if unnest is None:
                continue
            if unnest is not item:
                item.replace(unnest)
            titled(unnest)
            members(select, unnest)
            if not has(unnest.expressions[0], exp.Column, exp.Query) or outward(unnest.parent):
                unnest.replace(as_query(unnest))
    return tree


def from_items(select: exp.Select) -> list[exp.Expr]:
    """What stands in FROM, parentheses of joins left aside."""
    from_ = select.args.get("from_")
    first = [from_.this] if from_ is not None else []
    joins = [j for i in [*first, select] for j in i.args.get("joins") or []]
    return first + [j.this for j in joins]


def as_unnest(item: exp.Expr) -> exp.Unnest | None:
    """The item as an unnested list; None where it is something else."""
    if isinstance(item, exp.Unnest):
        return item
    inner = item.this
    if isinstance(item, exp.Lateral) and isinstance(inner, exp.Unnest):
        alias = item.args.get("alias") or inner.args.get("alias")
        unnest = inner.copy()
        unnest.set("alias", alias.copy() if alias is not None else None)
        return unnest
    if not isinstance(item, exp.Table) or not isinstance(inner, exp.Func):
        return None
    name = series_name(inner)
    if name is None or item.args.get("joins") or item.args.get("pivots") or item.args.get("sample"):
        return None
    alias = item.args.get("alias")
    unnest = exp.Unnest(expressions=[inner.copy()], alias=alias.copy() if alias is not None else None)
    if item.args.get("ordinality"):
        unnest.set("offset", True)
    unnest.meta["title"] = name
    return unnest


def as_list(call: exp.Anonymous) -> exp.Expr | None:
    """What the other functions that give several rows unnest; None for any other function."""
    name, args = call.name.lower(), call.expressions
    if not isinstance(call.parent, (exp.Select, exp.Alias)):
        return None
    if name == "generate_subscripts" and len(args) == 2 and args[1] == exp.Literal.number(1):
        return places_of(args[0])
    if name == "regexp_split_to_table":
        return exp.Anonymous(this="regexp_split_to_array", expressions=[a.copy() for a in args])
    return None


def places_of(rows: exp.Expr) -> exp.Expr:
    """`range(1, len(list) + 1)`"""
    count = exp.Anonymous(this="len", expressions=[rows.copy()])
    end = exp.Add(this=count, expression=exp.Literal.number(1))
    return exp.Anonymous(this="range", expressions=[exp.Literal.number(1), end])


def rows_as_lists(values: exp.Values, alias: exp.TableAlias | None) -> exp.Expr:
    """VALUES over columns of what stands before it: one list for each of its columns, unnested together."""
    given = [c.copy() for c in alias.columns] if alias is not None else []
    width = len(values.expressions[0].expressions)
    titles = given + [exp.to_identifier(f"col{i}") for i in range(len(given), width)]
    outs = []
    for i, title in enumerate(titles):
        rows = exp.Array(expressions=[row.expressions[i].copy() for row in values.expressions])
        outs.append(exp.alias_(exp.Explode(this=rows), title))
    name = alias.this.copy() if alias is not None else exp.to_identifier("valueslist")
    return exp.Lateral(this=exp.Subquery(this=exp.Select(expressions=outs)), alias=exp.TableAlias(this=name))


def outward(join: exp.Expr | None) -> bool:
    """An outer join with a condition of its own: a row whose elements all fail it is padded as well."""
    if not isinstance(join, exp.Join) or not join.side:
        return False
    return join.side != "LEFT" or join.args.get("on") != exp.true()


def as_query(unnest: exp.Unnest) -> exp.Expr:
    """`(SELECT unnest(list) AS element, unnest(range(1, len(list) + 1)) AS place) AS alias`"""
    rows, alias = unnest.expressions[0], unnest.args["alias"]
    outs = [exp.alias_(exp.Explode(this=rows.copy()), alias.columns[0].copy())]
    offset = unnest.args.get("offset")
    if isinstance(offset, exp.Identifier):
        outs.append(exp.alias_(exp.Explode(this=places_of(rows)), offset.copy()))
    return exp.Subquery(this=exp.Select(expressions=outs), alias=exp.TableAlias(this=alias.this.copy()))


def series_name(function: exp.Expr) -> str | None:
    name = function.name.lower() if isinstance(function, exp.Anonymous) else function.key
    if isinstance(function, exp.GenerateSeries) and function.args.get("is_end_exclusive"):
        return "range"
    return SERIES.get(name)


def titled(unnest: exp.Unnest) -> None:
    """Give the item an alias and its columns names, as the engine would."""
    function = str(unnest.meta.get("title") or "unnest")
    alias = unnest.args.get("alias")
    name = alias.this if alias is not None and alias.this is not None else exp.to_identifier(function)
    given = [c.copy() for c in alias.columns] if alias is not None else []
    offset = unnest.args.get("offset")
    if not given:
        # without further columns the one column takes the alias for its name
        given = [exp.to_identifier(function) if offset else name.copy()]
    if offset and len(given) == 1:
        given.append(offset.copy() if isinstance(offset, exp.Identifier) else exp.to_identifier("ordinality"))
    if offset:
        unnest.set("offset", given.pop() if len(given) > 1 else True)
    unnest.set("alias", exp.TableAlias(this=name.copy(), columns=given))


def members(select: exp.Select, unnest: exp.Unnest) -> None:
    """References to the one column by the function's name, and to members of it, as what they are."""
    alias = unnest.args["alias"]
    table, column = alias.this, alias.columns[0]
    function = str(unnest.meta.get("title") or "unnest")
    known = {c.name.lower() for c in alias.columns}
    offset = unnest.args.get("offset")
    known |= {offset.name.lower()} if isinstance(offset, exp.Identifier) else set()
    others = {i.alias_or_name.lower() for i in from_items(select)}
    for ref in find_all(select, exp.Column):
        if not ref.table or isinstance(ref.this, exp.Star):
            continue
        own, part = ref.table.lower(), ref.name.lower()
        whole = exp.Column(this=column.copy(), table=table.copy())
        if own == table.name.lower() and part not in known:
            replace_reference(ref, whole if part == function else member(whole, ref))
        elif own == column.name.lower() and own not in others:
            replace_reference(ref, member(whole, ref))


def member(whole: exp.Expr, ref: exp.Column) -> exp.Expr:
    return exp.Dot(this=whole, expression=ref.this.copy())


def replace_reference(ref: exp.Column, new: exp.Expr) -> None:
    """In place, keeping the name that an output has from its expression."""
    if isinstance(ref.parent, exp.Select) and ref.arg_key == "expressions":
        new = exp.alias_(new, ref.this.copy())
    ref.replace(new)


def without_lateral(tree: exp.Expr) -> None:
    """The word is for the resolver of names alone: it is no part of a subquery's type, nor of its rules."""
    for lateral in find_all(tree, exp.Lateral):
        query = lateral.this
        if isinstance(query, exp.Subquery):
            query.set("alias", lateral.args.get("alias"))
            lateral.replace(query)


def sees_before(tree: exp.Expr) -> bool:
    """Say LATERAL for every joined subquery, in place, as the engine does; False where there is none."""
    found = False
    for join in find_all(tree, exp.Join):
        source = join.this
        if isinstance(source, exp.Subquery) and isinstance(source.this, exp.Query):
            alias = source.args.get("alias")
            source.set("alias", None)
            join.set("this", exp.Lateral(this=source.copy(), alias=alias))
            found = True
    return found
