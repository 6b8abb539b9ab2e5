"""Inflating that can stop at a block's end and go on from there: what `zlib` keeps to itself of libz.

Where there is no libz to be called, `available()` is False and nothing else here may be used.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import os
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, Any

WINDOW = 1 << 15
_PACKED = 64 << 10
_OUT = 256 << 10
"""Bytes inflated at a time: what stays in the processor's cache is copied and hashed faster."""
_STOP_AT_BLOCK = 5
_OK, _END, _NO_PROGRESS = 0, 1, -5
_AT_BLOCK, _IN_LAST = 128, 64
WRONG = "its content is not what was packed (wrong length or CRC-32)"


@dataclass(frozen=True, slots=True)
class Place:
    """The end of a block inside of a raw deflate stream, from where it can be inflated on.

    Before it lie `packed` bytes and the lowest `bits` bits (0 to 7) of the next one, which inflate to
    `size` bytes with the CRC-32 `crc`; `window` are the last 32 KiB of those.
    """

    packed: int
    bits: int
    size: int
    crc: int
    window: bytes


class _State(ctypes.Structure):
    """libz's z_stream."""

    _fields_ = (
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_uint),
        ("total_in", ctypes.c_ulong),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint),
        ("total_out", ctypes.c_ulong),
        ("msg", ctypes.c_char_p),
        ("state", ctypes.c_void_p),
        ("zalloc", ctypes.c_void_p),
        ("zfree", ctypes.c_void_p),
        ("opaque", ctypes.c_void_p),
        ("data_type", ctypes.c_int),
        ("adler", ctypes.c_ulong),
        ("reserved", ctypes.c_ulong),
    )


def _loaded() -> Any:
    """libz by its usual name, for looking it up starts programs. Raises OSError where there is none."""
    try:
        return ctypes.CDLL("libz.so.1")
    except OSError:
        if name := ctypes.util.find_library("z"):
            return ctypes.CDLL(name)
        raise


@functools.cache
def _libz() -> Any:
    """The library, None where there is none that has what is needed."""
    try:
        lib = _loaded()
        lib.zlibVersion.restype = ctypes.c_char_p
        pointer = ctypes.POINTER(_State)
        lib.inflateInit2_.argtypes = (pointer, ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
        lib.inflate.argtypes = (pointer, ctypes.c_int)
        lib.inflatePrime.argtypes = (pointer, ctypes.c_int, ctypes.c_int)
        lib.inflateSetDictionary.argtypes = (pointer, ctypes.c_char_p, ctypes.c_uint)
        lib.inflateGetDictionary.argtypes = (pointer, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint))
        lib.inflateEnd.argtypes = (pointer,)
    except (OSError, AttributeError):
        return None
    return lib


def available() -> bool:
    """Whether libz can be called."""
    return _libz() is not None


class Inflated:
    """A zip's deflated member, whose data begin where `raw` stands, inflated from `start` on.

    `place` is the last block's end so far behind which there is another block: `start` at first.
    """

    def __init__(self, raw: IO[bytes], member: zipfile.ZipInfo, start: Place | None = None) -> None:
        self._lib, self._state, self._raw = _libz(), _State(), raw
        self._in, self._out = ctypes.create_string_buffer(_PACKED), ctypes.create_string_buffer(_OUT)
        self._window = ctypes.create_string_buffer(WINDOW)
        size = ctypes.sizeof(_State)
        self._check(self._lib.inflateInit2_(self._state, -zlib.MAX_WBITS, self._lib.zlibVersion(), size))
        self.data_at, self.place = raw.tell(), start
        self._begin, self._left = 0, member.compress_size
        self._expected = (member.file_size, member.CRC)
        self._size, self._crc, self._ended = 0, 0, False
        if start is not None:
            self._go_on(start)

    def read(self, size: int) -> bytes:
        """At most `size` bytes, b"" at the end.

        Raises EOFError where the member ends too early, zlib.error where it is damaged, BadZipFile where it
        is not what was packed.
        """
        filled, room = 0, min(size, _OUT)
        while filled < room and not self._ended:
            filled += self._step(filled, room)
        if not filled and (self._size, self._crc) != self._expected:
            raise zipfile.BadZipFile(WRONG)
        return ctypes.string_at(self._out, filled)

    def _go_on(self, start: Place) -> None:
        self._raw.seek(start.packed, os.SEEK_CUR)
        self._begin, self._left = start.packed, self._left - start.packed
        self._size, self._crc = start.size, start.crc
        if self._left <= 0:
            raise EOFError
        if start.bits:
            self._begin, self._left = self._begin + 1, self._left - 1
            rest = self._raw.read(1)[0] >> start.bits
            self._check(self._lib.inflatePrime(self._state, 8 - start.bits, rest))
        self._check(self._lib.inflateSetDictionary(self._state, start.window, len(start.window)))

    def _step(self, filled: int, room: int) -> int:
        """Inflate up to the end of a block, of the input or of the room: how many bytes came."""
        state = self._state
        if not state.avail_in:
            self._more()
        state.next_out, state.avail_out = ctypes.addressof(self._out) + filled, room - filled
        code = self._lib.inflate(state, _STOP_AT_BLOCK)
        found: int = room - filled - state.avail_out
        if code == _NO_PROGRESS and not state.avail_in and not self._left:
            raise EOFError
        if code not in (_OK, _END, _NO_PROGRESS):
            self._check(code)
        self._crc = zlib.crc32(memoryview(self._out)[filled : filled + found], self._crc)
        self._size, self._ended = self._size + found, code == _END
        if state.data_type & (_AT_BLOCK | _IN_LAST) == _AT_BLOCK and not self._ended:
            self._remember()
        return found

    def _remember(self) -> None:
        unused, packed = self._state.data_type & 7, self._begin + self._state.total_in
        length = ctypes.c_uint(0)
        self._lib.inflateGetDictionary(self._state, self._window, ctypes.byref(length))
        window = ctypes.string_at(self._window, length.value)
        packed, bits = (packed - 1, 8 - unused) if unused else (packed, 0)
        self.place = Place(packed, bits, self._size, self._crc, window)

    def _more(self) -> None:
        packed = self._raw.read(min(_PACKED, self._left))
        self._left = self._left - len(packed) if packed else 0
        ctypes.memmove(self._in, packed, len(packed))
        self._state.next_in, self._state.avail_in = ctypes.addressof(self._in), len(packed)

    def _check(self, code: int) -> None:
        if code != _OK:  # said as by the standard library
            why = (self._state.msg or b"").decode("ascii", "replace")
            raise zlib.error(f"Error {code} while decompressing data{': ' if why else ''}{why}")

    def __del__(self) -> None:
        self._lib.inflateEnd(self._state)
