"""Moments out of Python's range: written as the database writes them, never a traceback."""

from __future__ import annotations

import random

import pytest

import strandline as sl
from strandline import Warehouse
from strandline.warehouse.faraway import day, legible

FAR = [
    "'infinity'::DATE",
    "'-infinity'::DATE",
    "'200000-01-01'::DATE",
    "'0005-01-01 (BC)'::DATE",
    "'infinity'::TIMESTAMP",
    "'290000-01-01 01:02:03.5'::TIMESTAMP",
    "'0005-12-31 (BC) 03:04:05'::TIMESTAMP",
    "'-infinity'::TIMESTAMPTZ",
    "'290000-01-01 01:02:03.5'::TIMESTAMPTZ",
    "'infinity'::TIMESTAMP_S",
    "'99999-01-01'::TIMESTAMP_MS",
    "'-infinity'::TIMESTAMP_NS",
]


@pytest.fixture(scope="module")
def wh() -> Warehouse:
    return sl.open(":memory:")


@pytest.mark.parametrize("moment", FAR)
def test_a_far_moment_is_text_as_the_database_writes_it(wh: Warehouse, moment: str) -> None:
    want = wh.engine.rows(f"SELECT ({moment})::VARCHAR")[0][0]
    assert wh.sql(f"SELECT {moment} AS y UNION ALL SELECT NULL").to_series().sort().to_list() == [None, want]


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("['infinity'::DATE, NULL, '2020-01-01']", ["infinity", None, "2020-01-01"]),
        ("{'a': '-infinity'::DATE, 'b': 1}", {"a": "-infinity", "b": 1}),
        ("MAP {'a': 'infinity'::TIMESTAMP}", [("a", "infinity")]),
        ("[{'a': ['0005-01-01 (BC)'::DATE]}]", [{"a": ["0005-01-01 (BC)"]}]),
        ("[NULL::DATE]", [None]),
    ],
)
def test_also_inside_of_lists_structs_and_maps(wh: Warehouse, value: str, want: object) -> None:
    query = f"SELECT {value} AS y"
    assert legible(wh.sql(query, arrow=True)).to_pylist() == [{"y": want}]
    assert "infinity" in str(want) or wh.sql(query).rows() == [(want,)]


def test_every_day_is_the_database_s(wh: Warehouse) -> None:
    rng = random.Random(5)
    numbers = [*range(-720_000, -718_000), *(rng.randint(-2_000_000_000, 2_000_000_000) for _ in range(3000))]
    listed = ", ".join(f"({n})" for n in numbers)
    wanted = f"SELECT n, (DATE '1970-01-01' + n::INTEGER)::VARCHAR FROM (VALUES {listed}) v(n)"
    assert {n: day(n) for n in numbers} == dict(wh.engine.rows(wanted))


def test_near_moments_keep_their_type(wh: Warehouse) -> None:
    found = wh.sql(
        "SELECT DATE '9999-12-31' AS a, TIMESTAMP '0001-01-01 00:00:00' AS b, ['2020-01-01'::DATE] AS c"
    )
    assert [str(t) for t in found.dtypes] == [
        "Date",
        "Datetime(time_unit='us', time_zone=None)",
        "List(Date)",
    ]
    assert found.rows()[0][0].year == 9999


def test_verify_shows_far_moments(wh: Warehouse) -> None:
    wh.create_table("e", "id INTEGER, d DATE", key="id")
    wh.create_model("m", "SELECT id, d FROM e")
    wh.apply("e", inserts=[{"id": 1, "d": "infinity"}])
    wh.refresh()
    wh.engine.execute("UPDATE strandline_state.\"m.1\" SET d = '290000-01-01'")
    parity = wh.verify("m")
    assert not parity.ok
    assert {str(row["d"]) for row in parity.sample} == {"infinity", "290000-01-01"}


def test_what_polars_has_no_type_for_is_text(wh: Warehouse) -> None:
    assert wh.sql("SELECT 1::UNION(a INTEGER, b VARCHAR) AS u").rows() == [("1",)]
    assert wh.sql("SELECT INTERVAL '200000000 days' AS i").rows() == [
        ("0 months 200000000 days 0 microseconds",)
    ]
