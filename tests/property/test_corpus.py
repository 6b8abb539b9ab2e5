"""Queries as people write them, under random changes, against plain DuckDB."""

from __future__ import annotations

import pytest
from fuzz.check import check
from fuzz.shop import corpus, shop_world

QUERIES = corpus()


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_a_query_of_the_shop(number: int) -> None:
    world = shop_world(number, [QUERIES[number]], number)
    outcome = check(world, verify=True)
    assert not outcome.invalid
    assert not outcome.findings, QUERIES[number]
