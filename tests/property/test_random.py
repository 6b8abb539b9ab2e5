"""Random models over random changes, against plain DuckDB.

STRANDLINE_CASES sets how many (1500 unless told; nightly 20000), STRANDLINE_SEED where they
start, STRANDLINE_COVERAGE the folder for the counts behind docs/coverage.md. A failure prints its
seed and a small Python file that shows it; `python -m fuzz --seeds N:N+1` runs that seed again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import pytest
from fuzz.check import Finding, Outcome, check
from fuzz.coverage import Tally
from fuzz.script import script
from fuzz.shrink import shrink
from fuzz.world import MODELS, World, make_world

CASES = int(os.environ.get("STRANDLINE_CASES", "1500"))
FIRST = int(os.environ.get("STRANDLINE_SEED", "0"))
WORLDS = max(1, CASES // MODELS)
CHUNK = 10  # Worlds a test, so that a failure names a handful of seeds
KEPT = 20  # chunks a process


def starts() -> range:
    return range(FIRST, FIRST + WORLDS, CHUNK)


class Process:
    """Checks chunks of seeds apart from the tests, so that a crash of the engine names its seeds.

    What a process imports and learns takes as long as two Worlds, so it is kept for several chunks.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pool, self._left = ProcessPoolExecutor(1, mp_context=get_context("spawn")), KEPT

    def end(self) -> None:
        self._pool.shutdown()

    def checked(self, start: int) -> tuple[str | None, int, int]:
        """What `chunk` says of the seeds from `start`.

        A chunk whose process ended with a signal is run once more in a new one and says so: twice is
        a failure. What it computes is never given a second chance.
        """
        for attempt in (1, 2):
            if self._left == 0:
                self.end()
                self._begin()
            self._left -= 1
            try:
                return self._pool.submit(chunk, start).result()
            except BrokenProcessPool:
                print(
                    f"the engine ended the process: seeds {start} to {start + CHUNK - 1}, attempt {attempt}"
                )
                self._left = 0
        pytest.fail(
            f"the engine ended the process twice: seeds {start} to {start + CHUNK - 1}", pytrace=False
        )


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    process = Process()
    yield process
    process.end()


@pytest.mark.slow
@pytest.mark.parametrize("start", starts())
def test_every_result_is_the_plain_querys(start: int, process: Process) -> None:
    failure, cases, invalid = process.checked(start)
    assert failure is None, failure
    # two of a chunk's fifty may be; more would mean that the generator tests less than it says
    assert (invalid - 2) * 50 <= cases, "the generator makes too many queries that DuckDB refuses"


def chunk(start: int) -> tuple[str | None, int, int]:
    """(the first serious finding, cases, queries that DuckDB refuses) of one chunk of seeds."""
    tally = Tally()
    for seed in range(start, min(start + CHUNK, FIRST + WORLDS)):
        world = make_world(seed)
        outcome = check(world, verify=seed % 5 == 0)
        tally.add(world, outcome)
        for finding in outcome.findings:
            if serious(finding):
                return reproduction(world, finding), tally.cases, tally.invalid
    save(tally, start)
    return None, tally.cases, tally.invalid


def serious(finding: Finding) -> bool:
    """Everything is, but for a clear refusal: those are counted, and bounded in their own test."""
    return finding.kind != "refused"


def reproduction(world: World, finding: Finding) -> str:
    small = shrink(world, finding, seconds=30)
    return f"seed {world.seed}, {finding.kind}: {finding.detail}\n\n{script(small, finding)}"


def save(tally: Tally, start: int) -> None:
    folder = os.environ.get("STRANDLINE_COVERAGE")
    if folder:
        tally.save(Path(folder) / f"random-{start:06d}.json")


def test_nearly_every_query_is_accepted_and_kept_without_full() -> None:
    """At most 1 % refused, at most 5 % by full recompute, over a fixed sample."""
    tested = refused = full = 0
    for seed in range(40):
        outcome: Outcome = check(make_world(seed + 1_000_000))
        tested += len(outcome.tested)
        refused += sum(f.kind == "refused" for f in outcome.findings)
        full += len(outcome.full)
    assert refused <= 0.01 * tested, f"{refused} of {tested} refused"
    assert full <= 0.05 * tested, f"{full} of {tested} kept by full recompute"


def test_a_world_is_a_function_of_its_seed() -> None:
    assert make_world(7) == make_world(7)
    assert make_world(7) != make_world(8)
