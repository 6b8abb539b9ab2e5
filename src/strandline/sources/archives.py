"""Compressed files: recognised by their first bytes, checked to their end, read as a stream."""

from __future__ import annotations

import contextlib
import gzip
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, Protocol, cast

from strandline.sources.inflate import WRONG
from strandline.sources.plan import FileRefusedError

Compression = Literal["none", "gzip", "zip", "zstd"]
BLOCK = 1 << 20
_MAGIC: tuple[tuple[bytes, Compression], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_UNKNOWN = ((b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"), (b"7z\xbc\xaf", "7-zip"), (b"\x04\x22\x4d\x18", "lz4"))
_SPOOL = 64 << 20
_PACKED = 64 << 10
"""Bytes inflated at a time. What comes of more goes back to the system when freed, and is mapped anew."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


Inflater = Callable[[IO[bytes], zipfile.ZipInfo], Readable]
"""Makes the bytes of a zip's deflated member from the file, which stands where its data begin."""


class Stream:
    """Decompressed bytes; a broken archive is refused where it shows, which may be at its end."""

    def __init__(self, raw: Readable) -> None:
        self.raw = raw

    def read(self, size: int) -> bytes:
        """At most `size` bytes, b"" at the end."""
        with _as_refused():
            return self.raw.read(size)


def compression_of(path: Path) -> Compression:
    """How a file is compressed, by its first bytes. Raises FileRefusedError for a kind not read here."""
    with path.open("rb") as file:
        head = file.read(8)
    for magic, name in _UNKNOWN:
        if head.startswith(magic):
            raise FileRefusedError(f"it is compressed with {name}; gzip, zip and zstd are read")
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), "none")


def member_of(path: Path) -> zipfile.ZipInfo:
    """The one file inside a zip (folders and macOS extras do not count). Raises FileRefusedError."""
    with _as_refused(), zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
    if len(members) != 1:
        names = ", ".join(m.filename for m in members[:5])
        raise FileRefusedError(
            f"the zip holds {len(members)} files, expected exactly one{': ' if names else ''}{names}"
        )
    if members[0].flag_bits & 1:
        raise FileRefusedError(f"the zip's file {members[0].filename!r} is encrypted")
    return members[0]


def inner_name(path: Path, compression: Compression) -> str:
    """The name of what is inside: `events.csv` for `events.csv.gz`, a zip's member for a zip."""
    name = path.name
    stem, _, last = name.rpartition(".")
    bare = stem if stem and last.lower() in ("gz", "gzip", "zip", "zst", "zstd") else name
    if compression == "zip" and "." not in bare:
        return member_of(path).filename.rpartition("/")[2]
    return bare


@contextmanager
def opened(path: Path, compression: Compression, inflater: Inflater | None = None) -> Iterator[Stream]:
    """The decompressed bytes as a stream. Raises FileRefusedError for a broken archive.

    `inflater` takes the place of what inflates a zip's member otherwise.
    """
    with contextlib.ExitStack() as stack:
        with _as_refused():
            raw = _raw(path, compression, inflater or _Inflated, stack)
        yield Stream(raw)


def _raw(path: Path, compression: Compression, inflater: Inflater, stack: contextlib.ExitStack) -> Readable:
    if compression == "gzip":
        return cast("IO[bytes]", stack.enter_context(gzip.open(path, "rb")))
    if compression == "zip":
        return _member(path, member_of(path), inflater, stack)
    if compression == "zstd":
        import pyarrow as pa

        file = stack.enter_context(pa.OSFile(str(path), "rb"))
        return cast("IO[bytes]", stack.enter_context(pa.CompressedInputStream(file, "zstd")))
    return stack.enter_context(path.open("rb"))


def _member(path: Path, member: zipfile.ZipInfo, inflater: Inflater, stack: contextlib.ExitStack) -> Readable:
    archive = stack.enter_context(zipfile.ZipFile(path))
    stream = stack.enter_context(archive.open(member))  # checks the member's own header
    if member.compress_type != zipfile.ZIP_DEFLATED:
        return stream
    raw = stack.enter_context(path.open("rb"))
    raw.seek(member.header_offset + 26)
    name, extra = struct.unpack("<HH", raw.read(4))
    raw.seek(name + extra, os.SEEK_CUR)
    return inflater(raw, member)


_CUT_SHORT = "the directory that a zip ends with is missing, so it is cut short"


class _Inflated:
    """A zip's deflated member. The standard library's reader copies every block several times."""

    def __init__(self, raw: IO[bytes], member: zipfile.ZipInfo) -> None:
        self._raw, self._left = raw, member.compress_size
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._expected, self._found = (member.file_size, member.CRC), (0, 0)

    def read(self, size: int) -> bytes:
        """Raises EOFError where the member ends too early, BadZipFile where it is not what was packed."""
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._more()
            if block := self._inflate.decompress(packed, size):
                self._found = self._found[0] + len(block), zlib.crc32(block, self._found[1])
                return block
            if not packed and not self._inflate.eof:
                raise EOFError
        if self._found != self._expected:
            raise zipfile.BadZipFile(WRONG)
        return b""

    def _more(self) -> bytes:
        packed = self._raw.read(min(_PACKED, self._left))
        self._left -= len(packed)
        return packed


@contextmanager
def seekable(path: Path, compression: Compression) -> Iterator[IO[bytes]]:
    """The same bytes for random access: the file itself, or a spooled copy of an archive's content."""
    if compression == "none":
        with path.open("rb") as file:
            yield file
        return
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as copy:
        with opened(path, compression) as stream:
            while block := stream.read(BLOCK):
                copy.write(block)
        copy.seek(0)
        yield cast("IO[bytes]", copy)


def check(path: Path, compression: Compression) -> None:
    """Decompress to the end, keeping nothing. Raises FileRefusedError where that fails."""
    if compression == "none":
        return
    with opened(path, compression) as stream:
        while stream.read(BLOCK):
            pass


@contextmanager
def _as_refused() -> Iterator[None]:
    try:
        yield
    except EOFError as error:
        raise FileRefusedError("the compressed file is truncated") from error
    except (zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        why = _CUT_SHORT if str(error) == "File is not a zip file" else error
        raise FileRefusedError(f"the compressed file is damaged: {why}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise FileRefusedError(f"the compressed file is damaged: {error}") from error
