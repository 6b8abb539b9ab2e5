"""What travels over the local socket: one JSON line there, length-prefixed frames back.

A request is `{"v": 1, "op": "sql", "args": {…}}` and a newline. A response is one frame:
a letter (J a JSON value, A an Arrow IPC stream, E an error), eight bytes of length, the body.
Values are rebuilt from a fixed list of types; nothing that arrives is ever executed.
"""

from __future__ import annotations

import datetime as dt
import decimal
import importlib
import json
import struct
import uuid
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import IO, Any

from strandline import errors
from strandline.errors import EngineError, StrandlineError

VERSION = 1
LONGEST_REQUEST = 16 * 2**20
_HEAD = struct.Struct(">cQ")
_TAG = "$"

Types = Mapping[str, str]
"""The dataclasses that may be rebuilt: their names, and the modules they are in."""
SHARED: Types = dict.fromkeys(
    ("Column", "Schema", "FileRecord", "StageRun", "ModelRun", "TableRun", "Run", "Parity", "Reject"),
    "strandline.schema",
)
_SCALARS: Mapping[str, tuple[type, Callable[[Any], str], Callable[[str], Any]]] = {
    "datetime": (dt.datetime, dt.datetime.isoformat, dt.datetime.fromisoformat),
    "date": (dt.date, dt.date.isoformat, dt.date.fromisoformat),
    "time": (dt.time, dt.time.isoformat, dt.time.fromisoformat),
    "timedelta": (dt.timedelta, lambda v: repr(v.total_seconds()), lambda v: dt.timedelta(seconds=float(v))),
    "decimal": (decimal.Decimal, str, decimal.Decimal),
    "uuid": (uuid.UUID, str, uuid.UUID),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
}


def encode(value: Any) -> Any:
    """A value as JSON; dataclasses and the usual scalars keep their type, tuples become lists."""
    if value is None or isinstance(value, str | int | float):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        held = {f.name: encode(getattr(value, f.name)) for f in fields(value)}
        return {_TAG: type(value).__name__, "v": held}
    for tag, (kind, write, _) in _SCALARS.items():
        if isinstance(value, kind):
            return {_TAG: tag, "v": write(value)}
    if isinstance(value, Mapping):
        if _TAG in value or not all(isinstance(k, str) for k in value):
            return {_TAG: "mapping", "v": [[encode(k), encode(v)] for k, v in value.items()]}
        return {k: encode(v) for k, v in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [encode(v) for v in value]
    return str(value)


def decode(value: Any, types: Types) -> Any:
    """The value that `encode` was given; lists inside dataclasses come back as tuples."""
    if isinstance(value, list):
        return [decode(v, types) for v in value]
    if not isinstance(value, dict):
        return value
    tag = value.get(_TAG)
    if tag is None:
        return {k: decode(v, types) for k, v in value.items()}
    if tag == "mapping":
        return {decode(k, types): decode(v, types) for k, v in value["v"]}
    if tag in _SCALARS:
        rebuild = _SCALARS[tag][2]
        return rebuild(value["v"])
    if tag not in types:
        raise EngineError(
            f"the process that holds the warehouse sent an unknown {tag!r}",
            hint="it runs another version of Strandline: stop it and start it again.",
        )
    rebuild = getattr(importlib.import_module(types[tag]), tag)
    return rebuild(**{k: _frozen(decode(v, types)) for k, v in value["v"].items()})


def send_request(stream: IO[bytes], op: str, args: Mapping[str, Any]) -> None:
    """Raises EngineError where the request is too long to be taken."""
    line = json.dumps({"v": VERSION, "op": op, "args": encode(args)}).encode() + b"\n"
    if len(line) > LONGEST_REQUEST:
        raise EngineError(f"the request is {len(line):,} bytes long; at most {LONGEST_REQUEST:,} are taken")
    stream.write(line)
    stream.flush()


def receive_request(stream: IO[bytes]) -> tuple[str, dict[str, Any]]:
    """The operation and its arguments. Raises ValueError for anything that is not a request."""
    line = stream.readline(LONGEST_REQUEST + 1)
    if not line.endswith(b"\n"):
        raise ValueError("the request did not end")
    request = json.loads(line)
    if not isinstance(request, dict) or not isinstance(request.get("op"), str):
        raise ValueError("a request has an op")
    if request.get("v") != VERSION:
        raise ValueError(f"this process speaks version {VERSION} of the local protocol")
    args = request.get("args") or {}
    if not isinstance(args, dict):
        raise ValueError("args is an object")
    return request["op"], decode(args, {})


def send_value(stream: IO[bytes], value: Any) -> None:
    """Answer with an Arrow table as Arrow and anything else as JSON."""
    import pyarrow as pa

    if isinstance(value, pa.Table):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as writer:
            writer.write_table(value)
        _send(stream, b"A", memoryview(sink.getvalue()))
    else:
        _send(stream, b"J", memoryview(json.dumps(encode(value)).encode()))


def send_error(stream: IO[bytes], error: StrandlineError) -> None:
    parts = {"type": type(error).__name__, "message": error.message, "where": error.where, "hint": error.hint}
    _send(stream, b"E", memoryview(json.dumps(parts).encode()))


def receive(stream: IO[bytes], types: Types) -> Any:
    """The answer: a value or a pyarrow Table.

    Raises the StrandlineError that the other side raised; ConnectionError when the answer breaks off.
    """
    kind, length = _HEAD.unpack(_exactly(stream, _HEAD.size))
    body = _exactly(stream, length)
    if kind == b"A":
        import pyarrow as pa

        return pa.ipc.open_stream(pa.py_buffer(body)).read_all()
    answer = json.loads(body)
    if kind == b"E":
        raise _error(answer)
    return decode(answer, types)


def _error(parts: Mapping[str, str]) -> StrandlineError:
    kind = getattr(errors, parts["type"], None)
    if not (isinstance(kind, type) and issubclass(kind, StrandlineError)):
        kind = EngineError
    return kind(parts["message"], where=parts["where"], hint=parts["hint"])


def _send(stream: IO[bytes], kind: bytes, body: memoryview) -> None:
    stream.write(_HEAD.pack(kind, body.nbytes))
    stream.write(body)
    stream.flush()


def _exactly(stream: IO[bytes], size: int) -> bytes:
    body = stream.read(size)
    if len(body) != size:
        raise ConnectionError("the answer broke off")
    return body


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
