"""How one file's columns become the table's: decided once a file, before any row is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from strandline.errors import nearest
from strandline.schema import Column, Schema
from strandline.sources.types import ColumnType, parse_type

NewColumns = Literal["add", "quarantine", "ignore"]
ABSENT = -1
RESERVED = frozenset({"_rid", "_k", "_h", "_batch", "_file", "_line", "_op", "_seq", "_row", "_order"})


class FileRefusedError(Exception):
    """The file as a whole can not be taken; the message is the reason, for people."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a file's rows are to become: a table with this schema; `path` is the file's recorded name."""

    schema: Schema
    table: str
    path: str
    mode: NewColumns = "add"


@dataclass(frozen=True, slots=True)
class Plan:
    """The columns that a file's chunks have: the table's in their order, then the new ones.

    `places` says which column of the file feeds each of them (ABSENT: none, so NULL).
    """

    table: str
    path: str
    columns: tuple[Column, ...]
    types: tuple[ColumnType, ...]
    places: tuple[int, ...]
    keys: tuple[int, ...]
    new: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class Matched:
    """A header against a table: the place of each of its columns, and the places of unknown ones to add."""

    places: tuple[int, ...]
    extra: tuple[int, ...]


def match(names: Sequence[str], to: Target) -> Matched:
    """Find the table's columns in a header (in any order and case). Raises FileRefusedError."""
    schema, lowered = to.schema, [n.lower() for n in names]
    known = {n.lower() for n in schema.names}
    _refuse_unusable(names, lowered)
    if known and not known & set(lowered):
        raise FileRefusedError(
            f"the header has none of the table's columns: it reads {_list(names)}, expected "
            f"{_list(schema.names)}; is the header line missing?"
        )
    for key in schema.key:
        if key.lower() not in lowered:
            raise FileRefusedError(f"the key column {key!r} is missing; the file has {_list(names)}")
    extra = tuple(i for i, n in enumerate(lowered) if n not in known)
    if extra and to.mode == "quarantine":
        name = names[extra[0]]
        raise FileRefusedError(
            f"column {name!r} is unknown to table {to.table!r}: {nearest(name, schema.names)}"
        )
    if to.mode == "ignore":
        extra = ()
    reserved = [names[i] for i in extra if lowered[i] in RESERVED]
    if reserved:
        raise FileRefusedError(f"the column name {reserved[0]!r} is reserved; rename it in the file")
    places = tuple(lowered.index(n.lower()) if n.lower() in lowered else ABSENT for n in schema.names)
    return Matched(places, extra)


def plan_for(to: Target, places: Sequence[int], new: Sequence[tuple[Column, int]]) -> Plan:
    """The plan of a file whose known columns are at `places` and whose new ones follow."""
    columns = (*to.schema.columns, *(column for column, _ in new))
    keys = {k.lower() for k in to.schema.key}
    return Plan(
        to.table,
        to.path,
        columns,
        tuple(parse_type(c.type) for c in columns),
        (*places, *(place for _, place in new)),
        tuple(i for i, c in enumerate(columns) if c.name.lower() in keys),
        tuple(column for column, _ in new),
    )


def _refuse_unusable(names: Sequence[str], lowered: Sequence[str]) -> None:
    for i, name in enumerate(names):
        if not name:
            raise FileRefusedError(
                f"column {i + 1} of the header has no name; the header reads {_list(names)}"
            )
        if lowered[i] in lowered[:i]:
            raise FileRefusedError(f"column {name!r} is in the header twice")


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(n if len(n) <= 40 else n[:37] + "..." for n in names[:12])
    return f"{shown}, ... ({len(names)} columns)" if len(names) > 12 else shown
