"""docs/coverage.md is made from the operators that the tests know, and every one of them is tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fuzz.coverage import Tally
from fuzz.operators import LISTED, NAMES, operators_of
from fuzz.report import ORDER, report

PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"


def lines(page: str) -> dict[str, list[str]]:
    """`Group: operator` -> its cells, read off the page."""
    found, group = {}, ""
    for line in page.splitlines():
        if line.startswith("## "):
            group = line[3:]
        elif line.startswith("| ") and group in LISTED and not line.startswith("| operator"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found[f"{group}: {cells[0]}"] = cells[1:]
    return found


def test_the_page_lists_the_operators_that_are_counted() -> None:
    assert tuple(lines(PAGE.read_text())) == NAMES, "run `make coverage`"


def test_every_operator_is_tested() -> None:
    for name, cells in lines(PAGE.read_text()).items():
        assert any(cells[:2]), f"{name} has no case; write one in tests/slt/cases"


def test_nothing_on_the_page_was_wrong() -> None:
    told = re.search(r"(\d+) wrong, (\d+) failed", PAGE.read_text())
    assert told is not None
    assert told.groups() == ("0", "0")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a FROM t LEFT JOIN u USING (a)", {"Joins: left", "Joins: USING"}),
        ("SELECT a FROM t JOIN u ON t.a = u.a", {"Joins: inner"}),
        ("SELECT a FROM t WHERE a NOT IN (SELECT b FROM u)", {"Subqueries: NOT IN"}),
        ("SELECT count(*) FILTER (WHERE a > 1) FROM t", {"Aggregates: count", "Aggregates: FILTER"}),
        ("SELECT a FROM t EXCEPT ALL SELECT b FROM u", {"Set operations: EXCEPT ALL"}),
    ],
)
def test_operators_are_told_from_the_text(sql: str, expected: set[str]) -> None:
    assert set(operators_of(sql)) == expected


def test_counts_appear_under_their_strategy() -> None:
    tally = Tally()
    tally.count("SELECT a FROM t UNION ALL SELECT a FROM u", {"stateless"})
    tally.add_file(["SELECT a FROM t UNION ALL SELECT a FROM u"])
    cells = lines(report(tally))["Set operations: UNION ALL"]
    assert cells == ["1", "1", *("1" if s == "stateless" else "" for s in ORDER)]


def test_how_it_was_run_stands_in_the_page() -> None:
    said = "Three runs, one of them at night."
    assert f"\n{said}\n\n## " in report(Tally(), said)
