from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strandline.errors import SchemaError
from strandline.sources.casting import from_text, why
from strandline.sources.types import parse_type

BAD = object()
DAY = dt.datetime(2024, 1, 31, tzinfo=dt.UTC).replace(tzinfo=None)
CASES: dict[str, dict[str | None, Any]] = {
    "BOOLEAN": {
        "true": True,
        "FALSE": False,
        "t": True,
        "no": False,
        "1": True,
        "0": False,
        "": None,
        "2": BAD,
        "nein": BAD,
    },
    "TINYINT": {
        "127": 127,
        "-128": -128,
        "128": BAD,
        "+5": 5,
        "12.0": 12,
        "12.5": BAD,
        "0x1F": BAD,
        " 7 ": 7,
        "007": 7,
        "00000000000000000000000000000000000000000009": 9,
        "-0": 0,
        "1e2": BAD,
        "1_0": BAD,
        "": None,
    },
    "UBIGINT": {"18446744073709551615": 2**64 - 1, "18446744073709551616": BAD, "-1": BAD, "-0": 0},
    "HUGEINT": {"9" * 38: Decimal("9" * 38), "9" * 39: BAD, "9" * 45: BAD, "-1": Decimal(-1)},
    "DECIMAL(12,2)": {
        "12.34": Decimal("12.34"),
        "12.3400": Decimal("12.34"),
        "12.345": BAD,
        "1e2": Decimal(100),
        "1E-2": Decimal("0.01"),
        "1e-3": BAD,
        ".5": Decimal("0.5"),
        "5.": Decimal(5),
        "9999999999.99": Decimal("9999999999.99"),
        "10000000000": BAD,
        "9" * 45: BAD,
        "1e9999": BAD,
        "0e9": Decimal(0),
        "0." + "0" * 60: Decimal(0),
        "1,000": BAD,
        "NaN": BAD,
        "-1": Decimal(-1),
    },
    "DECIMAL(38,2)": {"1" * 36: Decimal("1" * 36), "1" * 37: BAD, "1" * 38: BAD},
    "DOUBLE": {
        "1.5": 1.5,
        "-.5e-3": -0.0005,
        "+1E+2": 100.0,
        "NaN": BAD,
        "inf": BAD,
        "-Infinity": BAD,
        "1e999": BAD,
        "1e-999": 0.0,
        "0x1p3": BAD,
        "1 2": BAD,
        "": None,
    },
    "REAL": {"1.5": 1.5, "1e39": BAD},
    "DATE": {
        "2024-02-29": dt.date(2024, 2, 29),
        "2023-02-29": BAD,
        "2024-1-1": BAD,
        "20240101": BAD,
        "2024-01-01T00:00:00": BAD,
        "0001-01-01": dt.date(1, 1, 1),
    },
    "TIMESTAMP": {
        "2024-01-31": DAY,
        "2024-01-31T10:11": DAY.replace(hour=10, minute=11),
        "2024-01-31 10:11:12.5": DAY.replace(hour=10, minute=11, second=12, microsecond=500000),
        "2024-01-31T10:00:00Z": DAY.replace(hour=10),
        "2024-01-31T10:00:00+02:00": DAY.replace(hour=8),
        "2024-01-31 10:00:00 -0330": DAY.replace(hour=13, minute=30),
        "2024-01-31T10:00:00+02": DAY.replace(hour=8),
        "2024-01-31 00:00:00.000000000": DAY,
        "2024-01-31 00:00:00.0000001": BAD,
        "2024-01-32": BAD,
        "2024-01-31 24:00:00": BAD,
        "2024-01-31 10:11:60": BAD,
        "31.01.2024": BAD,
        "1706659200": BAD,
        "": None,
    },
    "TIMESTAMP_S": {"2024-01-31T00:00:00.000Z": DAY, "2024-01-31T00:00:00.5": BAD},
    "TIMESTAMPTZ": {
        "2024-01-31 10:00:00": DAY.replace(hour=10, tzinfo=dt.UTC),
        "2024-01-31T10:00:00+01:00": DAY.replace(hour=9, tzinfo=dt.UTC),
    },
    "TIME": {
        "10:11": dt.time(10, 11),
        "10:11:12.5": dt.time(10, 11, 12, 500000),
        "24:00:00": BAD,
        "1:2": BAD,
    },
    "UUID": {
        "6F9619FF-8B86-D011-B42D-00C04FC964FF": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
        "6f9619ff8b86d011b42d00c04fc964ff": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
        "6f96": BAD,
    },
    "JSON": {'{"a": 1}': '{"a": 1}', "1": "1", "{a}": BAD, "NaN": BAD, "[" * 100_000: BAD},
    "BLOB": {"\\x00ff": b"\x00\xff", "00": b"\x00", "0": BAD, "xy": BAD},
    "VARCHAR": {"": "", " a ": " a ", None: None},
}


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "together"])
@pytest.mark.parametrize("declared", CASES)
def test_text_is_cast_exactly_or_refused(declared: str, alone: bool) -> None:
    to = parse_type(declared)
    groups = [[item] for item in CASES[declared].items()] if alone else [list(CASES[declared].items())]
    for group in groups:
        cast = from_text(pa.array([text for text, _ in group], pa.string()), to)
        assert cast.values.type == to.arrow
        for i, (text, expected) in enumerate(group):
            assert (i in cast.bad) == (expected is BAD), text
            assert cast.values[i].as_py() == (None if expected is BAD else expected), text


def test_zones_may_be_mixed_and_first_values_null() -> None:
    texts = [None, "2024-01-31", "2024-01-31T02:00:00+02:00", "x", "2024-01-31T00:00:00Z", ""]
    cast = from_text(pa.array(texts), parse_type("TIMESTAMP"))
    assert cast.values.to_pylist() == [None, DAY, DAY, None, DAY, None]
    assert cast.bad.tolist() == [3]


def test_slices_are_cast_by_their_own_values() -> None:
    texts = pa.array(["x", "1", "2", "y", None])
    assert from_text(texts[1:3], parse_type("INTEGER")).values.to_pylist() == [1, 2]
    assert from_text(texts[1:5], parse_type("INTEGER")).bad.tolist() == [2]


@given(
    st.lists(
        st.one_of(st.none(), st.text("0123456789.+-eE ", max_size=12), st.decimals(allow_nan=False).map(str))
    )
)
def test_decimals_agree_with_pythons(texts: list[str | None]) -> None:
    cast = from_text(pa.array(texts, pa.string()), parse_type("DECIMAL(9,3)"))
    for i, text in enumerate(texts):
        value = cast.values[i].as_py()
        if text is None or not text.strip():
            assert value is None
        elif i in cast.bad:
            assert value is None
            assert not _fits(text)
        else:
            assert value == Decimal(text.strip())


def _fits(text: str) -> bool:
    try:
        number = Decimal(text.strip())
    except ArithmeticError:
        return False
    if not number.is_finite() or number == 0:
        return number == 0
    return -4 < number.adjusted() < 6 and number % Decimal("0.001") == 0


@pytest.mark.parametrize(
    ("declared", "arrow"),
    [
        ("int", pa.int32()),
        ("BigInt", pa.int64()),
        ("NUMERIC", pa.decimal128(18, 3)),
        ("decimal ( 10 , 4 )", pa.decimal128(10, 4)),
        ("DECIMAL(10)", pa.decimal128(10, 0)),
        ("VARCHAR(20)", pa.string()),
        ("character varying", pa.string()),
        ("double  precision", pa.float64()),
        ("timestamp with time zone", pa.timestamp("us", "UTC")),
        ("TIMESTAMP WITHOUT TIME ZONE", pa.timestamp("us")),
        ("ENUM('a','b')", pa.string()),
        ("INTERVAL", pa.string()),
    ],
)
def test_types_go_by_many_names(declared: str, arrow: pa.DataType) -> None:
    assert parse_type(declared).arrow == arrow


@pytest.mark.parametrize(
    "declared", ["VARCHR", "INTEGER[]", "STRUCT(a INTEGER)", "DECIMAL(40,2)", "DECIMAL(a)", ""]
)
def test_types_that_no_file_holds_are_named(declared: str) -> None:
    with pytest.raises(SchemaError):
        parse_type(declared)


def test_reasons_name_column_value_and_type() -> None:
    assert why("n", "x" * 200, parse_type("DATE")) == (
        f"column 'n': '{'x' * 77}...' is no DATE (expected YYYY-MM-DD, a day that exists)"
    )
    assert "no finer than us" in why("n", "2024-01-01 00:00:00.1234567", parse_type("TIMESTAMP"))
