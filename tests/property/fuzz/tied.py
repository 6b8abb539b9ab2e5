"""Worlds whose orders leave ties: orders lose their last terms, and lists and picks lose them all.

Plain DuckDB promises nothing there, so what a model shows is compared with its own recompute.
"""

from __future__ import annotations

import random
from dataclasses import replace

import sqlglot
from sqlglot import exp

from fuzz.check import Finding, Subject
from fuzz.world import Model, World, make_world
from strandline.errors import CompileError, StrandlineError, UnknownNameError
from strandline.schema import Parity
from strandline.warehouse.parity import SHOWN


def tied_world(seed: int) -> World:
    """The World of a seed with looser orders."""
    world, rng = make_world(seed), random.Random(seed)
    return replace(world, models=tuple(_loosened(m, rng) for m in world.models))


def _loosened(model: Model, rng: random.Random) -> Model:
    tree = sqlglot.parse_one(model.sql, read="duckdb")
    for order in list(tree.find_all(exp.Order)):
        terms = order.expressions
        if isinstance(order.parent, exp.Window):
            order.set("expressions", terms[: rng.randint(1, len(terms))])
        elif order.this is not None and rng.random() < 0.4:  # the order of an aggregate, around what it takes
            order.replace(order.this)
        else:
            order.set("expressions", terms[: rng.randint(1, len(terms))])
    return replace(model, sql=tree.sql(dialect="duckdb"))


def check_tied(world: World) -> tuple[list[Finding], int]:
    """What `verify` calls wrong after any batch, and how many models were right to the end."""
    subject = Subject(world)
    found: list[Finding] = []
    kept: list[str] = []
    try:
        kept = [m.name for m in world.order if _created(m, subject)]
        for number, batch in enumerate(world.batches):
            for change in batch:
                subject.apply(change)
            subject.warehouse.refresh()
            told = {name: subject.warehouse.verify(name) for name in kept}
            wrong = {name: p for name, p in told.items() if not (p.ok or _noise(p))}
            found += [Finding("verify", name, number, str(p)) for name, p in wrong.items()]
            kept = [name for name in kept if name not in wrong]
    except StrandlineError as error:
        if not _overflow(error):
            raise
    finally:
        subject.close()
    return found, len(kept)


def _noise(parity: Parity) -> bool:
    """Covariances around zero are what rounding left of them: no digit of them is the same twice."""
    sides = {"missing": [], "extra": []}
    for row in parity.sample:
        values = (round(v, 9) + 0.0 if isinstance(v, float) else v for k, v in row.items() if k != "side")
        sides[str(row["side"])].append(repr(list(values)))
    if parity.missing > SHOWN or parity.extra > SHOWN:
        return False
    return parity.missing == parity.extra and sorted(sides["missing"]) == sorted(sides["extra"])


def _created(model: Model, subject: Subject) -> bool:
    """Orders that have to be total are refused, and so is what is no query, and what reads such a one."""
    try:
        subject.warehouse.create_model(model.name, model.sql)
    except (CompileError, UnknownNameError):
        return False
    return True


def _overflow(error: StrandlineError) -> bool:
    """The query's own failure over these rows."""
    return "verflow" in error.message or "out of range" in error.message.lower()
