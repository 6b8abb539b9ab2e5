"""Answers readers over a local socket while this process holds the warehouse.

Every request has its own connection, thread and database cursor: it sees what is committed
and never waits for the writer, nor the writer for it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from strandline.errors import EngineError, StrandlineError, UsageError
from strandline.local import wire
from strandline.local.answers import Handler, Reading, answer
from strandline.local.holder import make_private_folder, socket_paths

MOST_AT_ONCE = 16
PATIENCE_SECONDS = 30.0


class LocalServer:
    """Serves one warehouse until `close`.

    `open_cursor` gives a reader of its own to every request. `more` adds operations; one that
    writes must hand its work to the thread that owns the writer and wait for it.
    """

    def __init__(
        self,
        warehouse: str,
        open_cursor: Callable[[], AbstractContextManager[Reading]],
        more: Mapping[str, Handler] | None = None,
    ) -> None:
        self._warehouse = warehouse
        self._open_cursor = open_cursor
        self._more = dict(more or {})
        self._stopping = threading.Event()
        self._free = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._threads: set[threading.Thread] = set()
        self._listening: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self.path: Path | None = None

    def start(self) -> Path | None:
        """Listen; the socket's path, or None where this machine has no place for one."""
        bound = _bind(self._warehouse)
        if bound is None:
            return None
        self._listening, self.path = bound
        self._accepting = threading.Thread(target=self._accept, name="strandline-local", daemon=True)
        self._accepting.start()
        return self.path

    def close(self, patience: float = 5.0) -> None:
        """Stop listening, and wait up to `patience` seconds for answers that are under way."""
        if self._listening is None or self.path is None:
            return
        self._stopping.set()
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as wake:
            wake.settimeout(1)
            wake.connect(str(self.path))  # closing alone would not wake `accept` everywhere
        self.path.unlink(missing_ok=True)
        deadline = time.monotonic() + patience
        for thread in (self._accepting, *self._threads):
            if thread is not None and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        self._listening.close()
        self._listening = None

    def __enter__(self) -> LocalServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        assert self._listening is not None
        while True:
            self._free.acquire()
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            if self._stopping.is_set():
                connection.close()
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.add(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        # A reader that went away in the middle of its answer is no fault of this process.
        with contextlib.suppress(OSError), connection:
            connection.settimeout(PATIENCE_SECONDS)
            with connection.makefile("rb") as asked, connection.makefile("wb") as answered:
                self._answer(asked, answered)
        self._threads.discard(threading.current_thread())
        self._free.release()

    def _answer(self, asked: IO[bytes], answered: IO[bytes]) -> None:
        try:
            op, args = wire.receive_request(asked)
            wire.send_value(answered, self._value(op, args))
        except StrandlineError as error:
            wire.send_error(answered, error)
        except OSError:
            raise
        except ValueError as problem:
            wire.send_error(answered, UsageError(f"the request cannot be understood: {problem}"))
        except Exception as problem:  # noqa: BLE001  whatever it is, the reader must be told
            wire.send_error(answered, EngineError(f"{type(problem).__name__}: {problem}"))

    def _value(self, op: str, args: Mapping[str, Any]) -> Any:
        if op == "ping":
            return {"warehouse": self._warehouse}
        with self._open_cursor() as reader:
            if op in self._more:
                return self._more[op](reader, args)
            return answer(reader, self._warehouse, op, args)


def _bind(warehouse: str) -> tuple[socket.socket, Path] | None:
    if not hasattr(socket, "AF_UNIX"):
        return None
    for path in socket_paths(warehouse):
        listening = socket.socket(socket.AF_UNIX)
        try:
            if path.parent != Path(warehouse).resolve().parent:
                make_private_folder(path.parent)
            # This process holds DuckDB's lock, so a socket that is there was left by one that died.
            path.unlink(missing_ok=True)
            listening.bind(str(path))
            path.chmod(0o600)
            listening.listen(MOST_AT_ONCE)  # nobody can connect before the mode is set
        except OSError:  # such as a file system without sockets: try the next place
            listening.close()
            continue
        return listening, path
    return None
