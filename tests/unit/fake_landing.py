"""A landing folder whose clock stands still, and short ways to take its files in."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strandline.schema import Column, FileRecord, Reject, Schema
from strandline.sources.base import Chunk, PendingFile
from strandline.sources.files import FilesOptions, FilesSource

NOW = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
ORDERS = "id INTEGER, name VARCHAR, amount DECIMAL(12;2)"


def schema(columns: str = ORDERS, key: str = "id") -> Schema:
    """`"id INTEGER, x DECIMAL(12;2)"` and `"id"` as a schema; a semicolon stands for a comma in a type."""
    parts = [part.strip().split(" ", 1) for part in columns.split(",") if part.strip()]
    found = tuple(Column(name, type_.replace(";", ",")) for name, type_ in parts)
    return Schema(found, tuple(key.split()))


@dataclass
class Taken:
    """What reading a file gave: rows as tuples, their lines, its rejects."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """The reason of the only reject."""
        (reject,) = self.rejects
        return reject.reason

    @property
    def refused_lines(self) -> list[int]:
        return [reject.line for reject in self.rejects]


class Landing:
    """Files written here were last changed a minute before NOW, each a millisecond after the one before."""

    def __init__(self, folder: Path, columns: str = ORDERS, key: str = "id", **options: Any) -> None:
        self.folder = folder
        self.source = FilesSource("feed", "t", folder, schema(columns, key), FilesOptions(**options))
        self.clock = NOW - 60 * SECOND
        self.ledger: list[FileRecord] = []

    def write(self, name: str, content: bytes | str, *, at: int | None = None) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.clock += SECOND // 1000
        os.utime(path, ns=(self.clock if at is None else at,) * 2)
        return path

    def discover(self, now: int = NOW) -> list[PendingFile]:
        return self.source.discover(self.ledger, now)

    def names(self, now: int = NOW) -> list[str]:
        return [file.path for file in self.discover(now)]

    def read(self, file: PendingFile) -> Taken:
        taken = Taken()
        for chunk in self.source.read(file):
            taken.chunks.append(chunk)
            taken.rows += [tuple(row.values()) for row in chunk.rows.to_pylist()]
            taken.lines += chunk.lines.to_pylist()
            taken.rejects += chunk.rejects
        return taken

    def take(self, name: str, content: bytes | str) -> Taken:
        """Write a file and read it."""
        self.write(name, content)
        (file,) = [file for file in self.discover() if file.path == name]
        return self.read(file)

    def accept(self, now: int = NOW) -> list[PendingFile]:
        """Take in everything there is, as a runner would, and remember it in the ledger."""
        files = self.discover(now)
        for file in files:
            taken = self.read(file)
            status: Any = "applied" if taken.rows else "empty"
            if file.duplicate_of:
                status = "duplicate"
            elif taken.chunks and taken.chunks[0].file_rejected:
                status = "quarantined"
            record = FileRecord(
                "feed",
                "t",
                file.path,
                file.size,
                file.sha256,
                len(taken.rows),
                len(taken.rejects),
                status,
                file.modified_ns,
                len(self.ledger) + 1,
            )
            self.ledger.append(record)
        return files
