"""The benchmark: its data, its arithmetic, its report; the measuring itself on a small base."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from strandline.benchmark import data, plan, report
from strandline.benchmark.charts import Bar, bars
from strandline.benchmark.measure import Loaded, Measured
from strandline.benchmark.plan import Line, Result, Settings
from strandline.errors import UnknownNameError, UsageError
from strandline.project import load_project
from strandline.templates import init_project, template_folder

SHAPE = data.Shape(20_000)


@pytest.fixture(scope="module")
def con() -> Iterator[Any]:
    with data.connect(1) as connection:
        yield connection


@pytest.fixture(scope="module")
def base(con: Any) -> pa.Table:
    return pa.concat_tables(data.base_chunks(con, SHAPE))


def test_the_base_has_the_asked_shape(base: pa.Table) -> None:
    assert base.num_rows == SHAPE.events
    assert len(base["event_id"].unique()) == SHAPE.events
    assert len(base["shipment_id"].unique()) == SHAPE.shipments
    assert len(base["location_id"].unique()) == 505
    assert base["event_timestamp"].null_count == 0


def test_the_base_is_made_in_chunks(con: Any, monkeypatch: pytest.MonkeyPatch, base: pa.Table) -> None:
    monkeypatch.setattr(data, "CHUNK", 7_000)
    chunks = list(data.base_chunks(con, SHAPE))
    assert [c.num_rows for c in chunks] == [7_000, 7_000, 6_000]
    assert pa.concat_tables(chunks).equals(base)


def test_references(con: Any) -> None:
    tables = data.references(con, SHAPE)
    assert {name: t.num_rows for name, t in tables.items()} == {"locations": 500, "packages": SHAPE.shipments}


def test_the_columns_are_the_templates(con: Any, base: pa.Table) -> None:
    sources = {s.table: s.schema.names for s in load_project(template_folder("shipments")).sources.values()}
    assert tuple(base.column_names) == sources["shipment_events"]
    for name, rows in data.references(con, SHAPE).items():
        assert tuple(rows.column_names) == sources[name]


def test_in_order_batches_come_after_everything_on_a_day_of_their_own(con: Any, base: pa.Table) -> None:
    spans = [(max(base["event_timestamp"].to_pylist()),) * 2]
    for number in range(3):
        at = data.batch(con, SHAPE, "in-order", 500, number)["event_timestamp"].to_pylist()
        spans.append((min(at), max(at)))
    assert all(former[1] < later[0] for former, later in itertools.pairwise(spans))


def test_a_tenth_of_a_late_batch_is_older(con: Any, base: pa.Table) -> None:
    last = max(base["event_timestamp"].to_pylist())
    at = data.batch(con, SHAPE, "late", 1_000, 4)["event_timestamp"].to_pylist()
    assert sum(t < last for t in at) == 100


def test_an_update_changes_the_status_of_base_events_only(con: Any, base: pa.Table) -> None:
    before = {row["event_id"]: row for row in base.to_pylist()}
    after = data.batch(con, SHAPE, "update", 1_000, 5).to_pylist()
    assert len({row["event_id"] for row in after}) == 1_000
    for row in after:
        old = before[row["event_id"]]
        assert old["status"] != row["status"]
        assert {**old, "status": row["status"]} == row


def test_two_batches_never_share_an_event(con: Any) -> None:
    kinds: tuple[data.Kind, ...] = ("in-order", "late", "update")
    seen: set[str] = set()
    for number, kind in enumerate(kinds * 2):
        ids = set(data.batch(con, SHAPE, kind, 300, number)["event_id"].to_pylist())
        assert len(ids) == 300
        assert not ids & seen
        seen |= ids


def test_the_groups() -> None:
    groups = list(plan.groups(Settings(events=1_000_000, batches=(100_000, 1_000, 10_000), repeat=2)))
    assert [(g.kind, g.rows) for g in groups] == [
        ("in-order", 1_000),
        ("in-order", 10_000),
        ("in-order", 100_000),
        ("late", 10_000),
        ("update", 10_000),
        ("no-change", 0),
    ]
    numbers = [n for g in groups for n in g.numbers]
    assert len(numbers) == len(set(numbers)) == 6 * 3  # a warm-up and two timed ones each


@pytest.mark.parametrize("text", ["", "a", "1000,x", "-5", "0"])
def test_sizes_that_make_no_sense(text: str) -> None:
    with pytest.raises(UsageError, match="--batches"):
        plan.check(plan.settings(10_000, text, 3, None, 2, False))


@pytest.mark.parametrize("wrong", [{"events": 10}, {"repeat": 0}, {"threads": 0}])
def test_numbers_that_make_no_sense(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        plan.check(Settings(**wrong))


def test_a_target_that_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a template nor a project"):
        plan.find_project(str(tmp_path))


def test_a_project_without_the_tables(tmp_path: Path) -> None:
    (tmp_path / "strandline.toml").write_text(
        '[sources.orders]\nkind = "files"\npath = "in"\n[sources.orders.columns]\nid = "INTEGER"\n'
    )
    with pytest.raises(UsageError, match="no data generator") as caught:
        plan.tables_for(plan.find_project(str(tmp_path)))
    assert caught.value.exit_code == 2


def test_a_projects_own_model(tmp_path: Path) -> None:
    init_project("shipments", tmp_path)
    (tmp_path / "models" / "mine.sql").write_text(
        "SELECT status, count(*) AS n FROM shipment_current GROUP BY 1"
    )
    project = plan.find_project(str(tmp_path))
    assert [name for name, _ in plan.models_for(project, "MINE")] == [
        "shipment_timeline",
        "shipment_current",
        "mine",
    ]
    with pytest.raises(UsageError, match="did you mean 'mine'"):
        plan.models_for(project, "mines")


def test_an_unknown_template_is_named() -> None:
    with pytest.raises((UsageError, UnknownNameError), match="shipments"):
        plan.find_project("shipment")


def result(append_only: bool = False, parity: bool = True) -> Result:
    def line(kind: data.Kind, rows: int, seconds: tuple[float, ...], ok: bool = True) -> Line:
        return Line(kind, rows, Measured(seconds, 0.5, 0.1, 321.0, ("carry", "stateless")), ok, 8.0)

    lines = (line("in-order", 1_000, (0.1, 0.08, 0.4)), line("no-change", 0, (0.0009,), parity))
    return Result(
        settings=Settings(events=10_000),
        full_seconds=(7.0, 8.0, 9.0),
        loaded=Loaded(1.0, 2.0, 12.5, 10**7),
        lines=lines,
        append_only=lines[:1] if append_only else (),
        machine="Linux <x86_64>, 2 cores",
        versions="Strandline 0.1.0",
        measured_at="2026-10-01T00:00:00+00:00",
    )


def test_the_json_has_the_documented_form() -> None:
    found = json.loads(json.dumps(result().as_dict()))
    assert found["events"] == 10_000
    assert found["full_seconds"] == [7.0, 8.0, 9.0]
    assert found["peak_memory_mb"] == 321.0
    assert found["compile_ms"] == 12.5
    first = found["batches"][0]
    assert {"kind", "rows", "seconds", "ratio", "worst_ratio", "strategies", "parity"} <= first.keys()
    assert (first["ratio"], first["worst_ratio"]) == (80.0, 20.0)


def test_a_result_is_ok_only_with_parity() -> None:
    assert result().ok
    assert not result(parity=False).ok
    assert "DIFFERS" in report.markdown(result(parity=False))


def test_the_markdown_report() -> None:
    text = report.markdown(result(append_only=True))
    assert "| in-order | 1,000 | 100 ms | 400 ms | 80× | 20× | carry, stateless | exact |" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {9}
    assert "append-only" in text


class Page(HTMLParser):
    """Collects what the page is made of, and fails on a tag that is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "line", "rect"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_can_be_read_aloud() -> None:
    text = report.html(result(append_only=True))
    page = Page()
    page.feed(text)
    assert not page.open
    names = [tag for tag, _ in page.tags]
    assert not {"script", "link", "img", "iframe"} & set(names)
    assert not re.findall(r"""(?:https?:)?//|url\(""", text)
    charts = [attributes for tag, attributes in page.tags if tag == "svg"]
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert len(charts) == 2
    assert all(c["role"] == "img" and set(str(c["aria-labelledby"]).split()) <= ids for c in charts)
    assert names.count("caption") == 2
    assert "prefers-color-scheme: dark" in text
    assert "&lt;x86_64&gt;" in text


def test_the_report_is_written(tmp_path: Path) -> None:
    paths = report.write(result(), tmp_path / "new" / "folder")
    assert [p.name for p in paths] == ["report.md", "report.html"]
    assert all(p.read_text(encoding="utf-8") for p in paths)


def test_bars_are_on_a_logarithmic_scale() -> None:
    chart = bars("T", "d", [Bar("a", 0.01, "x"), Bar("b", 0.1, "y"), Bar("c", 1.0, "z")])
    widths = [float(w) for w in re.findall(r'<rect[^>]* width="([\d.]+)"', chart)]
    assert widths[2] - widths[1] == pytest.approx(widths[1] - widths[0], abs=3)
    assert bars("T", "d", []) == ""


def test_the_measured_query_is_the_templates(con: Any, base: pa.Table) -> None:
    """The generated tables satisfy the template's model on the plain engine."""
    models = plan.models_for(load_project(template_folder("shipments")), plan.MODEL)
    with duckdb.connect() as plain:
        for name, rows in {"shipment_events": base, **data.references(con, SHAPE)}.items():
            plain.register("given", rows)
            plain.execute(f"CREATE TABLE {name} AS FROM given").fetchall()
            plain.unregister("given")
        ((name, sql),) = models
        plain.execute(f"CREATE TABLE {name} AS {sql}").fetchall()
        found = plain.execute(
            f"SELECT count(*), max(event_sequence), count(DISTINCT status) FROM {name}"
        ).fetchall()
    assert found[0][0] == SHAPE.events
    assert found[0][1] >= 10
    assert found[0][2] == 3


@pytest.mark.slow
def test_a_small_benchmark_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind is measured in processes of its own, and parity holds after each."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "src"))
    said: list[str] = []
    settings = Settings(events=5_000, batches=(100,), repeat=2, threads=1, append_only=True)
    found = plan.bench("shipments", settings, said.append, scratch=tmp_path)
    assert found.ok
    assert len(said) == plan.steps(settings)
    assert [(line.kind, line.rows) for line in found.lines] == [
        ("in-order", 100),
        ("late", 100),
        ("update", 100),
        ("no-change", 0),
    ]
    assert all(len(line.measured.seconds) == 2 for line in found.lines)
    assert "carry" in found.lines[0].measured.strategies
    assert found.lines[-1].measured.strategies == ()
    assert len(found.full_seconds) == 4
    assert found.peak_memory_mb > 10
    assert found.loaded.compile_ms > 0
    assert len(found.append_only) == 1
    assert not list(tmp_path.iterdir())
