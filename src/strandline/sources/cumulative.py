"""Files that hold everything so far: only what follows the bytes already read is parsed.

Of every folder of a cumulative source the newest file is the truth. Reading one, its decompressed bytes
run through a hash; where they begin with exactly the bytes that the file before it held, only the rest
is handed on. Where they do not, the whole file takes the place of all files before it in its folder.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from strandline.schema import FileRecord
from strandline.sources.archives import BLOCK, Compression, opened
from strandline.sources.base import Chunk, PendingFile
from strandline.sources.ledger import Ledger

_AHEAD = 4
"""Blocks that wait to be hashed at most: memory stays flat."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file held once decompressed: kept in the ledger.

    `clean` where it ends behind a line end outside of quotes, so that what follows is a new record.
    `files` are the ledger's ids of all files whose rows are this content's, but its own.
    """

    bytes: int
    lines: int
    sha256: str
    clean: bool
    files: tuple[int, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def content_of(record: FileRecord) -> Content | None:
    """What the ledger says a file held; None where it was not read as a cumulative one."""
    if not record.content:
        return None
    raw = json.loads(record.content)
    return Content(**{**raw, "files": tuple(raw["files"])})


@dataclass(frozen=True, slots=True)
class Seen:
    """A file that was decompressed to its end. `tail` holds what follows the bytes already read.

    `tail` is None where the whole file counts; then the rows of the files `retract` go.
    `nothing` where an older state of the folder came again, which says nothing new.
    """

    content: Content
    tail: IO[bytes] | None
    line: int
    retract: tuple[int, ...]
    nothing: bool = False

    @property
    def tail_path(self) -> Path:
        assert self.tail is not None
        return Path(self.tail.name)

    def mark(self) -> Chunk:
        """The first chunk, without rows: it says what becomes of the rows of former files."""
        import pyarrow as pa

        gone = () if self.tail is not None or self.nothing else self.retract
        # pa.array() would do too, but imports pandas wherever it is installed.
        none = pa.Array.from_buffers(pa.int64(), 0, [None, pa.py_buffer(b"")])
        return Chunk(pa.table({}), none, [], content=self.content.to_json(), retract=gone)


def newest(found: Iterable[PendingFile], known: Ledger) -> list[PendingFile]:
    """Of each folder the newest file, with what the ledger knows of its predecessors in `follows`.

    Older files that were never read are passed over: the newest one holds what they hold. A file that
    cannot be opened is kept, and stands for nothing.
    """
    records: dict[str, list[FileRecord]] = {}
    for record in known.counting.values():
        records.setdefault(_folder(record.path), []).append(record)
    last: dict[str, PendingFile] = {}
    broken = []
    for file in found:
        if file.problem:
            broken.append(file)
        elif file.path in known.latest or _later(file, records.get(_folder(file.path), [])):
            held = last.get(_folder(file.path))
            last[_folder(file.path)] = file if held is None else max(held, file, key=_order)
    return broken + [
        replace(file, follows=tuple(sorted(records.get(folder, []), key=lambda r: r.file_id)))
        for folder, file in last.items()
    ]


def _later(file: PendingFile, records: Sequence[FileRecord]) -> bool:
    return all(_order(file) > _order(r) for r in records)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _order(file: PendingFile | FileRecord) -> tuple[int, list[tuple[int, str]]]:
    """By time of change; names of the same moment by the numbers in them: day_9 before day_10."""
    parts = re.split(r"(\d+)", file.path)
    return file.modified_ns, [(int(p), "") if p.isdigit() else (-1, p) for p in parts]


def scan(file: PendingFile, compression: Compression, *, tails: bool) -> Seen:
    """Decompress a file to its end, keeping what follows the bytes already read (where `tails` are wanted).

    Raises FileRefusedError for a damaged archive.
    """
    before = content_of(file.follows[-1]) if file.follows else None
    kept = (*(before.files if before else ()), *(r.file_id for r in file.follows))
    files = tuple(dict.fromkeys(kept))
    known = before if before is not None and before.clean and tails else None
    content, tail = _read(file.absolute, compression, known)
    content = replace(content, files=files)
    if tail is None and before is not None and _came_before(content, file.follows):
        return Seen(replace(before, files=files), None, 1, (), nothing=True)
    line = known.lines + 1 if known is not None else 1
    return Seen(content, tail, line, files)


def _came_before(content: Content, records: Iterable[FileRecord]) -> bool:
    former = (content_of(r) for r in records)
    return any(c is not None and (c.bytes, c.sha256) == (content.bytes, content.sha256) for c in former)


def _read(path: Path, compression: Compression, known: Content | None) -> tuple[Content, IO[bytes] | None]:
    """One pass: the hash in a thread of its own, as long as it matters where the known bytes end."""
    count = _Counted(known.lines if known else 0)
    tail: IO[bytes] | None = None
    with opened(path, compression) as stream, _Hash() as running:
        for block, at_end_of_known in _blocks(stream, known.bytes if known else 0):
            running.update(block)
            if known is None or tail is not None:
                count.see(block)
            if tail is not None:
                tail.write(block)
            if at_end_of_known and known is not None:
                if running.hexdigest() != known.sha256:
                    return _read(path, compression, None)
                tail = tempfile.NamedTemporaryFile(prefix="strandline-tail-")  # noqa: SIM115  lives as long as Seen
        digest = running.hexdigest()
    if known is not None and tail is None:  # shorter than what was read
        return _read(path, compression, None)
    if tail is not None:
        tail.flush()
    return Content(running.size, count.lines, digest, count.clean), tail


def _blocks(stream: Any, known: int) -> Iterator[tuple[bytes, bool]]:
    """Blocks of the stream, cut where the known bytes end; True for the block that ends there."""
    at = 0
    while block := stream.read(min(BLOCK, known - at) if at < known else BLOCK):
        at += len(block)
        yield block, bool(known) and at == known


class _Counted:
    """Line ends and quotes of what follows a clean end."""

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self._quotes = 0
        self._last = b"\n"

    def see(self, block: bytes) -> None:
        self.lines += block.count(b"\n")
        self._quotes += block.count(b'"')
        self._last = block[-1:]

    @property
    def clean(self) -> bool:
        return self._last == b"\n" and self._quotes % 2 == 0


class _Hash:
    """SHA-256 computed beside the decompression: both let other threads work meanwhile."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="strandline-hash")
        self._under_way: deque[Future[None]] = deque()
        self.size = 0

    def update(self, block: bytes) -> None:
        self._wait(_AHEAD)
        self.size += len(block)
        self._under_way.append(self._pool.submit(self._digest.update, block))

    def hexdigest(self) -> str:
        self._wait(0)
        return self._digest.hexdigest()

    def _wait(self, left: int) -> None:
        while len(self._under_way) > left:
            self._under_way.popleft().result()

    def __enter__(self) -> _Hash:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
