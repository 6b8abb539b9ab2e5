"""CSV files: header, delimiter, and rows as typed pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pv

from strandline.errors import InputError
from strandline.schema import Column, Reject
from strandline.sources.archives import Compression
from strandline.sources.assemble import Rows, absent, whole
from strandline.sources.casting import from_text
from strandline.sources.infer import Guess
from strandline.sources.plan import ABSENT, FileRefusedError, Plan, Target, match, plan_for
from strandline.sources.records import Records, Shape, first_record, records
from strandline.sources.text import BOM, block_size, blocks, check, head

_DELIMITERS = (",", ";", "\t", "|")
_BLOCK = 1 << 20  # bytes that one thread parses at a time


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """How CSV text is to be read. `delimiter` "" finds one of , ; tab | in the header.

    Unquoted text equal to one of `null_values` is NULL, and so is unquoted empty text; with
    `empty_text_is_null` off the latter is '' in text columns. `header` off: columns by position.
    """

    delimiter: str = ""
    encoding: str = "utf-8"
    null_values: tuple[str, ...] = ()
    empty_text_is_null: bool = True
    header: bool = True


@dataclass(frozen=True, slots=True)
class Layout:
    """What the beginning of a CSV file says: its shape, its column names, where its rows begin.

    `skip` bytes come before the first row, which is on physical line `line`; `block` is how many
    bytes to read at a time.
    """

    shape: Shape
    names: tuple[str, ...]
    skip: int
    line: int
    block: int


def layout(path: Path, compression: Compression, options: CsvOptions, known: Sequence[str]) -> Layout:
    """Read the header. Raises FileRefusedError where there is none or it can not be used."""
    start = head(path, compression, options.encoding)
    check(path, compression, options.encoding)
    first_line = start.lstrip(b"\r\n").partition(b"\n")[0]
    if b"\r" in first_line.rstrip(b"\r"):
        raise FileRefusedError("its lines end in a lone carriage return, expected LF or CRLF")
    delimiter = (options.delimiter or _delimiter(first_line, known)).encode()
    if len(delimiter) != 1 or delimiter in b'"\r\n':
        raise FileRefusedError(f"the delimiter {options.delimiter!r} is not a single ASCII character")
    if not options.header:
        return Layout(Shape(delimiter, len(known)), tuple(known), 0, 1, block_size(start))
    first = first_record(start, delimiter)
    if first is None:
        raise FileRefusedError(
            "the header can not be read: its quotes are broken or it is longer than 64 KiB"
        )
    skip = first.stop
    names = tuple(_name(field) for field in first.fields)
    return Layout(
        Shape(delimiter, len(names)), names, skip, start.count(b"\n", 0, skip) + 1, block_size(start)
    )


def plan(path: Path, compression: Compression, lay: Layout, options: CsvOptions, to: Target) -> Plan:
    """Match the header with the table; new columns are inferred from all of the file's rows."""
    matched = match(lay.names, to)
    guesses = {i: Guess() for i in matched.extra}
    if guesses:
        for part in _parts(path, compression, lay, options):
            columns = _columns(part, lay, options, tuple(guesses))
            for i, guess in guesses.items():
                guess.see_text(columns[i])
    new = [(Column(lay.names[i], guess.type()), i) for i, guess in guesses.items()]
    return plan_for(to, matched.places, new)


def pieces(
    path: Path, compression: Compression, lay: Layout, options: CsvOptions, to: Plan
) -> Iterator[Rows]:
    """The rows of a CSV file, about 115,000 a piece."""
    for part in _parts(path, compression, lay, options):
        yield _rows(part, lay, options, to)


def _parts(path: Path, compression: Compression, lay: Layout, options: CsvOptions) -> Iterator[Records]:
    with blocks(path, compression, options.encoding, lay.block) as text:
        rows = chain((next(text, b"")[lay.skip :],), text)
        yield from records(rows, lay.shape, lay.line)


def _rows(part: Records, lay: Layout, options: CsvOptions, to: Plan) -> Rows:
    wanted = tuple(place for place in to.places if place != ABSENT)
    texts = _columns(part, lay, options, wanted)
    found = [texts.get(place) for place in to.places]
    columns = [
        absent(len(part.lines), kind.arrow) if text is None else from_text(text, kind)
        for text, kind in zip(found, to.types, strict=True)
    ]
    rejects = [Reject(to.table, to.path, line, why, raw) for line, why, raw in part.rejects]
    return Rows(columns, found, part.lines, part.text, rejects)


def _columns(part: Records, lay: Layout, options: CsvOptions, wanted: Sequence[int]) -> dict[int, pa.Array]:
    """The wanted columns as strings, by their place in the file."""
    if not len(part.lines) or not wanted:
        return {i: pa.nulls(len(part.lines), pa.string()) for i in wanted}
    names = [str(i) for i in range(lay.shape.width)]
    # A block has to hold any record whole, with its quotes doubled.
    block = max(_BLOCK, 3 * int((part.ends - part.starts).max()))
    table = pv.read_csv(
        # A parser takes these three bytes at the beginning of any buffer for a byte order mark.
        pa.py_buffer(b"\n" + part.data if part.data.startswith(BOM) else part.data),
        pv.ReadOptions(use_threads=len(part.data) > block, column_names=names, block_size=block),
        pv.ParseOptions(delimiter=lay.shape.delimiter.decode(), newlines_in_values=part.quoted),
        _conversion(names, [names[i] for i in wanted], options),
        # Arrow's own pool maps huge pages, whose first use took longer than the parsing.
        memory_pool=pa.system_memory_pool(),
    )
    if table.num_rows != len(part.lines):
        raise InputError(
            f"the CSV parser found {table.num_rows} records where {len(part.lines)} were cut",
            hint="This is a fault of Strandline; please report it with the file.",
        )
    return {i: whole(table.column(names[i])) for i in wanted}


def _conversion(names: list[str], wanted: list[str], options: CsvOptions) -> pv.ConvertOptions:
    nulls = [*options.null_values, ""] if options.empty_text_is_null else list(options.null_values)
    return pv.ConvertOptions(
        column_types={name: pa.string() for name in names},
        include_columns=wanted,
        null_values=nulls,
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        check_utf8=False,  # done by record, so that one bad line does not cost the file
    )


def _delimiter(line: bytes, known: Sequence[str]) -> str:
    """The delimiter that finds most of the table's columns in the header, else the most frequent one."""
    text = line.decode("utf-8", "replace")
    lowered = {name.lower() for name in known}

    def score(delimiter: str) -> tuple[int, int]:
        names = [name.strip().strip('"').strip().lower() for name in text.split(delimiter)]
        return len(lowered & set(names)), text.count(delimiter)

    return max(_DELIMITERS, key=score)


def _name(field: bytes) -> str:
    bare = field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field
    try:
        return bare.decode().strip()
    except UnicodeDecodeError as error:
        raise FileRefusedError(
            "the header is not UTF-8 (set encoding to what the file is written in)"
        ) from error
