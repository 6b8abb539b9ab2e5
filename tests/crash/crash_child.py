"""What the killed process does. Every function here runs in a child of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import strandline as sl
from strandline.engines import duckdb as engine
from strandline.warehouse import keeping
from strandline.warehouse.costs import Choice

Rows = list[dict[str, Any]]

MODELS = {
    "per_group": "SELECT g, count(*) AS n, sum(v) AS total, min(v) AS low FROM facts GROUP BY g",
    "running": "SELECT id, g, sum(v) OVER (PARTITION BY g ORDER BY id) AS total, "
    "lead(v) OVER (PARTITION BY g ORDER BY id) AS next FROM facts",
    "labelled": "SELECT f.id, f.v, n.label FROM facts f LEFT JOIN names n ON f.g = n.g",
    "labels": "SELECT label, count(*) AS n FROM labelled GROUP BY label HAVING count(*) > 0",
    "best": "SELECT id, g, v FROM facts QUALIFY row_number() OVER (PARTITION BY g ORDER BY v DESC, id) = 1",
}


def fact(number: int, group: str, amount: int | None) -> dict[str, Any]:
    return {"id": number, "g": group, "v": amount}


BASE = {
    "facts": [fact(i, "abc"[i % 3], i * 7 % 11) for i in range(20)],
    "names": [{"g": g, "label": label} for g, label in (("a", "x"), ("a", "x"), ("b", "y"), (None, "z"))],
}
# Two batches: new rows, late rows, updates, deletes, a group that moves, one of two equal rows.
BATCHES: list[list[tuple[str, Rows, Rows]]] = [
    [
        ("facts", [fact(20, "a", 3), fact(3, "b", 100), fact(-1, "c", 5), fact(21, "d", None)], []),
        ("facts", [], [fact(19, "b", 1)]),
        ("names", [{"g": "c", "label": "y"}], [{"g": "a", "label": "x"}]),
    ],
    [
        ("facts", [fact(30, "d", 8), fact(4, "c", 9)], [fact(0, "a", 0)]),
        ("names", [{"g": "d", "label": None}], []),
    ],
]


def prepare(path: str) -> None:
    """A warehouse with everything in it and one refresh done."""
    with sl.open(path, threads=1) as warehouse:
        warehouse.create_table("facts", "id INTEGER, g VARCHAR, v INTEGER", key="id")
        warehouse.create_table("names", "g VARCHAR, label VARCHAR")
        for name, sql in MODELS.items():
            warehouse.create_model(name, sql)
        for table, rows in BASE.items():
            warehouse.apply(table, inserts=rows)
        warehouse.refresh()


def apply(warehouse: Any, batch: list[tuple[str, Rows, Rows]]) -> None:
    for table, inserts, deletes in batch:
        warehouse.apply(table, inserts=inserts or None, deletes=deletes or None)


def killer(at: int) -> Callable[[int, str], None]:
    """Dies, with no chance to tidy up, at the `at`-th statement that it sees."""
    seen = 0

    def before(_: int, sql: str) -> None:
        nonlocal seen
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return before


def refresh(path: str, number: int, at: int) -> None:
    """Apply a batch and refresh, killed at a statement."""
    with sl.open(path, threads=1) as warehouse:
        apply(warehouse, BATCHES[number])
        engine.on_statement = killer(at)
        warehouse.refresh()
        engine.on_statement = None


def go_plain(path: str, number: int, at: int) -> None:
    """The same, with every model kept plain from then on."""
    keeping.cheapest = lambda *_: Choice("plain", "told so")
    refresh(path, number, at)


def build(path: str, _: int, at: int) -> None:
    """Create one more model, killed at a statement."""
    with sl.open(path, threads=1) as warehouse:
        engine.on_statement = killer(at)
        warehouse.create_model(
            "late_model", "SELECT g, sum(v) OVER (PARTITION BY g ORDER BY id) AS total FROM facts"
        )
        engine.on_statement = None


def ingest(folder: str, _: int, at: int) -> None:
    """Run a project's pipeline over its landing folders, killed at a statement."""
    pipeline = sl.Pipeline.load(Path(folder))
    engine.on_statement = killer(at)
    pipeline.run()
    engine.on_statement = None
    pipeline.close()
