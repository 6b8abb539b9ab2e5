"""However a model is kept from one refresh to the next, it is its query: drawn choices over random worlds."""

from __future__ import annotations

import os

import pytest
from fuzz.check import check
from fuzz.ways import any_way
from fuzz.world import make_world

from strandline.warehouse import keeping

WORLDS = int(os.environ.get("STRANDLINE_CASES", "1500")) // 30
FIRST = int(os.environ.get("STRANDLINE_SEED", "0")) + 2_000_000


@pytest.mark.parametrize("start", range(FIRST, FIRST + WORLDS, 10))
def test_models_go_plain_and_back(start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(start, min(start + 10, FIRST + WORLDS)):
        monkeypatch.setattr(keeping, "cheapest", any_way(seed))
        outcome = check(make_world(seed), verify=True)
        found = [f for f in outcome.findings if f.kind != "refused"]
        assert not found, f"seed {seed}: {found[0]}"
