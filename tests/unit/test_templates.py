"""The shipments template: what `init` writes, what its generator makes, what its queries say."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from strandline.errors import UnknownNameError, UsageError
from strandline.project import load_project
from strandline.templates import describe, init_project, template_folder, template_names
from strandline.templates.shipments import generate

SMALL = generate.World(events=4_000, days=10)
MODELS = ("shipment_timeline", "shipment_current", "region_performance", "lane_transitions")


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    folder = tmp_path_factory.mktemp("landing")
    con = generate.build(SMALL)
    generate.write_base(con, SMALL, folder)
    yield con, folder
    con.close()


def test_init_writes_a_project_that_loads(tmp_path: Path) -> None:
    written = init_project("shipments", tmp_path / "new")
    assert {str(p) for p in written} >= {"strandline.toml", "README.md", "generate.py", ".gitignore"}
    project = load_project(tmp_path / "new")
    assert {m.name for m in project.models} == set(MODELS)
    assert project.models[0].name == "shipment_timeline"
    assert {s.table: s.schema.key for s in project.sources.values()} == {
        "shipment_events": ("event_id",),
        "locations": ("location_id",),
        "packages": ("package_id",),
    }
    assert not list((tmp_path / "new").rglob("__*"))


def test_init_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UsageError, match=r"already holds README\.md") as caught:
        init_project("shipments", tmp_path)
    assert caught.value.exit_code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["README.md"]
    init_project("shipments", tmp_path, force=True)
    assert (tmp_path / "README.md").read_text() != "mine"


def test_init_beside_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert init_project("shipments", tmp_path)


def test_an_unknown_template_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'shipments'"):
        template_folder("shipment")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        init_project("shipments", tmp_path / "f")


@pytest.mark.parametrize("name", template_names())
def test_every_template_says_what_it_is(name: str) -> None:
    assert describe(name).endswith(".")


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    world = generate.World(events=2_000, days=3, seed=3)
    first, second = (
        {p.name: p.read_bytes() for p in generate.write_base(generate.build(world), world, tmp_path / name)}
        for name in ("a", "b")
    )
    packed = {name for name in first if name.endswith((".gz", ".zip"))}  # their headers hold the time
    assert {n: b for n, b in first.items() if n not in packed} == {
        n: b for n, b in second.items() if n not in packed
    }


def test_the_world_has_about_as_many_events_as_asked(landing: tuple[Any, Path]) -> None:
    con, _ = landing
    count = con.execute(
        f"SELECT count(DISTINCT event_id) FROM arrivals WHERE arrives_at < TIMESTAMP '{SMALL.end}'"
    ).fetchall()[0][0]
    assert 0.9 < count / SMALL.events < 1.1


def test_the_world_has_late_and_repeated_and_corrected_rows(landing: tuple[Any, Path]) -> None:
    con, _ = landing
    late = "SELECT count(*) FROM arrivals WHERE arrives_at > event_timestamp + INTERVAL 1 DAY"
    again = "SELECT count(*) FROM (SELECT event_id FROM arrivals GROUP BY ALL HAVING count(*) > 1)"
    fixed = (
        "SELECT count(*) FROM (SELECT event_id FROM arrivals GROUP BY ALL HAVING count(DISTINCT status) > 1)"
    )
    assert all(con.execute(sql).fetchall()[0][0] > 0 for sql in (late, again, fixed))


def test_a_day_is_one_file_and_the_formats_take_turns(landing: tuple[Any, Path]) -> None:
    _, folder = landing
    names = sorted(p.name for p in (folder / "shipment_events").iterdir())
    assert len(names) == SMALL.days
    assert {name.split(".", 1)[1] for name in names} == set(generate.DAY_FORMATS)
    assert not list(folder.rglob("*.part"))


def test_some_lines_are_broken(landing: tuple[Any, Path]) -> None:
    _, folder = landing
    text = (folder / "shipment_events" / "events-2026-10-01.csv").read_text()
    assert "yesterday" in text
    assert "X3,S00000003,2026-10-0\n" in text


def test_later_files(tmp_path: Path) -> None:
    world = generate.World(events=20_000, days=4)
    con = generate.build(world)
    base = {p.name for p in generate.write_base(con, world, tmp_path)}
    later = [generate.increment(con, world, n, tmp_path) for n in range(1, 6)]
    assert len({p.name for p in later} - base) == len(generate.INCREMENTS)
    late = con.execute(
        f"SELECT count(*), count(*) FILTER (event_timestamp < TIMESTAMP '{world.end}') FROM '{later[2]}'"
    ).fetchall()[0]
    assert late[0] > late[1] > 0
    assert "(new)" in later[4].read_text()
    con.close()


def test_a_path_with_a_quote(tmp_path: Path) -> None:
    world = generate.World(events=1_000, days=1)
    con = generate.build(world)
    assert generate.increment(con, world, 1, tmp_path / "o'clock").exists()
    con.close()


def test_the_generator_runs_inside_the_project(tmp_path: Path) -> None:
    init_project("shipments", tmp_path)
    command = [sys.executable, "generate.py", "--events", "1000", "--days", "2"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 4
    assert (tmp_path / "landing" / "locations" / "locations.csv").exists()
    subprocess.run([*command, "--increment", "2"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "landing" / "shipment_events" / "new-2.jsonl.gz").exists()


T0 = dt.datetime(2026, 10, 1, 8, tzinfo=dt.UTC).replace(tzinfo=None)
EVENTS = (
    # event, shipment, hour, type, status, location, promised at hour
    ("e1", "s1", 0, "CREATED", "OK", "A", 10),
    ("e2", "s1", 2, "PICKED_UP", "OK", "A", 10),
    ("e3", "s1", 5, "EXCEPTION", "EXCEPTION", "B", 10),
    ("e4", "s1", 12, "DELIVERED", "OK", "C", 10),
    ("f1", "s2", 1, "CREATED", "OK", "A", None),
    ("f2", "s2", 3, "ARRIVED", "DELAYED", "nowhere", None),
    ("f3", "s2", 4, "DEPARTED", "DELAYED", "nowhere", None),
)


@pytest.fixture(scope="module")
def example() -> Iterator[Any]:
    """The models over seven events, by plain DuckDB."""
    con = duckdb.connect()
    for source in load_project(template_folder("shipments")).sources.values():
        columns = ", ".join(f"{c.name} {c.type}" for c in source.schema.columns)
        con.execute(f"CREATE TABLE {source.table} ({columns})")
    for event, shipment, hour, kind, status, place, promised in EVENTS:
        due = None if promised is None else T0 + dt.timedelta(hours=promised)
        at = T0 + dt.timedelta(hours=hour)
        con.execute(
            "INSERT INTO shipment_events VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [event, shipment, at, kind, status, place, f"p{shipment}", due],
        )
    con.execute(
        "INSERT INTO locations SELECT n, 'At ' || n, 'north', 1, 2 FROM (VALUES ('A'), ('B'), ('C')) t(n)"
    )
    con.execute("INSERT INTO packages VALUES ('ps1', 1.5, 'express')")
    for model in load_project(template_folder("shipments")).models:
        con.execute(f"CREATE VIEW {model.name} AS {model.sql}")
    yield con
    con.close()


def column(con: Any, name: str, model: str = "shipment_timeline", order: str = "event_id") -> list[Any]:
    return [row[0] for row in con.execute(f"SELECT {name} FROM {model} ORDER BY {order}").fetchall()]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("event_sequence", [1, 2, 3, 4, 1, 2, 3]),
        ("previous_location_id", [None, "A", "A", "B", None, "A", "nowhere"]),
        ("location_changed", [True, False, True, True, True, True, False]),
        ("epoch(time_since_prev_event) / 3600", [None, 2, 3, 7, None, 2, 1]),
        ("epoch(status_duration) / 3600", [2, 3, 7, None, 2, 1, None]),
        ("cumulative_transit_hours", [0, 2, 5, 12, 0, 2, 3]),
        ("hours_in_status", [2, 5, 7, None, 2, 1, None]),
        ("exceptions_so_far", [0, 0, 1, 1, 0, 0, 0]),
        ("is_late", [False, False, False, True, None, None, None]),
        ("location_name", ["At A", "At A", "At B", "At C", "At A", None, None]),
        ("service_level", ["express"] * 4 + [None] * 3),
    ],
)
def test_timeline(example: Any, name: str, expected: list[Any]) -> None:
    assert column(example, name) == expected


def test_timeline_types(example: Any) -> None:
    types = {row[0]: row[1] for row in example.execute("DESCRIBE shipment_timeline").fetchall()}
    assert types["time_since_prev_event"] == types["status_duration"] == "INTERVAL"
    assert types["event_sequence"] == types["exceptions_so_far"] == "BIGINT"
    assert types["cumulative_transit_hours"] == types["hours_in_status"] == "DOUBLE"


def test_current_is_the_last_event(example: Any) -> None:
    assert column(example, "last_event_id", "shipment_current", "shipment_id") == ["e4", "f3"]
    assert column(example, "is_finished", "shipment_current", "shipment_id") == [True, False]


def test_region_performance(example: Any) -> None:
    found = example.execute(
        "SELECT region, events, shipments, on_time_share, mean_dwell_hours, exceptions"
        " FROM region_performance ORDER BY region"
    ).fetchall()
    assert found == [("north", 5, 2, 0.0, None, 1), ("unknown", 2, 1, None, 1.0, 0)]


def test_lanes(example: Any) -> None:
    found = example.execute(
        "SELECT from_location_id, to_location_id, transitions, mean_hours, p95_hours"
        " FROM lane_transitions ORDER BY ALL"
    ).fetchall()
    assert found == [("A", "B", 1, 3.0, 3.0), ("A", "nowhere", 1, 2.0, 2.0), ("B", "C", 1, 7.0, 7.0)]
