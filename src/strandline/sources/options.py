"""The settings of a files source and their check."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strandline.errors import ConfigurationError, nearest


@dataclass(frozen=True, slots=True)
class FilesOptions:
    """Settings of a files source, named as in strandline.toml.

    pattern           names to take, such as "*.csv*" (several: a list); all where empty
    format            "csv", "jsonl" or "parquet"; "" tells by name, then by content
    delimiter         "" finds one of , ; tab | in each header
    encoding          of CSV and JSON Lines text
    null_values       unquoted CSV text that means NULL, besides empty text
    empty_text_is_null  whether unquoted empty CSV text is NULL in text columns too
    header            off: CSV without a header line, columns in the table's order
    new_columns       "add" unknown columns to the table, "quarantine" or "ignore" them
    skip_same_content  skip bytes that came under another name already
    settle_seconds    how long a file must have been unchanged
    follow_symlinks   read what symbolic links lead to (else they are refused)
    trust_mtime       off: hash every file at every look, however unchanged it seems
    """

    pattern: str | tuple[str, ...] = ()
    format: str = ""
    delimiter: str = ""
    encoding: str = "utf-8"
    null_values: tuple[str, ...] = ()
    empty_text_is_null: bool = True
    header: bool = True
    new_columns: str = "add"
    skip_same_content: bool = True
    settle_seconds: float = 0.2
    follow_symlinks: bool = False
    trust_mtime: bool = True
    cumulative: bool = False


def options_from(settings: Mapping[str, Any], where: str) -> FilesOptions:
    """Options from a source's settings. Raises ConfigurationError naming the setting."""
    known = {f.name: getattr(FilesOptions(), f.name) for f in dataclasses.fields(FilesOptions)}
    values: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in known:
            raise ConfigurationError(f"unknown setting {name!r}", where=where, hint=nearest(name, known))
        values[name] = tuple(value) if isinstance(value, list) else value
        if not _same_kind(values[name], known[name], name):
            expected = "a list of texts" if isinstance(known[name], tuple) else type(known[name]).__name__
            raise ConfigurationError(f"{name} = {value!r} is not {expected}", where=where)
    options = FilesOptions(**values)
    _check(options, where)
    return options


def _same_kind(value: object, default: object, name: str) -> bool:
    if isinstance(default, tuple):
        texts = isinstance(value, tuple) and all(isinstance(v, str) for v in value)
        return texts or (name == "pattern" and isinstance(value, str))
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, type(default))


def _check(options: FilesOptions, where: str) -> None:
    import codecs

    for name, allowed in (
        ("format", ("", "csv", "jsonl", "parquet")),
        ("new_columns", ("add", "quarantine", "ignore")),
    ):
        if getattr(options, name) not in allowed:
            choices = ", ".join(repr(a) for a in allowed if a)
            raise ConfigurationError(f"{name} = {getattr(options, name)!r}; it can be {choices}", where=where)
    if len(options.delimiter.encode()) > 1 or options.delimiter in ('"', "\n", "\r"):
        raise ConfigurationError(f"delimiter = {options.delimiter!r} is not one ASCII character", where=where)
    if options.settle_seconds < 0:
        raise ConfigurationError("settle_seconds is below 0", where=where)
    try:
        codecs.lookup(options.encoding)
    except LookupError as error:
        raise ConfigurationError(f"there is no encoding {options.encoding!r}", where=where) from error
