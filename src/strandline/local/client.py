"""Reads a warehouse that another process holds, as if it were open here."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from strandline.errors import ConfigurationError, LockedError
from strandline.local import wire
from strandline.local.answers import Reading, answer
from strandline.local.holder import is_file, locked, socket_paths
from strandline.local.status import Status
from strandline.schema import FileRecord, Parity, Schema

Open = Callable[[], Reading]
TYPES: wire.Types = {
    **wire.SHARED,
    "Holder": "strandline.local.holder",
    **dict.fromkeys(("Status", "TableStatus", "ModelStatus", "LastCheckpoint"), "strandline.local.status"),
    **dict.fromkeys(("RunPlan", "PlannedFile", "PlannedModel", "Release"), "strandline.runner"),
    **dict.fromkeys(("Explanation", "StageExplanation"), "strandline.warehouse.explain"),
}
"""What answers may be made of. Loaded when one arrives: asking must not cost what answering does."""


class NotServedError(Exception):
    """Nobody answers on the warehouse's socket (internal; never reaches a user)."""


def open_reader(warehouse: str | Path, open_file: Open, patience: float = 2.0) -> Reading:
    """A reader of a warehouse: the file itself when it is free, else the process that holds it.

    `open_file` opens the file read-only and raises LockedError when another process has it.
    Raises LockedError naming the holder when it neither answers nor ends within `patience` seconds.
    """
    path = str(warehouse)
    if not is_file(path):
        return open_file()
    if not Path(path).exists():
        raise ConfigurationError(
            f"there is no warehouse at {path}", hint="`strandline run` creates it; or correct the path."
        )
    deadline = time.monotonic() + patience
    while True:
        if answers(path):
            return RemoteWarehouse(path, open_file)
        try:
            return open_file()
        except LockedError as error:
            if time.monotonic() > deadline:
                raise locked(path, error, "it does not answer readers") from error
        time.sleep(0.05)


def answers(warehouse: str) -> bool:
    """Whether a process that holds the warehouse answers on its socket."""
    try:
        ask(warehouse, "ping", {}, timeout=2.0)
    except (NotServedError, OSError):
        return False
    return True


def ask(warehouse: str, op: str, args: dict[str, Any], *, timeout: float | None = None) -> Any:
    """One request to the process that holds the warehouse.

    Raises NotServedError when nobody listens, ConnectionError when the holder dies before it has
    answered, LockedError when it belongs to another user, and whatever StrandlineError it answers with.
    """
    with (
        _connect(warehouse, timeout) as connection,
        connection.makefile("wb") as asked,
        connection.makefile("rb") as answered,
    ):
        wire.send_request(asked, op, args)
        return wire.receive(answered, TYPES)


class RemoteWarehouse:
    """The reading half of a warehouse that another process holds open.

    Each call is one request and sees what is committed then. When the holder ends, the calls go on
    by opening the file for the moment they need it, and return to the next holder that answers.
    """

    def __init__(self, warehouse: str, open_file: Open) -> None:
        self.path = warehouse
        self._open_file = open_file

    def sql(self, query: str, *, arrow: bool = False) -> Any:
        """A read-only query's rows: a polars DataFrame, or a pyarrow Table with `arrow=True`."""
        return _frame(self._ask("sql", query=query), arrow=arrow)

    def read(self, name: str, *, lazy: bool = False, arrow: bool = False, limit: int | None = None) -> Any:
        """A table's or model's rows: a polars DataFrame, LazyFrame (`lazy`) or pyarrow Table (`arrow`)."""
        found = _frame(self._ask("read", name=name, limit=limit), arrow=arrow)
        return found.lazy() if lazy and not arrow else found

    def explain(self, model: str) -> Any:
        """How the model is kept and why."""
        return self._ask("explain", model=model)

    def verify(self, model: str, sample: float | None = None) -> Parity:
        """Compare the model with its full recompute, or a share (0 to 1) of its rows."""
        found = self._ask("verify", model=model, sample=sample)
        assert isinstance(found, Parity)
        return found

    def verify_all(self) -> list[Parity]:
        return list(self._ask("verify_all"))

    def tables(self) -> dict[str, Schema]:
        return dict(self._ask("tables"))

    def models(self) -> dict[str, str]:
        return dict(self._ask("models"))

    def files(self, table: str | None = None) -> list[FileRecord]:
        """The file ledger: the newest version of each path."""
        return list(self._ask("files", table=table))

    def status(self) -> Status:
        found = self._ask("status")
        assert isinstance(found, Status)
        return found

    def ask(self, op: str, **args: Any) -> Any:
        """Any other operation that the holder knows, such as `plan` or `release`.

        Raises LockedError when the holder has ended: there is nobody to do it any more.
        """
        try:
            return ask(self.path, op, args)
        except (NotServedError, ConnectionError) as problem:
            raise LockedError(
                "the process that held the warehouse has ended before it could do this",
                where=self.path,
                hint="try again: the warehouse is free now.",
                cause=problem,
            ) from problem

    def close(self) -> None:
        """Nothing is held open between calls."""

    def __enter__(self) -> RemoteWarehouse:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, op: str, **args: Any) -> Any:
        # The holder may end and another begin between any two steps; a reader must not notice.
        with contextlib.suppress(NotServedError, ConnectionError):
            return ask(self.path, op, args)
        reader = open_reader(self.path, self._open_file)
        if isinstance(reader, RemoteWarehouse):
            return ask(self.path, op, args)
        with contextlib.closing(reader):
            return answer(reader, self.path, op, args)


def _connect(warehouse: str, timeout: float | None) -> socket.socket:
    places = socket_paths(warehouse) if hasattr(socket, "AF_UNIX") else []
    for path in places:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
        except PermissionError as problem:
            connection.close()
            raise locked(warehouse, problem, "it answers only the user it runs as") from problem
        except OSError:  # none there, or left by a process that died
            connection.close()
            continue
        return connection
    raise NotServedError(warehouse)


def _frame(table: Any, *, arrow: bool) -> Any:
    if arrow:
        return table
    from strandline.warehouse.outgoing import to_polars

    return to_polars(table)
