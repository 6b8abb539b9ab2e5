"""Where a zip archive that has grown can be read on, instead of being inflated from its beginning.

An archive whose compressed bytes are those of the former one up to the end of a block inflates to the
same bytes up to there: that is checked by hash, and goes several times faster than inflating them.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strandline.sources import archives, inflate
from strandline.sources.chain import PIECE, Running
from strandline.sources.inflate import Inflated, Place
from strandline.sources.plan import FileRefusedError

if TYPE_CHECKING:
    from hashlib import _Hash

_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class Resume:
    """A place in an archive's member, and what has to be known to trust it and to go on hashing there.

    `prefix` is the SHA-256 of the compressed bits before the place and its window, `before` what
    `Running` wants.
    """

    place: Place
    before: bytes
    prefix: str

    def to_json(self) -> dict[str, Any]:
        place = self.place
        return {
            "packed": place.packed,
            "bits": place.bits,
            "size": place.size,
            "crc": place.crc,
            "window": base64.b64encode(zlib.compress(place.window)).decode(),
            "before": self.before.hex(),
            "prefix": self.prefix,
        }

    def running(self) -> Running:
        """The hash of the inflated bytes as it stood at the place."""
        place = self.place
        since = place.window[len(place.window) - place.size % PIECE :]
        return Running(place.size, self.before, since)


def from_json(raw: Mapping[str, Any] | None) -> Resume | None:
    """What the ledger holds; None where that is nothing that can be used."""
    if raw is None:
        return None
    try:
        window = zlib.decompress(base64.b64decode(raw["window"]))
        place = Place(raw["packed"], raw["bits"], raw["size"], raw["crc"], window)
        found = Resume(place, bytes.fromhex(raw["before"]), raw["prefix"])
    except (KeyError, TypeError, ValueError, zlib.error):
        return None
    usable = place.packed >= 0 and 0 <= place.bits < 8 and len(window) == min(place.size, inflate.WINDOW)
    return found if usable and inflate.available() else None


class Prefix:
    """The hash of the beginning of a zip's member as it is packed, gone on with as far as is asked."""

    def __init__(self, path: Path, data_at: int) -> None:
        self._path, self._data_at = path, data_at
        self._digest: _Hash = hashlib.sha256()
        self._at = 0

    def until(self, place: Place) -> str:
        """The hash up to a place, which is not before the one asked for last."""
        left = place.packed - self._at
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._data_at + self._at)
            while left and (block := file.read(min(_BLOCK, left))):
                self._digest.update(block)
                left -= len(block)
            partly = file.read(1) if place.bits else b""
        self._at = place.packed
        found = self._digest.copy()
        found.update(bytes(byte & ((1 << place.bits) - 1) for byte in partly))
        found.update(place.window)
        return found.hexdigest()


class Opened:
    """A file being inflated and hashed at the same time, from its beginning or from a place on."""

    def __init__(self, path: Path, stream: archives.Stream, running: Running, start: Place | None) -> None:
        self._stream, self._running = stream, running
        self._at, self._marked = running.size, start
        inflated = stream.raw if isinstance(stream.raw, Inflated) else None
        self._prefix = Prefix(path, inflated.data_at) if inflated else None

    @property
    def size(self) -> int:
        """Inflated bytes so far, those before the start included."""
        return self._at

    def digest(self) -> str:
        """The hash of all inflated bytes so far, those before the start included."""
        return self._running.hexdigest()

    def blocks(self, known: int) -> Iterator[tuple[bytes, bool]]:
        """Blocks of the file, cut where the known bytes end; True for the block that ends there."""
        block = archives.BLOCK
        if known and self._at == known:
            yield b"", True
        while found := self._stream.read(min(block, known - self._at) if self._at < known else block):
            self._at += len(found)
            raw = self._stream.raw
            self._marked = raw.place if isinstance(raw, Inflated) else None
            self._running.update(found, self._marked.size if self._marked else None)
            yield found, bool(known) and self._at == known

    def resume(self) -> Resume | None:
        """What to keep for the archive that follows this one, asked when all is read; None without one."""
        if self._prefix is None or self._marked is None:
            return None
        return Resume(self._marked, self._running.marked(), self._prefix.until(self._marked))

    def fits(self, start: Resume) -> bool:
        """Whether what lies before the start is what it was."""
        return self._prefix is not None and self._prefix.until(start.place) == start.prefix


@contextmanager
def opened(path: Path, compression: archives.Compression, start: Resume | None) -> Iterator[Opened]:
    """A file from its beginning, or from a place on, with what lies before hashed beside, as it is packed.

    Raises FileRefusedError for a broken archive, and for one that does not fit the start: at the end at
    the latest, so that what was read counts for nothing before.
    """
    inflater = partial(Inflated, start=start.place if start else None) if inflate.available() else None
    running = start.running() if start else Running()
    with archives.opened(path, compression, inflater) as stream, running:
        found = Opened(path, stream, running, start.place if start else None)
        if start is None:
            yield found
            return
        with ThreadPoolExecutor(1, thread_name_prefix="strandline-prefix") as beside:
            fits = beside.submit(found.fits, start)
            yield found
            if not fits.result():
                raise FileRefusedError("it does not begin with what was read before")
