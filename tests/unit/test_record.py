"""The record's named statements."""

from __future__ import annotations

from strandline.record import insertion, query


def test_an_insertion_takes_any_number_of_rows() -> None:
    one = query("put_table").removesuffix(";")
    values = one.partition("VALUES ")[2]
    assert insertion("put_table", 1) == one
    assert insertion("put_table", 3) == f"{one}, {values}, {values}"
