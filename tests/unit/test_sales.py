"""The sales template and its benchmark: deterministic feeds, right figures, two pipelines that agree."""

from __future__ import annotations

import csv
import datetime as dt
import io
import os
import sqlite3
import zipfile
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import strandline as sl
from strandline import cli
from strandline.benchmark.sales import measured, plan, report
from strandline.errors import UsageError
from strandline.project.functions import load_functions
from strandline.templates import describe, init_project, template_folder
from strandline.templates.sales import generate, publish

WORLD = generate.World(days=3, rows=3_000, daily_rows=300)
SALES: Any = measured._model(template_folder("sales"))


def write(folder: Path, client: str = "client_1", world: generate.World = WORLD) -> list[Path]:
    with closing(generate.connect(world)) as con:
        generate.write_static(con, folder / "static")
        return list(generate.archives(con, world, client, folder / client))


def text_of(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        (name,) = archive.namelist()
        assert name == f"{path.stem}.csv"
        return archive.read(name).decode()


@pytest.fixture(scope="module")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("feeds")
    write(folder)
    return folder


def test_archives_are_cumulative_and_the_same_again(feeds: Path, tmp_path: Path) -> None:
    again = write(tmp_path)
    texts = [text_of(feeds / "client_1" / f"transactions_day_{day}.zip") for day in (1, 2, 3)]
    assert [t.count("\n") - 1 for t in texts] == [3_000, 3_300, 3_600]
    assert texts[1].startswith(texts[0])
    assert texts[2].startswith(texts[1])
    assert [p.read_bytes() for p in again] == [(feeds / "client_1" / p.name).read_bytes() for p in again]
    assert text_of(write(tmp_path, "client_2")[0]) != texts[0]
    assert sorted(p.name for p in tmp_path.rglob("*.part")) == []


def test_rows_are_as_described(feeds: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(text_of(feeds / "client_1" / "transactions_day_3.zip"))))
    assert tuple(rows[0]) == generate.COLUMNS
    assert len({r["transaction_id"] for r in rows}) == len(rows)
    assert Counter(r["transaction_date"] for r in rows) == {
        "2025-10-01": 3_000,
        "2025-10-02": 300,
        "2025-10-03": 300,
    }
    assert {int(r["quantity_sold"]) for r in rows} == set(range(1, 11))
    assert all(5 <= float(r["revenue_usd"]) <= 500 for r in rows)
    sold = Counter(r["sku_id"] for r in rows)
    top = sum(n for sku, n in sold.items() if int(sku[3:]) < generate.SKUS // 5)
    assert 0.75 < top / len(rows) < 0.85
    raw = [r["zip_code_raw"] for r in rows]
    assert {"", True} <= {"" if not r else "-" in r for r in raw}
    assert any(" " in r for r in raw)
    assert any(r.startswith("INTL-") for r in raw)
    offsets = {(dt.date.fromisoformat(r["maturity_date"]) - dt.date.fromisoformat(r["transaction_date"])).days
               for r in rows if r["maturity_date"]}  # fmt: skip
    assert min(offsets) < 0
    assert 90 in offsets
    assert any(not r["maturity_date"] for r in rows)


def test_the_transformation() -> None:
    day = dt.date(2025, 10, 1)
    rows = [
        ("s1", 2, 10.10, day + dt.timedelta(5), "90001-1234"),
        ("s1", 1, 0.20, None, "90 001"),
        ("s1", 1, 5.00, day - dt.timedelta(1), "US90001"),
        ("s2", 4, 10.30, day + dt.timedelta(5), "INTL-GB"),
        ("s9", 1, 1.00, day + dt.timedelta(5), None),
        ("s2", 1, 1.00, day + dt.timedelta(5), "99999"),
    ]
    names = ["sku_id", "quantity_sold", "revenue_usd", "maturity_date", "zip_code_raw"]
    frame = pl.LazyFrame(rows, schema=names, orient="row").with_columns(
        client_id=pl.lit("client_1"), transaction_date=pl.lit(day)
    )
    skus = pl.LazyFrame({"sku_id": ["s1", "s2"], "sku_group": ["g1", "g2"]})
    zips = pl.LazyFrame({"zip_code": ["90001", "00000"], "state": ["CA", None], "is_us": [True, False]})
    found = SALES.process(frame, skus, zips).collect().sort(SALES.KEY)
    shown = found.select("days_to_maturity", "sku_group", "local", "total_revenue", "revenue_rank").rows()
    assert [(d, g, at, str(money), rank) for d, g, at, money, rank in shown] == [
        (0, "g1", True, "5.00", 3),
        (3, "g1", True, "0.20", 5),
        (5, "g1", True, "10.10", 2),
        (5, "g2", False, "11.30", 1),
        (5, "unknown", False, "1.00", 4),
    ]
    sums = found.select(pl.col("^(maturity|zip|sku)_(imputed|clamped|missing|international|unknown)$").sum())
    assert set(sums.row(0)) == {1}
    assert found["revenue_share_of_day"].sum() == pytest.approx(1)
    assert found["avg_quantity_per_order"].to_list()[3] == 2.5


def test_a_project_day_by_day(feeds: Path, tmp_path: Path) -> None:
    init_project("sales", tmp_path)
    assert "Polars" in describe("sales")
    target = tmp_path / "poc_database.db"
    with closing(sqlite3.connect(target)) as con:  # an older schema
        con.execute("CREATE TABLE processed_sales (client_id TEXT, revenue REAL)")
    for file in (feeds / "static").iterdir():
        (tmp_path / "data" / "static" / file.name).write_bytes(file.read_bytes())
    read = []
    with sl.Pipeline.load(tmp_path) as pipeline:
        for day in (1, 2, 3):
            name = f"transactions_day_{day}.zip"
            job = measured.Job(tmp_path, feeds / "client_1" / name, feeds / "static", "client_1", target)
            arrived = measured.arrive(job)
            os.utime(arrived, (1_700_000_000 + day, 1_700_000_000 + day))
            read += [f.rows for f in pipeline.run().files if f.path == name]
            written = publish.write_changes(pipeline.warehouse, target)
        assert read == [3_000, 300, 300]
        assert 0 < written < plan.published(target).height
        assert publish.write_changes(pipeline.warehouse, target) == 0
        assert all(pipeline.warehouse.verify_all())
        total = pipeline.warehouse.sql("SELECT sum(transactions)::BIGINT AS n FROM sales_quality")["n"][0]
    assert total == 3_600
    assert plan.published(target)["order_count"].sum() == 3_600


def zipped(*members: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members:
            archive.writestr(name, text)
    return packed.getvalue()


def put(folder: Path, day: int, content: bytes) -> None:
    """An archive that was complete long ago, a second after that of the day before."""
    path = folder / f"transactions_day_{day}.zip"
    path.write_bytes(content)
    os.utime(path, (1_700_000_000 + day, 1_700_000_000 + day))


def test_bad_archives_and_rows(feeds: Path, tmp_path: Path) -> None:
    init_project("sales", tmp_path)
    for file in (feeds / "static").iterdir():
        (tmp_path / "data" / "static" / file.name).write_bytes(file.read_bytes())
    good = text_of(feeds / "client_1" / "transactions_day_1.zip").encode()
    whole = (feeds / "client_1" / "transactions_day_2.zip").read_bytes()
    row = b"1-x,2025-10-02,SKU00001,1,5.00,2025-10-03,90001"
    bad = {
        "cut short": whole[: len(whole) - 2_000],
        "two files": zipped(("a.csv", good), ("b.csv", good)),
        "none": zipped(),
        "other columns": zipped(("a.csv", good.replace(b"sku_id", b"sku", 1))),
        "no zip": b"PK\x03\x04 but nothing else",
    }
    target = tmp_path / "data" / "client_1"
    put(target, 1, zipped(("a.csv", good)))
    with sl.Pipeline.load(tmp_path) as pipeline:
        pipeline.run()
        for number, content in enumerate(bad.values(), 2):
            put(target, number, content)
            found = [f.status for f in pipeline.run().files if f.source == "client_1"]
            assert found == ["quarantined"], list(bad)[number - 2]
            assert pipeline.warehouse.sql("SELECT count(*) FROM transactions_client_1").item() == 3_000
        more = (
            row
            + b"\n"
            + row
            + b",8,9\n"
            + row.replace(b"SKU", b"SK\xff")
            + b"\n"
            + row.replace(b"x", b"y")
            + b"\n"
        )
        put(target, 9, zipped(("a.csv", good + more)))
        taken = [f for f in pipeline.run().files if f.source == "client_1"]
        assert [(f.status, f.rows, f.rejected) for f in taken] == [("applied", 2, 2)]
        held = pipeline.warehouse.sql(
            "SELECT line, reason FROM strandline.quarantine WHERE line > 0 ORDER BY line"
        ).rows()
        assert [line for line, _ in held] == [3_003, 3_004]
        assert "9 fields, expected 7" in held[0][1]
        assert "not UTF-8" in held[1][1]
        assert all(pipeline.warehouse.verify_all())


def test_the_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "alone", lambda function, *args: function(*args))
    monkeypatch.setattr(measured, "_watch_phases", lambda clock: None)
    said: list[str] = []
    chosen = plan.settings(2, "client_2", 2_000, 1, 3)
    result = plan.bench(chosen, tmp_path / "demo", said.append)
    assert result.ok
    assert result.rows == 2_200
    assert [m.rows for m in (*result.incremental, *result.watching)] == [200, 200]
    assert result.baseline[0].whole > result.baseline[0].seconds
    assert len(said) == plan.steps(chosen)
    text, page = report.write(result, tmp_path / "demo")
    assert text.read_bytes().isascii()
    for word in (
        "Parity of the published tables: exact",
        "client_2, day 2",
        "Methodology",
        "California",
        "peak memory",
        "Memory of the processes",
        "incremental, at work",
    ):
        assert word in text.read_text()
    assert "<svg" in page.read_text()
    assert "http" not in page.read_text()
    other = replace(result, difference="the two pipelines differ: revenue_rank")
    for wanted, found in ((0, result), (1, other)):
        monkeypatch.setattr(plan, "bench", lambda *_, found=found: found)
        assert cli.run(["demo", "sales", "--dir", str(tmp_path / "demo"), "--json"]) == wanted
    assert "DIFFERENT: the two pipelines differ" in (tmp_path / "demo" / "results.md").read_text()
    monkeypatch.undo()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(UsageError, match="holds something else"):
        plan.bench(chosen, tmp_path / "mine", said.append)


def test_a_difference_is_found_and_said(caplog: pytest.LogCaptureFixture) -> None:
    one = pl.DataFrame({"revenue_rank": [1, 2]})
    assert plan.differing(one, one) == ""
    assert "differ" in plan.differing(one, one.with_columns(revenue_rank=pl.lit(1)))
    assert "the two pipelines differ" in caplog.text


@pytest.mark.parametrize("wrong", [(1, "client_1", 10, 1), (3, "client_9", 10, 1), (3, "client_1", 10, 0)])
def test_what_cannot_be_measured(wrong: tuple[int, str, int, int]) -> None:
    with pytest.raises(UsageError):
        plan.settings(*wrong, 7)


def test_one_file_declares_the_model() -> None:
    (found,) = load_functions(template_folder("sales") / "models" / "sales.py", "models/sales.py")
    assert (found.name, found.keys) == ("processed_sales", ("transaction_date",))
