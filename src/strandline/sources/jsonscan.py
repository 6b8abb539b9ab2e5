"""A first pass over a JSON Lines file: which fields it has, and the types of those the table lacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from strandline.schema import Column, Schema
from strandline.sources.archives import Compression
from strandline.sources.infer import Guess
from strandline.sources.jsonl import JsonPlan, encodes, parse, parsed
from strandline.sources.jsonvalue import Number, fields_of
from strandline.sources.lines import Lines, lines
from strandline.sources.plan import ABSENT, RESERVED, FileRefusedError, Target, plan_for
from strandline.sources.text import block_size, blocks, head

_FEW = 32


@dataclass(slots=True)
class _Seen:
    """Field names in the order they turn up, and what is known of the types of new ones."""

    known: frozenset[str]
    schema: pa.Schema
    names: dict[str, None] = field(default_factory=dict)
    guesses: dict[str, Guess] = field(default_factory=dict)

    def guess(self, name: str) -> Guess:
        return self.guesses.setdefault(name.lower(), Guess())


def plan(path: Path, compression: Compression, encoding: str, to: Target) -> JsonPlan:
    """Match the file's fields with the table. Raises FileRefusedError where none, or no key, is there."""
    start = head(path, compression, encoding)
    if start.lstrip().startswith(b"["):
        raise FileRefusedError("it is one JSON list, expected JSON Lines: one object a line")
    block = block_size(start)
    seen = _Seen(frozenset(n.lower() for n in to.schema.names), parsed(plan_for(to, [], [])))
    with blocks(path, compression, encoding, block) as text:
        for part in lines(text):
            if len(part.starts):
                _scan(part, 0, len(part.starts), seen)
    _refuse_foreign(seen, to.schema)
    return _json_plan(seen, to, block)


def _refuse_foreign(seen: _Seen, schema: Schema) -> None:
    lowered = {name.lower() for name in seen.names}
    found = ", ".join(list(seen.names)[:12])
    if seen.names and seen.known and not lowered & seen.known:
        raise FileRefusedError(
            f"its fields are {found}: none is a column of the table ({', '.join(schema.names)})"
        )
    for key in schema.key:
        if seen.names and key.lower() not in lowered:
            raise FileRefusedError(f"no line has the key column {key!r}; the fields are {found}")


def _json_plan(seen: _Seen, to: Target, block: int) -> JsonPlan:
    spelling: dict[str, str] = {}
    for given in seen.names:
        spelling.setdefault(given.lower(), given)
    for exact in to.schema.names:
        if exact in seen.names:
            spelling[exact.lower()] = exact
    unknown = {low: given for low, given in spelling.items() if low not in seen.known}
    usable = {low: given for low, given in unknown.items() if given.strip() and low not in RESERVED}
    added = usable if to.mode == "add" else {}
    new = [(Column(given, seen.guess(low).type()), 0) for low, given in added.items()]
    places = [0 if n.lower() in spelling else ABSENT for n in to.schema.names]
    plan = plan_for(to, places, new)
    ignored = frozenset(n for n in seen.names if to.mode == "ignore" and n.lower() in usable)
    names = tuple(spelling.get(c.name.lower(), "") for c in plan.columns)
    return JsonPlan(plan, names, {c.name.lower(): i for i, c in enumerate(plan.columns)}, ignored, block)


def _scan(part: Lines, low: int, high: int, seen: _Seen) -> None:
    table = parse(part, low, high, seen.schema)
    if table is not None:
        # Columns of the schema are in the table whether a line has them or not.
        there = (f.name for f, c in zip(table.schema, table.columns, strict=True) if c.null_count < len(c))
        seen.names.update(dict.fromkeys(there))
        seen.names.update(dict.fromkeys(table.column_names[len(seen.schema) :]))
        _look(part, low, high, table, seen)
    elif high - low <= _FEW:
        for i in range(low, high):
            _one(part.record(i), seen)
    else:
        middle = (low + high) // 2
        _scan(part, low, middle, seen)
        _scan(part, middle, high, seen)


def _look(part: Lines, low: int, high: int, table: pa.Table, seen: _Seen) -> None:
    new = [f for f in table.schema if f.name.lower() not in seen.known]
    texts = [f.name for f in new if pa.types.is_string(f.type) or pa.types.is_temporal(f.type)]
    # Arrow takes strings that look like times for times: have them again as they are.
    again = parse(part, low, high, pa.schema([(n, pa.string()) for n in texts])) if texts else None
    for found in new:
        guess = seen.guess(found.name)
        if again is not None and found.name in texts:
            guess.see_string(again.column(found.name).combine_chunks())
        else:
            _see_typed(guess, found.type)


def _see_typed(guess: Guess, found: pa.DataType) -> None:
    if pa.types.is_boolean(found):
        guess.see_only("BOOLEAN")
    elif pa.types.is_integer(found):
        guess.see_only("BIGINT", "DOUBLE")
    elif pa.types.is_floating(found):
        guess.see_only("DOUBLE")
    elif pa.types.is_nested(found):
        guess.see_only("JSON")


def _one(line: bytes, seen: _Seen) -> None:
    fields = fields_of(line)
    for name, value in () if isinstance(fields, str) else fields.items:
        seen.names.setdefault(name)
        if name.lower() in seen.known or value is None:
            continue
        guess = seen.guess(name)
        if isinstance(value, Number):
            guess.see_number(pa.array([str(value)]))
        elif isinstance(value, str):
            guess.see_string(pa.array([value if encodes(value) else ""]))
        else:
            guess.see_only(*(("JSON",) if isinstance(value, list) else ("BOOLEAN",)))
