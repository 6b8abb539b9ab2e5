"""Parity on a schedule: when it is due, what is recorded, who is told."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from strandline.cli import main
from strandline.errors import ConfigurationError
from strandline.project import VerifySettings, load_project
from strandline.runner.verifying import due
from strandline.wiring import Pipeline

TOML = """\
[warehouse]
path = "w.duckdb"
threads = 1

[verify]
every_batches = 2

[sources.t]
path = "landing"
key = "id"
settle_seconds = 0

[sources.t.columns]
id = "BIGINT"
x = "INTEGER"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "landing").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "strandline.toml").write_text(TOML)
    (tmp_path / "models" / "total.sql").write_text("SELECT sum(x) AS s FROM t")
    (tmp_path / "models" / "twice.sql").write_text("SELECT id, 2 * x AS y FROM t")
    return tmp_path


def arrive(folder: Path, number: int) -> None:
    (folder / "landing" / f"{number}.csv").write_text(f"id,x\n{number},{number}\n")


def said_by_run(folder: Path, number: int) -> list[str]:
    arrive(folder, number)
    said: list[str] = []
    with Pipeline.load(folder, notice=said.append) as pipeline:
        pipeline.run()
    return said


def checks(folder: Path) -> list[tuple[Any, ...]]:
    with Pipeline.load(folder) as pipeline:
        found = pipeline.warehouse.sql("SELECT model, ok, rows, extra FROM strandline.checks ORDER BY ALL")
    return list(found.rows())


def spoil(folder: Path) -> None:
    """A wrong number, as a fault of the program or the disk would leave it."""
    with Pipeline.load(folder) as pipeline:
        pipeline.warehouse.engine.execute('UPDATE strandline_state."twice.1" SET y = 0 WHERE id = 1')


@pytest.mark.parametrize(
    ("settings", "batches", "seconds", "expected"),
    [
        (VerifySettings(every_batches=3), 2, None, False),
        (VerifySettings(every_batches=3), 3, None, True),
        (VerifySettings(every_minutes=1), 1, None, True),
        (VerifySettings(every_minutes=1), 1, 59.0, False),
        (VerifySettings(every_minutes=1), 1, 60.0, True),
        (VerifySettings(every_minutes=1), 0, 999.0, False),
        (VerifySettings(), 9, None, False),
    ],
)
def test_when_a_check_is_due(
    settings: VerifySettings, batches: int, seconds: float | None, expected: bool
) -> None:
    assert due(settings, batches, seconds) is expected


def test_every_second_batch_is_checked_and_recorded(folder: Path) -> None:
    for number in (1, 2, 3, 4, 5):
        assert said_by_run(folder, number) == []
    with Pipeline.load(folder) as pipeline:
        times = pipeline.warehouse.sql("SELECT count(DISTINCT batch_seq) FROM strandline.checks").item()
    assert times >= 2
    assert all(ok for _, ok, _, _ in checks(folder))


def test_a_model_that_differs_raises_an_alert(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = folder / "told.json"
    write = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"
    command = json.dumps([sys.executable, "-c", write, str(told)])
    text = (folder / "strandline.toml").read_text()
    text = text.replace("every_batches = 2", f"every_batches = 1\non_alert = {command}")
    (folder / "strandline.toml").write_text(text)
    said_by_run(folder, 1)
    spoil(folder)
    with caplog.at_level(logging.ERROR, "strandline"):
        said = said_by_run(folder, 2)
    assert said == ["ALERT: twice differs from the full recompute; see strandline.checks"]
    expected = {"model": "twice", "rows": 2, "expected_rows": 2, "missing": 1, "extra": 1}
    assert json.loads(told.read_text()) == {"alert": "parity", "models": [expected]}
    assert json.loads(caplog.records[-1].message)["models"] == [expected]
    assert ("twice", False, 2, 1) in checks(folder)


def test_run_ends_with_exit_code_1(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (folder / "strandline.toml").read_text()
    (folder / "strandline.toml").write_text(text.replace("every_batches = 2", "every_batches = 1"))
    said_by_run(folder, 1)
    assert ended(monkeypatch, folder) == 0
    spoil(folder)
    arrive(folder, 2)
    assert ended(monkeypatch, folder) == 1


def ended(monkeypatch: pytest.MonkeyPatch, folder: Path) -> object:
    monkeypatch.setattr(sys, "argv", ["strandline", "run", str(folder)])
    try:
        return main() or 0
    except SystemExit as end:
        return end.code or 0


def test_watching_checks_too(folder: Path) -> None:
    said: list[str] = []
    said_by_run(folder, 1)
    spoil(folder)
    with Pipeline.load(folder, notice=said.append) as pipeline:
        for number in (2, 3):
            arrive(folder, number)
            pipeline._watched_batch()
    assert said == ["ALERT: twice differs from the full recompute; see strandline.checks"]


def test_a_command_that_fails_stops_nothing(folder: Path) -> None:
    text = (folder / "strandline.toml").read_text()
    text = text.replace("every_batches = 2", 'every_batches = 1\non_alert = "no-such-command --now"')
    (folder / "strandline.toml").write_text(text)
    said_by_run(folder, 1)
    spoil(folder)
    said = said_by_run(folder, 2)
    assert "the alert's command did not run" in said[1]


def test_messages_go_out_by_apprise(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    class Sender:
        def add(self, address: str) -> None:
            sent.append(address)

        def notify(self, *, body: str, title: str) -> bool:
            sent.append(title)
            return "twice" in body

    stand_in = ModuleType("apprise")
    stand_in.Apprise = Sender  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "apprise", stand_in)
    text = (folder / "strandline.toml").read_text()
    text = text.replace("every_batches = 2", 'every_batches = 1\nnotify = ["json://localhost"]')
    (folder / "strandline.toml").write_text(text)
    said_by_run(folder, 1)
    spoil(folder)
    assert len(said_by_run(folder, 2)) == 1
    assert sent == ["json://localhost", "Strandline: twice differ from the full recompute"]


def test_settings_are_read_and_checked(folder: Path) -> None:
    text = (folder / "strandline.toml").read_text()
    more = 'every_minutes = 30\nsample = 0.5\nmodels = "total"\non_alert = "page --team data"'
    (folder / "strandline.toml").write_text(text.replace("every_batches = 2", more))
    found = load_project(folder).verify
    assert found == VerifySettings(None, 30.0, 0.5, ("total",), ("page", "--team", "data"))
    (folder / "strandline.toml").write_text(text.replace("every_batches = 2", "sample = 2"))
    with pytest.raises(ConfigurationError, match="above 0 and at most 1"):
        load_project(folder)
    (folder / "strandline.toml").write_text(text.replace("= 2", '= 1\nmodels = "totl"'))
    with pytest.raises(ConfigurationError, match="there is no model 'totl'"):
        said_by_run(folder, 1)
