"""The demo: it plays to its end, proves its point, and leaves nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from strandline.demo import Shown, _line, play
from strandline.errors import UsageError
from strandline.local import answers, holder_of
from strandline.templates import DEMO_MARK
from strandline.templates.shipments import generate

SOURCE = str(Path(__file__).parents[2] / "src")
SMALL = 3_000


@pytest.fixture
def child_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", SOURCE)


@pytest.mark.slow
@pytest.mark.usefixtures("child_source")
def test_it_plays(tmp_path: Path) -> None:
    said: list[str] = []
    found = play("shipments", tmp_path / "demo", events=SMALL, seed=1, say=said.append)
    assert found.ok
    assert {p.model for p in found.parity} == {
        "shipment_timeline",
        "shipment_current",
        "region_performance",
        "lane_transitions",
    }
    assert [shown.what for shown in found.increments] == list(generate.INCREMENTS)
    assert all(shown.rows > 0 and shown.strategies for shown in found.increments)
    assert sum(shown.quarantined for shown in found.increments) == 6
    assert sum("exact" in line for line in said) == 4
    assert not answers(str(found.folder / "warehouse.duckdb"))


def test_a_line_says_what_a_batch_cost() -> None:
    how = {"shipment_timeline": "carry", "a": "keyed", "b": "keyed", "c": "merge"}
    shown = Shown("new-1.csv", "in order", 1000, 3, how, 0.085, 42.9, 0.4)
    assert _line(shown).split("  ")[-1].strip() == "shipment_timeline carry, 2 more keyed, 1 more merge"
    assert "43× cheaper" in _line(shown)
    assert "no cheaper" in _line(replace(shown, ratio=0.9))
    assert _line(replace(shown, strategies={})).endswith("no model is touched")


def test_it_takes_no_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(UsageError, match="holds something else"):
        play("shipments", tmp_path, events=SMALL, seed=1, say=print)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_running(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "strandline", "demo", "--dir", "demo", "--events", str(SMALL)]
    demo = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": SOURCE}, stderr=subprocess.PIPE, text=True
    )
    with demo:
        assert demo.stderr is not None
        for line in demo.stderr:
            if "new-1" in line:  # the watching process is there and has taken its first file
                demo.send_signal(signal.SIGINT)
                break
        rest = demo.stderr.read()
    assert demo.returncode == 130, rest
    assert "Traceback" not in rest
    holder = holder_of(tmp_path / "demo" / "warehouse.duckdb")
    assert holder is None or not holder.alive
    assert (tmp_path / "demo" / DEMO_MARK).exists()
