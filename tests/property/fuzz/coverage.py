"""Counts what the cases exercised: query features, and (operator, strategy) pairs of the plans."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.check import Outcome
from fuzz.operators import operators_of
from fuzz.world import World


@dataclass
class Tally:
    """Counts of tested cases; JSON in and out, so that processes can add theirs up."""

    cases: int = 0
    worlds: int = 0
    invalid: int = 0
    findings: Counter[str] = field(default_factory=Counter)
    operators: Counter[str] = field(default_factory=Counter)
    operator_strategies: Counter[str] = field(default_factory=Counter)
    in_files: Counter[str] = field(default_factory=Counter)
    strategies: Counter[str] = field(default_factory=Counter)
    full_cases: int = 0
    full_reasons: Counter[str] = field(default_factory=Counter)
    case_files: int = 0

    def add(self, world: World, outcome: Outcome) -> None:
        self.worlds += 1
        self.cases += len(outcome.tested)
        self.invalid += len(outcome.invalid)
        self.full_cases += len(outcome.full)
        self.findings.update(f.kind for f in outcome.findings)
        self.full_reasons.update(reason[:80] for reason in outcome.full.values())
        for model in world.models:
            if model.name in outcome.tested:
                pairs = outcome.strategies.get(model.name, set())
                self.strategies.update(f"{operator} | {strategy}" for operator, strategy in pairs)
                self.count(model.sql, {strategy for _, strategy in pairs})

    def count(self, sql: str, strategies: set[str]) -> None:
        """One query and the strategies of its plan."""
        found = operators_of(sql)
        self.operators.update(found)
        self.operator_strategies.update(f"{name} | {word}" for name in found for word in strategies)

    def add_file(self, sqls: list[str]) -> None:
        """The models of one case file; each operator counts once a file."""
        self.case_files += 1
        self.in_files.update({name for sql in sqls for name in operators_of(sql)})

    def merge(self, other: Tally) -> None:
        self.cases += other.cases
        self.worlds += other.worlds
        self.invalid += other.invalid
        self.full_cases += other.full_cases
        self.case_files += other.case_files
        for name in COUNTERS:
            getattr(self, name).update(getattr(other, name))

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        data = {name: dict(sorted(getattr(self, name).items())) for name in COUNTERS}
        data |= {n: getattr(self, n) for n in ("cases", "worlds", "invalid", "full_cases", "case_files")}
        path.write_text(json.dumps(data, indent=1))

    @staticmethod
    def load(path: Path) -> Tally:
        data = json.loads(path.read_text())
        return Tally(**{k: Counter(v) if k in COUNTERS else v for k, v in data.items()})


COUNTERS = ("findings", "operators", "operator_strategies", "in_files", "strategies", "full_reasons")
