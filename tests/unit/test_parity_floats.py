"""What `verify` takes for the same: floats within its tolerance, NaN and infinity only themselves."""

from __future__ import annotations

import pytest

import strandline as sl


@pytest.mark.parametrize(
    ("stored", "same"),
    [
        ("1.1", True),
        ("1.1000000000001", True),
        ("1.2", False),
        ("NULL", False),
        ("'NaN'", False),
        ("'inf'", False),
        ("'-inf'", False),
    ],
)
def test_a_finite_number(stored: str, same: bool) -> None:
    assert is_verified(1.1, stored) == same


@pytest.mark.parametrize(
    ("true", "stored", "same"),
    [("nan", "'NaN'", True), ("inf", "'inf'", True), ("inf", "'-inf'", False), ("nan", "1.0", False)],
)
def test_what_is_not_finite(true: str, stored: str, same: bool) -> None:
    assert is_verified(float(true), stored) == same


def is_verified(true: float, stored: str) -> bool:
    """Whether a model that should hold `true` and holds `stored` passes."""
    with sl.open(":memory:") as wh:
        wh.create_table("t", "id INTEGER, v DOUBLE", key="id")
        wh.apply("t", inserts=[{"id": 1, "v": true}])
        wh.refresh()
        wh.create_model("m", "SELECT id, v FROM t WHERE id > 0")
        assert wh.verify("m").ok
        wh.engine.execute(f'UPDATE strandline_state."m.1" SET v = {stored}')
        return wh.verify("m").ok
