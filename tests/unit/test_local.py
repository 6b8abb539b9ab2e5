"""Readers beside the writer: the socket, its protocol, and who is named when there is nobody to ask."""

from __future__ import annotations

import datetime as dt
import decimal
import gc
import importlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
import pytest

import strandline as sl
from strandline import local
from strandline.engines import duckdb as duckdb_engine
from strandline.errors import ConfigurationError, EngineError, LockedError, UnknownNameError, UsageError
from strandline.local import client, holder, wire
from strandline.local.answers import answer
from strandline.schema import Column, FileRecord, ModelRun, Parity, Run, Schema, StageRun, utc_now
from strandline.wiring import open_reader

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=dt.UTC)


class FakeWarehouse:
    """A reader with one table `t`; `sql` calls back so that a test can hold an answer open."""

    def __init__(self, on_sql: Any = None) -> None:
        self.on_sql = on_sql
        self.closed = 0

    def sql(self, query: str, *, arrow: bool = False) -> Any:
        if self.on_sql:
            self.on_sql(query)
        return pa.table({"query": [query]})

    def read(self, name: str, *, lazy: bool = False, arrow: bool = False, limit: int | None = None) -> Any:
        if name != "t":
            raise UnknownNameError(f"there is no {name!r}", where="somewhere", hint="look again.")
        return pa.table({"x": list(range(3))[:limit]})

    def explain(self, model: str) -> Any:
        raise ZeroDivisionError("a fault of ours")

    def verify(self, model: str, sample: int | None = None) -> Parity:
        return Parity(model, True, 3, 3, 0, 0, 0.0, 0.5, ({"x": decimal.Decimal("1.50"), "at": NOW},))

    def verify_all(self) -> list[Parity]:
        return [self.verify("m")]

    def tables(self) -> dict[str, Schema]:
        return {"t": Schema((Column("x", "INTEGER"),), ("x",))}

    def models(self) -> dict[str, str]:
        return {"m": "SELECT 1"}

    def files(self, table: str | None = None) -> list[FileRecord]:
        return [FileRecord("s", table or "t", "a.csv", 3, "ff")]

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def warehouse(tmp_path: Path) -> str:
    path = tmp_path / "w.duckdb"
    path.touch()
    return str(path)


@pytest.fixture
def served(warehouse: str) -> Iterator[str]:
    with local.LocalServer(warehouse, lambda: closing(FakeWarehouse())):
        yield warehouse


def nobody() -> Any:
    raise LockedError("Conflicting lock is held in python (PID 1)")


def remote(path: str) -> local.RemoteWarehouse:
    found = local.open_reader(path, nobody)
    assert isinstance(found, local.RemoteWarehouse)
    return found


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, 2.5, True, "ä", float("inf")],
        {"a": NOW, "b": NOW.date(), "c": NOW.time(), "d": dt.timedelta(seconds=1.5)},
        {"$": "a key of the wire's own"},
        {1: "a key that is no text"},
        [decimal.Decimal("1.10"), uuid.UUID(int=7), b"\x00\xff"],
        Run(
            "id", "base", NOW, 0.25, (ModelRun("m", "carry", "why", 1, 2, 0.1, (
                StageRun("m", "s", "window", "carry", "why", 1, 2, 0.1),)),),
            files=(FileRecord("s", "t", "p", 1, "ff"),),
        ),
    ],
)  # fmt: skip
def test_values_come_back_as_they_were(value: Any) -> None:
    assert wire.decode(wire.encode(value), client.TYPES) == value


def test_only_known_types_are_rebuilt() -> None:
    with pytest.raises(EngineError, match="unknown 'Popen'"):
        wire.decode({"$": "Popen", "v": {"args": "true"}}, client.TYPES)


def test_every_type_is_where_it_is_said_to_be() -> None:
    for name, module in client.TYPES.items():
        assert is_dataclass(getattr(importlib.import_module(module), name))


def test_every_question_is_answered(served: str) -> None:
    wh = remote(served)
    assert wh.sql("SELECT 1")["query"].to_list() == ["SELECT 1"]
    assert wh.sql("SELECT 1", arrow=True) == pa.table({"query": ["SELECT 1"]})
    assert wh.read("t").height == 3
    assert wh.read("t", limit=2, arrow=True).num_rows == 2
    assert wh.read("t", lazy=True).collect().height == 3
    assert wh.verify("m") == FakeWarehouse().verify("m")
    assert wh.verify_all() == [wh.verify("m")]
    assert wh.tables() == FakeWarehouse().tables()
    assert wh.models() == {"m": "SELECT 1"}
    assert wh.files("u")[0].table == "u"
    assert wh.ask("quarantine", table="o'clock")[0]["query"].count("'o''clock'") == 1
    assert "LIMIT 5" in wh.ask("runs", limit=5)[0]["query"]


def test_errors_arrive_as_they_were_raised(served: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        remote(served).read("u")
    assert (caught.value.where, caught.value.hint) == ("somewhere", "look again.")
    with pytest.raises(UsageError, match="did you mean 'verify'"):
        remote(served).ask("verfy")
    with pytest.raises(UsageError, match="needs the argument 'query'"):
        remote(served).ask("sql")
    with pytest.raises(EngineError, match="ZeroDivisionError: a fault of ours"):
        remote(served).explain("m")


@pytest.mark.parametrize("sent", [b"", b"{", b"[]\n", b'{"v": 1}\n', b'{"v": 9, "op": "ping"}\n', b"\xff\n"])
def test_nonsense_is_refused_and_the_server_goes_on(served: str, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(holder.socket_paths(served)[0]))
        raw.sendall(sent)
        raw.shutdown(socket.SHUT_WR)
        with raw.makefile("rb") as stream, pytest.raises(UsageError, match="cannot be understood"):
            wire.receive(stream, {})
    assert local.answers(served)


def test_answers_do_not_wait_for_each_other(warehouse: str) -> None:
    together = threading.Barrier(3)
    with local.LocalServer(warehouse, lambda: closing(FakeWarehouse(lambda _: together.wait(20)))):
        readers = [threading.Thread(target=lambda: remote(warehouse).sql("x")) for _ in range(2)]
        for reader in readers:
            reader.start()
        together.wait(20)  # all three are here only when both answers were under way at once
        for reader in readers:
            reader.join()


def test_every_request_closes_its_cursor(warehouse: str) -> None:
    fake = FakeWarehouse()
    with local.LocalServer(warehouse, lambda: closing(fake)):
        remote(warehouse).tables()
        with pytest.raises(EngineError):
            remote(warehouse).explain("m")
    assert fake.closed == 2


def test_closing_waits_for_an_answer_under_way(warehouse: str) -> None:
    entered, go_on = threading.Event(), threading.Event()
    answers: list[Any] = []

    def hold(_: str) -> None:
        entered.set()
        assert go_on.wait(20)

    server = local.LocalServer(warehouse, lambda: closing(FakeWarehouse(hold)))
    server.start()
    reader = threading.Thread(target=lambda: answers.append(remote(warehouse).sql("x", arrow=True)))
    reader.start()
    assert entered.wait(20)
    closer = threading.Thread(target=server.close)
    closer.start()
    go_on.set()
    closer.join()
    reader.join()
    assert answers == [pa.table({"query": ["x"]})]
    assert not local.answers(warehouse)


def test_more_operations(warehouse: str) -> None:
    more = {"twice": lambda wh, args: [args["n"] * 2, wh.models()]}
    with local.LocalServer(warehouse, lambda: closing(FakeWarehouse()), more):
        assert remote(warehouse).ask("twice", n=4) == [8, {"m": "SELECT 1"}]


def test_the_socket_is_its_owners_alone(served: str) -> None:
    path = holder.socket_paths(served)[0]
    assert path == Path(f"{served}.sock")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_long_path_gets_a_short_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = tempfile.mkdtemp(prefix="s-", dir="/tmp")  # tmp_path itself may be too long for a socket
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", short)
    deep = tmp_path / ("long" * 30)
    deep.mkdir()
    path = str(deep / "w.duckdb")
    Path(path).touch()
    with local.LocalServer(path, lambda: closing(FakeWarehouse())) as server:
        assert server.path is not None
        assert server.path.parent == Path(short) / f"strandline-{os.getuid()}"
        assert server.path.parent.stat().st_mode & 0o777 == 0o700
        assert remote(path).read("t").height == 3
    assert not server.path.exists()


def test_a_folder_open_to_others_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "prepared"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PermissionError):
        holder.make_private_folder(folder)
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(PermissionError):
        holder.make_private_folder(link)


def test_a_link_and_its_target_are_one_warehouse(tmp_path: Path, served: str) -> None:
    link = tmp_path / "link.duckdb"
    link.symlink_to(served)
    assert remote(str(link)).read("t").height == 3


def leave_a_stale_socket(warehouse: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(holder.socket_paths(warehouse)[0]))
        dead.listen()


def test_a_stale_socket_breaks_nothing(warehouse: str) -> None:
    leave_a_stale_socket(warehouse)
    mine = FakeWarehouse()
    assert local.open_reader(warehouse, lambda: mine) is mine
    with local.LocalServer(warehouse, lambda: closing(FakeWarehouse())):
        assert remote(warehouse).read("t").height == 3


def test_a_reader_goes_on_when_the_holder_ends(warehouse: str) -> None:
    mine = FakeWarehouse()
    with local.LocalServer(warehouse, lambda: closing(FakeWarehouse())):
        wh = local.open_reader(warehouse, lambda: mine)
    assert isinstance(wh, local.RemoteWarehouse)
    assert wh.sql("x", arrow=True).num_rows == 1
    assert mine.closed == 1, "the file is open only for the moment of the question"
    with local.LocalServer(warehouse, lambda: closing(FakeWarehouse())):
        assert wh.read("t").height == 3
    assert mine.closed == 1, "back to the holder as soon as there is one"
    with pytest.raises(LockedError, match="has ended"):
        wh.ask("release")


def test_a_holder_that_does_not_answer_is_named(warehouse: str) -> None:
    told = local.announce(warehouse, "run")
    with pytest.raises(LockedError) as caught:
        local.open_reader(warehouse, nobody, patience=0)
    assert f"run (process {os.getpid()}, since {told.started:%Y-%m-%d}" in str(caught.value)
    assert "does not answer readers" in str(caught.value)
    local.withdraw(warehouse)
    assert local.holder_of(warehouse) is None


def test_a_lock_file_of_a_dead_process_is_not_believed(warehouse: str) -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    text = f'{{"pid": {done.pid}, "role": "watch", "host": "{socket.gethostname()}", "started": "{NOW}"}}'
    Path(f"{warehouse}.lock").write_text(text)
    found = local.holder_of(warehouse)
    assert found is not None
    assert not found.alive
    local.withdraw(warehouse)
    assert local.holder_of(warehouse) == found, "another process's file is left alone"
    with pytest.raises(LockedError, match=r"held by another process.*PID 1") as caught:
        local.open_reader(warehouse, nobody, patience=0)
    assert "watch (process" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": "x", "role": 1, "host": 2, "started": 3}'])
def test_a_broken_lock_file_is_nobody(warehouse: str, text: str) -> None:
    Path(f"{warehouse}.lock").write_text(text)
    assert local.holder_of(warehouse) is None


def test_no_warehouse_yet(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no warehouse at"):
        local.open_reader(tmp_path / "none.duckdb", nobody)


class Recorded(FakeWarehouse):
    """Answers the status' queries from canned rows, by a word each query holds."""

    answers: ClassVar[dict[str, list[dict[str, Any]]]] = {
        "stage_runs": [
            {"model": "m", "stage": "1", "strategy": "carry"},
            {"model": "m", "stage": "2", "strategy": "merge"},
            {"model": "m", "stage": "3", "strategy": "merge"},
        ],
        "checkpoints": [
            {"checkpoint_id": "c", "batch_id": "b", "kind": "base", "status": "committed",
             "last_processed_timestamp": None, "last_update_time": NOW.replace(tzinfo=None)},
        ],
        "strandline.files": [{"status": "applied", "n": 2}],
        "quarantine": [{"n": 4}],
        '"t"': [{"n": 3}],
        '"m"': [{"n": 1}],
    }  # fmt: skip

    def sql(self, query: str, *, arrow: bool = False) -> Any:
        return pa.Table.from_pylist(next(rows for word, rows in self.answers.items() if word in query))


def test_the_status(warehouse: str) -> None:
    local.announce(warehouse, "watch")
    found = answer(Recorded(), warehouse, "status", {})
    assert isinstance(found, local.Status)
    assert found.tables == (local.TableStatus("t", 3),)
    assert found.models[0].strategy == "carry+merge"
    assert found.checkpoint is not None
    assert found.checkpoint.last_update_time == NOW
    assert found.lag_seconds == pytest.approx((utc_now() - NOW).total_seconds(), abs=60)
    assert (found.files, found.quarantined) == ({"applied": 2}, 4)
    assert found.holder is not None
    plain = found.as_dict()
    assert plain["models"][0] == {
        "name": "m", "rows": 1, "strategies": ["carry", "merge"], "strategy": "carry+merge",
    }  # fmt: skip
    assert plain["checkpoint"]["last_update_time"] == NOW.isoformat()
    assert wire.decode(wire.encode(found), client.TYPES) == found
    local.withdraw(warehouse)


def test_a_process_opens_a_warehouse_for_writing_once(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    with sl.open(path) as first:
        first.create_table("t", "id INTEGER", key="id")
        for way in (path, tmp_path / "." / "w.duckdb"):
            with pytest.raises(LockedError, match="this process has the warehouse open already"):
                sl.open(way)
        with pytest.raises(LockedError, match="this process"):
            sl.open(path, read_only=True)
        with closing(open_reader(path)) as reader:  # its server still answers
            assert list(reader.tables()) == ["t"]
    with sl.open(path) as again:
        again.create_model("m", "SELECT count(*) AS n FROM t")
    dropped = sl.open(path)
    del dropped
    gc.collect()
    with sl.open(path, read_only=True) as reading:
        assert reading.read("m").rows() == [(0,)]
        with pytest.raises(EngineError, match="this process has the file open in another way"):
            sl.open(path)


def test_of_threads_that_open_one_file_at_once_one_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, both = tmp_path / "w.duckdb", threading.Barrier(2)
    connect = duckdb_engine.connect

    def together(*args: Any, **kwargs: Any) -> Any:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.5)
        return connect(*args, **kwargs)

    monkeypatch.setattr(duckdb_engine, "connect", together)
    got: list[Any] = []

    def open_it() -> None:
        try:
            got.append(sl.open(path))
        except LockedError as error:
            got.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (refused,) = [g for g in got if isinstance(g, LockedError)]
    assert "this process has the warehouse open already" in str(refused)
    (opened,) = [g for g in got if g is not refused]
    opened.close()
    monkeypatch.setattr(duckdb_engine, "connect", connect)
    with pytest.raises(EngineError, match="missing"):
        sl.open(tmp_path / "missing" / "w.duckdb")
    (tmp_path / "missing").mkdir()
    sl.open(tmp_path / "missing" / "w.duckdb").close()  # what failed claims nothing
    sl.open(path).close()


def test_a_holder_without_a_note_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    sl.open(path).close()
    code = f"import duckdb; c = duckdb.connect({str(path)!r}, read_only=True); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as reading:
        assert reading.stdout is not None
        reading.stdout.readline()
        with pytest.raises(LockedError, match=f"the warehouse is held by process {reading.pid} Next"):
            sl.open(path)
        reading.communicate(b"\n")


def test_reading_a_database_that_is_no_warehouse(tmp_path: Path) -> None:
    path = tmp_path / "plain.duckdb"
    with duckdb.connect(path) as plain:
        plain.execute("CREATE TABLE t (a INTEGER)")
    with pytest.raises(EngineError, match="this database is no warehouse"):
        sl.open(path, read_only=True)
    with sl.open(path) as made:
        assert made.tables() == {}
