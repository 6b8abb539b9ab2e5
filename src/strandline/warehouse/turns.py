"""One at a time: whoever uses a warehouse's connection shares its transaction and what waits in it."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from strandline.errors import UsageError

T = TypeVar("T")
Around = Callable[[], AbstractContextManager[None]]


@dataclass
class Turn:
    """Which thread uses a warehouse, and whether a batch of it is open."""

    read_only: bool = False
    in_batch: bool = False
    around: Around = contextlib.nullcontext
    """What is entered with a turn: a reader's transaction, so that what it reads in one is of one moment."""
    owner: threading.Thread | None = None
    """The thread at work. Not its number, which the next thread may be given when it has ended."""
    _free: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def taken(self, what: str) -> Iterator[None]:
        """Inside, other threads are refused. Raises UsageError where another one is at work."""
        if self.owner is threading.current_thread():  # a call inside of another one, or of a batch
            yield
            return
        with self._alone(what), self.around():
            yield

    @contextlib.contextmanager
    def last(self, what: str) -> Iterator[None]:
        """The turn of who closes the connection, also where a thread has ended with its batch open."""
        owner = self.owner
        if owner is not None and (owner is threading.current_thread() or not owner.is_alive()):
            yield
            return
        with self._alone(what):
            yield

    @contextlib.contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        if not self._free.acquire(blocking=False):
            raise UsageError(
                "another thread is using this warehouse, which belongs to one at a time",
                where=what,
                hint="let one thread write, and give each other one a reader() of its own.",
            )
        self.owner = threading.current_thread()
        try:
            yield
        finally:
            self.owner = None
            self._free.release()

    @contextlib.contextmanager
    def batch(self, what: str) -> Iterator[None]:
        """A batch is open inside."""
        with self.taken(what):
            self.in_batch = True
            try:
                yield
            finally:
                self.in_batch = False

    def may_write(self) -> None:
        """Raises UsageError where the warehouse is open for reading only."""
        if self.read_only:
            raise UsageError("the warehouse is open for reading only", hint="open it without read_only.")

    def may_change(self, what: str) -> None:
        """The same, and where a batch is open, whose commit everything done meanwhile would be part of."""
        self.may_write()
        if self.in_batch:
            raise UsageError(
                f"a batch is open, inside of which one cannot {what}",
                hint="do so before or after its block; inside it, its own apply() takes changes.",
            )


def in_turn(*besides: str) -> Callable[[type[T]], type[T]]:
    """The class with its public methods each inside of its `_taken`, `besides` some."""

    def guarded(cls: type[T]) -> type[T]:
        for name, method in list(vars(cls).items()):
            if not name.startswith("_") and inspect.isfunction(method) and name not in besides:
                setattr(cls, name, _guarded(method))
        return cls

    return guarded


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self._taken(f"{method.__name__}()"):
            return method(self, *args, **kwargs)

    return call
