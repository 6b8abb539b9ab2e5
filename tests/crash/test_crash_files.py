"""kill -9 before every statement of a run that takes in files: each file counts once."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from crash_tools import killed

import strandline as sl

PROJECT = """
[warehouse]
path = "warehouse.duckdb"

[sources.events]
kind = "files"
path = "landing/events"
key = ["id"]

[sources.events.columns]
id = "INTEGER"
g = "VARCHAR"
v = "INTEGER"

[sources.lines]
kind = "files"
path = "landing/lines"

[sources.lines.columns]
g = "VARCHAR"
n = "INTEGER"
"""
MODELS = {
    "running": "SELECT id, g, sum(v) OVER (PARTITION BY g ORDER BY id) AS total FROM events",
    "joined": "SELECT e.g, count(*) AS n, sum(l.n) AS total "
    "FROM events e JOIN lines l ON e.g = l.g GROUP BY e.g",
}
SECONDS = itertools.count()  # files are old enough to be complete, and each is newer than the one before


def write(folder: Path, name: str, text: str) -> None:
    path = folder / "landing" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    written = time.time() - 3600 + next(SECONDS)
    os.utime(path, (written, written))


def project(folder: Path) -> Path:
    """A project with a first run done, and then new, changed and partly bad files to take in."""
    (folder / "models").mkdir(parents=True)
    (folder / "strandline.toml").write_text(PROJECT)
    for name, sql in MODELS.items():
        (folder / "models" / f"{name}.sql").write_text(sql)
    write(folder, "events/1.csv", "id,g,v\n1,a,1\n2,b,2\n3,a,3\n")
    write(folder, "lines/1.csv", "g,n\na,1\na,1\nb,5\n")
    run(folder)
    write(folder, "events/2.csv", "id,g,v\n4,b,4\n2,a,20\nfive,b,5\n")
    write(folder, "events/3.csv", "id,g,v\n0,a,9\n6,c,\n")
    write(folder, "lines/1.csv", "g,n\na,1\nb,6\nc,7\n")
    return folder


def run(folder: Path) -> None:
    pipeline = sl.Pipeline.load(folder)
    pipeline.run()
    pipeline.close()


def found(folder: Path) -> dict[str, Any]:
    """Everything that must not depend on kills: rows, ledger, quarantine."""
    pipeline = sl.Pipeline.load(folder)
    warehouse = pipeline.warehouse
    rows = {name: Counter(warehouse.read(name).rows()) for name in ("events", "lines", *MODELS)}
    ledger = sorted((f.path, f.rows, f.rejected, f.status, f.sha256) for f in warehouse.files())
    held = warehouse.sql("SELECT table_name, line, status FROM strandline.quarantine ORDER BY ALL").rows()
    parity = [p.model for p in warehouse.verify_all() if not p.ok]
    pipeline.close()
    return {"rows": rows, "ledger": ledger, "held": held, "wrong": parity}


@pytest.mark.slow
@pytest.mark.xdist_group("crash")
def test_killed_at_every_statement_of_a_run_over_files(tmp_path: Path) -> None:
    source = project(tmp_path / "source")
    plain = tmp_path / "plain"
    shutil.copytree(source, plain)
    run(plain)
    want = found(plain)
    assert want["wrong"] == []
    at, was_killed = 0, True
    while was_killed:
        at += 1
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(source, copy)
        was_killed = killed("ingest", copy, 0, at)
        run(copy)
        assert found(copy) == want, f"killed before statement {at}"
    assert at > 10, "the hook saw hardly any statement"
