"""Runs a case file against Strandline, with a plain DuckDB beside it that knows no increments."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from fuzz.check import GAP
from fuzz.compare import Bag, close, difference
from slt_file import Record, records
from sqlglot import exp

import strandline as sl


class CaseError(AssertionError):
    """A record does not hold; the message starts with file and line."""


class Case:
    """One file: Strandline, its shadow, and the models and keys known so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.warehouse = sl.open(":memory:", threads=1)
        self.shadow = duckdb.connect(config={"threads": 1})
        self.models: list[str] = []
        self.queries: list[str] = []

    def run(self) -> None:
        try:
            self.play()
        finally:
            self.close()

    def play(self) -> None:
        """Every record, with what they made left open to be looked at."""
        for record in records(self.path):
            self._one(record)

    def close(self) -> None:
        self.warehouse.close()
        self.shadow.close()

    def _one(self, record: Record) -> None:
        try:
            getattr(self, f"do_{record.verb}")(record)
        except CaseError:
            raise
        except Exception as error:
            raise CaseError(f"{self.path.name}:{record.line}: {type(error).__name__}: {error}") from error

    def fail(self, record: Record, text: str) -> None:
        raise CaseError(f"{self.path.name}:{record.line}: {text}")

    # ── our own records ───────────────────────────────────────────────────────────────────────

    def do_table(self, record: Record) -> None:
        found = re.fullmatch(r"(\S+)\s*\((.*)\)\s*(?:key\s+(.*?))?\s*(append-only)?", record.rest.strip())
        if found is None:
            self.fail(record, "table NAME (COLUMN TYPE, …) [key A, B] [append-only]")
            return
        name, columns, key, only = found.groups()
        self.create_table(name, columns, [k.strip() for k in key.split(",")] if key else [], bool(only))

    def create_table(self, name: str, columns: str, key: list[str], append_only: bool = False) -> None:
        self.shadow.execute(f"CREATE TABLE {name} ({columns})")
        given: Any = tuple(key) if len(key) > 1 else (key[0] if key else None)
        self.warehouse.create_table(name, columns, key=given, append_only=append_only)

    def do_model(self, record: Record) -> None:
        self.create_model(record.words[1], record.body)

    def create_model(self, name: str, sql: str) -> None:
        self.warehouse.create_model(name, sql)
        gap = next((s.reason for s in self.warehouse.explain(name).stages if s.reason.startswith(GAP)), None)
        if gap is not None:
            raise CaseError(f"{self.path.name}: model {name}: {gap}")
        self.queries.append(sql)
        self.shadow.execute(f"CREATE OR REPLACE VIEW {name} AS {sql}")
        if name not in self.models:
            self.models.append(name)

    def do_apply(self, record: Record) -> None:
        """Deletions first, then insertions; keys and bags as the API's words have it."""
        name = record.words[1]
        inserts = self._rows(name, record, "+")
        deletes = self._rows(name, record, "-")
        self.warehouse.apply(name, inserts=inserts, deletes=deletes)
        key = self.warehouse.tables()[name].key
        for row in deletes.to_pylist() if deletes is not None else []:
            self._delete(name, key, row)
        for row in inserts.to_pylist() if inserts is not None else []:
            if key:
                self._delete(name, key, row)
        if inserts is not None:
            last = {tuple(r[k] for k in key) if key else i: i for i, r in enumerate(inserts.to_pylist())}
            self.shadow.register("new_rows", inserts.take(sorted(last.values())))
            self.shadow.execute(f"INSERT INTO {name} FROM new_rows")
            self.shadow.unregister("new_rows")

    def _rows(self, name: str, record: Record, sign: str) -> Any:
        listed = [line[1:].strip() for line in record.body.split("\n") if line.startswith(sign)]
        if not listed:
            return None
        self.shadow.execute(f"CREATE OR REPLACE TEMP TABLE given AS FROM {name} LIMIT 0")
        self.shadow.execute(f"INSERT INTO given VALUES {', '.join(f'({v})' for v in listed)}")
        return self.shadow.sql("FROM given").to_arrow_table()

    def _delete(self, name: str, key: tuple[str, ...], row: dict[str, Any]) -> None:
        names = key or tuple(row)
        test = " AND ".join(f'"{n}" IS NOT DISTINCT FROM ?' for n in names)
        values = [row[n] for n in names]
        self.shadow.execute(
            f"DELETE FROM {name} WHERE rowid IN (SELECT rowid FROM {name} WHERE {test} LIMIT 1)", values
        )

    def do_refresh(self, record: Record) -> None:
        self.warehouse.refresh()
        for model in self.models:
            want = Bag.of(self.shadow.sql(f"FROM {model}").to_arrow_table())
            told = difference(want, Bag.of(self.warehouse.read(model, arrow=True)))
            if told is not None:
                self.fail(record, f"{model}: {told}")

    def do_strategy(self, record: Record) -> None:
        name, *wanted = record.words[1:]
        found = {stage.strategy for stage in self.warehouse.explain(name).stages}
        if wanted[0] == "not":
            if found & set(wanted[1:]):
                self.fail(record, f"{name} is kept by {sorted(found)}")
        elif not set(wanted) <= found:
            self.fail(record, f"{name} is kept by {sorted(found)}, not {wanted}")

    # ── SQLLogicTest's records ────────────────────────────────────────────────────────────────

    def do_statement(self, record: Record) -> None:
        if record.words[1] == "ok":
            self.execute(record.body)
            return
        pattern = " ".join(record.words[2:]) or "\n".join(record.expected or ())
        try:
            self.execute(record.body)
        except (sl.StrandlineError, duckdb.Error) as error:
            if not re.search(pattern, str(error), re.IGNORECASE):
                self.fail(record, f"the error is {error}, not {pattern!r}")
            return
        self.fail(record, "should have failed")

    def execute(self, sql: str) -> None:
        tree = sqlglot.parse_one(sql, dialect="duckdb")
        target = tree.find(exp.Table)
        name = target.name if target else ""
        if isinstance(tree, exp.Create) and tree.kind == "VIEW":
            self.create_model(name, tree.expression.sql(dialect="duckdb"))
        elif isinstance(tree, exp.Create):
            self._create(tree, name)
        elif isinstance(tree, exp.Drop):
            self._drop(tree, name, sql)
        elif isinstance(tree, exp.Insert | exp.Update | exp.Delete):
            self._change(name, sql)
        else:
            self.shadow.execute(sql)

    def _create(self, tree: exp.Create, name: str) -> None:
        key = [i.name for p in tree.find_all(exp.PrimaryKey) for i in p.find_all(exp.Identifier)]
        columns = tree.find_all(exp.ColumnDef)
        key += [c.name for c in columns if c.find(exp.PrimaryKeyColumnConstraint)]
        self.shadow.execute(tree.sql(dialect="duckdb"))
        described = self.shadow.execute(f"DESCRIBE {name}").fetchall()
        listed = ", ".join(f'"{n}" {t}' for n, t, *_ in described)
        given: Any = tuple(key) if len(key) > 1 else (key[0] if key else None)
        self.warehouse.create_table(name, listed, key=given)

    def _drop(self, tree: exp.Drop, name: str, sql: str) -> None:
        if tree.kind == "VIEW":
            self.warehouse.drop_model(name)
            self.models.remove(name)
        else:
            self.warehouse.drop_table(name)
        self.shadow.execute(sql)

    def _change(self, name: str, sql: str) -> None:
        """Run a change on the shadow and apply what it changed."""
        before = self.shadow.sql(f"FROM {name}").to_arrow_table()
        self.shadow.execute(sql)
        self.shadow.register("before_rows", before)
        gone = self.shadow.sql(f"FROM before_rows EXCEPT ALL FROM {name}").to_arrow_table()
        new = self.shadow.sql(f"FROM {name} EXCEPT ALL FROM before_rows").to_arrow_table()
        self.shadow.unregister("before_rows")
        self.warehouse.apply(name, inserts=new, deletes=gone)

    def do_query(self, record: Record) -> None:
        got = self.warehouse.sql(record.body).rows()
        told = compared(record, [list(row) for row in got])
        if told is not None:
            self.fail(record, told)


def compared(record: Record, got: list[list[Any]]) -> str | None:
    """None where the rows are those of the file."""
    types = record.words[1]
    sort = next((w for w in record.words[2:] if w.endswith("sort")), "nosort")
    want = table(record.expected or (), len(types))
    have = [[shown(v) for v in row] for row in got]
    if sort == "rowsort":
        want, have = sorted(want), sorted(have)
    elif sort == "valuesort":
        want = [[v] for v in sorted(v for row in want for v in row)]
        have = [[v] for v in sorted(v for row in have for v in row)]
    if len(want) == len(have) and all(map(alike, want, have)):
        return None
    return (
        f"got {have}, want {want}; only here: {list(Counter(map(tuple, have)) - Counter(map(tuple, want)))}"
    )


def table(lines: tuple[str, ...], width: int) -> list[list[str]]:
    """Expected lines as rows: tabs between values, or one value a line."""
    rows = [line.split("\t") for line in lines]
    if width == 1 or all(len(row) == width for row in rows):
        return rows
    flat = [line.strip() for line in lines]
    return [flat[i : i + width] for i in range(0, len(flat), width)]


def shown(item: Any) -> str:
    if item is None:
        return "NULL"
    if item == "":
        return "(empty)"
    if isinstance(item, bool):
        return str(item).lower()
    return str(item)


def alike(want: list[str], got: list[str]) -> bool:
    return len(want) == len(got) and all(map(value_alike, want, got))


def value_alike(want: str, got: str) -> bool:
    if want == got:
        return True
    try:
        return close(float(want), float(got))
    except ValueError:
        return False
