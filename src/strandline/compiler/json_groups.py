"""Aggregates by another name: `arbitrary`, and the engine's JSON macros, which take no order in brackets."""

from __future__ import annotations

from sqlglot import exp


def spelled_aggregate(call: exp.Anonymous) -> None:
    """The engine's macros over aggregates, which take no order in their brackets, are what they stand for."""
    if isinstance(call.parent, (exp.Window, exp.Filter)):
        return
    name, args = call.name.lower(), [a.copy() for a in call.expressions]
    if name == "arbitrary" and len(args) == 1:
        call.replace(exp.First(this=args[0]))
    elif name == "json_group_array" and len(args) == 1:
        call.replace(json_list(args[0]))
    elif name == "json_group_structure" and len(args) == 1:
        shape = exp.func("json_structure", json_list(args[0]))
        first = exp.JSONExtract(this=shape, expression=exp.Literal.number(0), only_json_types=True)
        call.replace(exp.paren(first))
    elif name == "json_group_object" and len(args) == 2:
        call.replace(json_object(*args))


def json_list(value: exp.Expr) -> exp.Expr:
    return exp.func("to_json", exp.ArrayAgg(this=value))


def json_object(name: exp.Expr, value: exp.Expr) -> exp.Expr:
    """`{name: value, …}` of all rows; the engine refuses a name that is NULL."""
    missing = exp.func("error", exp.Literal.string("json_group_object key cannot be NULL"))
    told = text(exp.func("to_json", text(name.copy())))
    key = exp.Case(ifs=[exp.If(this=exp.Is(this=name, expression=exp.null()), true=missing)], default=told)
    shown = exp.Coalesce(this=text(exp.func("to_json", value)), expressions=[exp.Literal.string("null")])
    pairs = exp.GroupConcat(this=joined(text(key), exp.Literal.string(":"), shown))
    return exp.cast(joined(exp.Literal.string("{"), pairs, exp.Literal.string("}")), "JSON")


def text(value: exp.Expr) -> exp.Expr:
    return exp.cast(value, "VARCHAR")


def joined(first: exp.Expr, *rest: exp.Expr) -> exp.Expr:
    whole = first
    for part in rest:
        whole = exp.DPipe(this=whole, expression=part)
    return exp.paren(whole)
