"""Demo data for the sales project: cumulative archives of two clients, the same for the same seed.

    python generate.py                     10 days, 1,000,000 rows on the first, 100,000 on each other
    python generate.py --days 3 --rows 10000 --daily-rows 1000 --clients client_1

`data/CLIENT/transactions_day_D.zip` holds one CSV file with the rows of all days up to D. It is made
from the day before: a compressor goes on where it stood, so that ten archives cost hardly more than one.
Archives are written under a `.part` name and renamed when complete. Needs the `duckdb` package only.
"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

COLUMNS = (
    "transaction_id", "transaction_date", "sku_id", "quantity_sold", "revenue_usd", "maturity_date",
    "zip_code_raw",
)  # fmt: skip
CLIENTS = ("client_1", "client_2")
SKUS, SKU_GROUPS = 5_000, 40
CALIFORNIAN, ELSEWHERE = 600, 1_400
PARETO = 7.2126  # ln 0.2 / ln 0.8: a fifth of the SKUs has four fifths of the sales
STATES = ("NY", "TX", "FL", "IL", "WA", "OR", "NV", "AZ", "GA", "OH", "MA", "CO", "MN", "NC")
BLOCK = 1 << 20


@dataclass(frozen=True)
class World:
    """What is generated: `rows` on the first day, `daily_rows` on each of the others."""

    days: int = 10
    rows: int = 1_000_000
    daily_rows: int = 100_000
    seed: int = 7
    start: dt.date = dt.date(2025, 10, 1)

    def rows_until(self, day: int) -> int:
        """Rows of all days up to this one, from 1."""
        return self.rows + (day - 1) * self.daily_rows if day else 0


@dataclass
class Archive:
    """A zip that grows: `stem` holds the compressed bytes so far, `deflate` goes on behind them."""

    stem: IO[bytes]
    deflate: zlib._Compress = field(default_factory=lambda: zlib.compressobj(6, zlib.DEFLATED, -15))
    crc: int = 0
    size: int = 0

    def add(self, text: bytes) -> None:
        self.crc, self.size = zlib.crc32(text, self.crc), self.size + len(text)
        self.stem.write(self.deflate.compress(text))

    def write(self, path: Path, member: str) -> None:
        """The archive as it stands; more can be added afterwards."""
        rest = self.deflate.copy().flush()
        length, name = self.stem.tell() + len(rest), member.encode()
        fixed = struct.pack("<HHHHHLLLHH", 20, 0, 8, 0, 0x5B41, self.crc, length, self.size, len(name), 0)
        part = path.with_name(f"{path.name}.part")
        with part.open("wb") as out:
            out.write(b"PK\x03\x04" + fixed + name)
            self.stem.seek(0)
            shutil.copyfileobj(self.stem, out, BLOCK)
            out.write(rest)
            place = out.tell()
            entry = (
                b"PK\x01\x02" + struct.pack("<H", 20) + fixed + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + name
            )
            out.write(entry)
            out.write(b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 1, 1, len(entry), place, 0))
        part.rename(path)


def connect(world: World) -> duckdb.DuckDBPyConnection:
    """A database in memory that computes rows from their numbers."""
    import duckdb

    con = duckdb.connect()
    con.execute("SET threads = 2")
    con.execute("SET preserve_insertion_order = true")
    con.execute(f"CREATE MACRO pick(value, salt, n) AS CAST(hash(value, salt, {world.seed}) % n AS BIGINT)")
    con.execute(
        f"CREATE MACRO zip_of(i) AS lpad(CAST(CASE WHEN i < {CALIFORNIAN} THEN 90001 + i * 7"
        f" ELSE 10001 + (i - {CALIFORNIAN}) * 53 END AS VARCHAR), 5, '0')"
    )
    return con


def write_static(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """SKU groups and ZIP codes."""
    folder.mkdir(parents=True, exist_ok=True)
    states = ", ".join(f"'{s}'" for s in STATES)
    copy(
        con,
        folder / "sku_groups.csv",
        f"""SELECT
        'SKU' || lpad(CAST(i AS VARCHAR), 5, '0') AS sku_id,
        'group_' || lpad(CAST(pick(i, 'group', {SKU_GROUPS}) AS VARCHAR), 2, '0') AS sku_group,
        ['grocery', 'home', 'garden', 'toys', 'tools'][1 + pick(i, 'category', 5)] AS category,
        pick(i, 'priority', 10) = 0 AS is_high_priority
    FROM range({SKUS}) t(i)""",
    )
    copy(
        con,
        folder / "us_zip_codes.csv",
        f"""SELECT zip_of(i) AS zip_code, 'City ' || i AS city,
        CASE WHEN i < {CALIFORNIAN} THEN 'CA' ELSE [{states}][1 + i % {len(STATES)}] END AS state,
            true AS is_us
    FROM range({CALIFORNIAN + ELSEWHERE}) t(i)
    UNION ALL SELECT '00000', 'International', NULL, false""",
    )


def copy(con: duckdb.DuckDBPyConnection, path: Path, query: str) -> None:
    part = path.with_name(f"{path.name}.part")
    con.execute(f"COPY ({query}) TO '{str(part).replace(chr(39), chr(39) * 2)}' (FORMAT csv, HEADER true)")
    part.rename(path)


def rows_sql(world: World, client: str, day: int) -> str:
    """The rows of one day. Rows are numbered on through the days, and all else follows from the number."""
    first, stop = world.rows_until(day - 1), world.rows_until(day)
    date = world.start + dt.timedelta(day - 1)
    sku = f"CAST(floor({SKUS} * pow(pick(n, 'sku', 1000000) / 1e6, {PARETO})) AS BIGINT)"
    plus = "lpad(CAST(pick(n, 'plus', 10000) AS VARCHAR), 4, '0')"
    due = "[1, 2, 3, 5, 7, 10, 14, 30][1 + pick(n, 'terms', 8)]"
    return f"""
    WITH numbered AS (
        SELECT i, hash(i, '{client}') AS n, DATE '{date}' AS day FROM range({first}, {stop}) t(i)
    ), drawn AS (
        SELECT *, pick(n, 'due', 100) AS due, pick(n, 'form', 100) AS form,
            zip_of(CASE WHEN pick(n, 'west', 100) < 40 THEN pick(n, 'ca', {CALIFORNIAN})
                ELSE {CALIFORNIAN} + pick(n, 'us', {ELSEWHERE}) END) AS zip
        FROM numbered
    )
    SELECT '{client[-1]}-' || lpad(CAST(i AS VARCHAR), 9, '0') AS transaction_id,
        day AS transaction_date,
        'SKU' || lpad(CAST({sku} AS VARCHAR), 5, '0') AS sku_id,
        1 + pick(n, 'quantity', 10) AS quantity_sold,
        CAST((500 + pick(n, 'revenue', 49501)) / 100 AS DECIMAL(6,2)) AS revenue_usd,
        CASE WHEN due < 5 THEN NULL WHEN due < 10 THEN day - CAST(1 + pick(n, 'early', 5) AS INTEGER)
            WHEN due < 90 THEN day + CAST({due} AS INTEGER)
            ELSE day + CAST([45, 60, 90][1 + pick(n, 'late', 3)] AS INTEGER) END AS maturity_date,
        CASE WHEN form < 60 THEN zip WHEN form < 80 THEN zip || '-' || {plus}
            WHEN form < 86 THEN zip[:2] || ' ' || zip[3:] WHEN form < 92 THEN 'US' || zip
            WHEN form < 96 THEN 'INTL-' || ['GB', 'MX', 'DE'][1 + pick(n, 'land', 3)] END AS zip_code_raw
    FROM drawn ORDER BY i"""


def archives(con: duckdb.DuckDBPyConnection, world: World, client: str, folder: Path) -> Iterator[Path]:
    """Write a client's archives, day by day; temporary files go with the last one."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sales-") as scratch, tempfile.TemporaryFile() as stem:
        archive = Archive(stem)
        archive.add((",".join(COLUMNS) + "\n").encode())
        text = Path(scratch) / "day.csv"
        for day in range(1, world.days + 1):
            where = str(text).replace("'", "''")
            con.execute(f"COPY ({rows_sql(world, client, day)}) TO '{where}' (FORMAT csv, HEADER false)")
            with text.open("rb") as rows:
                while block := rows.read(BLOCK):
                    archive.add(block)
            path = folder / f"transactions_day_{day}.zip"
            archive.write(path, f"transactions_day_{day}.csv")
            yield path


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the first day")
    parser.add_argument("--daily-rows", type=int, default=100_000, help="rows of each further day")
    parser.add_argument("--clients", nargs="+", default=list(CLIENTS), choices=CLIENTS)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data")
    chosen = parser.parse_args(arguments)
    world = World(chosen.days, chosen.rows, chosen.daily_rows, chosen.seed)
    con = connect(world)
    write_static(con, chosen.data / "static")
    for client in chosen.clients:
        for path in archives(con, world, client, chosen.data / client):
            print(f"{path}  {path.stat().st_size / 1e6:.1f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
