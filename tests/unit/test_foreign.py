"""Frames of Arrow types that the engine does not read, or fails over."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import strandline as sl
from strandline.errors import InputError

FAR = 2**62
READ: dict[str, tuple[pa.Array, str, list[Any]]] = {
    "half floats": (pa.array(np.array([1.5], dtype=np.float16)), "DOUBLE", [1.5]),
    "lists of them": (pa.array([[np.float16(1.5)]], pa.list_(pa.float16(), 1)), "DOUBLE[]", [[1.5]]),
    "wide decimals": (pa.array([Decimal("1.25")], pa.decimal256(60, 2)), "DECIMAL(9,2)", [Decimal("1.25")]),
    "wide ones of many places": (
        pa.array([Decimal("123456789.5")], pa.decimal256(76, 38)),
        "DECIMAL(18,2)",
        [Decimal("123456789.50")],
    ),
    "finer ones": (pa.array([Decimal("1e-40")], pa.decimal256(60, 40)), "DOUBLE", [1e-40]),
    "zoned nanoseconds": (
        pa.array([5_000, None], pa.timestamp("ns", "Asia/Tokyo")),
        "TIMESTAMP",
        [dt.datetime.fromisoformat("1970-01-01 00:00:00.000005"), None],
    ),
    "seconds in a struct": (
        pa.array([{"a": 5}, None], pa.struct([("a", pa.timestamp("s"))])),
        "STRUCT(a TIMESTAMP)",
        [{"a": dt.datetime.fromisoformat("1970-01-01 00:00:05")}, None],
    ),
    "zoned nanoseconds in lists": (
        pa.array([[5_001]], pa.list_(pa.timestamp("ns", "UTC"))),
        "TIMESTAMP[]",
        [[dt.datetime.fromisoformat("1970-01-01 00:00:00.000005")]],
    ),
    "zoned nanoseconds in dictionaries": (
        pa.array([5_001], pa.timestamp("ns", "UTC")).dictionary_encode(),
        "TIMESTAMP",
        [dt.datetime.fromisoformat("1970-01-01 00:00:00.000005")],
    ),
    "runs of seconds": (
        pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([5], pa.timestamp("s"))),
        "TIMESTAMP",
        [dt.datetime.fromisoformat("1970-01-01 00:00:05")] * 2,
    ),
    "list views": (pa.array([[1, 2], None, [3]], pa.list_view(pa.int64())), "BIGINT[]", [[1, 2], None, [3]]),
    "a map as long text": (pa.array(['{"a": 1}'], pa.large_string()), "MAP(VARCHAR, INTEGER)", [{"a": 1}]),
}


@pytest.mark.parametrize("what", READ)
def test_values_come_in_as_they_are(what: str) -> None:
    values, kind, expected = READ[what]
    with sl.open(":memory:") as wh:
        wh.create_table("t", f"id INTEGER, v {kind}", key="id")
        wh.apply("t", pa.table({"id": list(range(len(values))), "v": values}))
        wh.refresh()
        assert [row for (row,) in wh.engine.rows("SELECT v FROM t ORDER BY id")] == expected


SECONDS, MILLISECONDS = pa.timestamp("s"), pa.timestamp("ms", "UTC")
FAR_AWAY: list[pa.Array] = [
    pa.array([FAR], SECONDS),
    pa.array([FAR], MILLISECONDS),
    pa.array([[FAR]], pa.list_(SECONDS)),
    pa.array([[FAR]], pa.large_list(SECONDS)),
    pa.array([[FAR]], pa.list_view(SECONDS)),
    pa.array([[FAR]], pa.large_list_view(SECONDS)),
    pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array([FAR], SECONDS)),
    pa.array([{"a": FAR}], pa.struct([("a", SECONDS)])),
    pa.array([[("a", FAR)]], pa.map_(pa.string(), SECONDS)),
    pa.array([FAR], SECONDS).dictionary_encode(),
]


@pytest.mark.parametrize("values", FAR_AWAY, ids=lambda values: str(values.type))
def test_a_moment_out_of_range_is_refused_and_the_warehouse_lives(values: pa.Array) -> None:
    with sl.open(":memory:") as wh:
        wh.create_table("t", "id INTEGER, v VARCHAR, w TIMESTAMP", key="id")
        wh.apply("t", [{"id": 1, "v": "kept"}])
        for column in ("v", "w"):
            with pytest.raises(InputError, match=f"column '{column}'"):
                wh.apply("t", pa.table({"id": [2], column: values}))
        wh.refresh()
        assert wh.read("t").rows() == [(1, "kept", None)]


def test_the_column_that_cannot_be_read_is_named() -> None:
    with sl.open(":memory:") as wh:
        wh.create_table("t", "id INTEGER, v INTERVAL", key="id")
        with pytest.raises(InputError, match="column 'v'"):
            wh.apply("t", pa.table({"id": [2], "v": pa.array([FAR], pa.duration("s"))}))
