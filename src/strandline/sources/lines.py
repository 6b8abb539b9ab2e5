"""Cuts text into lines, with the number of each one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from strandline.sources.assemble import clip
from strandline.sources.text import behind_line_end, broken, with_last

LONGEST = 16 << 20  # bytes of one line


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a block that are not blank; `starts` and `ends` (without line ends) point into `data`.

    `rejects` are (line, reason, raw text) of those that are not UTF-8 or too long.
    """

    data: bytes
    lines: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    rejects: list[tuple[int, str, str]]

    def record(self, i: int) -> bytes:
        """Line `i` of the block."""
        return self.data[int(self.starts[i]) : int(self.ends[i])]

    def whole_objects(self, low: int, high: int) -> bool:
        """Whether every line begins with { and ends with }; only line ends stand between the lines.

        As } is never followed by { inside of an object, every line end is then between two objects.
        """
        bytes_of = np.frombuffer(self.data, dtype=np.uint8)
        opened = bytes_of[self.starts[low:high]] == ord("{")
        return bool(opened.all() and (bytes_of[self.ends[low:high] - 1] == ord("}")).all())


def lines(text: Iterable[bytes]) -> Iterator[Lines]:
    """All lines of the text, a block at a time."""
    rest, line, skipping = b"", 1, False
    for block, final in with_last(text):
        kept, ended = behind_line_end(block) if skipping else (block, False)
        skipping, line = skipping and not ended, line + ended
        buffer = rest + kept
        if final and buffer and not buffer.endswith(b"\n"):
            buffer += b"\n"
        stop = buffer.rfind(b"\n") + 1
        if stop:
            yield _cut(buffer[:stop], line)
            line += buffer.count(b"\n", 0, stop)
        rest = buffer[stop:]
        if len(rest) > LONGEST:
            nothing = np.empty(0, dtype=np.int64)
            reject = (line, f"the line is longer than {LONGEST >> 20} MiB", clip(rest[: 1 << 17]))
            yield Lines(b"", nothing, nothing, nothing, [reject])
            rest, skipping = b"", True


def _cut(data: bytes, line: int) -> Lines:
    bytes_of = np.frombuffer(data, dtype=np.uint8)
    breaks = np.flatnonzero(bytes_of == 10)
    starts = np.append(0, breaks[:-1] + 1)
    ends = breaks - ((breaks > starts) & (bytes_of[np.maximum(breaks - 1, 0)] == 13))
    numbers = np.arange(line, line + len(starts))
    reasons = broken(data, starts, ends)
    rejects = [
        (int(numbers[i]), why, clip(data[int(starts[i]) : int(ends[i])])) for i, why in reasons.items()
    ]
    keep = ends > starts
    keep[list(reasons)] = False
    if reasons:
        # Squeeze them out: a parser is given the bytes between two lines as well.
        data, starts, ends = _squeezed(data, starts[keep], ends[keep])
        return Lines(data, numbers[keep], starts, ends, rejects)
    return Lines(data, numbers[keep], starts[keep], ends[keep], rejects)


def _squeezed(data: bytes, starts: np.ndarray, ends: np.ndarray) -> tuple[bytes, np.ndarray, np.ndarray]:
    parts = [data[int(a) : int(b)] for a, b in zip(starts, ends, strict=True)]
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    stops = np.cumsum(lengths + 1) - 1
    return b"\n".join(parts), stops - lengths, stops
