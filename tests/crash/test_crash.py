"""kill -9 before every statement of a refresh; the next run carries on, nothing lost, nothing twice.

The child is a real process and the signal is a real SIGKILL. After each kill the warehouse is
opened again: it must be exactly as before the batch or exactly as after it; after the batch is
given again (or is already there) it must equal a run that was never killed, one batch further
too, and every model must equal its full recompute.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crash_child
import duckdb
import pytest
from crash_tools import killed

import strandline as sl

State = dict[str, list[tuple[Any, ...]]]


def state(warehouse: Any) -> State:
    names = [*warehouse.tables(), *warehouse.models()]
    return {name: sorted(warehouse.read(name).rows(), key=repr) for name in names}


def copied(source: Path, folder: Path) -> Path:
    """A copy of a database file and what lies beside it, in an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in source.parent.glob(f"{source.name}*"):
        shutil.copy2(path, folder / path.name)
    return folder / source.name


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "w.duckdb"
    crash_child.prepare(str(path))
    return path


@pytest.fixture(scope="module")
def never_killed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[State]:
    """The states before, after the first and after the second batch."""
    path = copied(prepared, tmp_path_factory.mktemp("plain") / "w")
    with sl.open(str(path), threads=1) as warehouse:
        states = [state(warehouse)]
        for batch in crash_child.BATCHES:
            crash_child.apply(warehouse, batch)
            warehouse.refresh()
            states.append(state(warehouse))
        return states


def every_kill(target: str, source: Path, folder: Path, number: int = 0, step: int = 1) -> Iterator[Path]:
    """A fresh copy of the source for every (`step`-th) statement, its process killed there."""
    at = 1
    while True:
        path = copied(source, folder)
        if not killed(target, path, number, at):
            assert at > 5, "the hook saw hardly any statement"
            return
        yield path
        at += step


def stored(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in the file, hidden tables and the record included."""
    with duckdb.connect(str(path), read_only=True) as con:
        names = con.execute("SELECT table_schema, table_name FROM information_schema.tables").fetchall()
        tables = [f'"{schema}"."{name}"' for schema, name in sorted(names)]
        return {t: sorted(con.execute(f"FROM {t}").fetchall(), key=repr) for t in tables}


@pytest.mark.slow
@pytest.mark.xdist_group("crash")
def test_killed_at_every_statement_of_a_refresh(
    prepared: Path, never_killed: list[State], tmp_path: Path
) -> None:
    """Before the commit the file holds what it held, to the last hidden row; so carrying on is tried
    at some statements, and at all of those after the commit."""
    untouched = stored(prepared)
    carried_on = 0
    for at, path in enumerate(every_kill("refresh", prepared, tmp_path / "w")):
        committed = stored(path) != untouched
        if committed or at % 10 == 0:
            carries_on(path, never_killed, committed)
            carried_on += 1
    assert carried_on > 3


def carries_on(path: Path, never_killed: list[State], committed: bool) -> None:
    before, after, last = never_killed
    with sl.open(str(path), threads=1) as warehouse:
        assert state(warehouse) == (after if committed else before)
        if not committed:
            crash_child.apply(warehouse, crash_child.BATCHES[0])
            warehouse.refresh()
        assert state(warehouse) == after
        crash_child.apply(warehouse, crash_child.BATCHES[1])
        warehouse.refresh()
        assert state(warehouse) == last
        assert [p.model for p in warehouse.verify_all() if not p.ok] == []


@pytest.mark.slow
@pytest.mark.xdist_group("crash")
def test_killed_while_a_model_is_built(prepared: Path, tmp_path: Path) -> None:
    untouched = stored(prepared)
    for at, path in enumerate(every_kill("build", prepared, tmp_path / "w")):
        if stored(path) == untouched and at % 10:
            continue
        with sl.open(str(path), threads=1) as warehouse:
            warehouse.create_model(
                "late_model", "SELECT g, sum(v) OVER (PARTITION BY g ORDER BY id) AS total FROM facts"
            )
            crash_child.apply(warehouse, crash_child.BATCHES[0])
            warehouse.refresh()
            assert [p.model for p in warehouse.verify_all() if not p.ok] == []


@pytest.mark.slow
@pytest.mark.xdist_group("crash")
def test_killed_while_models_go_plain_and_while_they_come_back(
    prepared: Path, never_killed: list[State], tmp_path: Path
) -> None:
    """These models are small: the choice itself builds their state again at the next refresh, but for
    `labels`, whose input has no change to tell of before the one after."""
    untouched = stored(prepared)
    for at, path in enumerate(every_kill("go_plain", prepared, tmp_path / "w", step=4)):
        committed = stored(path) != untouched
        if committed or at % 10 == 0:
            carries_on(path, never_killed, committed)
    plain = copied(prepared, tmp_path / "plain")
    assert not killed("go_plain", plain, 0, 0)
    assert kept_plain(plain) == set(crash_child.MODELS)
    untouched = stored(plain)
    for path in every_kill("refresh", plain, tmp_path / "w", 1, step=4):
        if stored(path) != untouched:
            with sl.open(str(path), threads=1) as warehouse:
                assert state(warehouse) == never_killed[2]
            assert kept_plain(path) == {"labels"}
    with sl.open(str(plain), threads=1) as warehouse:
        assert state(warehouse) == never_killed[1]


def kept_plain(path: Path) -> set[str]:
    with sl.open(str(path), threads=1) as warehouse:
        return {n for n in warehouse.models() if warehouse.explain(n).plain}
