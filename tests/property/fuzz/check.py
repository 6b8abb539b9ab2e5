"""Runs a World against Strandline and against the oracle, and names every difference."""

from __future__ import annotations

import random
import re
import tempfile
import traceback
from dataclasses import dataclass, field
from typing import Any

import duckdb

import strandline as sl
from fuzz.compare import Bag, difference
from fuzz.oracle import Oracle, frame
from fuzz.tables import Batch, Change, Table
from fuzz.world import Model, World
from strandline.errors import CompileError, StrandlineError

# How bad a finding is, worst first.
SEVERITY = ("wrong", "crash", "verify", "type", "gap", "refused")
GAP = "the engine refuses"  # how the reason of a plan starts whose stages the compiler got wrong


@dataclass(frozen=True)
class Finding:
    """One difference: what kind, for which model, after which batch (-1: when it was created)."""

    kind: str
    model: str
    batch: int
    detail: str

    @property
    def signature(self) -> str:
        """The same for the same fault: the kind and the shape of the message."""
        if self.kind == "wrong":
            return "wrong"
        shape = re.sub(r"['\"][^'\"]*['\"]|\d+|\bm_?\w*__\w+", "#", self.detail.split("\n", 1)[0])
        return f"{self.kind}: {shape[:70]}"


@dataclass
class Outcome:
    """What a World showed: findings, tested models, and (operator, strategy) pairs per model."""

    seed: int
    findings: list[Finding] = field(default_factory=list)
    invalid: dict[str, str] = field(default_factory=dict)
    tested: set[str] = field(default_factory=set)
    strategies: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    full: dict[str, str] = field(default_factory=dict)


class Subject:
    """Strandline under test, driven through its public API: in memory, or in a file that is closed
    and opened again after every batch (`on_disk`)."""

    def __init__(self, world: World, *, on_disk: bool = False) -> None:
        self._tables = {t.name: t for t in world.tables}
        self._rng = random.Random(world.seed)
        self._folder = tempfile.TemporaryDirectory() if on_disk else None
        self._path = f"{self._folder.name}/w.duckdb" if self._folder else ":memory:"
        self.warehouse = sl.open(self._path, threads=1)
        for table in world.tables:
            key = table.key if len(table.key) != 1 else table.key[0]
            self.warehouse.create_table(table.name, table.ddl, key=key or None, append_only=table.append_only)

    def close(self) -> None:
        self.warehouse.close()
        if self._folder is not None:
            self._folder.cleanup()

    def reopen(self) -> None:
        if self._folder is not None:
            self.warehouse.close()
            self.warehouse = sl.open(self._path, threads=1)

    def apply(self, change: Change) -> None:
        table = self._tables[change.table]
        inserts: Any = frame(table, change.inserts) if change.inserts else None
        deletes: Any = frame(table, change.deletes) if change.deletes else None
        if inserts is not None and self._rng.random() < 0.25:
            inserts = inserts.to_pylist()
        if deletes is not None and self._rng.random() < 0.25:
            deletes = deletes.to_pylist()
        self.warehouse.apply(change.table, inserts=inserts, deletes=deletes)

    def rows(self, name: str) -> Bag:
        return Bag.of(self.warehouse.read(name, arrow=True))


def check(world: World, *, verify: bool = False) -> Outcome:
    """Run the whole World (every fifth one on disk); stops at a crash: what follows is guesswork."""
    outcome = Outcome(world.seed)
    oracle = Oracle(world.tables)
    try:
        subject = Subject(world, on_disk=world.seed % 5 == 2)
        try:
            _run(world, oracle, subject, outcome)
            if verify:
                _verify(subject, outcome)
        except (
            duckdb.FatalException,
            duckdb.InternalException,
        ) as error:  # the plain query's own end: there is nothing to compare with
            outcome.invalid.setdefault("the plain engine", str(error))
        finally:
            subject.close()
    finally:
        oracle.close()
    return outcome


def _run(world: World, oracle: Oracle, subject: Subject, outcome: Outcome) -> None:
    alive: list[Model] = []
    dead: set[str] = set()
    early = [m for m in world.order if m.name in world.early]
    late = [m for m in world.order if m.name not in world.early]
    _create(early, alive, dead, oracle, subject, outcome)
    for number, batch in enumerate(world.batches):
        oracle.apply(batch)
        for change in batch:
            subject.apply(change)
        if not _refresh(number, alive, subject, outcome):
            return
        if number == 0:
            _create(late, alive, dead, oracle, subject, outcome)
        _compare(number, alive, dead, oracle, subject, outcome)
        subject.reopen()
    _strategies(alive, dead, subject, outcome)


def _create(
    models: list[Model],
    alive: list[Model],
    dead: set[str],
    oracle: Oracle,
    subject: Subject,
    outcome: Outcome,
) -> None:
    for model in models:
        if model.uses & dead:
            dead.add(model.name)
            continue
        refused = oracle.model(model.name, model.sql)
        if refused is not None or not _valid_now(model, oracle, outcome):
            outcome.invalid.setdefault(model.name, refused or "")
            dead.add(model.name)
            continue
        outcome.tested.add(model.name)
        try:
            subject.warehouse.create_model(model.name, model.sql)
            alive.append(model)
        except CompileError as error:
            outcome.findings.append(Finding("refused", model.name, -1, str(error)))
            dead.add(model.name)
        except Exception as error:
            outcome.findings.append(Finding("crash", model.name, -1, _told(error)))
            dead.add(model.name)


def _valid_now(model: Model, oracle: Oracle, outcome: Outcome) -> bool:
    try:
        oracle.rows(model.name)
    except (duckdb.FatalException, duckdb.InternalException):
        raise
    except duckdb.Error as error:
        outcome.invalid[model.name] = str(error)
        return False
    return True


def _told(error: Exception) -> str:
    """The error, and where in Strandline it came from."""
    last = [f for f in traceback.extract_tb(error.__traceback__) if "strandline" in f.filename][-1:]
    where = "".join(f" [{f.filename.rsplit('/', 1)[-1]}:{f.name}]" for f in last)
    return f"{type(error).__name__}: {error}{where}"


def _refresh(number: int, alive: list[Model], subject: Subject, outcome: Outcome) -> bool:
    try:
        run = subject.warehouse.refresh()
    except Exception as error:
        outcome.findings.append(Finding("crash", _blamed(error, alive), number, _told(error)))
        return False
    for model in run.models:
        seen = outcome.strategies.setdefault(model.model, set())
        seen |= {(s.operator, s.strategy) for s in model.stages}
    return True


def _blamed(error: Exception, alive: list[Model]) -> str:
    text = f"{getattr(error, 'where', '')} {error}" if isinstance(error, StrandlineError) else str(error)
    return next((m.name for m in alive if re.search(rf"\b{m.name}\b", text)), "?")


def _compare(
    number: int, alive: list[Model], dead: set[str], oracle: Oracle, subject: Subject, outcome: Outcome
) -> None:
    for model in list(alive):
        if model.uses & dead:
            dead.add(model.name)
        if model.name in dead:
            continue
        try:
            want = oracle.rows(model.name)
        except (duckdb.FatalException, duckdb.InternalException):
            raise
        except duckdb.Error as error:
            outcome.invalid[model.name] = str(error)
            dead.add(model.name)
            continue
        found = _judged(model.name, number, want, subject)
        if found is not None:
            outcome.findings.append(found)
            if found.kind != "type":
                dead.add(model.name)


def _judged(name: str, number: int, want: Bag, subject: Subject) -> Finding | None:
    try:
        got = subject.rows(name)
    except Exception as error:
        return Finding("crash", name, number, f"read: {_told(error)}")
    told = difference(want, got)
    if told is not None:
        return Finding("wrong", name, number, told)
    if number == 0 and want.types != got.types:
        pairs = [f"{a}, not {b}" for a, b in zip(want.types, got.types, strict=True) if a != b]
        return Finding("type", name, number, "; ".join(pairs))
    return None


def _strategies(alive: list[Model], dead: set[str], subject: Subject, outcome: Outcome) -> None:
    for model in alive:
        if model.name in dead:
            continue
        plan = subject.warehouse.explain(model.name)
        outcome.strategies.setdefault(model.name, set())
        for stage in plan.stages:
            outcome.strategies[model.name].add((stage.operator, stage.strategy))
            if stage.strategy == "full":
                outcome.full[model.name] = stage.reason
            if stage.reason.startswith(GAP):
                outcome.findings.append(Finding("gap", model.name, -1, stage.reason))


def _verify(subject: Subject, outcome: Outcome) -> None:
    """`verify` must agree with the oracle: a model that is right is called right."""
    wrong = {f.model for f in outcome.findings}
    for name in subject.warehouse.models():
        if name in wrong:
            continue
        try:
            parity = subject.warehouse.verify(name)
        except Exception as error:
            outcome.findings.append(Finding("crash", name, 99, f"verify: {_told(error)}"))
            continue
        if not parity.ok:
            outcome.findings.append(Finding("verify", name, 99, str(parity)))


def batch_size(batch: Batch) -> int:
    return sum(len(c.inserts) + len(c.deletes) for c in batch)


def tables_of(world: World) -> dict[str, Table]:
    return {t.name: t for t in world.tables}
