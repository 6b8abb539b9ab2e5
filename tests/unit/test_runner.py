"""A run: tables and models as the project says, then every pending file in one commit."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_pipeline as fakes
import pytest

from strandline.errors import CompileError, ConfigurationError, EngineError, InputError, RejectedError
from strandline.project import ModelSettings, Project, SourceSettings, WarehouseSettings, in_order
from strandline.runner import Release, plan, prepare, refresh, release
from strandline.schema import Column, Schema

X = Schema((Column("x", "BIGINT"),))


def project(schema: Schema = X, most: int | None = None, **models: str) -> Project:
    sources = {"s": SourceSettings("s", "files", "t", schema)}
    settings = in_order(ModelSettings(n, sql, f"models/{n}.sql") for n, sql in models.items())
    return Project("p", Path("/p"), WarehouseSettings(":memory:"), sources, settings, most)


@pytest.fixture
def wh() -> Any:
    wh = fakes.FakeWarehouse()
    prepare(wh, project())
    wh.calls.clear()
    return wh


@pytest.fixture
def source() -> Any:
    return fakes.FakeSource()


def ledger(wh: Any) -> dict[str, tuple[str, int, int]]:
    return {r.path: (r.status, r.rows, r.rejected) for r in wh.files()}


def held(wh: Any) -> list[tuple[str, int]]:
    query = "SELECT file, line FROM strandline.quarantine WHERE status = 'held' ORDER BY ALL"
    return [tuple(row) for row in wh.con.execute(query).fetchall()]


# preparing


def test_missing_tables_and_models_are_created_in_order() -> None:
    wh, said = fakes.FakeWarehouse(), []
    wanted = project(Schema(X.columns, ("x",)), a="SELECT * FROM b", b="SELECT * FROM t")
    prepare(wh, wanted, said.append)
    assert wh.calls == ["create_table t ['x'] key=('x',)", "create_model b", "create_model a"]
    prepare(wh, wanted, said.append)
    assert len(wh.calls) == 3
    assert said == []


def test_changed_and_dropped_models_are_said(wh: Any) -> None:
    prepare(wh, project(a="SELECT 1 FROM t", b="SELECT * FROM a", c="SELECT * FROM b"))
    said: list[str] = []
    prepare(wh, project(a="SELECT 2 FROM t"), said.append)
    assert said == [
        "model a was rebuilt from all rows: its SQL changed",
        "model c was dropped: its file is gone",
        "model b was dropped: its file is gone",
    ]


def test_a_changed_setting_is_said(wh: Any) -> None:
    prepare(wh, project(a="SELECT 1 FROM t"))
    wanted = project(a="SELECT 1 FROM t")
    wanted = replace(wanted, models=(replace(wanted.models[0], views=True),))
    said: list[str] = []
    prepare(wh, wanted, said.append)
    assert said == ["model a was rebuilt from all rows: its setting views changed"]


def test_a_new_column_in_the_settings_is_added(wh: Any) -> None:
    said: list[str] = []
    prepare(wh, project(Schema((*X.columns, Column("y", "DATE")))), said.append)
    assert wh.calls == ["add_columns t ['y']"]
    assert said == ["table t: added y, NULL in the rows there are"]


def test_another_spelling_of_a_type_is_the_same_type(wh: Any) -> None:
    prepare(wh, project(Schema((Column("X", "int8"),))))
    assert wh.calls == []


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (Schema((Column("x", "VARCHAR"),)), "column 'x' is VARCHAR here, but the table 't' is BIGINT"),
        (Schema(X.columns, ("x",)), r"the key is \(x\) here, but the table 't' has none"),
    ],
)
def test_settings_that_contradict_the_table(wh: Any, schema: Schema, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        prepare(wh, project(schema))


def test_a_model_that_cannot_be_names_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RejectedError("random() is volatile", where="line 1")

    wh = fakes.FakeWarehouse()
    monkeypatch.setattr(wh, "create_model", refuse)
    with pytest.raises(RejectedError, match=r"models/a.sql: line 1: random\(\) is volatile"):
        prepare(wh, project(a="SELECT random() FROM t"))


# running


def test_all_files_come_in_with_one_commit(wh: Any, source: Any) -> None:
    source.contents = {"a": [1, 2, 3], "b": [], "c": [4, "bad", 5]}
    run = refresh(wh, [source])
    assert run.kind == "base"
    assert wh.calls == ["batch base"]
    assert wh.rows() == [1, 2, 3, 4, 5]
    assert ledger(wh) == {"a": ("applied", 3, 0), "b": ("empty", 0, 0), "c": ("applied", 2, 1)}
    assert held(wh) == [("c", 2)]
    (position,) = wh.positions
    assert position.value == {"files": 3, "newest": "c", "modified_ns": 3 * 10**9}
    assert position.last_timestamp == dt.datetime(1970, 1, 1, 0, 0, 3, tzinfo=dt.UTC)


def test_nothing_to_do_commits_nothing(wh: Any, source: Any) -> None:
    assert not refresh(wh, [source]).changed
    source.contents = {"a": [1]}
    assert refresh(wh, [source]).kind == "base", "the first batch, not the first run"
    run = refresh(wh, [source])
    assert (run.changed, run.kind) == (False, "incremental")
    assert refresh(wh, [source], kind="base").changed, "a kind that was asked for makes a batch"


def test_a_replaced_file_takes_its_old_rows_back(wh: Any, source: Any) -> None:
    source.contents = {"a": [1, 2], "b": [9]}
    refresh(wh, [source])
    source.contents = {"a": [2, 3], "b": [9]}
    assert refresh(wh, [source]).kind == "incremental"
    assert wh.rows() == [2, 3, 9]
    source.contents = {"a": [], "b": [9]}
    refresh(wh, [source])
    source.contents = {"a": [5], "b": [9]}
    refresh(wh, [source])
    assert wh.rows() == [5, 9]


def test_a_refused_version_leaves_the_last_good_one_in_place(wh: Any, source: Any) -> None:
    for lines in ([1, 2], ["whole: no header"], ["whole: truncated"]):
        source.contents = {"a": lines}
        refresh(wh, [source])
        assert wh.rows() == [1, 2]
    assert ledger(wh) == {"a": ("quarantined", 0, 1)}
    assert not refresh(wh, [source]).changed, "it is not tried again until it changes"
    source.contents = {"a": [2, 3]}
    refresh(wh, [source])
    assert wh.rows() == [2, 3], "and then the good one's rows go"


@pytest.mark.parametrize("place", [0, 3])
def test_a_file_that_cannot_be_read_to_its_end_is_left_for_the_next_run(
    wh: Any, source: Any, place: int
) -> None:
    broken: list[Any] = [1, 2, 3, 4]
    broken[place] = InputError("it vanished")
    source.contents = {"a": [7], "b": broken, "c": [8]}
    said: list[str] = []
    refresh(wh, [source], notice=said.append)
    assert wh.rows() == [7, 8], "nothing of it stays"
    assert said == ["b was left out and will be tried again: it vanished"]
    source.contents["b"] = [1, 2]
    refresh(wh, [source])
    assert wh.rows() == [1, 2, 7, 8]


def test_when_all_files_are_unreadable_nothing_is_committed(wh: Any, source: Any) -> None:
    source.contents = {"a": [1, 2, PermissionError("no")]}
    assert not refresh(wh, [source]).changed
    assert ledger(wh) == {}


@pytest.mark.parametrize("broken", [[1, 2, ZeroDivisionError("ours")], [1, 2, 666]])
def test_a_file_that_breaks_the_reader_or_the_table_is_quarantined(
    wh: Any, source: Any, broken: list[Any]
) -> None:
    source.contents = {"a": [7], "b": broken, "c": [8]}
    refresh(wh, [source])
    assert wh.rows() == [7, 8]
    assert ledger(wh)["b"] == ("quarantined", 0, 1)
    assert held(wh) == [("b", 0)]


def test_a_database_fault_rolls_everything_back(
    wh: Any, source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise EngineError("disk full")

    source.contents = {"a": [1]}
    monkeypatch.setattr(fakes.FakeBatch, "finish_file", full)
    with pytest.raises(EngineError, match="disk full"):
        refresh(wh, [source])
    assert (wh.rows(), ledger(wh)) == ([], {})
    monkeypatch.undo()
    refresh(wh, [source])
    assert wh.rows() == [1]


def test_new_columns_are_added_before_the_batch(wh: Any, source: Any) -> None:
    y, z = Column("y", "DATE"), Column("z", "VARCHAR")
    source.contents = {"a": [1], "b": [2], "c": [3]}
    source.brings = {"a": (y,), "b": (y, z)}
    said: list[str] = []
    refresh(wh, [source], notice=said.append)
    assert wh.calls == ["add_columns t ['y']", "add_columns t ['z']", "batch base"]
    assert source.with_schemas[-1].names == ("x", "y", "z"), "every file is read into all of them"
    assert said == [
        "table t: a brought the new columns y DATE",
        "table t: b brought the new columns z VARCHAR",
    ]


def test_new_columns_that_a_model_does_not_stand_leave_out_their_file_alone(
    wh: Any, source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ambiguous(*_: Any, **__: Any) -> None:
        raise CompileError("models use it: m (column z is ambiguous)", where="adding columns to t")

    monkeypatch.setattr(fakes.FakeWarehouse, "add_columns", ambiguous)
    source.contents = {"a": [1], "b": [2]}
    source.brings = {"b": (Column("z", "VARCHAR"),)}
    said: list[str] = []
    refresh(wh, [source], notice=said.append)
    assert wh.rows() == [1]
    cannot = "its new columns z VARCHAR cannot be added: adding columns to t: models use it: m"
    assert [line.partition(" (column")[0] for line in said] == [
        f"b was left out and will be tried again: {cannot}"
    ]


def test_a_limit_leaves_the_rest_for_later(wh: Any, source: Any) -> None:
    source.contents = {"a": [1], "b": [2], "c": [3]}
    assert [refresh(wh, [source], most_files=2).kind for _ in range(2)] == ["base", "incremental"]
    assert wh.rows() == [1, 2, 3]
    assert not refresh(wh, [source], most_files=2).changed


# releasing


def test_held_rows_that_pass_by_now_are_let_in(wh: Any, source: Any) -> None:
    source.contents = {"a": [1, "odd", 3, "bad"], "b": ["odd"]}
    refresh(wh, [source])
    wh.calls.clear()
    assert release(wh, [source]) == Release(0, 3)
    assert wh.calls == [], "nothing passed, so nothing is committed"
    source.accepts = {"odd"}
    done = release(wh, [source], file="a")
    assert (done.released, done.held) == (1, 1)
    assert wh.rows() == [0, 1, 3]
    assert held(wh) == [("a", 4), ("b", 1)]
    source.contents["a"] = [5]
    refresh(wh, [source])
    assert wh.rows() == [5], "a released row belongs to its file"


def test_rows_are_released_by_their_ids(wh: Any, source: Any) -> None:
    source.contents = {"a": ["odd", "odd"]}
    refresh(wh, [source])
    source.accepts = {"odd"}
    query = "SELECT quarantine_id::VARCHAR FROM strandline.quarantine WHERE line = 2"
    ids = [row[0] for row in wh.con.execute(query).fetchall()]
    assert release(wh, [source], ids=ids).released == 1
    assert held(wh) == [("a", 1)]
    assert release(wh, [source], ids=[]) == Release(0, 0)


def test_a_whole_file_is_released(wh: Any, source: Any) -> None:
    source.contents = {"a": [1, 2]}
    refresh(wh, [source])
    source.contents = {"a": [2, 666]}
    refresh(wh, [source])
    assert wh.rows() == [1, 2]
    assert release(wh, [source]).released == 0, "the table still refuses it"
    assert held(wh) == [("a", 0)]


def test_rows_of_an_older_version_are_not_released(wh: Any, source: Any) -> None:
    source.contents = {"a": ["odd"]}
    refresh(wh, [source])
    source.contents = {"a": [1]}
    refresh(wh, [source])
    source.accepts = {"odd"}
    assert release(wh, [source]) == Release(0, 0)


def test_a_file_that_changed_since_is_left_to_the_next_run(wh: Any, source: Any) -> None:
    source.contents = {"a": ["odd"]}
    refresh(wh, [source])
    source.contents = {"a": ["odd", 1]}
    source.accepts = {"odd"}
    said: list[str] = []
    assert release(wh, [source], notice=said.append) == Release(0, 1)
    assert said == ["a is gone or has changed since; the next run takes what is there"]


# planning


def explain_new(tables: Any, models: Any) -> dict[str, str]:
    return {m.name: f"new {m.name} over {sorted(tables)}" for m in models}


def test_a_plan_of_an_empty_warehouse(source: Any) -> None:
    source.contents = {"a": [1, 2]}
    found = plan(fakes.FakeWarehouse(), project(m="SELECT * FROM t"), [source], explain_new)
    assert (found.kind, found.tables) == ("base", ("t",))
    assert [(f.path, f.size, f.action) for f in found.files] == [("a", 2, "new")]
    assert [(m.name, m.action, m.explanation) for m in found.models] == [("m", "create", "new m over ['t']")]
    assert not found.empty
    assert "create table t\ncreate model m (its file is new)\nnew a → t, 2 bytes\n1 file in" in str(found)


def test_a_plan_says_what_changes_and_writes_nothing(wh: Any, source: Any) -> None:
    before = project(a="SELECT 1 FROM t", b="SELECT * FROM a", c="SELECT 3 FROM t", d="SELECT 4 FROM t")
    prepare(wh, before)
    source.contents = {"a": [1]}
    refresh(wh, [source])
    wh.calls.clear()
    after = project(
        Schema((*X.columns, Column("y", "DATE"))),
        a="SELECT 2 FROM t", b="SELECT * FROM a", c="SELECT 3 FROM t",
    )  # fmt: skip
    source.contents = {"a": [2]}
    found = plan(wh, after, [source], explain_new)
    assert wh.calls == []
    assert found.kind == "incremental"
    assert found.columns == {"t": ("y",)}
    assert [(m.name, m.action, m.reason) for m in found.models] == [
        ("a", "rebuild", "its SQL changed"),
        ("b", "rebuild", "it reads a"),
        ("c", "keep", ""),
        ("d", "drop", "its file is gone"),
    ]
    assert found.models[2].explanation == "explained c"
    assert found.files[0].action == "replaces"
    assert plan(wh, before, [], explain_new).empty
