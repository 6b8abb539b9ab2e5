"""Look for faults: python -m fuzz --seeds 0:1000 [--out DIR] [--shrink SECONDS] [--coverage FILE]
[--seconds N].

Every new kind of fault is shrunk and written to DIR as a Python file of its own.
Run from tests/property with src on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import time
from collections import Counter
from pathlib import Path

from fuzz.check import SEVERITY, Finding, Outcome, check
from fuzz.coverage import Tally
from fuzz.script import script
from fuzz.shrink import shrink
from fuzz.world import World, make_world


def main() -> int:
    options = arguments()
    first, last = (int(part) for part in options.seeds.split(":"))
    tally, seen, started = Tally(), Counter[str](), time.monotonic()
    with contextlib.suppress(KeyboardInterrupt):
        for seed in range(first, last):
            if time.monotonic() - started > options.seconds:
                print(f"out of time before seed {seed}")
                break
            world = make_world(seed)
            outcome = check(world, verify=seed % 5 == 0)
            tally.add(world, outcome)
            for finding in sorted(outcome.findings, key=lambda f: SEVERITY.index(f.kind)):
                told(world, finding, options, seen)
    seconds = time.monotonic() - started
    print(f"{tally.cases} cases, {tally.invalid} invalid, {dict(tally.findings)}, {seconds:.0f} s")
    print(f"kept without full: {1 - tally.full_cases / max(1, tally.cases):.1%}")
    for signature, count in seen.most_common():
        print(f"{count:5} {signature}")
    if options.coverage:
        tally.save(Path(options.coverage))
    return 1 if tally.findings else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", default="0:100", metavar="FROM:TO")
    parser.add_argument("--out", default="", help="folder for reproductions")
    parser.add_argument("--shrink", type=float, default=20.0, help="seconds per fault")
    parser.add_argument("--each", type=int, default=2, help="reproductions per kind of fault")
    parser.add_argument("--coverage", default="")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop beginning new seeds then")
    return parser.parse_args()


def told(world: World, finding: Finding, options: argparse.Namespace, seen: Counter[str]) -> None:
    """Print one fault; shrink and write it if it is of a new kind."""
    key = finding.signature
    if finding.kind == "wrong":
        key += " " + features(world, finding)
    seen[key] += 1
    print(f"seed {world.seed} {finding.model} batch {finding.batch} {finding.kind}: {finding.detail[:200]}")
    if not options.out or seen[key] > options.each:
        return
    small = shrink(world, finding, options.shrink)
    again = next((f for f in check_again(small, finding) if f.signature == finding.signature), finding)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"\W+", "_", key)[:60]
    path = folder / f"{world.seed:05d}_{finding.model}_{stem}.py"
    path.write_text(script(small, again))
    print(f"  -> {path}")


def features(world: World, finding: Finding) -> str:
    model = next((m for m in world.models if m.name == finding.model), None)
    wanted = ("query:", "join:", "setop:")
    return " ".join(sorted(t for t in model.tags if t.startswith(wanted)))[:60] if model else ""


def check_again(world: World, finding: Finding) -> list[Finding]:
    outcome: Outcome = check(world, verify=finding.kind == "verify" or finding.batch == 99)
    return outcome.findings


if __name__ == "__main__":
    sys.exit(main())
