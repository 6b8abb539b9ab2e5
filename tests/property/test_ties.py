"""Where a query's orders leave ties, a model still shows what its recompute shows, however the rows came."""

from __future__ import annotations

import os

import pytest
from fuzz.tied import check_tied, tied_world

WORLDS = int(os.environ.get("STRANDLINE_CASES", "1500")) // 30
FIRST = int(os.environ.get("STRANDLINE_SEED", "0")) + 4_000_000


@pytest.mark.parametrize("start", range(FIRST, FIRST + WORLDS, 10))
def test_ties_are_broken_alike(start: int) -> None:
    right = 0
    for seed in range(start, min(start + 10, FIRST + WORLDS)):
        found, models = check_tied(tied_world(seed))
        right += models
        assert not found, f"seed {seed}: {found[0]}\n{tied_world(seed).models}"
    assert right
