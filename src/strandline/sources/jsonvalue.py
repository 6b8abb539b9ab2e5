"""One line of JSON as named values, with every number kept as the text it was written in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from strandline.sources.typed import as_json


class Number(str):
    """A JSON number as written, so that no digit is lost."""


class Object(list[tuple[str, object]]):
    """A JSON object as its pairs, so that doubled names show."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one line, in order; `line` is its text."""

    items: Sequence[tuple[str, object]]
    line: bytes


def fields_of(line: bytes) -> Fields | str:
    """The fields of a line, or the reason that it is not one JSON object."""
    try:
        value = json.loads(
            line,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_no_constant,
            object_pairs_hook=Object,
        )
    except RecursionError:
        return "it is nested too deeply"
    except json.JSONDecodeError as error:
        return f"it is not JSON: {error.msg.removesuffix(' at')} at character {error.pos + 1}"
    except ValueError as error:
        return f"it is not JSON: {error}"
    if not isinstance(value, Object):
        return f"it holds {_name(value)}, expected one JSON object a line"
    return Fields(value, line)


def text_of(value: object, fields: Fields, nested: bool) -> str | None:
    """A value as the text that a CSV field would hold; None for null, and for what has no such text.

    With `nested` the text is JSON itself, so objects, lists and quoted strings have one.
    """
    if value is None:
        return None
    if nested:
        name = next(n for n, v in fields.items if v is value)
        return as_json(json.loads(fields.line)[name])
    if isinstance(value, str):
        return str(value)
    return None if isinstance(value, list) else "true" if value else "false"


def _name(value: object) -> str:
    if isinstance(value, Number):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "no object"


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON value")
