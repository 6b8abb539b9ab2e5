"""Demo data for the shipments project: files as they would arrive from the field, the same for the same seed.

    python generate.py                    10 days of files, about 200,000 events, into landing/
    python generate.py --increment 1      one more file, as it would arrive after those days (1 to 5)

The days hold what real feeds hold: events that come a day or two late, rows sent twice, statuses
corrected afterwards, and a few lines that are broken. The increments are, in order: a small file in
order, a larger one, a file with many late events, a file of corrections and repeats, and a reference
file that renames some locations and adds those that were missing.

Files are written under a ``.part`` name and renamed when complete, so that a running
``strandline watch`` never sees half of one. Needs the ``duckdb`` package only.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import random
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

INCREMENTS = ("in order", "in order, larger", "late events", "corrections and repeats", "renamed locations")
DAY_FORMATS = (
    "csv", "csv.gz", "jsonl", "parquet", "jsonl.gz", "csv.zip", "csv.zst", "jsonl.zst", "csv", "parquet",
)  # fmt: skip
COLUMNS = "event_id, shipment_id, event_timestamp, event_type, status, location_id, package_id, promised_at"
LOCATIONS_USED = 505
LOCATIONS_KNOWN = 500
EVENTS_A_SHIPMENT = 10
BAD_LINES_A_FILE = 3


@dataclass(frozen=True)
class World:
    """What is generated: about `events` events arriving over `days` days from `start`."""

    events: int = 200_000
    days: int = 10
    seed: int = 7
    start: dt.date = dt.date(2026, 10, 1)

    @property
    def end(self) -> dt.date:
        return self.start + dt.timedelta(days=self.days)


def build(world: World) -> duckdb.DuckDBPyConnection:
    """An in-memory database with `arrivals` (every row of the event feed and when it reaches us),
    `locations` and `packages`."""
    import duckdb

    con = duckdb.connect()
    con.execute("SET threads = 2")
    con.execute(f"CREATE MACRO pick(value, salt, n) AS CAST(hash(value, salt, {world.seed}) % n AS BIGINT)")
    con.execute(_locations_sql())
    con.execute(_shipments_sql(world))
    con.execute(_scans_sql())
    con.execute(_arrivals_sql(world))
    con.execute(
        "CREATE TABLE packages AS SELECT package_id, service_level,"
        " CAST(0.2 + pick(shipment_no, 'weight', 3000) / 100 AS DECIMAL(8,2)) AS weight_kg"
        " FROM shipments"
    )
    return con


def _locations_sql() -> str:
    cities = (
        "['Rotterdam','Hamburg','Antwerp','Lyon','Milan','Madrid','Porto','Dublin','Leeds','Oslo','Malmo',"
        "'Tampere','Gdansk','Prague','Vienna','Graz','Zagreb','Athens','Izmir','Tallinn']"
    )
    kinds = "['hub','depot','terminal','cross-dock','parcel shop']"
    regions = "['north','north-west','west','south-west','south','south-east','east','north-east']"
    return f"""CREATE TABLE locations AS SELECT
        'L' || lpad(CAST(i AS VARCHAR), 4, '0') AS location_id,
        {cities}[1 + i % 20] || ' ' || {kinds}[1 + i // 20 % 5] || ' ' || (1 + i // 100) AS location_name,
        {regions}[1 + i % 20 * 8 // 20] AS region,
        round(36 + pick(i, 'lat', 260000) / 10000, 4) AS latitude,
        round(-9 + pick(i, 'lon', 360000) / 10000, 4) AS longitude
    FROM range({LOCATIONS_USED}) t(i)"""


def _shipments_sql(world: World) -> str:
    # Journeys take about 2.5 days, so those of the last days are not over: make up for it.
    count = int(world.events / EVENTS_A_SHIPMENT * (world.days + 1) / max(world.days - 1.3, 0.5))
    spread = (world.days + 1) * 86_400_000_000
    return f"""CREATE TABLE shipments AS SELECT
        i AS shipment_no,
        'S' || lpad(CAST(i AS VARCHAR), 8, '0') AS shipment_id,
        'P' || lpad(CAST(i AS VARCHAR), 8, '0') AS package_id,
        1 + pick(i, 'stops', 5) AS stops,
        0.6 + pick(i, 'speed', 80) / 100.0 AS pace,
        TIMESTAMP '{world.start}' + to_microseconds(CAST(i * ({spread} / {count}) AS BIGINT)) AS created_at,
        ['express', 'standard', 'standard', 'economy'][1 + pick(i, 'level', 4)] AS service_level
    FROM range({count}) t(i)"""


def _scans_sql() -> str:
    """Every scan of every journey, from CREATED to DELIVERED (or RETURNED), six to fourteen of them."""
    return f"""CREATE TABLE scans AS
    WITH steps AS (
        SELECT *, unnest(range(4 + 2 * stops)) AS step, 3 + 2 * stops AS last_step FROM shipments
    ), numbered AS (
        SELECT *, shipment_no * 24 + step AS scan_no FROM steps
    ), typed AS (
        SELECT *,
            created_at + to_microseconds(CAST(step * pace * 21600000000 AS BIGINT)
                + pick(scan_no, 'jitter', 9000000000)) AS event_timestamp,
            CASE
                WHEN step = 0 THEN 'CREATED'
                WHEN step = 1 THEN 'PICKED_UP'
                WHEN step = last_step THEN
                    CASE WHEN pick(shipment_no, 'back', 50) = 0 THEN 'RETURNED' ELSE 'DELIVERED' END
                WHEN step = last_step - 1 THEN 'OUT_FOR_DELIVERY'
                WHEN pick(scan_no, 'trouble', 100) < 5 THEN 'EXCEPTION'
                WHEN step % 2 = 0 THEN 'DEPARTED' ELSE 'ARRIVED'
            END AS event_type
        FROM numbered
    )
    SELECT
        shipment_id || '-' || lpad(CAST(step AS VARCHAR), 2, '0') AS event_id,
        shipment_id, event_timestamp, event_type,
        CASE
            WHEN event_type = 'EXCEPTION' THEN 'EXCEPTION'
            WHEN pick(scan_no // 3, 'delay', 100) < 15 THEN 'DELAYED' ELSE 'OK'
        END AS status,
        'L' || lpad(CAST((pick(shipment_no, 'origin', {LOCATIONS_USED})
            + least(greatest(step - 1, 0) // 2, stops) * (17 + 40 * pick(shipment_no, 'lane', 5)))
            % {LOCATIONS_USED} AS VARCHAR), 4, '0') AS location_id,
        package_id,
        created_at + to_days(CASE service_level WHEN 'express' THEN 2 WHEN 'standard' THEN 3 ELSE 5 END)
            AS promised_at,
        pick(scan_no, 'fate', 1000) AS fate
    FROM typed"""


def _arrivals_sql(world: World) -> str:
    """Fate of 1,000 scans: 20 come a day or two late, 10 are held back for the late increment,
    5 are sent twice, 5 are corrected afterwards; the others come within two minutes."""
    delay = "to_seconds(pick(event_id, 'delay', 120))"
    late = "to_seconds(86400 + pick(event_id, 'delay', 86400))"
    return f"""CREATE TABLE arrivals AS
    SELECT {COLUMNS}, fate,
        event_timestamp + CASE WHEN fate < 20 THEN {late} ELSE {delay} END AS arrives_at
    FROM scans WHERE NOT (fate BETWEEN 30 AND 39 AND event_timestamp < TIMESTAMP '{world.end}')
    UNION ALL
    SELECT {COLUMNS}, -1, event_timestamp + {late} FROM scans WHERE fate BETWEEN 20 AND 24
    UNION ALL
    SELECT event_id, shipment_id, event_timestamp, event_type,
        CASE status WHEN 'OK' THEN 'DELAYED' ELSE 'OK' END, location_id, package_id, promised_at,
        -1, event_timestamp + {late}
    FROM scans WHERE fate BETWEEN 25 AND 29"""


def write_base(con: duckdb.DuckDBPyConnection, world: World, landing: Path) -> list[Path]:
    """The reference files and one event file a day, in turn in every format; returns their paths."""
    known = f"SELECT * FROM locations ORDER BY location_id LIMIT {LOCATIONS_KNOWN}"
    wanted = "SELECT package_id, weight_kg, service_level FROM packages ORDER BY package_id"
    paths = [
        write(con, known, landing / "locations" / "locations.csv"),
        write(con, wanted, landing / "packages" / "packages.parquet"),
    ]
    for day in range(world.days):
        begin = world.start + dt.timedelta(days=day)
        rows = (
            f"SELECT {COLUMNS} FROM arrivals WHERE arrives_at >= TIMESTAMP '{begin}'"
            f" AND arrives_at < TIMESTAMP '{begin + dt.timedelta(days=1)}' ORDER BY arrives_at, event_id"
        )
        name = f"events-{begin:%Y-%m-%d}.{DAY_FORMATS[day % len(DAY_FORMATS)]}"
        paths.append(write(con, rows, landing / "shipment_events" / name, bad=day % 3 != 1, seed=day))
    return paths


def increment(con: duckdb.DuckDBPyConnection, world: World, number: int, landing: Path) -> Path:
    """One file that arrives after the base, 1 to 5 (see `INCREMENTS`); returns its path."""
    events = landing / "shipment_events"
    small, large = world.events // 200, world.events // 40
    after = f"SELECT {COLUMNS} FROM arrivals WHERE arrives_at >= TIMESTAMP '{world.end}'"
    in_order = f"{after} AND fate >= 20 ORDER BY arrives_at, event_id"
    held = (
        f"SELECT {COLUMNS} FROM scans WHERE fate BETWEEN 30 AND 39"
        f" AND event_timestamp < TIMESTAMP '{world.end}'"
    )
    sent = f"FROM arrivals WHERE arrives_at < TIMESTAMP '{world.end}' AND fate >= 40"
    corrected = f"""(SELECT * REPLACE (CASE status WHEN 'OK' THEN 'DELAYED' ELSE 'OK' END AS status)
        FROM (SELECT {COLUMNS} {sent} ORDER BY hash(event_id, 'fix') LIMIT {small}))
        UNION ALL (SELECT {COLUMNS} {sent} ORDER BY hash(event_id, 'again') LIMIT {small // 5})"""
    places = f"""SELECT * REPLACE (CASE WHEN location_id < 'L{LOCATIONS_KNOWN:04}'
        THEN location_name || ' (new)' ELSE location_name END AS location_name)
        FROM locations WHERE location_id < 'L0010' OR location_id >= 'L{LOCATIONS_KNOWN:04}'"""
    rows, path = {
        1: (f"{in_order} LIMIT {small}", events / "new-1.csv"),
        2: (f"{in_order} LIMIT {large} OFFSET {small}", events / "new-2.jsonl.gz"),
        3: (f"{held} UNION ALL ({in_order} LIMIT {small} OFFSET {small + large})", events / "new-3.parquet"),
        4: (corrected, events / "new-4.csv.zst"),
        5: (places, landing / "locations" / "locations-2.csv"),
    }[number]
    return write(con, rows, path, bad=number in (1, 2), seed=number)


def write(con: duckdb.DuckDBPyConnection, rows: str, path: Path, *, bad: bool = False, seed: int = 0) -> Path:
    """Write a query's rows in the format that the path's name says; `bad` mixes in a few broken lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    kind, _, packing = path.name.split(".", 1)[1].partition(".")
    options = {"csv": "FORMAT csv, HEADER", "jsonl": "FORMAT json", "parquet": "FORMAT parquet"}[kind]
    if packing == "zst":
        options += ", COMPRESSION zstd"
    elif kind != "parquet":
        options += ", COMPRESSION none"
    target = str(part).replace("'", "''")
    con.execute(f"COPY ({rows}) TO '{target}' ({options})")
    if bad and kind != "parquet" and packing != "zst":
        _break_some_lines(part, kind, random.Random(seed))
    _pack(part, path, packing)
    return path


def _break_some_lines(file: Path, kind: str, rng: random.Random) -> None:
    lines = file.read_text().splitlines()
    broken = {
        "csv": (
            "X1,S00000001,yesterday,ARRIVED,OK,L0001,P00000001,",
            ",S00000002,2026-10-01 10:00:00,ARRIVED,OK,L0001,P00000002,",
            "X3,S00000003,2026-10-0",
        ),
        "jsonl": (
            '{"event_id":"X1","shipment_id":"S00000001","event_timestamp":"yesterday"}',
            '{"shipment_id":"S00000002","event_timestamp":"2026-10-01 10:00:00","event_type":"ARRIVED"}',
            '{"event_id":"X3","shipment_id":"S000',
        ),
    }[kind]
    for line in broken[:BAD_LINES_A_FILE]:
        lines.insert(rng.randint(1, len(lines)), line)
    file.write_text("\n".join(lines) + "\n")


def _pack(part: Path, path: Path, packing: str) -> None:
    if packing == "gz":
        packed = part.with_name(part.name + ".gz.part")
        with gzip.open(packed, "wb", compresslevel=5) as out:
            out.write(part.read_bytes())
    elif packing == "zip":
        packed = part.with_name(part.name + ".zip.part")
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(part, arcname=path.name.removesuffix(".zip"))
    else:
        packed = part
    packed.replace(path)
    part.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write demo files for the shipments project.")
    parser.add_argument(
        "--into", type=Path, default=Path(__file__).parent / "landing", help="the landing folder"
    )
    parser.add_argument("--events", type=int, default=World.events, help="about how many events (200000)")
    parser.add_argument("--days", type=int, default=World.days, help="over how many days (10)")
    parser.add_argument("--seed", type=int, default=World.seed, help="the same seed gives the same rows")
    parser.add_argument("--increment", type=int, choices=range(1, 6), help="write only this later file")
    chosen = parser.parse_args()
    world = World(events=chosen.events, days=chosen.days, seed=chosen.seed)
    con = build(world)
    if chosen.increment:
        paths = [increment(con, world, chosen.increment, chosen.into)]
    else:
        paths = write_base(con, world, chosen.into)
    sys.stdout.writelines(f"{path}\n" for path in paths)


if __name__ == "__main__":
    main()
