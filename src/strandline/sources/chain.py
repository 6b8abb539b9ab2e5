"""A hash that can be gone on with: SHA-256 over pieces of 32 KiB, each behind the hash of all before it.

The state at any place is the hash of the whole pieces before it and the bytes since, which are in the
window that inflating needs there anyway. It depends on the bytes alone, not on how they were handed in.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

PIECE = 1 << 15
_AHEAD = 4
"""Blocks that wait to be hashed at most: memory stays flat."""


class Running:
    """The hash of a stream, computed beside the decompression: both let other threads work meanwhile.

    To go on behind `size` bytes, `before` is the hash of their whole pieces and `since` what follows those.
    """

    def __init__(self, size: int = 0, before: bytes = b"", since: bytes = b"") -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="strandline-hash")
        self._under_way: deque[Future[None]] = deque()
        self._piece, self._before = size - len(since), before
        self._digest, self._filled = hashlib.sha256(before + since), len(since)
        self._marked = b""
        self.size = size

    def update(self, block: bytes, mark: int | None = None) -> None:
        """Go on. Of `mark`, which lies in or at the ends of the block, `marked` tells."""
        self._wait(_AHEAD)
        self.size += len(block)
        self._under_way.append(self._pool.submit(self._add, block, mark))

    def hexdigest(self) -> str:
        """The hash of all bytes so far."""
        self._wait(0)
        return self._digest.hexdigest()

    def marked(self) -> bytes:
        """The hash of the whole pieces before the last mark."""
        self._wait(0)
        return self._marked

    def _add(self, block: bytes, mark: int | None) -> None:
        rest, wanted = memoryview(block), None if mark is None else mark - mark % PIECE
        while True:
            if self._piece == wanted:
                self._marked = self._before
            if not rest:
                return
            room = PIECE - self._filled
            self._digest.update(rest[:room])
            self._filled += min(room, len(rest))
            rest = rest[room:]
            if self._filled == PIECE:
                self._before = self._digest.digest()
                self._digest = hashlib.sha256(self._before)
                self._piece, self._filled = self._piece + PIECE, 0

    def _wait(self, left: int) -> None:
        while len(self._under_way) > left:
            self._under_way.popleft().result()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
