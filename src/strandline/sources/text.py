"""Blocks of UTF-8 text from a file, and the records that are not UTF-8."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from strandline.sources.archives import Compression, opened
from strandline.sources.plan import FileRefusedError

BOM = codecs.BOM_UTF8
HEAD = 1 << 16
RECORDS = 115_000
"""A piece: hardly less than a row group of the engine, which one thread writes fastest."""
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@contextmanager
def blocks(path: Path, compression: Compression, encoding: str, size: int) -> Iterator[Iterator[bytes]]:
    """The text of a file as UTF-8 blocks of about `size` bytes, without its byte order mark.

    Raises FileRefusedError (while iterating) where an encoding other than UTF-8 does not fit.
    """
    with opened(path, compression) as stream:
        raw = iter(lambda: stream.read(size), b"")
        yield _without_bom(raw if is_utf8(encoding) else _recoded(raw, encoding))


def check(path: Path, compression: Compression, encoding: str) -> None:
    """Decode to the end, keeping nothing; UTF-8 is checked record by record instead.

    Raises FileRefusedError where the encoding does not fit.
    """
    if not is_utf8(encoding):
        with blocks(path, compression, encoding, 1 << 20) as text:
            for _ in text:
                pass


def with_last(text: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Every block with whether it is the last one; at least one, which may be empty."""
    held = b""
    for block in text:
        if held:
            yield held, False
        held = block
    yield held, True


def behind_line_end(block: bytes) -> tuple[bytes, bool]:
    """What follows the first line end of a block, and whether there is one."""
    _, found, rest = block.partition(b"\n")
    return rest, bool(found)


def head(path: Path, compression: Compression, encoding: str) -> bytes:
    """The beginning of a file's text (64 KiB). Raises FileRefusedError for UTF-16, binary data or none."""
    with blocks(path, compression, encoding, HEAD) as text:
        start = next(text, b"")
    if not start.strip():
        raise FileRefusedError("the file is empty" if not start else "the file holds nothing but blank lines")
    if start.startswith(_UTF16):
        raise FileRefusedError('the text is UTF-16, expected UTF-8 (set encoding = "utf-16" to read it)')
    if b"\0" in start.partition(b"\n")[0]:
        raise FileRefusedError("the file is binary or UTF-16, expected UTF-8 text")
    return start


def block_size(start: bytes) -> int:
    """How many bytes hold about 115,000 records, judged by a file's beginning: 1 to 16 MiB."""
    lines = max(1, start.count(b"\n"))
    return min(max(len(start) // lines * RECORDS, 1 << 20), 16 << 20)


def broken(data: bytes, starts: np.ndarray, ends: np.ndarray) -> dict[int, str]:
    """The records (by index) that hold a NUL byte or are not UTF-8, with the reason."""
    reasons: dict[int, str] = {}
    if data.isascii() and b"\0" not in data:
        return reasons
    bytes_of = np.frombuffer(data, dtype=np.uint8)
    odd = np.flatnonzero((bytes_of >= 128) | (bytes_of == 0))
    if b"\0" not in data and _decodes(data):
        return reasons
    for i in np.unique(np.searchsorted(starts, odd, side="right") - 1):
        reason = _fault(data[int(starts[i]) : int(ends[i])]) if i >= 0 else ""
        if reason:
            reasons[int(i)] = reason
    return reasons


def _fault(record: bytes) -> str:
    if b"\0" in record:
        return f"a NUL byte at byte {record.index(0) + 1} of the record"
    try:
        record.decode()
    except UnicodeDecodeError as error:
        byte = record[error.start]
        return f"byte {error.start + 1} of the record (0x{byte:02x}) is not UTF-8"
    return ""


def _decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_utf8(encoding: str) -> bool:
    """Whether text of this encoding is UTF-8 as it stands."""
    return codecs.lookup(encoding).name in ("utf-8", "ascii", "utf-8-sig")


def _recoded(raw: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for block in raw:
            yield decoder.decode(block).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise FileRefusedError(f"the text is not {encoding}: {error}") from error


def _without_bom(text: Iterator[bytes]) -> Iterator[bytes]:
    first = next(text, b"")
    yield first.removeprefix(BOM)
    yield from text
