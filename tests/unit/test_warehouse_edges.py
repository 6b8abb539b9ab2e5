"""Edges of the warehouse that were wrong once: each test is a mistake somebody found."""

from __future__ import annotations

import contextlib

import pytest

import strandline as sl
from strandline import Warehouse


@pytest.fixture
def wh() -> Warehouse:
    return sl.open(":memory:")


def test_rows_waiting_for_a_dropped_table_are_gone(wh: Warehouse) -> None:
    wh.create_table("e", "id INTEGER, x VARCHAR", key="id")
    wh.apply("e", inserts=[{"id": 7, "x": "ghost"}])
    wh.drop_table("e")
    wh.create_table("e", "id INTEGER, x VARCHAR", key="id")
    wh.apply("e", inserts=[{"id": 1, "x": "new"}])
    wh.refresh()
    assert wh.read("e").rows() == [(1, "new")]


def test_a_dropped_table_leaves_nothing_to_one_of_the_same_name(wh: Warehouse) -> None:
    """What a batch added is a view of a bag, but a table of its own for a table with a key."""
    for key in ("", "a", ""):
        wh.create_table("t", "a INTEGER, b INTEGER", key=key or None)
        wh.create_model("m", "SELECT a, sum(b) AS b FROM t GROUP BY a")
        wh.apply("t", inserts=[{"a": 1, "b": 1}])
        wh.refresh()
        wh.apply("t", inserts=[{"a": 1, "b": 2}, {"a": 2, "b": 3}])
        wh.refresh()
        assert wh.verify("m").ok
        wh.drop_model("m")
        wh.drop_table("t")


@pytest.mark.parametrize("bad", [[{"id": "zz"}], [{"idd": 3}], [{"x": "no key"}], 5])
def test_apply_takes_all_of_a_call_or_nothing(wh: Warehouse, bad: object) -> None:
    wh.create_table("e", "id INTEGER, x VARCHAR", key="id")
    wh.apply("e", inserts=[{"id": 1, "x": "a"}, {"id": 2, "x": "b"}])
    wh.refresh()
    with pytest.raises(sl.StrandlineError):
        wh.apply("e", inserts=bad, deletes=[{"id": 1}])
    wh.refresh()
    assert wh.read("e").height == 2


def test_objects_for_json_keep_their_own_keys(wh: Warehouse) -> None:
    wh.create_table("e", "id INTEGER, x JSON", key="id")
    wh.apply("e", inserts=[{"id": 1, "x": {"a": 1}}, {"id": 2, "x": {"b": 2}}])
    wh.refresh()
    assert dict(wh.read("e").rows()) == {1: '{"a":1}', 2: '{"b":2}'}


def test_an_error_caught_inside_a_batch_refuses_the_batch(wh: Warehouse) -> None:
    wh.create_table("e", "id INTEGER", key="id")

    def careless() -> None:
        with wh.batch() as b:
            b.apply("e", inserts=[{"id": 5}])
            with contextlib.suppress(sl.InputError):
                b.apply("e", inserts=[{"id": "zz"}])
            b.apply("e", inserts=[{"id": 6}])

    with pytest.raises(sl.StrandlineError):
        careless()
    wh.apply("e", inserts=[{"id": 9}])
    wh.refresh()
    assert wh.read("e").rows() == [(9,)]


def test_braces_in_names_are_names(wh: Warehouse) -> None:
    wh.create_table("{x}", 'id INTEGER, "v{n}" INTEGER', key="id")
    wh.create_model("w", 'SELECT id, sum("v{n}") OVER (ORDER BY id) AS "{s}" FROM "{x}"')
    wh.create_model("g", 'SELECT id % 2 AS "{g}", max("v{n}") AS "{m}" FROM "{x}" GROUP BY 1')
    wh.apply("{x}", inserts=[{"id": 1, "v{n}": 3}, {"id": 2, "v{n}": 4}])
    wh.refresh()
    wh.apply("{x}", inserts=[{"id": 3, "v{n}": 3}], deletes=[{"id": 2}])
    wh.refresh()
    assert wh.verify("w").ok
    assert wh.verify("g").ok


def test_braces_in_a_filter_are_text(wh: Warehouse) -> None:
    wh.create_table("t", "s VARCHAR")
    wh.create_model("m", "SELECT count(*) FILTER (WHERE s = '{') AS n FROM t")
    wh.apply("t", inserts=[{"s": "{"}, {"s": "}"}])
    wh.refresh()
    assert wh.read("m").rows() == [(1,)]


def test_column_definitions_may_nest(wh: Warehouse) -> None:
    wh.create_table(
        "a", "id INTEGER, s STRUCT(a INTEGER, b DECIMAL(12,2)), e ENUM('a)', '(c', 'x,y')", key="id"
    )
    wh.create_table("b", '"a,b" INTEGER, id INTEGER -- the id')
    assert wh.tables()["b"].names == ("a,b", "id")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("INTERVAL", ["24 hours", "1 month"]),
        ("INTEGER[]", [None, [], [1]]),
        ("STRUCT(a INTEGER)", [None, {"a": None}]),
    ],
)
def test_an_update_to_a_value_of_the_same_hash_is_an_update(
    wh: Warehouse, kind: str, values: list[object]
) -> None:
    wh.create_table("e", f"id INTEGER, x {kind}", key="id")
    for value in values:
        wh.apply("e", inserts=[{"id": 1, "x": value}])
        wh.refresh()
        wanted = wh.engine.rows(f"SELECT CAST(? AS {kind})::VARCHAR", [value])
        assert wh.engine.rows("SELECT x::VARCHAR FROM e") == wanted


def test_an_infinite_key_is_one_key(wh: Warehouse) -> None:
    wh.create_table("e", "id TIMESTAMP, x INTEGER", key="id")
    for x in (1, 2):
        wh.apply("e", inserts=[{"id": "infinity", "x": x}])
        wh.refresh()
    assert wh.sql("SELECT x FROM e").rows() == [(2,)]


def test_collations_are_refused(wh: Warehouse) -> None:
    with pytest.raises(sl.SchemaError, match="collation"):
        wh.create_table("e", "k VARCHAR COLLATE NOCASE")


def test_wide_sums_are_whole_numbers(wh: Warehouse) -> None:
    wh.create_table("e", "id INTEGER, v BIGINT", key="id")
    wh.create_model("m", "SELECT sum(v) AS s FROM e")
    wh.apply("e", inserts=[{"id": 1, "v": 2**53}, {"id": 2, "v": 1}])
    wh.refresh()
    assert wh.read("m").item() == 2**53 + 1
    assert isinstance(wh.read("m").item(), int)


def test_columns_of_one_name_are_numbered(wh: Warehouse) -> None:
    wh.create_table("n", "id INTEGER, name VARCHAR", key="id")
    wh.create_model("m", "SELECT a.name, b.name FROM n a CROSS JOIN n b WHERE a.id < b.id")
    wh.apply("n", inserts=[{"id": 1, "name": "a"}, {"id": 2, "name": "b"}])
    wh.refresh()
    assert wh.read("m").to_dicts() == [{"name": "a", "name_1": "b"}]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, (SELECT max(x.s) FROM t x) AS low, stddev(id) OVER (ORDER BY id) AS d FROM t",
        "SELECT a.id FROM t a, (SELECT count(*) AS c FROM t) s",
        "SELECT s, count(*) AS n FROM t GROUP BY s HAVING count(*) > (SELECT avg(id) FROM t)",
        "SELECT id, u FROM t, unnest([1, id]) AS l(u)",
        "SELECT id, unnest([s, 'x']) AS u FROM t",
        "SELECT v.i, t.s FROM (VALUES (1, 'a'), (2, 'b')) AS v(i, x) JOIN t ON t.id = v.i",
        "SELECT id FROM t WHERE (id, s) IN (SELECT id + 1, s FROM t)",
        "SELECT id, EXISTS (SELECT 1 FROM t x WHERE x.id = t.id + 1) AS following FROM t",
        "SELECT s AS a FROM t UNION BY NAME SELECT s AS a, id AS b FROM t",
        "SELECT s, id % 2 AS odd, sum(id) AS n, grouping(s) AS g FROM t GROUP BY ROLLUP (s, id % 2)",
    ],
)
def test_constructs_kept_without_recompute(wh: Warehouse, query: str) -> None:
    wh.create_table("t", "id INTEGER, s VARCHAR", key="id")
    wh.create_model("m", query)
    assert all(s.strategy != "full" for s in wh.explain("m").stages)
    for inserts, deletes in (
        ([{"id": 1, "s": "a"}, {"id": 2, "s": "a"}], None),
        ([{"id": 3, "s": None}, {"id": 1, "s": "b"}], None),
        ([{"id": 4, "s": "b"}], [{"id": 2}]),
        (None, [{"id": 1}, {"id": 3}, {"id": 4}]),
        ([{"id": 9, "s": "z"}], None),
    ):
        wh.apply("t", inserts=inserts, deletes=deletes)
        wh.refresh()
        assert wh.verify("m").ok, wh.verify("m")
        plain = sorted(map(repr, wh.engine.rows(query)))
        assert sorted(map(repr, wh.engine.rows("SELECT * FROM m"))) == plain


@pytest.mark.parametrize(
    "query",
    [
        "WITH t AS (SELECT * FROM t WHERE id > 1) SELECT s, count(*) AS n FROM t GROUP BY s",
        "SELECT s FROM (SELECT id AS s, s FROM t)",
        "SELECT id FROM t ORDER BY id LIMIT 50%",
        "SELECT id, COLUMNS('s') FROM t",
    ],
)
def test_names_and_limits_mean_what_the_engine_means(wh: Warehouse, query: str) -> None:
    wh.create_table("t", "id INTEGER, s VARCHAR", key="id")
    wh.create_model("m", query)
    for inserts in ([{"id": i, "s": "a"} for i in range(5)], [{"id": 9, "s": "b"}]):
        wh.apply("t", inserts=inserts)
        wh.refresh()
        assert sorted(wh.engine.rows("SELECT * FROM m")) == sorted(wh.engine.rows(query))


@pytest.mark.parametrize("outside", ["age(t)", "localtimestamp", "(SELECT count(*) FROM glob('*'))"])
def test_what_no_batch_changes_is_refused(wh: Warehouse, outside: str) -> None:
    wh.create_table("e", "id INTEGER, t TIMESTAMP", key="id")
    with pytest.raises(sl.RejectedError):
        wh.create_model("m", f"SELECT id, {outside} AS x FROM e")
