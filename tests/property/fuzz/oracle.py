"""A second DuckDB that holds the user's tables and runs the plain queries; it knows no increments."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import duckdb
import pyarrow as pa

from fuzz.compare import Bag
from fuzz.tables import Batch, Row, Table, after

ARROW: dict[str, pa.DataType] = {
    "int": pa.int32(),
    "big": pa.int64(),
    "dbl": pa.float64(),
    "dec": pa.decimal128(12, 2),
    "str": pa.string(),
    "bool": pa.bool_(),
    "ts": pa.timestamp("us"),
    "date": pa.date32(),
}


def frame(table: Table, rows: Iterable[Row]) -> pa.Table:
    """Rows as an Arrow table of the table's own types."""
    kept = list(rows)
    arrays = [pa.array([r[i] for r in kept], ARROW[c.kind]) for i, c in enumerate(table.columns)]
    return pa.Table.from_arrays(arrays, names=[c.plain for c in table.columns])


def told_apart(sql: str) -> str:
    """The query in which all windows number equal rows in the order in which they are stored."""
    return re.sub(r"/\*\s*(, [^*]*)\*/", r"\1", sql)


class Oracle:
    """Tables kept as Python lists and reloaded after every batch; models are queries over them.

    A model that others read is made a table first: inlined into a query above it, DuckDB 2.0.0 at times
    answers a self join of a FULL JOIN wrongly.
    """

    def __init__(self, tables: tuple[Table, ...]) -> None:
        self._con = duckdb.connect(config={"threads": 1})
        self._tables = {t.name: t for t in tables}
        self._rows: dict[str, list[Row]] = {t.name: [] for t in tables}
        self._models: dict[str, str] = {}
        self._made: set[str] = set()
        for table in tables:
            self._con.execute(f"CREATE TABLE {table.name} ({table.ddl})")

    def close(self) -> None:
        self._con.close()

    def model(self, name: str, sql: str) -> str | None:
        """Create a model; the error's text if plain DuckDB refuses it."""
        plain = told_apart(sql)
        try:
            self._con.execute(f"CREATE TABLE {name} AS FROM ({plain}\n) LIMIT 0")
        except (duckdb.FatalException, duckdb.InternalException):
            raise
        except duckdb.Error as error:
            return str(error)
        self._models[name] = plain
        return None

    def apply(self, batch: Batch) -> None:
        for change in batch:
            table = self._tables[change.table]
            self._rows[change.table] = after(table, self._rows[change.table], change)
        for name in {c.table for c in batch}:
            given = frame(self._tables[name], self._rows[name])
            self._con.execute(f"DELETE FROM {name}")
            self._con.register("given", given)
            self._con.execute(f"INSERT INTO {name} SELECT * FROM given")
            self._con.unregister("given")
        self._made.clear()

    def rows(self, name: str) -> Bag:
        """What the plain query gives; raises duckdb.Error where it, or one it reads, fails at run time."""
        for model in self._models:
            if model not in self._made:
                self._make(model, wanted=model == name)
            if model == name:
                break
        return Bag.of(self._con.sql(f"SELECT * FROM {name}").to_arrow_table())

    def _make(self, model: str, *, wanted: bool) -> None:
        """A model's table; none where it fails, so that what reads it fails too."""
        try:
            self._con.execute(f"CREATE OR REPLACE TABLE {model} AS {self._models[model]}")
        except (duckdb.FatalException, duckdb.InternalException):
            raise
        except duckdb.Error:
            self._con.execute(f"DROP TABLE IF EXISTS {model}")
            if wanted:
                raise
        else:
            self._made.add(model)

    def types(self, name: str) -> list[Any]:
        return [str(t) for t in self._con.sql(f"SELECT * FROM {name}").types]
