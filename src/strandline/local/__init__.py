"""Readers beside the one writer: who holds a warehouse, and asking that process over a local socket.

DuckDB admits one process while it writes. The process that has the warehouse open for writing
listens on a socket beside it (`LocalServer`); `open_reader` uses it when the file is not free.
"""

from __future__ import annotations

from strandline.local.answers import Reading, quarantine, runs
from strandline.local.client import RemoteWarehouse, answers, ask, open_reader
from strandline.local.holder import Holder, announce, holder_of, is_file, locked, withdraw
from strandline.local.opened import claimed, opened, released
from strandline.local.server import LocalServer
from strandline.local.status import LastCheckpoint, ModelStatus, Status, TableStatus, read_status

__all__ = [
    "Holder",
    "LastCheckpoint",
    "LocalServer",
    "ModelStatus",
    "Reading",
    "RemoteWarehouse",
    "Status",
    "TableStatus",
    "announce",
    "answers",
    "ask",
    "claimed",
    "holder_of",
    "is_file",
    "locked",
    "open_reader",
    "opened",
    "quarantine",
    "read_status",
    "released",
    "runs",
    "withdraw",
]
