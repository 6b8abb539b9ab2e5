"""A value that changes to one that is equal in SQL and yet not the same reaches every model."""

from __future__ import annotations

import pytest

import strandline as sl
from strandline.templates import template_folder

VALUES = {
    "INTERVAL": ["24 hours", "1 month", "30 days", "720 hours"],
    "DOUBLE": ["0.0", "-0.0", "0.0"],
    "INTERVAL[]": ["[1 month]", "[30 days]"],
    "STRUCT(a DOUBLE, b INTERVAL)": ["{'a': 0.0, 'b': 1 month}", "{'a': -0.0, 'b': 30 days}"],
}
MODELS = {
    "plain": "SELECT id, x FROM e",
    "filtered": "SELECT x FROM e WHERE id > 0",
    "numbered": "SELECT id, x, row_number() OVER (PARTITION BY g ORDER BY id) AS n FROM e",
    "first_one": "SELECT id, first_value(x) OVER (PARTITION BY g ORDER BY id) AS x FROM e",
    "looked_up": "SELECT o.id, e.x FROM o LEFT JOIN e ON e.id = o.id",
    "joined": "SELECT e.x FROM o JOIN e ON e.g = o.id",
    "most": "SELECT g, max(x) AS x FROM e GROUP BY g",
    "top": "SELECT id, x FROM e QUALIFY row_number() OVER (PARTITION BY g ORDER BY id) = 1",
    "recomputed": "SELECT id, x FROM e LIMIT 5 OFFSET (SELECT 0)",
    "above": "SELECT x FROM plain",
    "united": "SELECT x FROM e UNION ALL SELECT x FROM e",
}


@pytest.mark.parametrize("kind", VALUES)
def test_every_model_shows_the_value_that_is_there(kind: str) -> None:
    with sl.open(":memory:", threads=1) as wh:
        wh.create_table("e", f"id INTEGER, g INTEGER, x {kind}", key="id")
        wh.create_table("o", "id INTEGER", key="id")
        wh.apply("o", inserts=[{"id": 1}])
        wh.refresh()
        for name, query in MODELS.items():
            wh.create_model(name, query)
        for value in VALUES[kind]:
            wh.apply("e", inserts=[{"id": 1, "g": 1, "x": value}])
            wh.refresh()
            want = wh.engine.rows("SELECT x::VARCHAR FROM e")[0][0]
            shown = {name: wh.engine.rows(f"SELECT x::VARCHAR FROM {name}")[0][0] for name in MODELS}
            # the engine's own maximum of a struct has no negative zero
            most = wh.engine.rows("SELECT max(x)::VARCHAR FROM e")[0][0]
            assert shown == {**dict.fromkeys(MODELS, want), "most": most}, value


def test_what_is_computed_from_other_columns_is_not_compared_by_text() -> None:
    """The time between two events is an INTERVAL that can be written in one way only."""
    with sl.open(":memory:") as wh:
        columns = {
            "shipment_events": (
                "event_id VARCHAR, shipment_id VARCHAR, event_timestamp TIMESTAMP, event_type VARCHAR, "
                "status VARCHAR, location_id VARCHAR, package_id VARCHAR, promised_at TIMESTAMP"
            ),
            "locations": "location_id VARCHAR, location_name VARCHAR, region VARCHAR, latitude DOUBLE",
            "packages": "package_id VARCHAR, weight_kg DECIMAL(8,2), service_level VARCHAR",
        }
        for name, text in columns.items():
            wh.create_table(name, text, key=text.split(maxsplit=1)[0])
        sql = (template_folder("shipments") / "models" / "shipment_timeline.sql").read_text()
        plan = wh.compile("shipment_timeline", sql)
        assert [stage.delicate for stage in plan.stages] == [()] * len(plan.stages)
