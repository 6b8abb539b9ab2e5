"""What the ledger and the folder together say: which files have to be read, and which are copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from strandline.schema import FileRecord
from strandline.sources.base import PendingFile
from strandline.sources.landing import Entry


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
        counting = {r.path: r for r in own if r.status in ("applied", "empty") and r.sha256}
        return cls({r.path: r for r in own}, counting)


@dataclass(slots=True)
class _Content:
    """The contents that count, by hash with the path they came under, and the newest of them."""

    paths: dict[str, str]
    newest: str

    def copy_of(self, digest: str, path: str, keyed: bool) -> str:
        """The other path that makes this content a copy, "" where it is none.

        Rows of a keyed table replace each other, so content that was followed by other content means
        something when it comes again: there only the newest content can be repeated for nothing.
        """
        if keyed and digest != self.newest:
            return ""
        other = self.paths.get(digest, "")
        return other if other != path else ""

    def take(self, digest: str, path: str) -> None:
        self.paths[digest] = path
        self.newest = digest


def pending(
    looked: Sequence[Looked], ledger: Ledger, names: tuple[str, str], *, skip_copies: bool, keyed: bool
) -> list[PendingFile]:
    """The files that are not in the ledger in this content, in the order given.

    `names` are those of the source and its table. A copy has `duplicate_of` set. A file passed over
    as a copy comes back when the content it copied no longer counts.
    """
    content = _content(looked, ledger)
    found: list[PendingFile] = []
    for one in looked:
        known = ledger.latest.get(one.entry.path)
        copy = content.copy_of(one.digest, one.entry.path, keyed) if skip_copies and one.digest else ""
        again = known is not None and known.status == "duplicate" and skip_copies
        if known is not None and _same(one, known) and not (again and one.digest not in content.paths):
            continue
        replaces = ledger.counting.get(one.entry.path, known)
        found.append(_file(one, names, replaces, copy))
        if one.digest and not copy:
            content.take(one.digest, one.entry.path)
    return found


def _same(one: Looked, known: FileRecord) -> bool:
    if one.digest:
        return one.digest == known.sha256
    stamp = (one.entry.size, one.entry.modified_ns)
    return not known.sha256 and stamp == (known.size, known.modified_ns)


def _content(looked: Sequence[Looked], ledger: Ledger) -> _Content:
    """What counts once the files that changed are taken back."""
    changed = {one.entry.path for one in looked if one.digest} - {
        one.entry.path
        for one in looked
        if (record := ledger.counting.get(one.entry.path)) is not None and record.sha256 == one.digest
    }
    newest = max(ledger.counting.values(), key=lambda r: r.file_id, default=None)
    kept = {r.sha256: r.path for r in ledger.counting.values() if r.path not in changed}
    return _Content(kept, newest.sha256 if newest is not None and newest.path not in changed else "")


def _file(one: Looked, names: tuple[str, str], replaces: FileRecord | None, copy: str) -> PendingFile:
    entry = one.entry
    return PendingFile(
        *names,
        entry.path,
        entry.absolute,
        entry.size,
        entry.modified_ns,
        one.digest,
        replaces,
        copy,
        one.problem,
    )
