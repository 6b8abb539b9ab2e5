"""Publishes processed_sales to SQLite, for programs that know nothing of Strandline.

    python publish.py                     brings poc_database.db up to date: only days that differ are written

A table there with other columns than today's is an older schema, and is made anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

DATABASE = "poc_database.db"
KEY = ("client_id", "transaction_date", "maturity_date", "sku_group", "local")
COLUMNS = {
    "client_id": "TEXT",
    "transaction_date": "TEXT",
    "maturity_date": "TEXT",
    "sku_group": "TEXT",
    "local": "INTEGER",
    "total_quantity": "INTEGER",
    "total_revenue": "REAL",
    "order_count": "INTEGER",
    "avg_quantity_per_order": "REAL",
    "avg_order_value": "REAL",
    "days_to_maturity": "INTEGER",
    "revenue_share_of_day": "REAL",
    "revenue_rank": "INTEGER",
}


def prepared(path: Path) -> sqlite3.Connection:
    """The database with its two tables; those of an older schema are dropped."""
    con = sqlite3.connect(path)
    found = {name: kind for _, name, kind, *_ in con.execute("PRAGMA table_info(processed_sales)")}
    if found != COLUMNS:
        con.execute("DROP TABLE IF EXISTS processed_sales")
        con.execute("DROP TABLE IF EXISTS published_days")
    columns = ", ".join(f"{name} {kind} NOT NULL" for name, kind in COLUMNS.items())
    con.execute(
        f"CREATE TABLE IF NOT EXISTS processed_sales ({columns},"
        f" PRIMARY KEY ({', '.join(KEY)})) WITHOUT ROWID"
    )
    con.execute(
        "CREATE TABLE IF NOT EXISTS published_days (client_id TEXT, transaction_date TEXT, mark TEXT,"
        " PRIMARY KEY (client_id, transaction_date)) WITHOUT ROWID"
    )
    return con


def write_all(frame: pl.DataFrame, path: Path) -> int:
    """Publish everything into a database made anew; the rows written."""
    path.unlink(missing_ok=True)
    with closing(prepared(path)) as con:
        insert(con, frame)
        con.commit()
    return frame.height


def insert(con: sqlite3.Connection, frame: pl.DataFrame) -> None:
    """Rows in the order of the key, which is the order SQLite keeps them in."""
    import polars as pl

    texts = [pl.col("transaction_date", "maturity_date").cast(pl.String), pl.col("local").cast(pl.Int8)]
    plain = frame.select(*COLUMNS).with_columns(*texts, pl.col("total_revenue").cast(pl.Float64)).sort(*KEY)
    con.executemany(
        f"INSERT INTO processed_sales VALUES ({', '.join('?' * len(COLUMNS))})", plain.iter_rows()
    )


def marks(warehouse: Any) -> dict[tuple[str, str], str]:
    """For every client and day a mark that changes with any of its rows."""
    query = (
        f"SELECT client_id, transaction_date::VARCHAR, count(*) || '-' || bit_xor(hash({', '.join(COLUMNS)}))"
        " FROM processed_sales GROUP BY ALL"
    )
    found = warehouse.sql(query, arrow=True)
    return {(row[0], row[1]): row[2] for row in zip(*(c.to_pylist() for c in found.columns), strict=True)}


def write_changes(warehouse: Any, path: Path) -> int:
    """Publish the days that differ from what was published, in one transaction; the rows written."""
    now = marks(warehouse)
    with closing(prepared(path)) as con:
        before = {(c, d): mark for c, d, mark in con.execute("SELECT * FROM published_days")}
        changed = [day for day, mark in now.items() if before.get(day) != mark]
        forget(con, [*changed, *(before.keys() - now.keys())])
        written = 0
        if changed:
            days = ", ".join(f"('{c}', DATE '{d}')" for c, d in changed)
            frame = warehouse.sql(f"FROM processed_sales WHERE (client_id, transaction_date) IN ({days})")
            insert(con, frame)
            written = frame.height
        con.executemany("INSERT INTO published_days VALUES (?, ?, ?)", [(*day, now[day]) for day in changed])
        con.commit()
    return written


def forget(con: sqlite3.Connection, days: Iterable[tuple[str, str]]) -> None:
    gone = list(days)
    for table in ("processed_sales", "published_days"):
        con.executemany(f"DELETE FROM {table} WHERE client_id = ? AND transaction_date = ?", gone)


if __name__ == "__main__":
    from strandline import Pipeline

    with Pipeline.load(Path(__file__).parent) as pipeline, pipeline.reader() as reader:
        count = write_changes(reader, Path(__file__).with_name(DATABASE))
    print(f"{count:,} rows written to {DATABASE}")
