"""The watching loop: it wakes, settles, retries, serves submitted work and stops cleanly."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from strandline.errors import InputError, LockedError, StrandlineError
from strandline.schema import Run, utc_now
from strandline.watch import Timing, Watcher, stopping_on_signals

LONG = 30.0
SLOW_POLL = Timing(debounce=0.05, poll=600, retry=0.01)


def run_of(name: str | None) -> Run:
    return Run(name, "incremental", utc_now(), 0.0)


class Folder:
    """A refresh that reports each new file of a folder, and tells a test of every look it takes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: set[str] = set()
        self.looks: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.failures: list[Exception] = []

    def __call__(self) -> Run:
        if self.failures:
            raise self.failures.pop()
        new = sorted({p.name for p in self.path.glob("*")} - self.seen)
        self.seen.update(new)
        self.looks.put(len(new))
        return run_of(",".join(new) or None)


@contextmanager
def watching(
    refresh: Callable[[], Run], folder: Path, timing: Timing = SLOW_POLL
) -> Iterator[tuple[Watcher, queue.SimpleQueue[Run], queue.SimpleQueue[StrandlineError]]]:
    runs: queue.SimpleQueue[Run] = queue.SimpleQueue()
    errors: queue.SimpleQueue[StrandlineError] = queue.SimpleQueue()
    watcher = Watcher(refresh, [folder], runs.put, lambda error, _: errors.put(error), timing)
    thread = threading.Thread(target=watcher.run)
    thread.start()
    try:
        yield watcher, runs, errors
    finally:
        watcher.stop()
        thread.join(LONG)
        assert not thread.is_alive()


def test_it_looks_at_once_and_then_when_files_arrive(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with watching(Folder(tmp_path), tmp_path) as (_, runs, _errors):
        assert runs.get(timeout=LONG).batch_id == "a"
        (tmp_path / "b").touch()
        assert runs.get(timeout=LONG).batch_id == "b"
        (tmp_path / "c").touch()
        assert runs.get(timeout=LONG).batch_id == "c"


def test_runs_without_change_are_not_shown(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with watching(folder, tmp_path) as (watcher, runs, _):
        assert folder.looks.get(timeout=LONG) == 0
        watcher.changed()
        assert folder.looks.get(timeout=LONG) == 0
        assert runs.empty()


def test_a_file_that_comes_to_rest_is_looked_at_again(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    resting = iter([None, 0.01, 0.0])
    looked = threading.Event()

    def next_rest() -> float | None:
        found = next(resting, "none left")
        if found == "none left":
            looked.set()
            return None
        assert not isinstance(found, str)
        return found

    watcher = Watcher(folder, [tmp_path], lambda _: None, lambda *_: None, SLOW_POLL, next_rest)
    thread = threading.Thread(target=watcher.run)
    thread.start()
    folder.looks.get(timeout=LONG)
    (tmp_path / "a").touch()
    assert looked.wait(LONG), "one event, then two looks of its own accord"
    watcher.stop()
    thread.join(LONG)


def test_the_poll_catches_what_events_miss(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "in", tmp_path / "unwatched"
    elsewhere.mkdir()
    with watching(Folder(elsewhere), folder, Timing(poll=0.02)) as (_, runs, _errors):
        (elsewhere / "a").touch()
        assert runs.get(timeout=LONG).batch_id == "a"


def test_a_folder_that_comes_later_or_is_replaced_is_followed(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    refresh = Folder(folder)
    with watching(refresh, folder) as (watcher, runs, _):
        refresh.looks.get(timeout=LONG)
        for name in ("a", "b"):
            folder.mkdir()
            watcher.changed()  # stands for the poll
            refresh.looks.get(timeout=LONG)
            (folder / name).touch()
            assert runs.get(timeout=LONG).batch_id == name
            shutil.rmtree(folder)


def test_failures_are_reported_and_tried_again(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.failures = [ZeroDivisionError("ours"), InputError("theirs")]
    (tmp_path / "a").touch()
    with watching(folder, tmp_path) as (_, runs, errors):
        assert str(errors.get(timeout=LONG)) == "theirs"
        assert str(errors.get(timeout=LONG)) == "ZeroDivisionError: ours"
        assert runs.get(timeout=LONG).batch_id == "a"


def test_the_wait_doubles_up_to_its_limit_and_starts_over(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.failures = [InputError(str(n)) for n in range(5)]
    waits: list[float] = []
    timing = Timing(poll=600, retry=0.001, longest_retry=0.004)
    watcher = Watcher(folder, [], lambda _: None, lambda _, wait: waits.append(wait), timing)
    thread = threading.Thread(target=watcher.run)
    thread.start()
    folder.looks.get(timeout=LONG)
    folder.failures = [InputError("again")]
    watcher.changed()
    folder.looks.get(timeout=LONG)
    watcher.stop()
    thread.join(LONG)
    assert waits == [0.001, 0.002, 0.004, 0.004, 0.004, 0.001]


def test_submitted_work_is_done_by_the_owner_between_batches(tmp_path: Path) -> None:
    owners: set[int] = set()

    def refresh() -> Run:
        owners.add(threading.get_ident())
        return run_of(None)

    def broken() -> None:
        raise InputError("no")

    with watching(refresh, tmp_path) as (watcher, _, _errors):
        owner = watcher.submit(threading.get_ident)
        with pytest.raises(InputError, match="no"):
            watcher.submit(broken)
    assert owners == {owner}


def test_work_submitted_too_late_is_turned_away(tmp_path: Path) -> None:
    with watching(lambda: run_of(None), tmp_path) as (watcher, _, _errors):
        pass
    with pytest.raises(LockedError, match="watching stops"):
        watcher.submit(lambda: 1)


def test_stopping_finishes_the_batch_under_way(tmp_path: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def refresh() -> Run:
        entered.set()
        assert go_on.wait(LONG)
        return run_of("done")

    with watching(refresh, tmp_path) as (watcher, runs, _):
        assert entered.wait(LONG)
        watcher.stop()
        go_on.set()
        assert runs.get(timeout=LONG).batch_id == "done"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)

    def refresh() -> Run:
        os.kill(os.getpid(), number)
        return run_of("finished")

    runs: list[Run] = []
    watcher = Watcher(refresh, [tmp_path], runs.append, lambda *_: None)
    with stopping_on_signals(watcher) as received:
        watcher.run()
    assert received == [number]
    assert [r.batch_id for r in runs] == ["finished"]
    assert signal.getsignal(number) is before


def test_a_second_interrupt_does_not_wait(tmp_path: Path) -> None:
    def refresh() -> Run:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("not reached")

    watcher = Watcher(refresh, [tmp_path], lambda _: None, lambda *_: None)
    with stopping_on_signals(watcher), pytest.raises(KeyboardInterrupt):
        watcher.run()
