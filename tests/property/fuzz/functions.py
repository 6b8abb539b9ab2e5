"""Functions beyond operators: text, time, lists, structs, JSON; as expressions and as columns to show."""

from __future__ import annotations

from fuzz.scope import Col, Gen, Scope

INT = {
    "str": ("position('a' IN {})", "ascii({})", "levenshtein({}, 'ab')", "strpos({}, 'b')", "bit_length({})"),
    "ts": (
        "date_diff('hour', TIMESTAMP '2024-02-27', {})",
        "hour({})",
        "(epoch({})::BIGINT % 1000)::INTEGER",
    ),
    "date": ("date_part('week', {})", "dayofyear({})", "({} - DATE '2024-02-27')"),
    "int": ("greatest({}, 2)", "({} & 3)", "bit_count({})", "coalesce(TRY_CAST({} AS INTEGER), 0)"),
}
STR = {
    "str": (
        "lpad({}, 3, '.')",
        "left({}, 1)",
        "regexp_replace({}, '[ab]', 'x')",
        "split_part({}, ' ', 1)",
        "md5({})",
        "({} || '!')[1:2]",
        "json_object('k', {})::JSON->>'$.k'",
        "coalesce(json_object('k.l', {})->>'k.l', '-')",
        "struct_pack(a := {}).a",
        "list_value({}, 'z')[1]",
        "string_split({}, ' ')[1]",
    ),
    "ts": ("strftime({}, '%Y-%m')", "monthname({})"),
    "date": ("strftime({}, '%d')", "dayname({})"),
    "int": ("printf('%d', {})", "CASE {} WHEN 1 THEN 'one' ELSE 'many' END", "bar({}, 0, 9, 3)"),
    "bool": ("CAST({} AS VARCHAR)", "CASE WHEN {} THEN 'yes' ELSE 'no' END"),
}
TS = {"ts": ("time_bucket(INTERVAL 6 HOUR, {})", "({} - INTERVAL 90 MINUTE)", "last_day({})::TIMESTAMP")}
MADE = {"int": INT, "str": STR, "ts": TS}
SHOWN = (
    ("{{'a': {0}, 'b': {1}}}", "struct"),
    ("[{0}, {1}]", "list-of-two"),
    ("row({0}, {1})", "row"),
    ("to_json({{'v': {0}}})", "json"),
    ("list_sort([{0}, {1}])", "list-sort"),
    ("MAP {{'k': {0}}}", "map"),
)


def function_call(gen: Gen, scope: Scope, kind: str) -> Col | None:
    """A function of one column that gives a kind; None where nothing fits."""
    table = MADE.get(kind, {})
    columns = [c for c in scope.columns if c.kind in table and c.exact]
    if not columns:
        return None
    column = gen.rng.choice(columns)
    text = gen.rng.choice(table[column.kind])
    name = text.replace("{}", "").strip("( ").split("(")[0].split()[0] or "operator"
    gen.tag(f"function:{name.lower()}" if name.isidentifier() else "function:operator")
    return Col(text.format(column.sql), kind)


def shown_only(gen: Gen, scope: Scope) -> Col | None:
    """A struct, list, map or JSON value: shown, never compared."""
    columns = [c for c in scope.comparable() if c.kind not in {"dbl", "dec"}]
    if not columns:
        return None
    first = gen.rng.choice(columns)
    second = gen.rng.choice([c for c in columns if c.kind == first.kind])
    text, name = gen.rng.choice(SHOWN)
    gen.tag(f"nested:{name}")
    return Col(text.format(first.sql, second.sql), "list", exact=False)
