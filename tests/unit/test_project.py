"""strandline.toml and models/ as values, and what is said when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from strandline.errors import ConfigurationError
from strandline.project import Project, load_project, tables_read
from strandline.schema import Column

PLAIN = """\
[warehouse]
path = "out/w.duckdb"
threads = 2

[sources.events]
kind = "files"
path = "landing/${FOLDER}"
key = "ID"

[sources.events.columns]
id = "INTEGER"
amount = "DECIMAL(12,2)"
"""


def write(folder: Path, toml: str = PLAIN, **models: str) -> Path:
    (folder / "strandline.toml").write_text(toml)
    (folder / "models").mkdir(exist_ok=True)
    for name, sql in models.items():
        (folder / "models" / f"{name}.sql").write_text(sql)
    return folder


def read(folder: Path) -> Project:
    return load_project(folder, environment={"FOLDER": "events", "EMPTY": ""})


def complaint(folder: Path, toml: str = PLAIN, **models: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(write(folder, toml, **models))
    return str(caught.value)


def test_a_project_is_read(tmp_path: Path) -> None:
    project = read(write(tmp_path, totals="SELECT count(*) AS n FROM events;\n"))
    assert project.name == tmp_path.name
    assert project.warehouse.path == str(tmp_path / "out/w.duckdb")
    assert project.warehouse.threads == 2
    events = project.sources["events"]
    assert events.table == "events"
    assert events.options == {"path": "landing/events"}
    assert events.schema.columns == (Column("id", "INTEGER"), Column("amount", "DECIMAL(12,2)"))
    assert events.schema.key == ("id",), "the key is spelled as the column is"
    assert [m.sql for m in project.models] == ["SELECT count(*) AS n FROM events"]


def test_the_file_itself_may_be_named(tmp_path: Path) -> None:
    write(tmp_path)
    assert load_project(tmp_path / "strandline.toml", environment={"FOLDER": "x"}).directory == tmp_path


def test_models_come_after_those_they_use(tmp_path: Path) -> None:
    project = read(
        write(
            tmp_path,
            a="WITH events AS (SELECT * FROM b) SELECT * FROM events",
            b="SELECT * FROM (SELECT * FROM C) x WHERE id IN (SELECT id FROM events)",
            c="SELECT * FROM events",
        )
    )
    assert [m.name for m in project.models] == ["c", "b", "a"]
    assert [m.uses for m in project.models] == [(), ("c",), ("b",)]


def test_a_cte_hides_no_table_of_its_own_name() -> None:
    assert tables_read("WITH b AS (SELECT * FROM b) SELECT * FROM b") == {"b"}
    assert tables_read("WITH b AS (SELECT 1) SELECT * FROM b JOIN main.C USING (x)") == {"c"}
    assert tables_read("SELEC nonsense FROM (") == set()


def test_a_circle_of_models_is_named(tmp_path: Path) -> None:
    said = complaint(
        tmp_path, a="SELECT * FROM b", b="SELECT * FROM c", c="SELECT * FROM a", d="SELECT * FROM a"
    )
    assert "a → b → c → a" in said
    assert "models/a.sql" in said


def test_settings_of_a_model(tmp_path: Path) -> None:
    toml = PLAIN + '[models.Totals]\nstrict = true\nviews = true\nstrategy = "keyed"\ndescription = "sums"\n'
    (model,) = read(write(tmp_path, toml, totals="SELECT 1 AS x FROM events")).models
    assert (model.strict, model.views, model.metadata, model.strategy) == (True, True, False, "keyed")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("threads = 2", "thread = 2", ["strandline.toml:3", "'thread'", "did you mean 'threads'?"]),
        ("threads = 2", 'threads = "many"', ["strandline.toml:3", "whole number", "'many'"]),
        ("threads = 2", "threads = true", ["whole number"]),
        ('kind = "files"', 'kind = "flies"', ["strandline.toml:6", "did you mean 'files'?"]),
        ('path = "landing/${FOLDER}"', 'pth = "x"', ["strandline.toml:7", "did you mean 'path'?"]),
        ("${FOLDER}", "${FOLDR}", ["strandline.toml:7", "'FOLDR'", "not set"]),
        ('path = "landing/${FOLDER}"', "", ["strandline.toml:5", "needs the setting 'path'"]),
        ("landing/${FOLDER}", "${EMPTY}", ["strandline.toml:7", "must be a text"]),
        ('key = "ID"', 'key = ["amuont"]', ["strandline.toml:8", "did you mean 'amount'?"]),
        ('key = "ID"', "key = 3", ["strandline.toml:8", "a name or a list of names"]),
        ('id = "INTEGER"', "id = 3", ["strandline.toml:11", "'id' in [sources.events.columns]"]),
        ("[sources.events.columns]", "[sources.events.colums]", ["strandline.toml:10", "'columns'?"]),
        ("[warehouse]", "[warehose]", ["strandline.toml:1", "did you mean 'warehouse'?"]),
        ("[warehouse]", "warehouse = 1\n[project]", ["strandline.toml:3", "no setting 'path'"]),
        ("[sources.events]", '[sources."my events"]', ["'my events' cannot be a table's name"]),
        ("threads = 2", "threads = ", ["not valid TOML", "line 3"]),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, expected: list[str]
) -> None:
    toml = PLAIN.replace(old, new)
    if "my events" in new:
        toml = toml.replace("[sources.events.columns]", '[sources."my events".columns]')
    said = complaint(tmp_path, toml)
    assert all(part in said for part in expected), said


def test_a_value_where_a_table_belongs(tmp_path: Path) -> None:
    assert "strandline.toml:1: 'warehouse' must be a table, not 1" in complaint(tmp_path, "warehouse = 1")


def test_settings_of_no_model(tmp_path: Path) -> None:
    said = complaint(tmp_path, PLAIN + "[models.totls]\nviews = true\n", totals="SELECT 1")
    assert "strandline.toml:13" in said
    assert "did you mean 'totals'?" in said


def test_model_files_that_cannot_be(tmp_path: Path) -> None:
    assert "cannot be a model's name" in complaint(tmp_path, **{"my-model": "SELECT 1"})
    (tmp_path / "models" / "my-model.sql").unlink()
    assert "the file is empty" in complaint(tmp_path, nothing=" ;\n")
    (tmp_path / "models" / "nothing.sql").unlink()
    assert "same name as the table of [sources.events]" in complaint(tmp_path, Events="SELECT 1")
    (tmp_path / "models" / "Events.sql").unlink()
    (tmp_path / "models" / "deep").mkdir()
    (tmp_path / "models" / "deep" / "a.sql").write_text("SELECT 1")
    assert "two files make the model" in complaint(tmp_path, A="SELECT 1")


def test_a_source_needs_columns(tmp_path: Path) -> None:
    assert "names no columns" in complaint(tmp_path, PLAIN[: PLAIN.index("[sources.events.columns]")])


def test_no_project(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no strandline.toml.*strandline init"):
        load_project(tmp_path)


def test_variables(tmp_path: Path) -> None:
    toml = PLAIN.replace("landing/${FOLDER}", "$${FOLDER}/${FOLDER}$5").replace(
        "threads = 2", 'threads = "${N}"'
    )
    project = load_project(write(tmp_path, toml), environment={"FOLDER": "f", "N": "3"})
    assert project.sources["events"].options["path"] == "${FOLDER}/f$5"
    assert project.warehouse.threads == 3


def test_urls_and_memory_are_left_as_they_are(tmp_path: Path) -> None:
    for path in (":memory:", "postgresql://host/db"):
        project = read(write(tmp_path, PLAIN.replace("out/w.duckdb", path)))
        assert project.warehouse.path == path
