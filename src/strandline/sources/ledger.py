"""What the ledger and the folder together say: which files have to be read, and which are copies."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from strandline.schema import FileRecord
from strandline.sources.base import PendingFile
from strandline.sources.landing import Entry

Copies = Literal["all", "newest", "none"]
"""Whose copies are passed over: those of every content that counts, of the newest alone, of none."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A complete entry of the folder with the hash of its bytes, or why there is none."""

    entry: Entry
    digest: str
    problem: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """One source's records: the newest of each path, and the newest whose rows count."""

    latest: dict[str, FileRecord]
    counting: dict[str, FileRecord]

    @classmethod
    def of(cls, source: str, records: Sequence[FileRecord]) -> Ledger:
        """The records of one source, in any order."""
        own = sorted((r for r in records if r.source == source), key=lambda r: r.file_id)
        taken = {r.path: r for r in own if r.status != "quarantined" and r.sha256}
        # A file that became a copy has given up what it held before.
        counting = {path: r for path, r in taken.items() if r.status != "duplicate"}
        return cls({r.path: r for r in own}, counting)

    def after(self, moved: Sequence[PendingFile]) -> Ledger:
        """The same with the new names of files that were moved."""
        names = {file.moved_from: file.path for file in moved}
        return Ledger(_renamed(self.latest, names), _renamed(self.counting, names))


def _renamed(records: dict[str, FileRecord], names: dict[str, str]) -> dict[str, FileRecord]:
    return {(to := names.get(path, path)): replace(r, path=to) for path, r in records.items()}


@dataclass(slots=True)
class _Content:
    """The contents that count, by hash with the path they came under, and the newest of them.

    `replaced` are those that count as long as their files are not replaced, which is about to happen.
    """

    paths: dict[str, str]
    newest: str
    replaced: dict[str, str]

    def copy_of(self, digest: str, path: str, copies: Copies) -> str:
        """The other path that makes this content a copy, "" where it is none."""
        if copies == "none" or (copies == "newest" and digest != self.newest):
            return ""
        other = self.paths.get(digest, "")
        return other if other != path else ""

    def take(self, digest: str, path: str) -> None:
        self.paths[digest] = path
        self.newest = digest


def pending(
    looked: Sequence[Looked], ledger: Ledger, names: tuple[str, str], copies: Copies
) -> list[PendingFile]:
    """The files that are not in the ledger in this content, in the order given.

    `names` are those of the source and its table. A copy has `duplicate_of` set. A file passed over
    as a copy comes back when the content it copied no longer counts.
    """
    content = _content(looked, ledger)
    found: list[PendingFile] = []
    for one in looked:
        known = ledger.latest.get(one.entry.path)
        copy = content.copy_of(one.digest, one.entry.path, copies) if one.digest else ""
        again = known is not None and known.status == "duplicate"
        if known is not None and _same(one, known) and not (again and one.digest not in content.paths):
            continue
        replaces = ledger.counting.get(one.entry.path, known)
        doubtful = "" if copy or copies == "none" else content.replaced.get(one.digest, "")
        made = _file(one, names)
        found.append(replace(made, replaces=replaces, duplicate_of=copy, copy_if_refused=doubtful))
        if one.digest and not copy:
            content.take(one.digest, one.entry.path)
    return found


def moves(
    looked: Sequence[Looked], ledger: Ledger, names: tuple[str, str], present: Collection[str]
) -> list[PendingFile]:
    """Files that are in the ledger under a name that is gone, with their content and time of change.

    `present` are the paths of all entries, those that are still being written among them.
    """
    gone = {
        (r.sha256, r.modified_ns): path
        for path, r in ledger.latest.items()
        if path not in present and ledger.counting.get(path) is r
    }
    found = []
    for one in looked:
        if one.digest and one.entry.path not in ledger.latest:
            former = gone.pop((one.digest, one.entry.modified_ns), "")
            if former:
                found.append(replace(_file(one, names), moved_from=former))
    return found


def _same(one: Looked, known: FileRecord) -> bool:
    if one.digest:
        return one.digest == known.sha256
    stamp = (one.entry.size, one.entry.modified_ns)
    return not known.sha256 and stamp == (known.size, known.modified_ns)


def _content(looked: Sequence[Looked], ledger: Ledger) -> _Content:
    """What counts once the files that changed are taken back: not those already refused as they are."""
    changed = {one.entry.path for one in looked if one.digest} - {
        one.entry.path
        for one in looked
        if (record := ledger.latest.get(one.entry.path)) is not None and record.sha256 == one.digest
    }
    newest = max(ledger.counting.values(), key=lambda r: r.file_id, default=None)
    kept = {r.sha256: r.path for r in ledger.counting.values() if r.path not in changed}
    replaced = {r.sha256: r.path for r in ledger.counting.values() if r.path in changed}
    known = newest.sha256 if newest is not None and newest.path not in changed else ""
    return _Content(kept, known, replaced)


def _file(one: Looked, names: tuple[str, str]) -> PendingFile:
    entry = one.entry
    return PendingFile(
        *names,
        entry.path,
        entry.absolute,
        entry.size,
        entry.modified_ns,
        one.digest,
        problem=one.problem,
    )
