"""Reads a case file: SQLLogicTest's records, and four of our own.

    # a comment                                 up to the end of the line, where a record may start
    table NAME (COLUMN TYPE, …) [key A, B] [append-only]
    model NAME                                  the query follows, up to an empty line
    apply NAME                                  lines `+ value, …` and `- value, …` follow, in SQL's words
    refresh                                     one commit; every model is then held against plain DuckDB
    strategy NAME [not] STRATEGY…               these are among its stages' strategies (not: none of them)
    statement ok | error [PATTERN]              SQL follows; on error the message must match the pattern
    query TYPES [nosort|rowsort|valuesort]      SQL follows, then ----, then the rows: tabs between
                                                values, or one value a line
    skipif strandline | onlyif strandline       for the next record
    halt

Statements are CREATE TABLE (a PRIMARY KEY makes it keyed), CREATE [MATERIALIZED] VIEW (a model),
DROP, INSERT, UPDATE and DELETE: the change that they make in a plain DuckDB is what gets applied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WITH_BODY = {"model", "apply", "statement", "query"}


@dataclass(frozen=True)
class Record:
    """One record: its words, the text below it, the expected lines after `----`, its line."""

    words: tuple[str, ...]
    body: str
    expected: tuple[str, ...] | None
    line: int
    rest: str = ""

    @property
    def verb(self) -> str:
        return self.words[0]


def records(path: Path) -> Iterator[Record]:
    """The records of a file that concern us, in order. Raises ValueError at an unknown one."""
    lines = path.read_text().split("\n")
    here, skip = 0, False
    while here < len(lines):
        text = lines[here]
        words = tuple(text.split())
        if not words or text.startswith("#"):
            here += 1
            continue
        if words[0] in {"skipif", "onlyif"}:
            skip = (words[0] == "skipif") == (words[1] == "strandline")
            here += 1
            continue
        record, here = _record(lines, here, words)
        if record.verb == "halt":
            return
        if not skip and record.verb != "hash-threshold":
            yield record
        skip = False


def _record(lines: list[str], start: int, words: tuple[str, ...]) -> tuple[Record, int]:
    rest = lines[start].split(" ", 1)[-1]
    if words[0] not in WITH_BODY:
        known = {"table", "refresh", "strategy", "halt", "hash-threshold"}
        if words[0] not in known:
            raise ValueError(f"line {start + 1}: unknown record {words[0]!r}")
        return Record(words, "", None, start + 1, rest), start + 1
    here = start + 1
    body: list[str] = []
    while here < len(lines) and lines[here].strip() and lines[here] != "----":
        body.append(lines[here])
        here += 1
    expected: list[str] | None = None
    if here < len(lines) and lines[here] == "----":
        expected = []
        here += 1
        while here < len(lines) and lines[here].strip():
            expected.append(lines[here])
            here += 1
    made = Record(words, "\n".join(body), None if expected is None else tuple(expected), start + 1, rest)
    return made, here
