"""Fixtures `query → plan → SQL`: each rule of the compiler, what it makes of a query, and that it is exact.

A fixture is a case file (tests/slt/slt_file.py tells its words) whose last model is the one shown. It is
run, change by change, against plain DuckDB, up to its `halt`; after that come the sections, each begun by
a line that says what it shows:

    === before PASS                 the algebra that the pass gets (the first time it changes anything)
    === after PASS                  what it makes of it
    === plan                        stages, strategies, reasons, what is stored, how the model is read
    === create                      the statements that fill the stages
    === refresh on TABLE+ TABLE-…   the program for rows that came (+) and went (-) in these tables

SQL is laid out and plain names are without quotes; it is otherwise what the engine is given.

`make plans` writes the sections anew (a new fixture begins with the bare `===` lines); read the difference
before you commit it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest
from slt_run import Case
from words import create_text, plan_text, refresh_text, tree

from strandline.compiler import PASSES, Catalog, Plan
from strandline.compiler import relations as r
from strandline.compiler.binding import Lowered
from strandline.compiler.lowering import lower_query
from strandline.compiler.names import source_table
from strandline.compiler.parsing import parse
from strandline.compiler.passes.prune import prune
from strandline.compiler.qualify import qualified
from strandline.compiler.text import DIALECT
from strandline.schema import StrategyName

REWRITE = "REWRITE_PLANS" in os.environ
FIXTURES = sorted((Path(__file__).parent / "cases").glob("*.plan"))
HALT = "\nhalt\n"
OPERATORS = ("join", "projection", "aggregate", "distinct", "window", "top-k", "query")
JOINS = ("inner join", "left join", "asof join", "asof left join", "semi join", "anti join")
RELATIONS = (*JOINS, "union all", "unnest", "unnest padded", "values", "filter", "project", "lookup")


@dataclass(frozen=True)
class Compiled:
    """A query on its way: the algebra before and after each pass, and its plan."""

    passes: tuple[tuple[str, r.Relation, r.Relation], ...]
    plan: Plan

    def around(self, name: str) -> tuple[r.Relation, r.Relation]:
        """Before and after the pass, the first time it changed anything."""
        return next((b, a) for n, b, a in self.passes if n == name and tree(a) != tree(b))


def compiled(sql: str, name: str, catalog: Catalog, plan: Plan) -> Compiled:
    if plan.full_reason:
        return Compiled((), plan)
    lowered = lower_query(qualified(parse(sql, DIALECT), catalog, DIALECT), catalog)
    return Compiled(tuple(steps(lowered)), plan)


def steps(lowered: Lowered) -> Iterator[tuple[str, r.Relation, r.Relation]]:
    node = lowered.node
    for one in (*PASSES, pruning(lowered)):
        after = one(node)
        yield one.__name__, node, after
        node = after


def pruning(lowered: Lowered) -> Callable[[r.Relation], r.Relation]:
    def without_unused(node: r.Relation) -> r.Relation:
        return prune(node, frozenset(c for _, c in lowered.outputs) | set(r.ids(node)))

    without_unused.__name__ = "prune"
    return without_unused


def section(heading: str, found: Compiled) -> str:
    """What a section shows."""
    verb, *rest = heading.split()
    match verb:
        case "before" | "after":
            return "\n".join(tree(found.around(rest[0])[verb == "after"]))
        case "plan":
            return plan_text(found.plan)
        case "create":
            return create_text(found.plan)
        case "refresh":
            changed = frozenset(source_table(side[:-1]) + side[-1] for side in rest[1:])
            return refresh_text(found.plan, changed)
    raise ValueError(f"a section cannot show {heading!r}")


def shown(path: Path, found: Compiled) -> str:
    """The fixture as it ought to be, every section made anew."""
    case, _, sections = path.read_text(encoding="utf-8").partition(HALT)
    headings = re.findall(r"^=== (.*)$", sections, re.MULTILINE)
    parts = [f"\n=== {h}\n\n{section(h, found)}\n" for h in headings]
    return case + HALT + "".join(parts)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_fixture(path: Path) -> None:
    case = Case(path)
    try:
        case.play()
        name, sql = case.models[-1], case.queries[-1]
        catalog = case.warehouse.held.catalog(without=name)
        found = compiled(sql, name, catalog, case.warehouse.compile(name, sql))
    finally:
        case.close()
    ought = shown(path, found)
    if REWRITE:
        path.write_text(ought, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == ought, "if it is meant: make plans, and read the difference"


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_fixture_is_executed(path: Path) -> None:
    """Rows come and rows go, in more than one batch."""
    case = path.read_text(encoding="utf-8").partition(HALT)[0]
    assert case.count("\nrefresh\n") >= 2
    assert "\n+ " in case
    assert "\n- " in case


def test_everything_has_a_fixture() -> None:
    text = "\n".join(path.read_text(encoding="utf-8").partition(HALT)[2] for path in FIXTURES)
    wanted = [f"=== after {one.__name__}\n" for one in PASSES] + ["=== after prune\n"]
    wanted += [f"({strategy})\n" for strategy in get_args(StrategyName)]
    wanted += [f"{operator} (" for operator in OPERATORS]
    wanted += [f" {relation} " for relation in RELATIONS]
    missing = [w.strip() for w in dict.fromkeys(wanted) if w not in text]
    assert not missing, f"no fixture shows {', '.join(missing)}"
