"""Whole projects over real files, the real warehouse and real second processes."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import strandline as sl
from strandline import local, wiring
from strandline.watch import Timing
from strandline.wiring import Pipeline, open_reader

TOML = """\
[warehouse]
path = "w.duckdb"
threads = 1

[sources.orders]
path = "landing"
key = "id"
settle_seconds = 0

[sources.orders.columns]
id = "BIGINT"
customer = "VARCHAR"
amount = "DECIMAL(12,2)"
"""
TOTALS = "SELECT customer, count(*) AS n, sum(amount) AS amount FROM orders GROUP BY customer"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "landing").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "strandline.toml").write_text(TOML)
    (tmp_path / "models" / "totals.sql").write_text(TOTALS)
    return tmp_path


def arrive(folder: Path, name: str, *rows: str, header: str = "id,customer,amount") -> None:
    """A complete file, moved into place as a careful sender does."""
    landing = folder / "landing"
    part = landing / f"{name}.part"
    part.write_text("\n".join([header, *rows]) + "\n")
    part.rename(landing / name)


def totals(wh: Any) -> dict[str, tuple[int, str]]:
    found = wh.sql("SELECT customer, n, amount::VARCHAR AS amount FROM totals ORDER BY ALL").rows()
    return {customer: (n, amount) for customer, n, amount in found}


def run(folder: Path, **options: Any) -> tuple[sl.Run, list[str], dict[str, tuple[int, str]]]:
    said: list[str] = []
    with Pipeline.load(folder, notice=said.append) as pipeline:
        done = pipeline.run(**options)
        assert all(pipeline.warehouse.verify_all())
        return done, said, totals(pipeline.warehouse)


def test_a_run_right_after_writing_takes_the_file(folder: Path) -> None:
    toml = folder / "strandline.toml"
    toml.write_text(TOML.replace("settle_seconds = 0\n", ""))
    with Pipeline.load(folder) as pipeline:
        for amount in ("1.50", "2.50", "3.75"):
            (folder / "landing" / "a.csv").write_text(f"id,customer,amount\n1,ann,{amount}\n")
            assert pipeline.run().changed
            assert totals(pipeline.warehouse) == {"ann": (1, amount)}


def test_a_file_that_may_still_be_written_is_said_to_be_left(folder: Path) -> None:
    toml = folder / "strandline.toml"
    toml.write_text(TOML.replace("settle_seconds = 0", "settle_seconds = 60"))
    arrive(folder, "a.csv", "1,ann,1.50")
    done, said, found = run(folder)
    assert (done.changed, found) == (False, {})
    assert "left for the next run" in said[-1]


def test_files_come_in_and_models_follow(folder: Path) -> None:
    done, _, found = run(folder)
    assert (done.changed, found) == (False, {})
    arrive(folder, "a.csv", "1,ann,1.50", "2,bob,2", "x,bob,3")
    done, _, found = run(folder)
    assert (done.kind, done.quarantined, [f.status for f in done.files]) == ("base", 1, ["applied"])
    assert found == {"ann": (1, "1.50"), "bob": (1, "2.00")}
    arrive(folder, "b.csv", "2,ann,4", "3,bob,0.25")
    done, _, found = run(folder)
    assert done.kind == "incremental"
    assert found == {"ann": (2, "5.50"), "bob": (1, "0.25")}
    assert not run(folder)[0].changed


def test_a_corrected_file_takes_the_place_of_its_former_version(folder: Path) -> None:
    arrive(folder, "a.csv", "1,ann,1", "2,bob,2")
    arrive(folder, "b.csv", "3,cat,3")
    run(folder)
    arrive(folder, "a.csv", "2,bob,5", "4,dan,4")
    assert run(folder)[2] == {"bob": (1, "5.00"), "cat": (1, "3.00"), "dan": (1, "4.00")}
    arrive(folder, "a.csv", "nonsense", header="what,is,this")
    done, _, found = run(folder)
    assert [f.status for f in done.files] == ["quarantined"]
    assert found == {"bob": (1, "5.00"), "cat": (1, "3.00"), "dan": (1, "4.00")}
    arrive(folder, "a.csv", "4,dan,4")
    assert run(folder)[2] == {"cat": (1, "3.00"), "dan": (1, "4.00")}


def held(folder: Path) -> list[tuple[str, int, str]]:
    with sl.open(folder / "w.duckdb", read_only=True) as wh:
        query = "SELECT file, line, status FROM strandline.quarantine ORDER BY quarantined_at, line"
        return [tuple(row) for row in wh.sql(query).rows()]


def test_what_was_held_of_a_replaced_file_is_held_no_longer(folder: Path) -> None:
    arrive(folder, "a.csv", "1,ann,1", "x,bob,2")
    arrive(folder, "b.csv", "y,cat,3")
    run(folder)
    arrive(folder, "a.csv", "nonsense", header="what,is,this")
    run(folder)
    assert held(folder) == [("a.csv", 3, "replaced"), ("b.csv", 2, "held"), ("a.csv", 0, "held")]
    arrive(folder, "a.csv", "1,ann,1", "z,bob,2")
    run(folder)
    assert [status for _, _, status in held(folder)] == ["replaced", "held", "replaced", "held"]


def test_a_new_column_widens_the_table(folder: Path) -> None:
    arrive(folder, "a.csv", "1,ann,1")
    run(folder)
    arrive(folder, "b.csv", "2,bob,2,north", header="id,customer,amount,region")
    _, said, _ = run(folder)
    assert said == ["table orders: b.csv brought the new columns region VARCHAR"]
    arrive(folder, "c.csv", "3,cat,3")
    run(folder)
    with sl.open(folder / "w.duckdb", read_only=True) as wh:
        rows = wh.sql("SELECT id, region FROM orders ORDER BY id").rows()
        assert rows == [(1, None), (2, "north"), (3, None)]


def test_models_follow_their_files(folder: Path) -> None:
    arrive(folder, "a.csv", "1,ann,1", "2,ann,2")
    run(folder)
    (folder / "models" / "big.sql").write_text("SELECT customer FROM totals WHERE n > 1")
    _, said, _ = run(folder)
    assert said == ["model big was created from all rows"]
    (folder / "models" / "totals.sql").write_text(TOTALS + " HAVING count(*) > 5")
    (folder / "models" / "big.sql").unlink()
    with Pipeline.load(folder) as pipeline:
        actions = [(m.name, m.action) for m in pipeline.plan().models]
    assert actions == [("totals", "rebuild"), ("big", "drop")]
    _, said, found = run(folder)
    assert said == [
        "model totals was rebuilt from all rows: its SQL changed",
        "model big was dropped: its file is gone",
    ]
    assert found == {}


def test_views_split_a_model_at_the_last_base(folder: Path) -> None:
    toml = folder / "strandline.toml"
    toml.write_text(TOML + "[models.totals]\nviews = true\nmetadata = true\n")
    arrive(folder, "a.csv", "1,ann,1", "2,bob,2")
    run(folder)
    arrive(folder, "b.csv", "3,ann,3")
    run(folder)
    views = ("totals_base", "totals_incremental", "totals_realtime")
    with open_reader_of(folder) as wh:
        assert [wh.read(view).height for view in views] == [1, 1, 2]
    done, _, _ = run(folder, kind="base")
    assert done.changed
    with open_reader_of(folder) as wh:
        assert [wh.read(view).height for view in views] == [2, 0, 2]


def test_batches_of_few_files(folder: Path) -> None:
    (folder / "strandline.toml").write_text(TOML + "[run]\nmax_files_per_batch = 1\n")
    for n in range(3):
        arrive(folder, f"{n}.csv", f"{n},ann,1")
    seen: list[sl.Run] = []
    _, _, found = run(folder, on_run=seen.append)
    assert [r.kind for r in seen] == ["base", "incremental", "incremental"]
    assert found == {"ann": (3, "3.00")}


def test_planning_creates_nothing(folder: Path) -> None:
    arrive(folder, "a.csv", "1,ann,1")
    with Pipeline.load(folder) as pipeline:
        plan = pipeline.plan()
    assert [(f.path, f.action) for f in plan.files] == [("a.csv", "new")]
    assert [(m.action, m.explanation.stages[0].operator) for m in plan.models] == [("create", "aggregate")]
    assert plan.tables == ("orders",)
    assert not (folder / "w.duckdb").exists()
    assert json.loads(json.dumps(plan.as_dict()))["kind"] == "base"


def test_an_unknown_type_is_a_fault_of_the_settings(folder: Path) -> None:
    toml = folder / "strandline.toml"
    toml.write_text(TOML.replace('"VARCHAR"', '"VARCHR"'))
    with pytest.raises(sl.ConfigurationError, match="VARCHR") as caught:
        run(folder)
    assert caught.value.where == "strandline.toml [sources.orders.columns]"


def test_releasing_an_id_that_is_not_held_is_an_error(folder: Path) -> None:
    with (
        Pipeline.load(folder) as pipeline,
        pytest.raises(sl.UnknownNameError, match="no row with the id nosuch is held"),
    ):
        pipeline.release(ids=["nosuch"])


def test_held_rows_are_released_once_the_settings_accept_them(folder: Path) -> None:
    arrive(folder, "a.csv", "1,ann,n/a", "2,bob,2", "x,bob,2")
    run(folder)
    toml = folder / "strandline.toml"
    toml.write_text(TOML.replace("settle_seconds = 0", 'settle_seconds = 0\nnull_values = ["n/a"]'))
    with Pipeline.load(folder) as pipeline:
        assert pipeline.status().quarantined == 2
        done = pipeline.release()
        assert (done.released, done.held) == (1, 1)
        assert pipeline.warehouse.sql("SELECT id, amount::VARCHAR FROM orders ORDER BY id").rows() == [
            (1, None),
            (2, "2.00"),
        ]
        assert all(pipeline.warehouse.verify_all())
        assert [r["line"] for r in local.quarantine(pipeline.warehouse)] == [4]
    assert not run(folder)[0].changed


def test_a_missing_folder(folder: Path) -> None:
    (folder / "landing").rmdir()
    with pytest.raises(sl.InputError, match="landing"):
        run(folder)


def test_a_warehouse_that_is_dropped_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    wh = sl.open(path)
    assert local.answers(str(path))
    holder = local.holder_of(path)
    assert holder is not None
    assert (holder.pid, holder.role) == (os.getpid(), "python")
    del wh
    gc.collect()
    assert not local.answers(str(path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w.duckdb"]


def test_a_pipeline_that_is_dropped_is_let_go(folder: Path) -> None:
    arrive(folder, "a.csv", "1,ann,1")
    pipeline = Pipeline.load(folder)
    pipeline.run()
    del pipeline
    gc.collect()
    assert not local.answers(str(folder / "w.duckdb"))
    assert not (folder / "w.duckdb.lock").exists()


def test_watching_survives_a_database_that_gives_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refresh = wiring.runner.refresh
    faults = [sl.EngineError("database has been invalidated because of a previous fatal error")]

    def failing_once(*args: Any, **options: Any) -> sl.Run:
        if faults:
            raise faults.pop()
        return refresh(*args, **options)

    monkeypatch.setattr(wiring.runner, "refresh", failing_once)
    arrive(folder, "a.csv", "1,ann,1")
    errors: list[sl.StrandlineError] = []
    with Pipeline.load(folder) as pipeline:
        pipeline.prepare()
        before = pipeline.warehouse
        pipeline.watch(
            on_run=lambda _: pipeline.stop(),
            on_error=lambda error, _: errors.append(error),
            timing=Timing(retry=0.01),
        )
        assert len(errors) == 1
        assert pipeline.warehouse is not before
        assert totals(pipeline.warehouse) == {"ann": (1, "1.00")}


def test_readers_see_commits_while_a_batch_is_open(folder: Path) -> None:
    arrive(folder, "a.csv", "1,ann,1")
    with Pipeline.load(folder) as pipeline:
        pipeline.run()
        reader = open_reader(folder / "w.duckdb")
        assert isinstance(reader, local.RemoteWarehouse)
        with pipeline.warehouse.batch() as batch:
            batch.apply("orders", inserts=[{"id": 2, "customer": "bob", "amount": "2"}])
            assert totals(reader) == {"ann": (1, "1.00")}
        assert totals(reader) == {"ann": (1, "1.00"), "bob": (1, "2.00")}
        assert reader.verify("totals").ok
        assert reader.explain("totals") == pipeline.warehouse.explain("totals")
        assert reader.tables() == pipeline.warehouse.tables()
        assert reader.files() == pipeline.warehouse.files()
        assert reader.status().tables == (local.TableStatus("orders", 2),)


# with other processes


def open_reader_of(folder: Path) -> Any:
    return open_reader(folder / "w.duckdb")


@contextmanager
def watching(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`strandline watch` in a process of its own, printing every batch as a line of JSON."""
    process = subprocess.Popen(
        [sys.executable, "-m", "strandline", "watch", str(folder), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    guard = threading.Timer(120, process.kill)  # a test that waits in vain must fail, not hang
    guard.start()
    try:
        yield process
    finally:
        guard.cancel()
        process.kill()
        process.communicate()


def next_run(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line, process.stderr.read()
    found: dict[str, Any] = json.loads(line)
    return found


def test_watching_reading_and_being_killed(folder: Path) -> None:
    arrive(folder, "a.csv", "1,ann,1", "x,bob,2")
    with watching(folder) as process:
        assert next_run(process)["kind"] == "base"
        reader = open_reader_of(folder)
        assert isinstance(reader, local.RemoteWarehouse)
        assert totals(reader) == {"ann": (1, "1.00")}
        arrive(folder, "b.csv", "2,bob,2")
        assert next_run(process)["kind"] == "incremental"
        assert totals(reader) == {"ann": (1, "1.00"), "bob": (1, "2.00")}

        with Pipeline.load(folder) as mine:
            with pytest.raises(sl.LockedError, match=rf"held by watch \(process {process.pid}"):
                mine.run("base")
            assert not mine.run().changed
            status = mine.status()
            assert status.holder is not None
            assert status.holder.pid == process.pid
            assert mine.plan().files == ()
            assert mine.release().held == 1, "done by the process that watches"

        process.kill()
        process.wait()
        assert totals(reader) == {"ann": (1, "1.00"), "bob": (1, "2.00")}, "the reader goes on"
    arrive(folder, "c.csv", "3,ann,3")
    done, _, found = run(folder)
    assert [f.path for f in done.files] == ["c.csv"]
    assert found == {"ann": (2, "4.00"), "bob": (1, "2.00")}
    assert totals(reader) == found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_watching_cleanly(folder: Path, number: signal.Signals, code: int) -> None:
    arrive(folder, "a.csv", "1,ann,1")
    with watching(folder) as process:
        next_run(process)
        process.send_signal(number)
        assert process.wait() == code
    left = sorted(p.name for p in folder.iterdir() if p.name.startswith("w.duckdb"))
    assert left == ["w.duckdb"]


def test_a_missing_folder_does_not_stop_watching(folder: Path) -> None:
    toml = TOML + TOML[TOML.index("[sources") :].replace("orders", "others").replace("landing", "later")
    (folder / "strandline.toml").write_text(toml)
    arrive(folder, "a.csv", "1,ann,1")
    with watching(folder) as process:
        assert [f["path"] for f in next_run(process)["files"]] == ["a.csv"]
