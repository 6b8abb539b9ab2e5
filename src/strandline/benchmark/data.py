"""The benchmark's events, computed by DuckDB from the row's number: any part of them can be made alone.

The base is N events of N/10 shipments, evenly over ten days; every shipment has about ten events in no
particular rhythm. 505 locations are used, of which 500 are known. Batches come on later days, each on
its own, and touch shipments at random: the hardest case for state kept by shipment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Kind = Literal["in-order", "late", "update", "no-change"]

EVENTS_A_SHIPMENT = 10
DAYS = 10
LATE_ONE_IN = 10
CHUNK = 500_000
_START = "TIMESTAMP '2026-10-01'"
_DAY = 86_400_000_000
_TYPES = "['CREATED','PICKED_UP','ARRIVED','DEPARTED','OUT_FOR_DELIVERY','DELIVERED','EXCEPTION','RETURNED']"
_STATUSES = "['OK','DELAYED','HELD']"
# A number range of its own for every batch, far from the base's.
_APART = 1_000_003_000


@dataclass(frozen=True, slots=True)
class Shape:
    """How large the base is: `events` events of `events / 10` shipments."""

    events: int

    @property
    def shipments(self) -> int:
        return max(1, self.events // EVENTS_A_SHIPMENT)


def connect(threads: int) -> duckdb.DuckDBPyConnection:
    import duckdb

    con = duckdb.connect(config={"threads": threads})
    con.execute("SET enable_progress_bar = false").fetchall()
    return con


def base_chunks(con: duckdb.DuckDBPyConnection, shape: Shape) -> Iterator[pa.Table]:
    """The base's events in their order, in chunks of at most `CHUNK` rows."""
    for low in range(0, shape.events, CHUNK):
        high = min(low + CHUNK, shape.events)
        yield con.sql(_base_sql(shape, f"SELECT range AS i FROM range({low}, {high})")).to_arrow_table()


def references(con: duckdb.DuckDBPyConnection, shape: Shape) -> dict[str, pa.Table]:
    """The rows of `locations` and `packages` (one package a shipment)."""
    locations = """SELECT 'L' || lpad(CAST(range AS VARCHAR), 4, '0') AS location_id,
        'Location ' || range AS location_name, 'R' || range % 8 AS region,
        CAST(36 + range % 260 / 10 AS DOUBLE) AS latitude, CAST(-9 + range % 360 / 10 AS DOUBLE) AS longitude
        FROM range(500)"""
    packages = f"""SELECT 'P' || lpad(CAST(range AS VARCHAR), 8, '0') AS package_id,
        CAST(0.2 + range % 3000 / 100 AS DECIMAL(8,2)) AS weight_kg,
        ['express', 'standard', 'economy'][1 + range % 3] AS service_level FROM range({shape.shipments})"""
    named = {"locations": locations, "packages": packages}
    return {name: con.sql(sql).to_arrow_table() for name, sql in named.items()}


def batch(con: duckdb.DuckDBPyConnection, shape: Shape, kind: Kind, rows: int, number: int) -> pa.Table:
    """The rows of one batch; `number` is different for every batch of a benchmark and sets its day."""
    sql = {"in-order": _in_order_sql, "late": _late_sql, "update": _update_sql}[kind](shape, rows, number)
    return con.sql(sql).to_arrow_table()


def _rows(numbers: str, *, event_id: str, shipment: str, at: str, draw: str, status: str = "") -> str:
    """Events as a query over `numbers` (a query with a column i), their fields drawn from `draw`."""
    chosen = status or f"{_STATUSES}[CAST(1 + hash({draw} + 3) % 3 AS INTEGER)]"
    return f"""SELECT {event_id} AS event_id,
        'S' || lpad(CAST(n AS VARCHAR), 8, '0') AS shipment_id,
        {at} AS event_timestamp,
        {_TYPES}[CAST(1 + hash({draw} + 7) % 8 AS INTEGER)] AS event_type,
        {chosen} AS status,
        'L' || lpad(CAST(hash({draw} + 1) % 505 AS VARCHAR), 4, '0') AS location_id,
        'P' || lpad(CAST(n AS VARCHAR), 8, '0') AS package_id,
        {_START} + to_hours(CAST(48 + hash(n) % 264 AS BIGINT)) AS promised_at
    FROM (SELECT i, CAST({shipment} AS BIGINT) AS n FROM ({numbers}))"""


def _base_sql(shape: Shape, numbers: str, status: str = "") -> str:
    pace = DAYS * _DAY // shape.events
    at = f"{_START} + to_microseconds(CAST(i * {pace} + hash(i) % 1000000000 AS BIGINT))"
    shipment = f"i * 2654435761 % {shape.shipments}"
    return _rows(numbers, event_id="'E' || i", shipment=shipment, at=at, draw="i", status=status)


def _day(number: int) -> str:
    return f"{_START} + to_days({DAYS + 1 + number})"


def _in_order_sql(shape: Shape, rows: int, number: int) -> str:
    draw = f"(i + {(number + 1) * _APART})"
    return _rows(
        f"SELECT range AS i FROM range({rows})",
        event_id=f"'N{number}_' || i",
        shipment=f"hash({draw}) % {shape.shipments}",
        at=f"{_day(number)} + to_microseconds(CAST(i * {86_000_000_000 // rows} AS BIGINT))",
        draw=draw,
    )


def _late_sql(shape: Shape, rows: int, number: int) -> str:
    draw = f"(i + {(number + 1) * _APART})"
    old = f"{_START} + to_microseconds(CAST(hash({draw} + 9) % {(DAYS - 1) * _DAY} AS BIGINT))"
    new = f"{_day(number)} + to_microseconds(CAST(i * {86_000_000_000 // rows} AS BIGINT))"
    return _rows(
        f"SELECT range AS i FROM range({rows})",
        event_id=f"'T{number}_' || i",
        shipment=f"hash({draw}) % {shape.shipments}",
        at=f"CASE WHEN i % {LATE_ONE_IN} = 0 THEN {old} ELSE {new} END",
        draw=draw,
    )


def _update_sql(shape: Shape, rows: int, number: int) -> str:
    """Existing base events, evenly spread, whose status moves on by one."""
    step = max(1, shape.events // rows)
    offset = (number * 7919) % step
    numbers = f"SELECT range * {step} + {offset} AS i FROM range({min(rows, shape.events // step)})"
    return _base_sql(shape, numbers, f"{_STATUSES}[CAST(1 + (hash(i + 3) + 1) % 3 AS INTEGER)]")
