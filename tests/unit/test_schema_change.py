"""Columns added, renamed, dropped and retyped under models, and models changed under models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

import strandline as sl
from strandline import Column
from strandline.warehouse import Warehouse


@pytest.fixture
def wh() -> Iterator[Warehouse]:
    with sl.open(":memory:", threads=1) as made:
        made.create_table("t", "id INTEGER, g VARCHAR, x INTEGER, spare VARCHAR", key="id")
        rows = [(1, "a", 10, "p"), (2, "a", 20, "q"), (3, "b", 30, "r")]
        made.apply("t", inserts=[dict(zip(("id", "g", "x", "spare"), r, strict=True)) for r in rows])
        made.refresh()
        made.create_model("totals", "SELECT g, sum(x) AS total FROM t GROUP BY g")
        made.create_model("best", "SELECT max(total) AS best FROM totals")
        yield made


def rows(wh: Warehouse, name: str) -> list[tuple[object, ...]]:
    return sorted(wh.read(name).rows())


def goes_on(wh: Warehouse, given: dict[str, object]) -> None:
    """A further row arrives, and every model is right."""
    wh.apply("t", inserts=[given])
    wh.refresh()
    for parity in wh.verify_all():
        assert parity.ok, parity


def rebuilt(wh: Warehouse) -> int:
    return int(wh.sql("SELECT count(*) FROM strandline.batches WHERE kind = 'rebuild'").item())


# ── a column that no model uses ───────────────────────────────────────────────────────────────


def test_an_unused_column_is_dropped_and_the_models_stay(wh: Warehouse) -> None:
    before = stamp(wh, "totals")
    wh.drop_columns("t", ["SPARE"])
    assert wh.read("t").columns == ["id", "g", "x"]
    assert wh.tables()["t"].names == ("id", "g", "x")
    assert stamp(wh, "totals") == before
    goes_on(wh, {"id": 4, "g": "b", "x": 1})


def test_an_unused_column_is_renamed(wh: Warehouse) -> None:
    wh.rename_column("t", "spare", "note")
    assert wh.read("t").columns == ["id", "g", "x", "note"]
    goes_on(wh, {"id": 3, "g": "a", "x": 5, "note": "s"})


def test_an_unused_column_gets_another_type(wh: Warehouse) -> None:
    wh.apply("t", inserts=[{"id": i, "g": "a", "x": 1, "spare": str(i)} for i in (1, 2, 3)])
    wh.refresh()
    wh.change_type("t", "spare", "BIGINT")
    assert wh.tables()["t"].type_of("spare") == "BIGINT"
    wh.apply("t", inserts=[{"id": 1, "g": "a", "x": 1, "spare": 1}])
    assert wh.refresh().tables[0].unchanged == 1, "hashes follow the type"
    goes_on(wh, {"id": 9, "g": "z", "x": 1, "spare": 2**40})


def test_a_key_column_is_renamed_with_its_models(wh: Warehouse) -> None:
    wh.rename_column("t", "id", "number")
    assert wh.tables()["t"].key == ("number",)
    goes_on(wh, {"number": 1, "g": "b", "x": 0, "spare": None})


# ── a column that models use ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "change", [lambda wh: wh.drop_columns("t", ["x"]), lambda wh: wh.rename_column("t", "x", "y")]
)
def test_a_used_column_is_refused_with_the_models_concerned(
    wh: Warehouse, change: Callable[[Warehouse], None]
) -> None:
    with pytest.raises(sl.SchemaError, match=r"totals, which best reads") as refused:
        change(wh)
    assert "queries" in refused.value.hint
    assert wh.read("t").columns == ["id", "g", "x", "spare"]
    goes_on(wh, {"id": 4, "g": "b", "x": 1, "spare": None})


def test_a_used_column_is_renamed_together_with_its_models(wh: Warehouse) -> None:
    wh.rename_column("t", "x", "y", queries={"totals": "SELECT g, sum(y) AS total FROM t GROUP BY g"})
    assert rows(wh, "best") == [(30,)]
    assert "sum(y)" in wh.models()["totals"]
    goes_on(wh, {"id": 4, "g": "b", "y": 70, "spare": None})
    assert rows(wh, "best") == [(100,)]


def test_a_used_column_of_another_type_makes_its_models_anew(wh: Warehouse) -> None:
    wh.change_type("t", "x", "DECIMAL(12,2)")
    assert str(wh.read("totals").schema["total"]).startswith("Decimal")
    goes_on(wh, {"id": 4, "g": "b", "x": "0.25", "spare": None})


def test_a_type_that_a_model_cannot_use_is_refused(wh: Warehouse) -> None:
    with pytest.raises(sl.StrandlineError, match="totals, best would no longer work"):
        wh.change_type("t", "x", "VARCHAR")
    assert wh.tables()["t"].type_of("x") == "INTEGER"
    goes_on(wh, {"id": 4, "g": "b", "x": 1, "spare": None})


def test_a_value_that_does_not_fit_refuses_the_type(wh: Warehouse) -> None:
    with pytest.raises(sl.SchemaError, match="'p' is not a INTEGER"):
        wh.change_type("t", "spare", "INTEGER")


def test_keys_that_would_become_equal_refuse_the_type() -> None:
    with sl.open(":memory:") as wh:
        wh.create_table("t", "k DOUBLE, x INTEGER", key="k")
        wh.apply("t", inserts=[{"k": 1.1, "x": 1}, {"k": 1.2, "x": 2}])
        wh.refresh()
        with pytest.raises(sl.SchemaError, match="would have the same key"):
            wh.change_type("t", "k", "INTEGER")


def test_a_key_column_is_not_dropped(wh: Warehouse) -> None:
    with pytest.raises(sl.SchemaError, match="key column 'id' cannot be dropped"):
        wh.drop_columns("t", ["id"])


def test_unknown_columns_and_the_last_one(wh: Warehouse) -> None:
    with pytest.raises(sl.UnknownNameError, match="no column 'sparr'"):
        wh.drop_columns("t", ["sparr"])
    with pytest.raises(sl.SchemaError, match="there twice"):
        wh.rename_column("t", "spare", "X")


# ── queries that take all columns ─────────────────────────────────────────────────────────────


def test_a_query_that_takes_all_columns_follows(wh: Warehouse) -> None:
    wh.create_model("all_of_it", "SELECT * FROM t WHERE x > 10")
    wh.create_model("count_of_it", "SELECT g, count(*) AS n FROM all_of_it GROUP BY g")
    wh.drop_columns("t", ["spare"])
    assert wh.read("all_of_it").columns == ["id", "g", "x"]
    wh.add_columns("t", [Column("more", "DATE")])
    assert wh.read("all_of_it").columns == ["id", "g", "x", "more"]
    goes_on(wh, {"id": 4, "g": "b", "x": 11, "more": None})


def test_what_reads_a_column_through_such_a_query_refuses_the_change(wh: Warehouse) -> None:
    wh.create_model("all_of_it", "SELECT * FROM t WHERE x > 10")
    wh.create_model("notes", "SELECT spare, count(*) AS n FROM all_of_it GROUP BY spare")
    wh.create_model("over_notes", "SELECT max(n) AS m FROM notes")
    with pytest.raises(sl.StrandlineError, match="notes, over_notes would no longer work") as refused:
        wh.drop_columns("t", ["spare"])
    assert "dropping spare of t" in str(refused.value)
    assert wh.read("all_of_it").columns == ["id", "g", "x", "spare"]
    goes_on(wh, {"id": 4, "g": "b", "x": 12, "spare": "p"})


def test_only_models_that_say_something_else_are_made_anew(wh: Warehouse) -> None:
    wh.create_model("all_of_it", "SELECT * FROM t")
    before = stamp(wh, "totals")
    wh.add_columns("t", [Column("more", "DATE")])
    assert stamp(wh, "totals") == before
    assert stamp(wh, "all_of_it") > before
    goes_on(wh, {"id": 4, "g": "b", "x": 1, "spare": None, "more": None})


def stamp(wh: Warehouse, model: str) -> int:
    """The last batch that wrote a row of a model."""
    table = wh.held.models[model].table.removeprefix("state/")
    return int(wh.sql(f'SELECT max(_batch) FROM strandline_state."{table}"').item())


def test_it_all_holds_after_opening_again(tmp_path: object) -> None:
    path = f"{tmp_path}/w.duckdb"
    with sl.open(path) as wh:
        wh.create_table("t", "a INTEGER, b INTEGER, c INTEGER")
        wh.create_model("m", "SELECT a, row_number() OVER (PARTITION BY a ORDER BY b) AS n FROM t")
        wh.apply("t", inserts=[{"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 1, "c": 2}])
        wh.refresh()
        wh.drop_columns("t", ["c"])
    with sl.open(path) as wh:
        wh.apply("t", inserts=[{"a": 1, "b": 1}], deletes=[{"a": 1, "b": 1}])
        wh.apply("t", inserts=[{"a": 1, "b": 0}])
        wh.refresh()
        assert wh.verify("m").ok


# ── models under models ───────────────────────────────────────────────────────────────────────


def test_a_changed_model_rebuilds_what_depends_on_it_in_the_same_commit(wh: Warehouse) -> None:
    before = rebuilt(wh)
    wh.create_model("totals", "SELECT g, sum(x) * 2 AS total FROM t GROUP BY g")
    assert rows(wh, "best") == [(60,)]
    assert rebuilt(wh) == before + 1


def test_a_changed_model_that_breaks_its_dependents_is_refused_as_a_whole(wh: Warehouse) -> None:
    wh.create_model("over_best", "SELECT best + 1 AS b FROM best")
    with pytest.raises(sl.CompileError, match="best, over_best would no longer work") as refused:
        wh.create_model("totals", "SELECT g, sum(x) AS amount FROM t GROUP BY g")
    assert "same step" in refused.value.hint
    assert rows(wh, "totals") == [("a", 30), ("b", 30)]
    goes_on(wh, {"id": 4, "g": "b", "x": 1, "spare": None})


def test_dependents_change_with_it_when_their_queries_are_given(wh: Warehouse) -> None:
    before = rebuilt(wh)
    wh.create_model(
        "totals",
        "SELECT g, sum(x) AS amount FROM t GROUP BY g",
        queries={"best": "SELECT max(amount) AS best FROM totals"},
    )
    assert rebuilt(wh) == before + 1
    goes_on(wh, {"id": 4, "g": "b", "x": 100, "spare": None})
    assert rows(wh, "best") == [(130,)]


# ── state of another version ──────────────────────────────────────────────────────────────────


def test_state_of_another_version_is_made_anew_by_the_first_batch(tmp_path: Path) -> None:
    path = str(tmp_path / "w.duckdb")
    with sl.open(path) as wh:
        wh.create_table("t", "id INTEGER, g VARCHAR, x DOUBLE", key="id")
        wh.create_model("m", "SELECT g, sum(x) AS s FROM t GROUP BY g", views=True)
        wh.create_model("w", "SELECT g, sum(s) OVER (ORDER BY g) AS r FROM m")
        wh.apply("t", inserts=[{"id": 1, "g": "a", "x": 1.0}])
        wh.refresh()
        wh.engine.execute('ALTER TABLE strandline_state."m.1" DROP COLUMN "s.peak"')
        old = "json_merge_patch(definition, '{\"layout\": 1}')"
        wh.engine.execute(f"UPDATE strandline.models SET definition = {old} WHERE name = 'm'")
    with sl.open(path) as wh:
        assert rows(wh, "m") == [("a", 1.0)]
        wh.apply("t", inserts=[{"id": 2, "g": "a", "x": 2.0}])
        wh.refresh()
        assert rows(wh, "w") == [("a", 3.0)]
        assert all(parity.ok for parity in wh.verify_all())
        before = rebuilt(wh)
        wh.refresh()
        assert rebuilt(wh) == before


def test_models_above_do_not_show_the_metadata_a_model_is_given(wh: Warehouse) -> None:
    wh.create_table("plain", "id INTEGER, v INTEGER", key="id")
    wh.create_model("below", "SELECT v, count(*) AS n FROM plain GROUP BY v")
    wh.create_model("above", "SELECT DISTINCT * FROM below")
    wh.create_model("below", "SELECT v, count(*) AS n FROM plain GROUP BY v", metadata=True)
    wh.apply("plain", [{"id": 1, "v": 1}])
    wh.refresh()
    assert wh.read("above").rows() == [(1, 1)]
    assert all(p.ok for p in wh.verify_all())
    wh.add_columns("plain", [sl.Column("w", "INTEGER")])
    wh.change_type("plain", "v", "BIGINT")
    assert wh.read("above").rows() == [(1, 1)]
    assert all(p.ok for p in wh.verify_all())


def functions_over(wh: Warehouse) -> None:
    """A function that takes some columns, one that takes all, and queries above both."""

    @sl.model(keys=["g"], inputs=["t"])
    def best(t: pl.LazyFrame) -> pl.LazyFrame:
        return t.group_by("g").agg(pl.col("v").max().alias("best"))

    @sl.model(rowwise=True, inputs=["t"])
    def doubled(t: pl.LazyFrame) -> pl.LazyFrame:
        return t.with_columns(d=pl.col("v") * 2)

    wh.create_table("t", "id INTEGER, g VARCHAR, v INTEGER, x INTEGER", key="id")
    wh.create_model("best", best)
    wh.create_model("doubled", doubled)
    wh.create_model("above", "SELECT count(*) AS n FROM best")
    wh.create_model("all_of_it", "SELECT * FROM doubled")
    wh.apply("t", [{"id": 1, "g": "a", "v": 1, "x": 2}, {"id": 2, "g": "b", "v": 3, "x": 4}])
    wh.refresh()


RESHAPED: dict[str, tuple[Callable[[Warehouse], object], list[str]]] = {
    "added": (lambda w: w.add_columns("t", [sl.Column("y", "INTEGER")]), ["id", "g", "v", "x", "y", "d"]),
    "renamed": (lambda w: w.rename_column("t", "x", "y"), ["id", "g", "v", "y", "d"]),
    "dropped": (lambda w: w.drop_columns("t", ["x"]), ["id", "g", "v", "d"]),
}


@pytest.mark.parametrize("what", RESHAPED)
def test_functions_follow_the_columns_they_are_given(what: str) -> None:
    change, columns = RESHAPED[what]
    with sl.open(":memory:") as wh:
        functions_over(wh)
        change(wh)
        assert wh.read("all_of_it").columns == columns
        wh.apply("t", [{"id": 3, "g": "c", "v": 5}], deletes=[{"id": 1}])
        wh.refresh()
        assert all(p.ok for p in wh.verify_all())
        assert sorted(wh.read("best").rows()) == [("b", 3), ("c", 5)]


USED: dict[str, Callable[[Warehouse], object]] = {
    "renamed": lambda w: w.rename_column("t", "v", "w"),
    "dropped": lambda w: w.drop_columns("t", ["v"]),
    "the key renamed": lambda w: w.rename_column("t", "g", "h"),
}


@pytest.mark.parametrize("what", USED)
def test_a_column_that_a_function_uses_is_not_taken_from_it(what: str) -> None:
    with sl.open(":memory:") as wh:
        functions_over(wh)
        with pytest.raises(
            sl.StrandlineError, match=r"best.* would no longer work: .*(unable to find|none of)"
        ):
            USED[what](wh)
        assert wh.tables()["t"].names == ("id", "g", "v", "x")
        wh.apply("t", [{"id": 3, "g": "c", "v": 5}])
        wh.refresh()
        assert all(p.ok for p in wh.verify_all())


def test_what_waits_and_fails_is_said_to_come_first() -> None:
    with sl.open(":memory:") as wh:
        wh.create_table("t", "id INTEGER, s VARCHAR", key="id")
        wh.create_model("m", "SELECT id, CAST(s AS INTEGER) AS n FROM t")
        wh.apply("t", [{"id": 1, "s": "one"}])
        with pytest.raises(sl.StrandlineError, match=r"model m: .* changes that wait come first"):
            wh.create_model("other", "SELECT count(*) AS n FROM t")
        wh.drop_model("m")
        wh.create_model("other", "SELECT count(*) AS n FROM t")
        assert wh.read("other").rows() == [(1,)]


def test_the_model_whose_rows_do_not_fit_a_new_type_is_named(wh: Warehouse) -> None:
    wh.create_table("typed", "id INTEGER, s VARCHAR", key="id")
    wh.create_model("compared", "SELECT id, s = 'x' AS is_x FROM typed")
    wh.apply("typed", [{"id": 1, "s": "1"}])
    with pytest.raises(sl.StrandlineError, match="model compared"):
        wh.change_type("typed", "s", "INTEGER")
