"""Which format a file has, and everything that is settled about it before its first row is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal, cast

from strandline.schema import Schema
from strandline.sources import archives, assemble, csv, cumulative
from strandline.sources.archives import Compression
from strandline.sources.base import Chunk, PendingFile
from strandline.sources.options import FilesOptions
from strandline.sources.plan import FileRefusedError, NewColumns, Plan, Target
from strandline.sources.text import BOM, is_utf8

Format = Literal["csv", "jsonl", "parquet"]
_ENDINGS: dict[str, Format] = {
    "csv": "csv", "tsv": "csv", "psv": "csv",
    "jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl",
    "parquet": "parquet", "parq": "parquet", "pq": "parquet",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file that is ready to be read: its plan and its chunks, or why it is refused as a whole."""

    plan: Plan | None
    problem: str
    chunks: Callable[[], Iterator[Chunk]]


def prepare(file: PendingFile, schema: Schema, options: FilesOptions) -> Prepared:
    """Check the archive to its end, find the format, match the columns. Raises OSError."""
    try:
        if not file.size:
            raise FileRefusedError("the file is empty (0 bytes)")
        compression = archives.compression_of(file.absolute)
        if options.cumulative:
            return _cumulative(file, compression, schema, options)
        archives.check(file.absolute, compression)
        found = format_of(file.absolute, compression) if not options.format else options.format
        to = Target(schema, file.table, file.path, cast("NewColumns", options.new_columns))
        return _PREPARE[cast("Format", found)](file.absolute, compression, options, to)
    except FileRefusedError as refusal:
        return _refused(str(refusal))
    except PermissionError as error:
        return _refused(f"it can not be read: {error.strerror}")


def format_of(path: Path, compression: Compression) -> Format:
    """The format by the name (behind .gz and the like), else by content. Raises FileRefusedError."""
    ending = archives.inner_name(path, compression).rpartition(".")[2].lower()
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    with archives.opened(path, compression) as stream:
        start = stream.read(1 << 12)
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.removeprefix(BOM).lstrip().startswith((b"{", b"[")):
        return "jsonl"
    if b"\0" in start:
        raise FileRefusedError("it is neither CSV nor JSON Lines nor Parquet")
    return "csv"


def _cumulative(
    file: PendingFile, compression: Compression, schema: Schema, options: FilesOptions
) -> Prepared:
    """A file that holds what the former ones of its folder held: of a CSV file, just its end is read."""
    found = options.format or format_of(file.absolute, compression)
    seen = cumulative.scan(file, compression, tails=found == "csv" and is_utf8(options.encoding))
    to = Target(schema, file.table, file.path, cast("NewColumns", options.new_columns))
    if seen.tail is None and seen.retract and not seen.nothing and schema.append_only:
        raise FileRefusedError(
            "it does not begin with what was read before, and the table is append-only: no row can go"
        )
    if seen.tail is not None:
        rest = _csv(file.absolute, compression, options, to, seen)
    else:
        rest = _PREPARE[cast("Format", found)](file.absolute, compression, options, to)
    if rest.problem or seen.nothing:
        return rest if rest.problem else Prepared(rest.plan, "", lambda: iter((seen.mark(),)))
    return Prepared(rest.plan, "", lambda: chain((seen.mark(),), rest.chunks()))


def _refused(problem: str) -> Prepared:
    return Prepared(None, problem, lambda: iter(()))


def _csv(
    path: Path,
    compression: Compression,
    options: FilesOptions,
    to: Target,
    seen: cumulative.Seen | None = None,
) -> Prepared:
    how = csv.CsvOptions(
        options.delimiter, options.encoding, options.null_values, options.empty_text_is_null, options.header
    )
    lay = csv.layout(path, compression, how, to.schema.names)
    plan = csv.plan(path, compression, lay, how, to)
    if seen is not None:
        lay, path, compression = replace(lay, skip=0, line=seen.line), seen.tail_path, "none"
    return Prepared(plan, "", lambda: assemble.chunks(csv.pieces(path, compression, lay, how, plan), plan))


def _jsonl(path: Path, compression: Compression, options: FilesOptions, to: Target) -> Prepared:
    from strandline.sources import jsonl, jsonscan

    encoding = options.encoding
    plan = jsonscan.plan(path, compression, encoding, to)
    pieces = jsonl.pieces
    return Prepared(
        plan.plan, "", lambda: assemble.chunks(pieces(path, compression, encoding, plan), plan.plan)
    )


def _parquet(path: Path, compression: Compression, _: FilesOptions, to: Target) -> Prepared:
    from strandline.sources import parquet  # its library takes 5 MB

    plan = parquet.plan(path, compression, to)
    return Prepared(plan, "", lambda: assemble.chunks(parquet.pieces(path, compression, plan), plan))


_PREPARE: dict[Format, Callable[[Path, Compression, FilesOptions, Target], Prepared]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "parquet": _parquet,
}
