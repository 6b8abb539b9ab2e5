"""Tables, and the changes that happen to them."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass
from typing import Any

from fuzz.values import TYPES, ordinary, value

Row = tuple[Any, ...]
WILD = {"dbl", "big", "str", "date", "ts"}  # kinds whose extremes no generated expression overflows


@dataclass(frozen=True)
class TableColumn:
    """One column; `name` is as SQL writes it (quoted where it must be)."""

    name: str
    kind: str

    @property
    def plain(self) -> str:
        return self.name.strip('"')


@dataclass(frozen=True)
class Table:
    name: str
    columns: tuple[TableColumn, ...]
    key: tuple[str, ...] = ()
    append_only: bool = False
    wild: float = 0.0
    grows: bool = False  # new rows come after all others, in key and time

    @property
    def ddl(self) -> str:
        return ", ".join(f"{c.name} {TYPES[c.kind]}" for c in self.columns)

    @property
    def key_places(self) -> tuple[int, ...]:
        names = [c.name for c in self.columns]
        return tuple(names.index(k) for k in self.key)

    def key_of(self, row: Row) -> Row:
        return tuple(row[i] for i in self.key_places)


@dataclass(frozen=True)
class Change:
    """What one `apply` hands over: deletions first, then insertions."""

    table: str
    inserts: tuple[Row, ...] = ()
    deletes: tuple[Row, ...] = ()


Batch = tuple[Change, ...]


def same(a: Row, b: Row) -> bool:
    """Equal as SQL's IS NOT DISTINCT FROM sees it: NaN equals NaN, 0.0 equals -0.0."""
    return all(x == y or (x != x and y != y) for x, y in zip(a, b, strict=True))


def after(table: Table, rows: list[Row], change: Change) -> list[Row]:
    """The table's rows after a change, by the words of the API alone."""
    now = list(rows)
    for gone in change.deletes:
        if table.key:
            now = [r for r in now if table.key_of(r) != table.key_of(gone)]
            continue
        place = next((i for i, r in enumerate(now) if same(r, gone)), None)
        if place is not None:
            del now[place]
    for new in change.inserts:
        if table.key:
            now = [r for r in now if table.key_of(r) != table.key_of(new)]
        now.append(new)
    return now


NAMES = {
    "int": ("i", "n", "Qty", '"order"'),
    "big": ("big", "Seq"),
    "dbl": ("x", "y", "score"),
    "dec": ("amount", "price"),
    "str": ("s", "region", '"Group"'),
    "bool": ("flag", "b"),
    "ts": ("ts", "event_time"),
    "date": ("d", "day"),
}


def make_table(rng: random.Random, name: str) -> Table:
    """A random table: 2 to 6 value columns, keyed (single or composite) or a bag."""
    shape = rng.choices(("int", "pair", "str", "bag"), (45, 12, 10, 33))[0]
    keys = {
        "int": [TableColumn("id", "int")],
        "pair": [TableColumn("k1", "str"), TableColumn("k2", "int")],
        "str": [TableColumn("code", "str")],
        "bag": [],
    }[shape]
    columns = list(keys)
    must = ["int", rng.choice(("str", "int", "date"))]
    more = rng.choices(list(TYPES), (20, 6, 14, 14, 18, 8, 12, 8), k=rng.randint(1, 4))
    for kind in must + more:
        free = [n for n in NAMES[kind] if n not in {c.name for c in columns}]
        if free:
            columns.append(TableColumn(free[0] if rng.random() < 0.7 else rng.choice(free), kind))
    if rng.random() < 0.3:
        rng.shuffle(columns)
    wild = rng.choice((0.0, 0.0, 0.0, 0.15))
    key = tuple(c.name for c in keys)
    return Table(name, tuple(columns), key, rng.random() < 0.08, wild, rng.random() < 0.3)


def make_row(rng: random.Random, table: Table, taken: list[Row], fresh: bool) -> Row:
    """A row; `fresh` asks for a key that no taken row has (small keys are reused otherwise)."""
    nulls = rng.choice((0.0, 0.12, 0.12, 0.3))
    row = []
    for column in table.columns:
        if column.name in table.key:
            row.append(ordinary(rng, column.kind) if column.kind == "str" else rng.randint(0, 30))
        else:
            wild = table.wild if column.kind in WILD else 0.0
            row.append(value(rng, column.kind, nulls=nulls, wild=wild))
    if fresh and table.grows and rng.random() < 0.9:
        row = _later(table, row, taken)
    if table.key and fresh:
        row = _unused_key(table, row, {table.key_of(r) for r in taken})
    return tuple(row)


def _later(table: Table, row: list[Any], taken: list[Row]) -> list[Any]:
    """The row after all others: its whole number of the key, or else its first time, is the greatest."""
    places = [i for i, c in enumerate(table.columns) if c.name in table.key and c.kind == "int"]
    times = [i for i, c in enumerate(table.columns) if c.kind in {"ts", "date"}]
    for place in places or times[:1]:
        known = [r[place] for r in taken if r[place] is not None]
        if known:
            step = 1 if table.columns[place].kind == "int" else dt.timedelta(days=1)
            row[place] = max(known) + step if max(known) < LAST[table.columns[place].kind] else max(known)
    return row


def _unused_key(table: Table, row: list[Any], used: set[Row]) -> list[Any]:
    number = 0
    place = table.key_places[-1]
    while table.key_of(tuple(row)) in used:
        number += 1
        row[place] = f"k{number}" if table.columns[place].kind == "str" else number
    return row


def edited(rng: random.Random, table: Table, row: Row) -> Row:
    """The row with one or two of its non-key columns changed."""
    now = list(row)
    places = [i for i, c in enumerate(table.columns) if c.name not in table.key]
    for place in rng.sample(places, min(len(places), rng.choice((1, 1, 2)))):
        kind = table.columns[place].kind
        now[place] = value(rng, kind, nulls=0.15, wild=table.wild if kind in WILD else 0.0)
    return tuple(now)


def _place(rng: random.Random, size: int) -> int:
    return rng.randrange(size)


def make_change(rng: random.Random, table: Table, rows: list[Row], size: int) -> Change:
    """A change of about `size` rows that fits (or deliberately misses) the table's present rows."""
    if table.append_only:
        return Change(table.name, tuple(_appended(rng, table, rows, size)))
    inserts: list[Row] = []
    deletes: list[Row] = []
    free = list(rows)  # rows that this change has not touched yet
    for _ in range(size):
        move = rng.choices(MOVES, GROWING if table.grows else WEIGHTS)[0]
        old = free.pop(_place(rng, len(free))) if free and move not in {"insert", "upsert"} else None
        if old is None:
            inserts.append(make_row(rng, table, rows + inserts, fresh=move != "upsert"))
        else:
            _one_move(rng, table, move, old, inserts, deletes)
    if rng.random() < 0.08:
        deletes.append(make_row(rng, table, rows, fresh=True))  # there is nothing to delete
    return Change(table.name, tuple(inserts), tuple(deletes))


LAST = {"int": 2000, "date": dt.date(2999, 1, 1), "ts": dt.datetime(2999, 1, 1)}  # noqa: DTZ001
"""Values grow up to these."""

MOVES = ("insert", "upsert", "update", "delete", "again", "move", "undo", "twice")
WEIGHTS = (40, 8, 22, 18, 4, 4, 2, 2)
GROWING = (90, 1, 3, 3, 1, 1, 0, 1)


def _one_move(
    rng: random.Random, table: Table, move: str, old: Row, inserts: list[Row], deletes: list[Row]
) -> None:
    """One of: update, delete, deliver again, change the key, delete and reinsert, update twice."""
    if move in {"delete", "move", "undo"} or (move in {"update", "twice"} and not table.key):
        deletes.append(old)
    if move == "move" and table.key:
        new = list(edited(rng, table, old))
        place = table.key_places[-1]
        new[place] = f"m{rng.randint(0, 9)}" if isinstance(new[place], str) else rng.randint(31, 60)
        inserts.append(tuple(new))
    elif move in {"update", "move"}:
        inserts.append(edited(rng, table, old))
    elif move in {"again", "undo"}:
        inserts.append(old)
    elif move == "twice":
        inserts += [edited(rng, table, old), edited(rng, table, old)]


def _appended(rng: random.Random, table: Table, rows: list[Row], size: int) -> list[Row]:
    inserts: list[Row] = []
    for _ in range(size):
        inserts.append(make_row(rng, table, rows + inserts, fresh=True))
    return inserts


def make_batches(rng: random.Random, tables: tuple[Table, ...], count: int) -> tuple[Batch, ...]:
    """The initial load (batch 0) and `count` later batches, tracking the rows as they change."""
    state: dict[str, list[Row]] = {t.name: [] for t in tables}
    batches = []
    for number in range(count + 1):
        changes: list[Change] = []
        chosen = list(tables) if number == 0 else _touched(rng, tables)
        for table in chosen:
            change = _sized_change(rng, table, state[table.name], first=number == 0)
            state[table.name] = after(table, state[table.name], change)
            changes.append(change)
        batches.append(tuple(changes))
    return tuple(batches)


def _touched(rng: random.Random, tables: tuple[Table, ...]) -> list[Table]:
    """Usually one table, sometimes several, sometimes none, sometimes one twice."""
    how = rng.random()
    if how < 0.04:
        return []
    if how < 0.6:
        return [rng.choice(tables)]
    if how < 0.66:
        return [rng.choice(tables)] * 2
    return rng.sample(tables, rng.randint(1, len(tables)))


def _sized_change(rng: random.Random, table: Table, rows: list[Row], *, first: bool) -> Change:
    if first:
        size = rng.choice((0, 1, 3, 8, 14, 20))
        return Change(table.name, tuple(_appended(rng, table, rows, size)))
    how = rng.random()
    if how < 0.05 and not table.append_only:
        return Change(table.name, (), tuple(rows))  # everything goes
    if how < 0.08:
        return Change(table.name)
    return make_change(rng, table, rows, rng.choice((1, 1, 2, 3, 5, 8)))
