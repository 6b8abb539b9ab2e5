"""A landing folder: what lies in it, what is still being written, and the hash of what is complete."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SECOND = 1_000_000_000
_WRITING = (".part", ".tmp", ".crdownload", ".filepart", ".inprogress")
_HIDDEN = (".", "_", "~")
_FUTURE = 3600 * SECOND


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the folder. `problem` says why it can not be read ("" where it can).

    `path` is relative, with forward slashes; bytes of a name that are no UTF-8 are written as \\xNN.
    """

    path: str
    absolute: Path
    size: int
    modified_ns: int
    problem: str = ""


def entries(folder: Path, patterns: Sequence[str], follow_symlinks: bool) -> list[Entry]:
    """Everything that could be input, by time of change, then path.

    Raises OSError where the folder itself can not be listed.
    """
    os.scandir(folder).close()
    found = (_entry(folder, path, follow_symlinks) for path in _walk(folder, follow_symlinks))
    wanted = [e for e in found if e is not None and _matches(e.path, patterns)]
    return sorted(wanted, key=lambda e: (e.modified_ns, e.path))


def settled_at(entry: Entry, settle_ns: int, now_ns: int) -> int:
    """When the file can be taken for complete, if nothing changes it until then.

    A time of change far in the future was set on purpose: no writer is at work there.
    """
    return entry.modified_ns + settle_ns if entry.modified_ns <= now_ns + _FUTURE else 0


def sha256(path: Path) -> str:
    """The hash of the file's bytes as they are, compressed or not."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _walk(folder: Path, follow_symlinks: bool) -> Iterator[Path]:
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        try:
            listed = list(os.scandir(current))
            status = current.stat()
        except OSError:
            yield current  # shown as an entry that can not be read
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue  # a link back to a folder above
        seen.add((status.st_dev, status.st_ino))
        for item in listed:
            if item.name.startswith(_HIDDEN) or item.name.lower().endswith(_WRITING):
                continue
            if item.is_dir(follow_symlinks=follow_symlinks):
                waiting.append(Path(item.path))
            else:
                yield Path(item.path)


def _entry(folder: Path, path: Path, follow_symlinks: bool) -> Entry | None:
    relative = os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "backslashreplace")
    try:
        status = path.stat() if follow_symlinks else path.lstat()
    except FileNotFoundError:
        if not path.is_symlink():
            return None  # gone since it was listed
        status = path.lstat()
        return Entry(relative, path, status.st_size, status.st_mtime_ns, "the symbolic link leads nowhere")
    except OSError as error:
        return Entry(relative, path, 0, 0, f"it can not be looked at: {error.strerror}")
    return Entry(relative, path, status.st_size, status.st_mtime_ns, _problem(path, status.st_mode))


def _problem(path: Path, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "it is a symbolic link; set follow_symlinks = true to read what it leads to"
    if stat.S_ISDIR(mode):
        return "the folder can not be listed: permission denied"
    if not stat.S_ISREG(mode):
        return "it is not a regular file"
    return "" if os.access(path, os.R_OK) else "it can not be read: permission denied"


def _matches(path: str, patterns: Sequence[str]) -> bool:
    """A pattern with a slash is held against the whole path, one without against the name."""
    name = path.rpartition("/")[2]
    return not patterns or any(fnmatch.fnmatchcase(path if "/" in p else name, p) for p in patterns)
