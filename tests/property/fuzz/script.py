"""Writes a failing World as a small Python file that needs nothing but Strandline."""

from __future__ import annotations

import re
from typing import Any

from fuzz.check import Finding
from fuzz.compare import Bag
from fuzz.oracle import Oracle
from fuzz.tables import Row, Table
from fuzz.world import World

CHECK = """

def show(rows):
    return sorted(rows, key=repr)


def alike(a, b):
    if isinstance(a, float) and b is not None:
        a, b = float(a), float(b)
        return a == b or (a != a and b != b) or abs(a - b) <= 1e-9 * max(1.0, abs(a), abs(b))
    return a == b


got = [tuple(r.values()) for r in wh.read("MODEL", arrow=True).to_pylist()]
extra, missing = list(got), []
for row in want:
    place = next((i for i, r in enumerate(extra) if all(map(alike, row, r))), None)
    if place is None:
        missing.append(row)
    else:
        del extra[place]
told = f"missing {missing}\\n extra {extra}\\n got  {show(got)}\\n want {show(want)}"
assert not extra and not missing, told
print("fixed")
"""


def script(world: World, finding: Finding) -> str:
    """A file that exits with an error while the fault is there."""
    lines = [f'"""{finding.kind}: {_first(finding.detail)}', "", f"seed {world.seed}", '"""']
    lines += ["import datetime", "from decimal import Decimal", "", "import strandline as sl", ""]
    lines += ["inf, nan, NULL = float('inf'), float('nan'), None", 'wh = sl.open(":memory:")']
    for table in world.tables:
        key = f", key={table.key if len(table.key) != 1 else table.key[0]!r}" if table.key else ""
        only = ", append_only=True" if table.append_only else ""
        lines.append(f"wh.create_table({table.name!r}, {table.ddl!r}{key}{only})")
    tables = {t.name: t for t in world.tables}
    for model in world.order:
        if model.name in world.early:
            lines.append(_model(model.name, model.sql))
    for number, batch in enumerate(world.batches):
        for change in batch:
            lines += _applied(tables[change.table], "inserts", change.inserts, change.deletes)
        lines.append("wh.refresh()")
        if number == 0:
            lines += [_model(m.name, m.sql) for m in world.order if m.name not in world.early]
    if finding.kind in {"wrong", "type"}:
        want = expected(world, finding.model)
        lines += ["want = [", *(f"    {r!r}," for r in want.rows), "]"]
        lines.append(CHECK.replace("MODEL", finding.model))
    elif finding.kind == "verify" or finding.batch == 99:
        lines += ["for parity in wh.verify_all():", "    assert parity.ok, parity"]
    return "\n".join(lines) + "\n"


def _first(text: str) -> str:
    return text.split("\n", 1)[0][:300].replace("\\", "/").replace('"""', "'''")


def _model(name: str, sql: str) -> str:
    """The SQL as it is (a pretty-printer would rewrite it), broken at clauses where it is long."""
    text = sql
    if len(sql) > 120:
        text = (
            "\n"
            + re.sub(r" (FROM|WHERE|GROUP BY|QUALIFY|(?:LEFT |RIGHT |FULL )?JOIN) ", r"\n\1 ", sql)
            + "\n"
        )
    return f'wh.create_model("{name}", r"""{text}""")'


def _applied(table: Table, _: str, inserts: tuple[Row, ...], deletes: tuple[Row, ...]) -> list[str]:
    given = []
    for word, rows in (("inserts", inserts), ("deletes", deletes)):
        if rows:
            listed = ",\n    ".join(repr(_named(table, r)) for r in rows)
            given.append(f"{word}=[\n    {listed},\n]")
    return [f"wh.apply({table.name!r}, {', '.join(given)})"] if given else []


def _named(table: Table, row: Row) -> dict[str, Any]:
    return {c.plain: v for c, v in zip(table.columns, row, strict=True)}


def expected(world: World, name: str) -> Bag:
    """What plain DuckDB gives after the last batch."""
    oracle = Oracle(world.tables)
    for model in world.models:
        oracle.model(model.name, model.sql)
    for batch in world.batches:
        oracle.apply(batch)
    rows = oracle.rows(name)
    oracle.close()
    return rows
