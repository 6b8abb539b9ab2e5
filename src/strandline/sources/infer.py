"""The type of a new column, from all of its values in the file that brings it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from strandline.sources.casting import from_text
from strandline.sources.types import parse_type

# From narrow to wide. Text and JSON take anything; a number with leading zeros is text, not a number.
_ORDER = ("BOOLEAN", "BIGINT", "DOUBLE", "DATE", "TIMESTAMP", "VARCHAR", "JSON")
_WIDE = frozenset({"VARCHAR", "JSON"})
_WORDS = {
    "BOOLEAN": r"^(?i:true|false)$",
    "BIGINT": r"^[+-]?(0|[1-9][0-9]*)$",
    "DOUBLE": r"^[+-]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][+-]?[0-9]+)?$",
}


class Guess:
    """The types that every value seen so far fits; starts with all of them."""

    def __init__(self) -> None:
        self._open = set(_ORDER)
        self._seen = False

    def see_text(self, values: pa.Array) -> None:
        """Strings as they stand in CSV."""
        self._see(values, _ORDER)

    def see_string(self, values: pa.Array) -> None:
        """JSON strings: dates and times are recognised, numbers in quotes stay text."""
        self._see(values, ("DATE", "TIMESTAMP", "VARCHAR", "JSON"))

    def see_number(self, values: pa.Array) -> None:
        """JSON numbers as text."""
        self._see(values, ("BIGINT", "DOUBLE", "VARCHAR", "JSON"))

    def see_only(self, *fitting: str) -> None:
        """Values that are of a kind already; text and JSON fit them too, unless JSON alone is given."""
        self._seen = True
        self._open &= set(fitting) | (set() if fitting == ("JSON",) else _WIDE)

    def type(self) -> str:
        """The narrowest type that fits; VARCHAR for a column without any value."""
        if not self._seen:
            return "VARCHAR"
        return next(name for name in _ORDER if name in self._open)

    def _see(self, values: pa.Array, candidates: tuple[str, ...]) -> None:
        values = values.drop_null()
        if not len(values):
            return
        self._seen = True
        self._open = {name for name in self._open & set(candidates) if name in _WIDE or _all(values, name)}


def _all(values: pa.Array, name: str) -> bool:
    words = _WORDS.get(name)
    if words and not pc.all(pc.match_substring_regex(values, words)).as_py():
        return False
    return not len(from_text(values, parse_type(name)).bad)
