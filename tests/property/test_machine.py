"""One warehouse under any sequence of operations that hypothesis thinks of."""

from __future__ import annotations

import collections
from typing import Any

import duckdb
import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import strandline as sl

MODELS = {
    "sums": "SELECT g, count(*) AS n, sum(v) AS total, min(v) AS low, max(v) AS high FROM facts GROUP BY g",
    "one_row": "SELECT count(*) AS n, sum(v) AS total, count(DISTINCT g) AS groups FROM facts",
    "named": "SELECT f.id, f.v, n.label FROM facts f LEFT JOIN names n ON f.g = n.g",
    "either": "SELECT coalesce(f.g, n.g) AS g, f.id, n.label FROM facts f FULL JOIN names n ON f.g = n.g",
    "orphans": "SELECT f.id FROM facts f WHERE f.g NOT IN (SELECT g FROM names WHERE g IS NOT NULL)",
    "running": "SELECT id, g, sum(v) OVER (PARTITION BY g ORDER BY seq, id) AS total, "
    "lag(v) OVER (PARTITION BY g ORDER BY seq, id) AS before, "
    "lead(v) OVER (PARTITION BY g ORDER BY seq, id) AS next FROM facts",
    "ranked": "SELECT id, rank() OVER (ORDER BY v DESC) AS place FROM facts",
    "latest": "SELECT id, g, v FROM facts "
    "QUALIFY row_number() OVER (PARTITION BY g ORDER BY seq DESC, id) = 1",
    "labels": "SELECT DISTINCT label FROM names",
    "chained": "SELECT label, sum(v) AS total, count(*) AS n FROM named GROUP BY label",
    "diamond": "SELECT s.g, s.total, l.v FROM sums s JOIN latest l ON s.g = l.g",
}
groups = st.sampled_from(["a", "b", "", None])
small = st.one_of(st.none(), st.integers(-2, 3))
fact = st.fixed_dictionaries({"id": st.integers(0, 7), "g": groups, "v": small, "seq": st.integers(0, 5)})
name = st.fixed_dictionaries({"g": groups, "label": st.sampled_from(["x", "y", None])})


class Warehouse(RuleBasedStateMachine):
    """`facts` is keyed by id, `names` is a bag; both sides are kept as Python lists too."""

    @initialize()
    def start(self) -> None:
        self.facts: dict[int, dict[str, Any]] = {}
        self.names: list[dict[str, Any]] = []
        self.stale = False
        self.warehouse = sl.open(":memory:", threads=1)
        self.warehouse.create_table("facts", "id INTEGER, g VARCHAR, v INTEGER, seq INTEGER", key="id")
        self.warehouse.create_table("names", "g VARCHAR, label VARCHAR")
        for model, sql in MODELS.items():
            self.warehouse.create_model(model, sql)

    @rule(rows=st.lists(fact, max_size=4))
    def put(self, rows: list[dict[str, Any]]) -> None:
        self.warehouse.apply("facts", inserts=rows)
        self.facts |= {row["id"]: row for row in rows}
        self.stale = True

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        gone = data.draw(st.lists(st.sampled_from(sorted(self.facts)), unique=True)) if self.facts else []
        self.warehouse.apply("facts", deletes=[self.facts.pop(key) for key in gone])
        self.stale = True

    @rule(rows=st.lists(name, max_size=3))
    def call(self, rows: list[dict[str, Any]]) -> None:
        self.warehouse.apply("names", inserts=rows)
        self.names += rows
        self.stale = True

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """One of several equal rows goes."""
        if self.names:
            row = data.draw(st.sampled_from(self.names))
            self.names.remove(row)
            self.warehouse.apply("names", deletes=[row])
            self.stale = True

    @rule()
    def refresh(self) -> None:
        run = self.warehouse.refresh()
        assert run.changed <= self.stale
        self.stale = False

    @invariant()
    def every_model_is_its_query(self) -> None:
        if self.stale or not hasattr(self, "warehouse"):
            return
        with duckdb.connect() as con:
            con.execute("CREATE TABLE facts (id INTEGER, g VARCHAR, v INTEGER, seq INTEGER)")
            con.execute("CREATE TABLE names (g VARCHAR, label VARCHAR)")
            facts = self.facts.values()
            if facts:
                con.executemany(
                    "INSERT INTO facts VALUES (?, ?, ?, ?)", [list(r.values()) for r in self.facts.values()]
                )
            if self.names:
                con.executemany("INSERT INTO names VALUES (?, ?)", [list(r.values()) for r in self.names])
            for model, sql in MODELS.items():
                con.execute(f"CREATE VIEW {model} AS {sql}")
                want = collections.Counter(con.execute(f"FROM {model}").fetchall())
                got = collections.Counter(self.warehouse.read(model).rows())
                assert got == want, model

    def teardown(self) -> None:
        if hasattr(self, "warehouse"):
            self.warehouse.close()


TestWarehouse = Warehouse.TestCase
TestWarehouse.settings = settings(
    max_examples=5,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
