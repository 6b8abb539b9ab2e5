"""Cuts CSV text into records with the physical line each one starts on.

Text that keeps RFC 4180 to the letter is cut a block at a time with array operations. Where a quote
stands in an odd place, a bounded window is cut record by record instead, and the cutter is back at
full speed behind it. A broken record ends with its first line wherever the rest can stand alone, so
that it never swallows a good neighbour.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from strandline.sources.assemble import RAW_LIMIT, clip
from strandline.sources.text import behind_line_end, broken, with_last

LONGEST = 16 << 20  # bytes of one record
_CAREFUL = 64 << 10  # bytes cut record by record before the fast way is tried again
_QUOTE, _LF, _CR = 34, 10, 13


@dataclass(frozen=True, slots=True)
class Shape:
    """What a record looks like: one byte between its fields, and how many fields it has."""

    delimiter: bytes
    width: int


@dataclass(frozen=True, slots=True)
class Records:
    """Records of the right shape, one after the other, and what was cut out between them.

    `data` is strict CSV for a parser; `starts` and `ends` are the records' places in `raw`, the text
    as it was. `rejects` are (line, reason, raw text).
    """

    data: bytes
    lines: np.ndarray
    raw: bytes
    starts: np.ndarray
    ends: np.ndarray
    rejects: list[tuple[int, str, str]]
    quoted: bool

    def text(self, i: int) -> str:
        """Record `i` as it was in the file, without its line end."""
        return clip(self.raw[int(self.starts[i]) : int(self.ends[i])])


@dataclass(frozen=True, slots=True)
class _Cut:
    """What one step took: `used` bytes and `lines` line ends; `stuck` where the next record is odd."""

    records: Records | None
    used: int
    lines: int
    stuck: bool = False


def records(text: Iterable[bytes], shape: Shape, line: int) -> Iterator[Records]:
    """All records of the text, whose first byte is on physical line `line`, a block at a time."""
    buffer, skipping = b"", False
    for block, final in with_last(text):
        kept, ended = behind_line_end(block) if skipping else (block, False)
        skipping, line = skipping and not ended, line + ended
        buffer += kept
        if final and buffer and not buffer.endswith(b"\n"):
            buffer += b"\n"
        cuts = list(_steps(buffer, shape, line, final))
        at = sum(cut.used for cut in cuts)
        line += sum(cut.lines for cut in cuts)
        skipping = skipping or (at > 0 and buffer[at - 1] != _LF)  # too long to keep: pass over its rest
        found_here = [cut.records for cut in cuts if cut.records is not None]
        if found_here:
            yield _joined(found_here)
        buffer = buffer[at:]


def first_record(text: bytes, delimiter: bytes) -> Record | None:
    """The first record behind blank lines, whatever its width; None where its quotes are broken."""
    text = text if text.endswith(b"\n") else text + b"\n"
    blank = len(text) - len(text.lstrip(b"\r\n"))
    one = _one(text, blank, delimiter)
    return one if isinstance(one, Record) else None


def _joined(parts: list[Records]) -> Records:
    if len(parts) == 1:
        return parts[0]
    before = np.cumsum([0] + [len(part.raw) for part in parts])
    moved = list(zip(parts, before, strict=False))
    return Records(
        b"".join(part.data for part in parts),
        np.concatenate([part.lines for part in parts]),
        b"".join(part.raw for part in parts),
        np.concatenate([part.starts + offset for part, offset in moved]),
        np.concatenate([part.ends + offset for part, offset in moved]),
        [reject for part in parts for reject in part.rejects],
        any(part.quoted for part in parts),
    )


def _steps(buffer: bytes, shape: Shape, line: int, final: bool) -> Iterator[_Cut]:
    """Cut as much of the buffer as is complete. At odd places the window shrinks, and the more of them

    there are the more is cut record by record before the fast way is tried again.
    """
    at, window, careful = 0, len(buffer), 1
    while at < len(buffer):
        part = buffer if at == 0 and window >= len(buffer) else buffer[at : at + window]
        cut = _strict(part, shape, line)
        if cut.used:
            yield cut
            at, line, window = at + cut.used, line + cut.lines, window * 2
        if not cut.stuck:
            if at + window < len(buffer) and not cut.used:
                window *= 2
            if cut.used or at + window < len(buffer):
                continue
        last = final or len(buffer) - at > LONGEST
        if not (cut.stuck or last):
            return
        careful = 1 if cut.used > _CAREFUL // 8 else min(2 * careful, _CAREFUL)
        window = _CAREFUL
        cut = _careful(buffer, at, shape, line, last, careful)
        if not cut.used:
            return
        yield cut
        at, line = at + cut.used, line + cut.lines


# The fast way.


def _strict(part: bytes, shape: Shape, line: int) -> _Cut:
    """The records before the first oddity. Strict text leaves no doubt where a record ends:

    an even number of quotes stands before its line end, every opening quote stands behind a
    delimiter or a line end, every closing one before a delimiter or a line end, else it is doubled.
    """
    bytes_of = np.frombuffer(part, dtype=np.uint8)
    breaks = np.flatnonzero(bytes_of == _LF)
    quotes = np.flatnonzero(bytes_of == _QUOTE) if b'"' in part else np.empty(0, dtype=np.int64)
    outer = (
        np.flatnonzero((np.searchsorted(quotes, breaks) & 1) == 0) if len(quotes) else np.arange(len(breaks))
    )
    odd = _first_odd(bytes_of, quotes, shape.delimiter[0], b"\r" in part)
    outer = outer[breaks[outer] < odd]
    stuck = odd < len(part)
    ends = breaks[outer]
    starts, first = np.append(0, ends[:-1] + 1)[: len(ends)], np.append(0, outer[:-1] + 1)[: len(ends)]
    fields = _fields(bytes_of, quotes, starts, ends, shape)
    torn = np.flatnonzero((fields != shape.width) & (outer > first))
    if len(torn):
        keep, stuck = int(torn[0]), True
        starts, ends, first, fields, outer = (a[:keep] for a in (starts, ends, first, fields, outer))
    if not len(ends):
        return _Cut(None, 0, 0, stuck)
    used = int(ends[-1]) + 1
    cut = _sorted_out(part[:used], starts, ends, first + line, fields, shape)
    return _Cut(cut, used, int(outer[-1]) + 1, stuck)


def _first_odd(bytes_of: np.ndarray, quotes: np.ndarray, delimiter: int, has_cr: bool) -> int:
    """The place of the first quote or lone carriage return that strict CSV would not have there."""
    places = [len(bytes_of)]
    if not len(quotes) and not has_cr:
        return places[0]
    padded = np.append(bytes_of, np.array([_LF, _LF], dtype=np.uint8))
    opening, closing = quotes[0::2], quotes[1::2]
    before = np.where(opening > 0, padded[opening - 1], _LF)
    after, then = padded[closing + 1], padded[closing + 2]
    well = (before == delimiter) | (before == _LF) | (before == _QUOTE)
    places += opening[~well][:1].tolist()
    well = (after == delimiter) | (after == _LF) | (after == _QUOTE) | ((after == _CR) & (then == _LF))
    places += closing[~well][:1].tolist()
    if has_cr:
        returns = np.flatnonzero(bytes_of == _CR)
        lone = returns[padded[returns + 1] != _LF]
        places += lone[(np.searchsorted(quotes, lone) & 1) == 0][:1].tolist()
    return min(places)


def _fields(
    bytes_of: np.ndarray, quotes: np.ndarray, starts: np.ndarray, ends: np.ndarray, shape: Shape
) -> np.ndarray:
    """How many fields each record has."""
    marks = np.flatnonzero(bytes_of == shape.delimiter[0])
    if len(quotes):
        marks = marks[(np.searchsorted(quotes, marks) & 1) == 0]
    if _even(marks, starts, ends, shape.width - 1):
        return np.full(len(ends), shape.width)
    before = np.searchsorted(marks, ends)
    return np.diff(before, prepend=0) + 1


def _even(marks: np.ndarray, starts: np.ndarray, ends: np.ndarray, each: int) -> bool:
    """Whether every record has `each` delimiters: that many in all, and its share of them within it."""
    if not each or len(marks) != each * len(ends):
        return False
    shares = marks.reshape(len(ends), each)
    return bool((shares[:, 0] >= starts).all() and (shares[:, -1] < ends).all())


def _sorted_out(
    raw: bytes, starts: np.ndarray, breaks: np.ndarray, lines: np.ndarray, fields: np.ndarray, shape: Shape
) -> Records:
    """Take out blank lines, records of a wrong width and those that are not UTF-8."""
    bytes_of = np.frombuffer(raw, dtype=np.uint8)
    ends = breaks - ((breaks > starts) & (bytes_of[np.maximum(breaks - 1, 0)] == _CR))
    wrong, blank = fields != shape.width, ends == starts
    reasons = {int(i): _width_reason(int(fields[i]), shape) for i in np.flatnonzero(wrong & ~blank)}
    reasons.update(broken(raw, starts, ends))
    rejects = [(int(lines[i]), why, clip(raw[int(starts[i]) : int(ends[i])])) for i, why in reasons.items()]
    drop = wrong | blank
    drop[list(reasons)] = True
    if not drop.any():
        return Records(raw, lines, raw, starts, ends, rejects, b'"' in raw)
    data = b"".join(raw[a:b] for a, b in _runs(~drop, starts, breaks + 1))
    return Records(data, lines[~drop], raw, starts[~drop], ends[~drop], rejects, b'"' in raw)


def _runs(keep: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> list[tuple[int, int]]:
    """The byte ranges of neighbouring kept records."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], keep.astype(np.int8), [0]))))
    return [(int(starts[a]), int(stops[b - 1])) for a, b in zip(edges[0::2], edges[1::2], strict=True)]


def _width_reason(fields: int, shape: Shape) -> str:
    if fields < shape.width:
        return f"{fields} of {shape.width} fields: the line is cut short or lacks delimiters"
    return f"{fields} fields, expected {shape.width}: a delimiter too many or an unquoted one"


# The careful way.


@dataclass(frozen=True, slots=True)
class Record:
    """A record read by itself: where the text behind it begins, its fields in strict form.

    `loose` where a quote stands within an unquoted field: fine on one line, doubtful over several.
    """

    stop: int
    fields: tuple[bytes, ...]
    loose: bool = False


@dataclass(slots=True)
class _Taken:
    """What the careful way has found since `begin`, from where offsets count; `line` is the next one."""

    begin: int
    line: int
    data: list[bytes]
    lines: list[int]
    spans: list[tuple[int, int]]
    rejects: list[tuple[int, str, str]]


def _careful(buffer: bytes, at: int, shape: Shape, line: int, last: bool, most: int) -> _Cut:
    """Record by record for a while. Without `last`, a record that may go on in the next block waits."""
    taken, begin = _Taken(at, line, [], [], [], []), at
    while at < len(buffer) and at - begin < most:
        one = _one(buffer, at, shape.delimiter)
        if not last and _waits(one, buffer, at, shape):
            break
        stop = _take(taken, buffer, at, one, shape)
        taken.line, at = taken.line + buffer.count(b"\n", at, stop), stop
    spans = np.array(taken.spans, dtype=np.int64).reshape(-1, 2)
    lines = np.array(taken.lines, dtype=np.int64)
    raw = buffer[begin:at]
    whole = Records(b"".join(taken.data), lines, raw, spans[:, 0], spans[:, 1], taken.rejects, True)
    return _Cut(_decodable(whole, taken.data), at - begin, taken.line - line)


def _take(taken: _Taken, buffer: bytes, at: int, one: Record | str | None, shape: Shape) -> int:
    """Sort one record; the place behind it."""
    if isinstance(one, Record):
        stop, reason = _until_good(buffer, at, one, shape), _width_reason(len(one.fields), shape)
        if not buffer[at:stop].strip(b"\r\n"):
            return stop
        if stop == one.stop and len(one.fields) == shape.width:
            taken.data.append(shape.delimiter.join(one.fields) + b"\n")
            taken.lines.append(taken.line)
            taken.spans.append((at - taken.begin, _content_end(buffer, at, stop) - taken.begin))
            return stop
        reason = reason if len(one.fields) != shape.width else _QUOTES
    else:
        stop = buffer.find(b"\n", at) + 1
        reason = one or (_QUOTES if stop else f"the record is longer than {LONGEST >> 20} MiB")
        stop = stop or len(buffer)
    end = min(_content_end(buffer, at, stop), at + 2 * RAW_LIMIT)
    taken.rejects.append((taken.line, reason, clip(buffer[at:end])))
    return stop


@cache
def _field_pattern(delimiter: bytes) -> re.Pattern[bytes]:
    d = re.escape(delimiter)
    quoted = rb'"[^"]*+(?:""[^"]*+)*+"(?=' + d + rb"|\r?\n)"
    return re.compile(rb"(" + quoted + rb')|((?!")[^' + d + rb"\n]*+)(?=" + d + rb"|\n)")


def _one(buffer: bytes, at: int, delimiter: bytes) -> Record | str | None:
    """The record at `at`; a reason where its quotes are broken; None where it does not end here."""
    stop = buffer.find(b"\n", at) + 1
    if stop and buffer.find(b'"', at, stop) < 0 and buffer.find(b"\r", at, stop - 2) < 0:
        end = _content_end(buffer, at, stop)
        return Record(stop, tuple(buffer[at:end].split(delimiter)))
    fields: list[bytes] = []
    field, loose = _field_pattern(delimiter), False
    while True:
        match = field.match(buffer, at)
        if match is None:
            return _no_field(buffer, at)
        if match[1] is None:
            loose = loose or b'"' in match[0]
            fields.append(_unquoted(match[0], buffer[match.end()]))
        else:
            fields.append(match[0])
        at = match.end()
        if buffer[at] == _CR:
            at += 1
        if buffer[at] == _LF:
            return Record(at + 1, tuple(fields), loose)
        at += 1


def _no_field(buffer: bytes, at: int) -> str | None:
    """Broken quotes, or None where more text might still mend them."""
    closed = _QUOTED.match(buffer, at)
    return None if closed is None or closed.end() + 1 >= len(buffer) else _QUOTES


_QUOTED = re.compile(rb'"[^"]*+(?:""[^"]*+)*+"')
_QUOTES = "a quoted field is not closed, or text follows its closing quote"


def _unquoted(value: bytes, behind: int) -> bytes:
    """An unquoted field in strict form: what a parser could take for syntax is quoted."""
    if behind == _LF and value.endswith(b"\r"):
        value = value[:-1]
    if b'"' in value or b"\r" in value:
        return b'"' + value.replace(b'"', b'""') + b'"'
    return value


def _until_good(buffer: bytes, at: int, one: Record, shape: Shape) -> int:
    """Where a record ends that may be torn: before the first of its lines that is a record by itself."""
    if len(one.fields) == shape.width and not one.loose:
        return one.stop
    stop = buffer.find(b"\n", at) + 1
    while stop < one.stop:
        other = _one(buffer, stop, shape.delimiter)
        if isinstance(other, Record) and len(other.fields) == shape.width and not other.loose:
            return stop
        stop = buffer.find(b"\n", stop) + 1
    return one.stop


def _waits(one: Record | str | None, buffer: bytes, at: int, shape: Shape) -> bool:
    """Whether more text could change how this record is cut."""
    if not isinstance(one, Record):
        return one is None or buffer.find(b"\n", at) < 0
    torn = len(one.fields) != shape.width or one.loose
    return torn and buffer.count(b"\n", at, one.stop) > 1 and len(buffer) - one.stop < _CAREFUL


def _content_end(buffer: bytes, at: int, stop: int) -> int:
    end = stop - 1 if buffer[stop - 1] == _LF else stop
    return end - 1 if end > at and buffer[end - 1] == _CR else end


def _decodable(whole: Records, data: list[bytes]) -> Records:
    reasons = broken(whole.raw, whole.starts, whole.ends)
    if not reasons:
        return whole
    rejects = whole.rejects + [(int(whole.lines[i]), why, whole.text(i)) for i, why in reasons.items()]
    keep = np.ones(len(whole.lines), dtype=bool)
    keep[list(reasons)] = False
    rest = b"".join(part for part, good in zip(data, keep, strict=True) if good)
    return Records(rest, whole.lines[keep], whole.raw, whole.starts[keep], whole.ends[keep], rejects, True)
