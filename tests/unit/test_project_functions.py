"""Python models in a project: models/*.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import strandline as sl
from strandline.project import load_project

TOML = """
[sources.orders]
path = "in"
settle_seconds = 0

[sources.orders.columns]
day = "DATE"
amount = "INTEGER"

[models.daily]
metadata = true
"""
MODEL = """
import polars as pl
import strandline as sl

@sl.model(keys=["day"])
def daily(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.group_by("day").agg(pl.col("amount").sum())

@sl.model(keys=["day"], name="twice")
def doubled(a_first: pl.LazyFrame) -> pl.LazyFrame:
    return a_first.with_columns(pl.col("amount") * 2)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "strandline.toml").write_text(TOML)
    (tmp_path / "models" / "some.py").write_text(MODEL)
    (tmp_path / "models" / "a_first.sql").write_text(
        "SELECT day, max(amount) AS amount FROM daily GROUP BY day"
    )
    return tmp_path


def test_functions_and_queries_in_order(project: Path) -> None:
    loaded = load_project(project)
    assert [(m.name, m.uses) for m in loaded.models] == [
        ("daily", ()),
        ("a_first", ("daily",)),
        ("twice", ("a_first",)),
    ]
    assert loaded.models[0].metadata
    assert loaded.models[0].function is not None


def test_a_project_runs_and_verifies(project: Path) -> None:
    (project / "in" / "a.csv").write_text("day,amount\n2025-01-01,1\n2025-01-02,2\n")
    with sl.Pipeline.load(project) as pipeline:
        assert {m.name for m in pipeline.plan().models} == {"daily", "a_first", "twice"}
        pipeline.run()
        (project / "in" / "b.csv").write_text("day,amount\n2025-01-01,10\n")
        run = pipeline.run()
        assert {m.model: m.strategy for m in run.models}["twice"] == "keyed"
        assert "process_type" in pipeline.warehouse.read("daily").columns
    with sl.Pipeline.load(project) as pipeline, pipeline.reader() as reader:
        assert all(reader.verify(name) for name in reader.models())
        assert sorted(reader.read("twice")["amount"]) == [4, 22]


def test_readers_are_answered_by_a_process_that_holds_the_file(project: Path) -> None:
    (project / "in" / "a.csv").write_text("day,amount\n2025-01-01,1\n2025-01-02,2\n")
    with sl.Pipeline.load(project) as holder, sl.Pipeline.load(project) as other:
        holder.run()
        with other.reader() as reader:
            assert type(reader).__name__ == "RemoteWarehouse"
            assert reader.verify("twice").ok
            assert reader.explain("twice").stages[0].strategy == "keyed"


def test_a_changed_file_rebuilds_and_a_removed_one_drops(project: Path) -> None:
    said: list[str] = []
    (project / "in" / "a.csv").write_text("day,amount\n2025-01-01,1\n")
    with sl.Pipeline.load(project) as pipeline:
        pipeline.run()
    file = project / "models" / "some.py"
    file.write_text(MODEL.replace("* 2", "* 5"))
    with sl.Pipeline.load(project, notice=said.append) as pipeline:
        pipeline.prepare()
        assert pipeline.warehouse.read("twice")["amount"].to_list() == [5]
    assert any("its code changed" in s for s in said)
    file.unlink()
    (project / "models" / "a_first.sql").unlink()
    (project / "strandline.toml").write_text(TOML.partition("[models")[0])
    with sl.Pipeline.load(project) as pipeline:
        pipeline.prepare()
        assert pipeline.warehouse.models() == {}


@pytest.mark.parametrize(
    ("text", "message", "where"),
    [
        ("def f(:\n", "it is not Python", "models/some.py:1"),
        ("\nimport nothing_of_this_name\n", "running it raised ModuleNotFoundError", "models/some.py:2"),
        ("x = 1\n", "it declares no model", "models/some.py"),
        (
            MODEL.replace('name="twice"', 'name="a_first"'),
            "two files make the model 'a_first'",
            "models/some.py",
        ),
        (MODEL.replace('name="twice"', 'name="no name"'), "cannot be a model's name", "models/some.py"),
    ],
)
def test_files_that_cannot_be_used(project: Path, text: str, message: str, where: str) -> None:
    (project / "models" / "some.py").write_text(text)
    with pytest.raises(sl.ConfigurationError, match=message) as caught:
        load_project(project)
    assert caught.value.where.startswith(where)


def test_files_do_not_see_each_other(project: Path) -> None:
    (project / "models" / "_helper.py").write_text("raise RuntimeError('never run')")
    (project / "models" / "other.py").write_text(
        MODEL.replace("def daily", "def other")
        .replace("orders", "daily")
        .partition('@sl.model(keys=["day"], name')[0]
        + "\nassert 'doubled' not in globals()\n"
    )
    assert {m.name for m in load_project(project).models} == {"daily", "a_first", "twice", "other"}


HELPED = """
import polars as pl
import strandline as sl
import _amounts

@sl.model(keys=["day"], name="daily")
def function(orders: pl.LazyFrame) -> pl.LazyFrame:
    from _more.deep import OFFSET

    return orders.group_by("day").agg(_amounts.total() + OFFSET)
"""
AMOUNTS = """
import polars as pl
FACTOR = {factor}
def total() -> pl.Expr:
    return pl.col("amount").sum() * FACTOR
"""


def test_modules_of_the_project_are_imported_and_rebuild_what_imports_them(project: Path) -> None:
    models = project / "models"
    (models / "some.py").write_text(HELPED)
    (models / "a_first.sql").unlink()
    (models / "_amounts.py").write_text(AMOUNTS.format(factor=1))
    (project / "_more").mkdir()
    (project / "_more" / "deep.py").write_text("OFFSET = 0")
    (project / "in" / "a.csv").write_text("day,amount\n2025-01-01,5\n")
    said: list[str] = []

    def amount() -> int:
        with sl.Pipeline.load(project, notice=said.append) as pipeline:
            pipeline.run()
            assert all(pipeline.warehouse.verify_all())
            return int(pipeline.warehouse.read("daily")["amount"][0])

    path = list(sys.path)
    assert (amount(), said) == (5, [])
    (models / "_amounts.py").write_text(AMOUNTS.format(factor=2))
    assert amount() == 10
    (project / "_more" / "deep.py").write_text("OFFSET = 7")
    assert amount() == 17
    assert said == ["model daily was rebuilt from all rows: its code changed"] * 2
    assert (amount(), len(said)) == (17, 2)
    assert sys.path == path
    assert not list(project.rglob("__pycache__"))


def test_a_file_of_the_project_never_stands_for_a_library(project: Path) -> None:
    (project / "models" / "_first.sql").touch()
    (project / "json.py").write_text("raise RuntimeError")
    (project / "models" / "some.py").write_text(MODEL + "\nimport json\njson.dumps([])\n")
    before = load_project(project).models[0].sql
    (project / "json.py").write_text("raise ValueError")
    assert load_project(project).models[0].sql == before


def test_a_new_model_between_two_that_change(project: Path) -> None:
    """`twice` reads `daily`, which changes, and from now on also a model that is not there yet."""
    code = (project / "models" / "some.py").read_text()
    (project / "models" / "total.sql").write_text("SELECT sum(amount) AS amount FROM twice")
    (project / "in" / "a.csv").write_text("day,amount\n2025-01-01,5\n")
    with sl.Pipeline.load(project) as pipeline:
        pipeline.run()
        assert pipeline.warehouse.read("total")["amount"][0] == 10
    code = code.replace(".sum())", ".sum() + 1)").replace("a_first", "later")
    (project / "models" / "some.py").write_text(code)
    (project / "models" / "later.sql").write_text("SELECT day, amount + 100 AS amount FROM a_first")
    said: list[str] = []
    with sl.Pipeline.load(project, notice=said.append) as pipeline:
        pipeline.run()
        assert pipeline.warehouse.read("total")["amount"][0] == 212
        assert all(pipeline.warehouse.verify_all())
    assert said == [
        "model daily was rebuilt from all rows: its code changed",
        "model later was created from all rows",
        "model twice was rebuilt from all rows: its code changed",
    ]
