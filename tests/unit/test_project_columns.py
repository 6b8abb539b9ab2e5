"""What a project does when the columns of its sources and the SQL of its models are edited."""

from __future__ import annotations

from pathlib import Path

import pytest

from strandline.errors import ConfigurationError, SchemaError, StrandlineError
from strandline.project import load_project
from strandline.wiring import Pipeline

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
qty = "INTEGER"
note = "VARCHAR"
"""
TOTALS = "SELECT customer, sum(qty) AS qty FROM orders GROUP BY customer"
BEST = "SELECT max(qty) AS best FROM totals"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "landing").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "strandline.toml").write_text(TOML)
    (tmp_path / "models" / "totals.sql").write_text(TOTALS)
    (tmp_path / "models" / "best.sql").write_text(BEST)
    arrive(tmp_path, "1.csv", "id,customer,qty,note", "1,ann,3,x", "2,bob,4,y")
    run(tmp_path)
    return tmp_path


def arrive(folder: Path, name: str, *lines: str) -> None:
    (folder / "landing" / name).write_text("\n".join(lines) + "\n")


def edit(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def rename_qty(folder: Path) -> None:
    edit(folder, "strandline.toml", 'qty = "INTEGER"', 'quantity = "INTEGER"')
    say_renamed(folder, 'quantity = "qty"')


def say_renamed(folder: Path, lines: str) -> None:
    columns = "[sources.orders.columns]"
    edit(folder, "strandline.toml", columns, f"[sources.orders.renamed]\n{lines}\n\n{columns}")


def run(folder: Path) -> list[str]:
    """One run; what was said. Every model is right after it."""
    said: list[str] = []
    with Pipeline.load(folder, notice=said.append) as pipeline:
        pipeline.run()
        assert all(parity.ok for parity in pipeline.warehouse.verify_all())
    return said


def best(folder: Path) -> object:
    with Pipeline.load(folder) as pipeline:
        return pipeline.warehouse.sql("SELECT best FROM best").item()


def test_a_renamed_column_takes_its_models_along(folder: Path) -> None:
    rename_qty(folder)
    edit(folder, "models/totals.sql", "sum(qty) AS qty", "sum(quantity) AS amount")
    edit(folder, "models/best.sql", "max(qty)", "max(amount)")
    arrive(folder, "2.csv", "id,customer,quantity,note", "3,ann,30,z")
    said = run(folder)
    assert said[0] == "table orders: qty is called quantity now"
    assert best(folder) == 33
    assert run(folder) == []


def test_a_renamed_column_that_a_model_still_uses_is_refused(folder: Path) -> None:
    rename_qty(folder)
    with pytest.raises(
        SchemaError, match=r"\[sources.orders.renamed\]: models use it: totals, which best reads"
    ):
        run(folder)


def test_a_column_that_is_named_no_longer_keeps_its_values(folder: Path) -> None:
    edit(folder, "strandline.toml", 'note = "VARCHAR"\n', "")
    assert run(folder) == ["table orders: note is described no longer; its values stay as they are"]


def test_a_column_that_is_named_no_longer_and_used_is_refused(folder: Path) -> None:
    edit(folder, "strandline.toml", 'qty = "INTEGER"\n', "")
    with pytest.raises(ConfigurationError, match="models use it: totals, best") as refused:
        run(folder)
    assert "restore the line" in refused.value.hint


def test_a_rename_that_was_not_said_is_refused_untouched_and_can_be_said_then(folder: Path) -> None:
    edit(folder, "strandline.toml", 'qty = "INTEGER"', 'quantity = "INTEGER"')
    with pytest.raises(ConfigurationError, match="models use it: totals, best"):
        run(folder)
    say_renamed(folder, 'quantity = "qty"')
    edit(folder, "models/totals.sql", "sum(qty)", "sum(quantity)")
    assert "table orders: qty is called quantity now" in run(folder)
    assert best(folder) == 4


def test_a_column_that_a_file_brought_needs_no_line(folder: Path) -> None:
    (folder / "models" / "extras.sql").write_text("SELECT id, extra FROM orders")
    with pytest.raises(StrandlineError, match="extra"):
        run(folder)
    (folder / "models" / "extras.sql").unlink()
    arrive(folder, "2.csv", "id,customer,qty,note,extra", "3,ann,30,z,1")
    run(folder)
    (folder / "models" / "extras.sql").write_text("SELECT id, extra FROM orders")
    assert run(folder) == ["model extras was created from all rows"]


def test_another_type_is_refused_with_the_models_concerned(folder: Path) -> None:
    edit(folder, "strandline.toml", 'qty = "INTEGER"', 'qty = "BIGINT"')
    with pytest.raises(ConfigurationError, match="models use it: totals, best") as refused:
        run(folder)
    assert "change_type('orders', 'qty', 'BIGINT')" in refused.value.hint
    with Pipeline.load(folder) as pipeline:
        pipeline.warehouse.change_type("orders", "qty", "BIGINT")
    assert run(folder) == []


def test_models_that_change_together_are_made_anew_together(folder: Path) -> None:
    edit(folder, "models/totals.sql", "AS qty", "AS amount")
    edit(folder, "models/best.sql", "max(qty)", "max(amount)")
    said = run(folder)
    assert said == [
        "model totals was rebuilt from all rows: its SQL changed",
        "model best was rebuilt from all rows: its SQL changed",
    ]
    with Pipeline.load(folder) as pipeline:
        kinds = pipeline.warehouse.sql(
            "SELECT count(*) FROM strandline.batches WHERE kind = 'rebuild'"
        ).item()
    assert kinds == 3, "one when each was created, and one for both"


def test_a_model_whose_dependent_breaks_is_refused(folder: Path) -> None:
    edit(folder, "models/totals.sql", "AS qty", "AS amount")
    with pytest.raises(StrandlineError, match="best would no longer work") as refused:
        run(folder)
    assert "models/totals.sql" in str(refused.value)
    assert best(folder) == 4


def test_the_plan_knows_the_new_names(folder: Path) -> None:
    rename_qty(folder)
    edit(folder, "models/totals.sql", "sum(qty)", "sum(quantity)")
    with Pipeline.load(folder) as pipeline:
        found = pipeline.plan()
    assert found.columns == {}
    assert [m.action for m in found.models] == ["rebuild", "rebuild"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [('qty = "x"\nqqty = "y"', "'qqty' is not among the columns"), ('qty = "note"', "'note' is still among")],
)
def test_renames_that_contradict_the_columns(folder: Path, line: str, expected: str) -> None:
    say_renamed(folder, line)
    with pytest.raises(ConfigurationError, match=expected):
        load_project(folder)
