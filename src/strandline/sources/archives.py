"""Compressed files: recognised by their first bytes, checked to their end, read as a stream."""

from __future__ import annotations

import contextlib
import gzip
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, cast

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


class Stream:
    """Decompressed bytes; a broken archive is refused where it shows, which may be at its end."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw

    def read(self, size: int) -> bytes:
        """At most `size` bytes, b"" at the end."""
        with _as_refused():
            return self._raw.read(size)


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
def opened(path: Path, compression: Compression) -> Iterator[Stream]:
    """The decompressed bytes as a stream. Raises FileRefusedError for a broken archive."""
    with contextlib.ExitStack() as stack:
        with _as_refused():
            raw = _raw(path, compression, stack)
        yield Stream(raw)


def _raw(path: Path, compression: Compression, stack: contextlib.ExitStack) -> IO[bytes]:
    if compression == "gzip":
        return cast("IO[bytes]", stack.enter_context(gzip.open(path, "rb")))
    if compression == "zip":
        member = member_of(path)
        return stack.enter_context(stack.enter_context(zipfile.ZipFile(path)).open(member))
    if compression == "zstd":
        import pyarrow as pa

        file = stack.enter_context(pa.OSFile(str(path), "rb"))
        return cast("IO[bytes]", stack.enter_context(pa.CompressedInputStream(file, "zstd")))
    return stack.enter_context(path.open("rb"))


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
        raise FileRefusedError(f"the compressed file is damaged: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise FileRefusedError(f"the compressed file is damaged: {error}") from error
