from __future__ import annotations

import datetime as dt
import io
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_landing import Landing


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


@pytest.fixture
def feed(tmp_path: Path) -> Landing:
    return Landing(tmp_path)


def test_rows_are_typed_and_numbered(feed: Landing) -> None:
    taken = feed.take(
        "a.parquet", parquet({"Amount": [Decimal("1.5"), None], "id": pa.array([1, 2], pa.int64())})
    )
    assert taken.rows == [(1, None, Decimal("1.50")), (2, None, None)]
    assert taken.lines == [1, 2]


def test_rows_that_do_not_fit_are_refused_with_their_number(feed: Landing) -> None:
    taken = feed.take("a.parquet", parquet({"id": [1, 2**40, None, 4], "name": list("abcd")}))
    assert [row[0] for row in taken.rows] == [1, 4]
    assert taken.refused_lines == [2, 3]
    assert "column 'id': '1099511627776' is no INTEGER" in taken.rejects[0].reason
    assert taken.rejects[0].raw == '{"id":1099511627776,"name":"b"}'
    assert "key column 'id' is empty" in taken.rejects[1].reason


FRESH = dt.datetime(2024, 1, 1, 10, tzinfo=dt.UTC)


def naive(hour: int) -> dt.datetime:
    return FRESH.replace(hour=hour, tzinfo=None)


@pytest.mark.parametrize(
    ("declared", "values", "expected"),
    [
        ("DECIMAL(12;2)", pa.array([12.34, 0.1 + 0.2]), [Decimal("12.34"), "refused"]),
        ("DECIMAL(12;2)", pa.array([1, 2**60]), [Decimal(1), "refused"]),
        ("DECIMAL(5;1)", pa.array([Decimal("1.20"), Decimal("1.25")]), [Decimal("1.2"), "refused"]),
        ("INTEGER", pa.array([1.0, 1.5]), [1, "refused"]),
        ("INTEGER", pa.array([Decimal("1.0"), Decimal("1.5")]), [1, "refused"]),
        ("BIGINT", pa.array([1, 2**63], pa.uint64()), [1, "refused"]),
        ("HUGEINT", pa.array([1, 2**63], pa.uint64()), [Decimal(1), Decimal(2**63)]),
        ("DOUBLE", pa.array([1.5, float("nan"), float("inf")]), [1.5, "refused", "refused"]),
        ("DOUBLE", pa.array([1, 2**53 + 1]), [1.0, "refused"]),
        ("REAL", pa.array([1.5, 1e300]), [1.5, "refused"]),
        ("VARCHAR", pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        ("VARCHAR", pa.array([b"a", b"\xff"]), ["a", "refused"]),
        ("TIMESTAMP", pa.array([FRESH], pa.timestamp("ms", "Europe/Berlin")), [naive(10)]),
        (
            "TIMESTAMP",
            pa.array([1704067200 * 10**9, 1], pa.timestamp("ns")),
            [naive(0), "refused"],
        ),
        ("TIMESTAMP", pa.array([dt.date(2024, 1, 1)]), [naive(0)]),
        ("TIMESTAMPTZ", pa.array([FRESH], pa.timestamp("us", "UTC")), [FRESH]),
        ("DATE", pa.array([dt.date(2024, 1, 1)], pa.date64()), [dt.date(2024, 1, 1)]),
        ("TIME", pa.array([dt.time(1, 2)], pa.time32("s")), [dt.time(1, 2)]),
        ("JSON", pa.array([{"a": [1]}, None]), ['{"a":[1]}', None]),
        ("JSON", pa.array(['{"a":1}', "{"]), ['{"a":1}', "refused"]),
        ("UUID", pa.array([uuid.UUID(int=1).bytes], pa.uuid()), ["00000000-0000-0000-0000-000000000001"]),
        ("BLOB", pa.array([b"\x00"]), [b"\x00"]),
        ("BOOLEAN", pa.array([True, None]), [True, None]),
        ("INTEGER", pa.nulls(2), [None, None]),
    ],
)
def test_types_that_fit_are_taken_without_loss(
    tmp_path: Path, declared: str, values: pa.Array, expected: list[Any]
) -> None:
    feed = Landing(tmp_path, f"x {declared}", "")
    taken = feed.take("a.parquet", parquet({"x": values}))
    assert [row[0] for row in taken.rows] == [value for value in expected if value != "refused"]
    assert taken.refused_lines == [i for i, value in enumerate(expected, 1) if value == "refused"]


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ("INTEGER", ["1"]),
        ("VARCHAR", [1]),
        ("BOOLEAN", [1]),
        ("DATE", ["2024-01-01"]),
        ("TIMESTAMP", [1]),
        ("DATE", [FRESH]),
        ("DECIMAL(5;1)", ["1.5"]),
        ("VARCHAR", [[1]]),
        ("UUID", [1]),
    ],
)
def test_a_changed_type_refuses_the_file(tmp_path: Path, declared: str, values: list[Any]) -> None:
    taken = Landing(tmp_path, f"x {declared}", "").take("a.parquet", parquet({"x": values}))
    reason = taken.reason
    assert "a.parquet" in reason
    assert "column 'x' is " in reason
    assert declared.replace(";", ",") in reason
    assert taken.chunks[0].file_rejected


def test_a_column_whose_values_all_fail_refuses_the_file(tmp_path: Path) -> None:
    taken = Landing(tmp_path, "x INTEGER", "").take("a.parquet", parquet({"x": [1.5, 2.5, 3.5]}))
    assert "none of the first 3 values of column 'x'" in taken.reason


def test_damaged_files_are_refused_before_a_row_is_handed_over(feed: Landing) -> None:
    whole = parquet({"id": list(range(300_000))}, row_group_size=100_000, use_dictionary=False)
    assert "damaged or cut short" in feed.take("cut.parquet", whole[: len(whole) // 2]).reason
    last = pq.read_metadata(io.BytesIO(whole)).row_group(2).column(0)
    start = last.dictionary_page_offset or last.data_page_offset
    broken = feed.take("broken.parquet", whole[:start] + bytes(100) + whole[start + 100 :])
    assert broken.chunks[0].file_rejected
    assert "damaged" in broken.reason
    assert "damaged" in feed.take("text.parquet", "id\n1\n").reason


def test_many_rows_come_in_chunks(feed: Landing) -> None:
    taken = feed.take("a.parquet", parquet({"id": list(range(250_000))}))
    assert [chunk.rows.num_rows for chunk in taken.chunks] == [100_000, 100_000, 50_000]
    assert taken.lines == list(range(1, 250_001))


def test_no_rows_and_missing_keys(feed: Landing) -> None:
    assert feed.take("none.parquet", parquet({"id": pa.array([], pa.int32())})).rows == []
    assert "key column 'id' is missing" in feed.take("key.parquet", parquet({"name": ["a"]})).reason


def test_new_columns_have_the_files_types(feed: Landing) -> None:
    found = parquet(
        {
            "id": [1],
            "i": pa.array([1], pa.int16()),
            "d": [Decimal("1.25")],
            "s": ["x"],
            "o": [{"a": 1}],
            "ns": pa.array([1], pa.timestamp("ns")),
            "tz": [FRESH],
            "b": [b"x"],
            "r": pa.array([1.5], pa.float32()),
        }
    )
    feed.write("a.parquet", found)
    (file,) = feed.discover()
    assert {c.name: c.type for c in feed.source.new_columns(file)} == {
        "i": "SMALLINT",
        "d": "DECIMAL(3,2)",
        "s": "VARCHAR",
        "o": "JSON",
        "ns": "TIMESTAMP_NS",
        "tz": "TIMESTAMP WITH TIME ZONE",
        "b": "BLOB",
        "r": "REAL",
    }
    assert feed.read(file).rows[0][5:7] == ("x", '{"a":1}')
