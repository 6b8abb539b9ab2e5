"""Plan → SQL: how a stage is filled from scratch and how it is refreshed from a change."""

from __future__ import annotations

from typing import Protocol

from strandline.compiler import aggregate, collect, topk, window
from strandline.compiler import history as halves
from strandline.compiler import relations as r
from strandline.compiler.delta import Changed
from strandline.compiler.finish import finish
from strandline.compiler.plan import Stage
from strandline.compiler.text import Step, batch, listed, make, scratch, stored


class Rules(Protocol):
    """What the module of an operator knows."""

    def fill(self, stage: Stage) -> str: ...

    def program(self, stage: Stage, changed: Changed) -> list[Step]: ...

    def columns(self, stage: Stage) -> list[str]: ...


def fill(stage: Stage) -> str:
    """A SELECT of all rows of the stage (with `_back` where a head is split off)."""
    return rules(stage).fill(stage)


def refresh(stage: Stage, changed: Changed) -> list[Step]:
    """The program for a change of these stored tables; independent of the change's size and content."""
    return rules(stage).program(stage, changed)


def columns(stage: Stage) -> list[str]:
    """The columns of the stage's table, without the batch."""
    return rules(stage).columns(stage)


def rules(stage: Stage) -> Rules:
    """The rules of the stage's operator."""
    match stage.operator:
        case r.Aggregate():
            return aggregate
        case r.Window():
            return window
        case r.TopK():
            return topk
    return collect


def create(stage: Stage) -> list[str]:
    """Statements that create the stage's tables and fill them from the current input."""
    cols = listed(columns(stage))
    if not stage.back:
        return [f"CREATE TABLE {stored(stage.table)} AS SELECT {cols}, {batch()} FROM ({fill(stage)}) AS f"]
    history, head = halves.history(stage), halves.head(stage)
    kept = listed([*halves.head_columns(stage), "_back"])
    published = f"SELECT {cols}, _batch FROM {history}"
    if stage.open_to:
        published += f" UNION ALL SELECT {cols}, _batch FROM {head} WHERE _back <= {stage.open_to}"
    if not stage.open_to and not stage.unread:
        return [
            f"CREATE TABLE {history} AS SELECT {kept}, {batch()} FROM ({fill(stage)}) AS f",
            f"CREATE TABLE {head} AS SELECT * FROM {history} WHERE _back <= {stage.held_to}",
            f"CREATE VIEW {stored(stage.table)} AS {published}",
        ]
    # divided while written: deleting from a table made in the same transaction would log all of it;
    # what is stored beside the functions is made then, so that fewer columns are written twice
    whole = scratch(stage.table, "whole")
    closed = finish(stage, f"SELECT * FROM {whole} WHERE _back > {stage.open_to}")
    last = finish(stage, f"SELECT * FROM {whole} WHERE _back <= {stage.held_to}")
    return [
        make(whole, window.evaluated_input(stage)),
        f"CREATE TABLE {history} AS SELECT {cols}, {batch()} FROM ({closed}) AS h",
        f"CREATE TABLE {head} AS SELECT {kept}, {batch()} FROM ({last}) AS h",
        f"DROP TABLE {whole}",
        f"CREATE VIEW {stored(stage.table)} AS {published}",
    ]


def drop(stage: Stage) -> list[str]:
    """Statements that remove everything `create` made."""
    if not stage.back:
        return [f"DROP TABLE IF EXISTS {stored(stage.table)}"]
    return [
        f"DROP VIEW IF EXISTS {stored(stage.table)}",
        f"DROP TABLE IF EXISTS {halves.history(stage)}",
        f"DROP TABLE IF EXISTS {halves.head(stage)}",
    ]


def read_columns(stage: Stage, table: str) -> set[str]:
    """Stored columns of `table` that the stage reads at all."""
    return scanned(stage.input, stage, table)


def removed_columns(stage: Stage, table: str) -> set[str]:
    """Stored columns of `table` that the stage wants of removed rows."""
    node = window.removal(stage) if isinstance(stage.operator, r.Window) else stage.input
    return scanned(node, stage, table)


def scanned(node: r.Relation, stage: Stage, table: str) -> set[str]:
    """What the scans in a relation and the stage's lookups take of `table`."""
    scans = [n for n in r.walk(node) if isinstance(n, r.Scan)] + [look.scan for look in stage.lookups]
    return {stored_name for scan in scans if scan.table == table for _, stored_name in scan.columns}
