"""Runs batches as files arrive, until it is told to stop.

One thread owns the writer: it looks for work, runs batches and executes what others submit.
A second one waits for file events and wakes it; a slow poll catches what events miss
(network file systems, a full inotify table, a folder that was replaced).
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from strandline.errors import EngineError, LockedError, StrandlineError
from strandline.schema import Run

Display = Callable[[Run], None]
Complain = Callable[[StrandlineError, float], None]


@dataclass(frozen=True, slots=True)
class Timing:
    """All in seconds.

    File events are gathered for `debounce`; `poll` is the safety net's interval; a batch that
    failed is tried again after `retry`, doubling up to `longest_retry`.
    """

    debounce: float = 0.2
    poll: float = 10.0
    retry: float = 1.0
    longest_retry: float = 60.0


@dataclass(frozen=True, slots=True)
class _Task:
    work: Callable[[], Any]
    result: Future[Any]


SHORTEST_WAIT = 0.02
_CHANGED = "changed"
_STOP = "stop"


class Watcher:
    """The loop. `run` blocks in the calling thread, which becomes the owner of the writer.

    `refresh` does one round of work and returns its Run (`changed` false when there was nothing).
    `on_run` gets every Run that changed something; `on_error` every failure, with the seconds until
    the next try. `resting` tells after a round in how many seconds the files that are still being
    written could be complete (None without any): coming to rest raises no event.
    """

    def __init__(
        self,
        refresh: Callable[[], Run],
        folders: Sequence[Path],
        on_run: Display,
        on_error: Complain,
        timing: Timing = Timing(),
        resting: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._refresh = refresh
        self._events = _FileEvents(folders, self.changed, timing.debounce)
        self._on_run = on_run
        self._on_error = on_error
        self._timing = timing
        self._resting = resting
        # SimpleQueue.put may be called from a signal handler; queue.Queue's could deadlock there.
        self._inbox: queue.SimpleQueue[str | _Task] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._failures = 0
        self._next_look = 0.0
        self._not_before = 0.0

    def run(self) -> None:
        """Look at once, then whenever something happens, until `stop`. A commit under way is finished."""
        try:
            self._events.follow()
            while not self._stopped.is_set():
                self._receive(self._next_look - time.monotonic())
                if not self._stopped.is_set() and time.monotonic() >= self._next_look:
                    self._look()
        finally:
            self._stopped.set()
            self._events.close()
            self._turn_away()

    def changed(self) -> None:
        """Something arrived: look soon. Callable from any thread."""
        self._inbox.put(_CHANGED)

    def stop(self) -> None:
        """Finish what is under way and return from `run`. Callable from a signal handler."""
        self._stopped.set()
        self._inbox.put(_STOP)

    def submit(self, work: Callable[[], Any]) -> Any:
        """Have the owner of the writer do something between two batches; its result, or its error.

        Raises LockedError when the loop stops before it gets to it.
        """
        task = _Task(work, Future())
        self._inbox.put(task)
        if self._stopped.is_set():
            self._turn_away()
        return task.result.result()

    def round(self) -> Run:
        """One round of work, shown like any other; for `submit`, as the writer's owner alone may do it."""
        run = self._refresh()
        if run.changed:
            self._on_run(run)
        return run

    def _receive(self, wait: float) -> None:
        try:
            item = self._inbox.get(timeout=max(0.0, min(wait, self._timing.poll)))
        except queue.Empty:
            return
        if isinstance(item, _Task):
            _execute(item)
        elif item == _CHANGED:
            self._next_look = max(time.monotonic(), self._not_before)

    def _look(self) -> None:
        try:
            self._events.follow()
            run = self._refresh()
            resting = self._resting()
        except Exception as problem:  # noqa: BLE001  reported and tried again: watching goes on
            self._failed(_as_error(problem))
            return
        self._failures = 0
        wait = self._timing.poll if resting is None else max(SHORTEST_WAIT, resting)
        self._next_look = time.monotonic() + min(wait, self._timing.poll)
        if run.changed:
            self._on_run(run)

    def _failed(self, error: StrandlineError) -> None:
        wait = min(self._timing.longest_retry, self._timing.retry * 2**self._failures)
        self._failures = min(self._failures + 1, 30)
        self._next_look = self._not_before = time.monotonic() + wait
        self._on_error(error, wait)

    def _turn_away(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._inbox.get_nowait()
                if isinstance(item, _Task):
                    item.result.set_exception(
                        LockedError("watching stops before it could do this", hint="try again in a moment.")
                    )


class _FileEvents:
    """Calls `changed` when something happens in the folders that exist."""

    def __init__(self, folders: Sequence[Path], changed: Callable[[], None], debounce: float) -> None:
        self._folders = tuple(folders)
        self._changed = changed
        self._debounce = debounce
        self._followed: tuple[tuple[Path, int, int], ...] = ()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self) -> None:
        """Start, or start again when folders came, went or were replaced since."""
        there = tuple(_identity(folder) for folder in self._folders if folder.is_dir())
        running = self._thread is not None and self._thread.is_alive()
        if there == self._followed and (running or not there):
            return
        self.close()
        self._followed = there
        if not there:
            return
        ready, self._ended = threading.Event(), threading.Event()
        paths = [path for path, _, _ in there]
        self._thread = threading.Thread(
            target=self._wait, args=(paths, self._ended, ready), name="strandline-files", daemon=True
        )
        self._thread.start()
        # A file that arrives before the events flow must be seen by the look that follows.
        ready.wait(5)

    def close(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _wait(self, paths: list[Path], ended: threading.Event, ready: threading.Event) -> None:
        import watchfiles

        milliseconds = max(1, int(self._debounce * 1000))
        # The OS may refuse (too many watches): the poll goes on, and `follow` tries again.
        with contextlib.suppress(OSError):
            changes = watchfiles.watch(
                *paths,
                watch_filter=None,
                debounce=milliseconds,
                step=min(50, milliseconds),
                stop_event=_Ended(ended, ready),
                raise_interrupt=False,
                ignore_permission_denied=True,
            )
            for _ in changes:
                self._changed()
        ready.set()


@dataclass(frozen=True, slots=True)
class _Ended:
    """What watchfiles asks between two waits. Being asked at all means that events flow by now."""

    ended: threading.Event
    ready: threading.Event

    def is_set(self) -> bool:
        self.ready.set()
        return self.ended.is_set()


@contextlib.contextmanager
def stopping_on_signals(watcher: Watcher) -> Iterator[list[int]]:
    """SIGINT and SIGTERM stop the watcher after the commit under way; a second SIGINT interrupts it.

    Yields the list of signals that arrived. Outside the main thread it does nothing.
    """
    received: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and number in received:
            raise KeyboardInterrupt
        received.append(number)
        watcher.stop()

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _execute(task: _Task) -> None:
    try:
        task.result.set_result(task.work())
    except Exception as problem:  # noqa: BLE001  it belongs to whoever submitted the work
        task.result.set_exception(problem)


def _as_error(problem: Exception) -> StrandlineError:
    if isinstance(problem, StrandlineError):
        return problem
    return EngineError(f"{type(problem).__name__}: {problem}", cause=problem)


def _identity(folder: Path) -> tuple[Path, int, int]:
    found = os.stat(folder)  # noqa: PTH116
    return folder, found.st_dev, found.st_ino
