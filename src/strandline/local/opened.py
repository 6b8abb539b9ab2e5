"""What this process has open for writing: the engine would let it open a file twice."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from strandline.errors import LockedError
from strandline.local.holder import is_file, real_path

_open: weakref.WeakValueDictionary[Path, Any] = weakref.WeakValueDictionary()
_opening: set[Path] = set()
_claiming = threading.Lock()


@contextlib.contextmanager
def claimed(warehouse: str, read_only: bool) -> Iterator[None]:
    """Inside, a file that is being opened for writing is refused to other threads, until it is `opened`.

    Two warehouses of one file would each know just its own tables, models and batches. Raises LockedError
    where this process has it open for writing, or another thread is about to.
    """
    if not is_file(warehouse):
        yield
        return
    place = real_path(warehouse)
    with _claiming:
        if place in _open or place in _opening:
            raise LockedError(
                "this process has the warehouse open already",
                where=warehouse,
                hint="use that one, or close() it first; its reader() reads beside it, in any thread.",
            )
        if not read_only:
            _opening.add(place)
    try:
        yield
    finally:
        if not read_only:
            _opening.discard(place)


def opened(path: str, warehouse: object) -> None:
    """It is open for writing, until it is `released` or nobody has it any more."""
    _open[real_path(path)] = warehouse


def released(path: str) -> None:
    """The file may be opened again."""
    _open.pop(real_path(path), None)
