"""Python models: a function's result kept key by key, exact whatever changes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import strandline as sl
from strandline.functions import model_function


@pytest.fixture
def wh() -> Iterator[sl.Warehouse]:
    with sl.open(":memory:") as opened:
        opened.create_table("orders", "id INTEGER, day DATE, shop VARCHAR, amount DECIMAL(12,2)", key="id")
        opened.create_table("shops", "shop VARCHAR, region VARCHAR", key="shop")
        yield opened


def order(number: int, day: int | None, amount: float = 1, shop: str = "a") -> dict[str, Any]:
    return {"id": number, "day": day and f"2025-01-{day:02}", "shop": shop, "amount": amount}


def daily_code(orders: pl.LazyFrame) -> pl.LazyFrame:
    """Sums by day, and the place of each shop within its day."""
    return (
        orders.group_by("day", "shop")
        .agg(n=pl.len().cast(pl.Int64), amount=pl.col("amount").sum())
        .with_columns(place=pl.col("amount").rank("dense").over("day").cast(pl.Int64))
    )


daily = sl.model(keys=["day"], inputs=["orders"], name="daily")(daily_code)


def seen(wh: sl.Warehouse, orders: int = 12) -> list[int]:
    """A model `seen` that notes how many rows its function is given."""
    given: list[int] = []

    @sl.model(keys=["day"], inputs=["orders"], name="seen")
    def function(frame: pl.LazyFrame) -> pl.LazyFrame:
        given.append(frame.collect().height)
        return daily_code(frame)

    wh.apply("orders", [order(i, 1 + i % 3) for i in range(orders)])
    wh.refresh()
    wh.create_model("seen", function)
    given.clear()
    return given


def test_only_the_touched_keys_are_computed(wh: sl.Warehouse) -> None:
    given = seen(wh)
    wh.apply("orders", [order(100, 1)])
    run = wh.refresh().model("seen")
    assert given == [5]
    assert run is not None
    assert (run.strategy, run.rows_in, run.rows_out) == ("keyed", 1, 2)
    assert "1 key was touched (day)" in run.reason
    assert wh.verify("seen")


def test_moves_deletions_and_vanishing_keys(wh: sl.Warehouse) -> None:
    given = seen(wh)
    wh.apply("orders", [order(0, 9)])  # from day 1 to a new day
    wh.refresh()
    assert given == [4]
    assert wh.verify("seen")
    wh.apply("orders", deletes=[{"id": 0}])
    wh.refresh()
    assert wh.verify("seen")
    assert sorted(wh.sql("SELECT DISTINCT day::VARCHAR AS day FROM seen")["day"]) == [
        "2025-01-01",
        "2025-01-02",
        "2025-01-03",
    ]
    wh.apply("orders", deletes=[{"id": i} for i in range(12)])
    wh.refresh()
    assert wh.read("seen").is_empty()
    assert wh.verify("seen")


def test_null_is_a_key_like_others(wh: sl.Warehouse) -> None:
    given = seen(wh)
    wh.apply("orders", [order(50, None), order(51, None), order(52, 1)])
    wh.refresh()
    assert given == [7]
    wh.apply("orders", deletes=[{"id": 50}])
    wh.refresh()
    assert given == [7, 1]
    assert wh.verify("seen")


def test_sql_and_functions_feed_each_other_with_small_changes(wh: sl.Warehouse) -> None:
    wh.create_model("net", "SELECT id, day, shop, amount * 2 AS amount FROM orders WHERE amount > 0")
    wh.create_model("by_day", sl.model(keys=["day"], inputs=["net"], name="by_day")(daily_code))
    wh.create_model("total", "SELECT shop, sum(n) AS n, sum(amount) AS amount FROM by_day GROUP BY shop")

    @sl.model(keys=["shop"])
    def labelled(total: pl.LazyFrame) -> pl.LazyFrame:
        return total.with_columns(label=pl.col("shop") + "!")

    wh.create_model("labelled", labelled)
    wh.apply("orders", [order(i, 1 + i % 5, i, "abc"[i % 3]) for i in range(60)])
    wh.refresh()
    wh.apply("orders", [order(7, 3, 99, "b"), order(61, 1, 5, "c")], [{"id": 10}])
    run = wh.refresh()
    strategies = {m.model: m.strategy for m in run.models}
    assert strategies == {"net": "stateless", "by_day": "keyed", "total": "merge", "labelled": "keyed"}
    assert all(wh.verify_all())
    wh.apply("orders", [order(200, 2, -1)])  # filtered out: nothing above has work
    assert [m.model for m in wh.refresh().models if m.rows_out] == []


def test_lookups_touch_every_key_and_only_what_differs_is_handed_on(wh: sl.Warehouse) -> None:
    @sl.model(keys=["day"], inputs=["orders"], lookup=["shops"])
    def regions(orders: pl.LazyFrame, shops: pl.LazyFrame) -> pl.LazyFrame:
        return orders.join(shops, on="shop", how="left").group_by("day", "region").agg(pl.len())

    wh.create_model("regions", regions)
    wh.apply("shops", [{"shop": "a", "region": "north"}])
    wh.apply("orders", [order(1, 1), order(2, 2, shop="b")])
    wh.refresh()
    wh.apply("shops", [{"shop": "b", "region": "south"}])
    run = wh.refresh().model("regions")
    assert run is not None
    assert (run.strategy, run.rows_out) == ("full", 2)
    assert "shops changed" in run.reason
    assert wh.verify("regions")
    text = str(wh.explain("regions"))
    assert "function: keyed" in text
    assert "a change of shops touches every key" in text


def test_row_by_row(wh: sl.Warehouse) -> None:
    given: list[int] = []

    @sl.model(rowwise=True)
    def cents(orders: pl.LazyFrame) -> pl.LazyFrame:
        given.append(orders.collect().height)
        return orders.select("day", cents=(pl.col("amount") * 100).cast(pl.Int64))

    wh.create_model("cents", cents)
    wh.create_model("sums", "SELECT day, sum(cents) AS cents FROM cents GROUP BY day")
    wh.apply("orders", [order(i, 1, 2) for i in range(5)])  # five equal rows
    wh.refresh()
    given.clear()
    wh.apply("orders", [order(1, 2, 3)], [{"id": 0}])
    run = wh.refresh().model("cents")
    assert run is not None
    assert (run.strategy, run.rows_out) == ("stateless", 3)
    assert given == [1, 2]
    assert all(wh.verify_all())


def test_a_function_that_only_pretends_to_be_row_by_row_is_recomputed(wh: sl.Warehouse) -> None:
    @sl.model(rowwise=True)
    def share(orders: pl.LazyFrame) -> pl.LazyFrame:
        return orders.select("id", part=pl.len() * 0 + pl.col("amount").sum().cast(pl.Float64))

    wh.create_model("share", share)
    wh.apply("orders", [order(i, 1, 2) for i in range(4)])
    wh.refresh()
    wh.apply("orders", deletes=[{"id": 3}])
    run = wh.refresh().model("share")
    assert run is not None
    assert run.strategy == "full"
    assert "not row-wise" in run.reason
    assert wh.verify("share")


@pytest.mark.parametrize("seed", range(4))
def test_random_changes(wh: sl.Warehouse, seed: int) -> None:
    chance = random.Random(seed)
    wh.create_model("daily", daily)
    wh.create_model("shops_total", "SELECT shop, sum(n) AS n, max(place) AS place FROM daily GROUP BY shop")
    for _ in range(12):
        days = (None, 1, 2, 3, 4)
        come = [
            order(chance.randrange(40), chance.choice(days), chance.randrange(9), chance.choice("abc"))
            for _ in range(chance.randrange(6))
        ]
        gone = [{"id": chance.randrange(40)} for _ in range(chance.randrange(4))]
        wh.apply("orders", come or None, gone or None)
        wh.refresh()
        assert all(wh.verify_all())


def test_an_exception_names_function_keys_and_line_and_commits_nothing(wh: sl.Warehouse) -> None:
    @sl.model(keys=["day"])
    def fragile(orders: pl.LazyFrame) -> pl.LazyFrame:
        if orders.filter(pl.col("amount") == 13).collect().height:
            raise ZeroDivisionError("thirteen")
        return orders.group_by("day").agg(pl.len())

    wh.create_model("fragile", fragile)
    wh.apply("orders", [order(1, 1)])
    wh.refresh()
    wh.apply("orders", [order(2, 5, 13)])
    with pytest.raises(sl.ModelError) as caught:
        wh.refresh()
    text = str(caught.value)
    assert "model fragile, function fragile()" in text
    assert "ZeroDivisionError: thirteen" in text
    assert "keys (day): 2025-01-05" in text
    assert 'raise ZeroDivisionError("thirteen")' in text
    assert "strandline/warehouse" not in text
    assert caught.value.exit_code == 1
    assert wh.read("orders").height == wh.read("fragile").height == 1
    assert wh.verify("fragile")


def test_pandas_frames(wh: sl.Warehouse) -> None:
    pytest.importorskip("pandas")

    @sl.model(keys=["day"])
    def with_pandas(orders: pl.LazyFrame) -> Any:
        rows = orders.select("day", pl.col("amount").cast(pl.Float64)).collect().to_pandas()
        return rows.groupby("day", as_index=False).agg(amount=("amount", "sum"))

    wh.apply("orders", [order(i, 1 + i % 2, i) for i in range(6)])
    wh.refresh()
    wh.create_model("with_pandas", sl.model(keys=["shop"], inputs=["orders"])(_by_shop))
    wh.apply("orders", [order(9, 2, 5, "b")])
    wh.refresh()
    assert wh.verify("with_pandas")
    assert wh.sql("SELECT sum(amount)::INTEGER AS s FROM with_pandas")["s"][0] == 20
    with pytest.raises(sl.ModelError, match="DATE in orders but TIMESTAMP"):
        wh.create_model("days", with_pandas)


def _by_shop(orders: pl.LazyFrame) -> Any:
    rows = orders.select("shop", pl.col("amount").cast(pl.Float64)).collect().to_pandas()
    return rows.groupby("shop", as_index=False).agg(amount=("amount", "sum"))


def bad_result(kind: str) -> Any:
    def function(orders: pl.LazyFrame) -> Any:
        plain = orders.group_by("day").agg(n=pl.len().cast(pl.Int64))
        if orders.collect().height < 3:
            return plain
        changed = {
            "stray": plain.with_columns(day=pl.col("day") + pl.duration(days=1)),
            "columns": plain.with_columns(more=1),
            "types": plain.with_columns(n=pl.col("n") + 0.5),
            "nothing": None,
        }
        return changed[kind]

    return sl.model(keys=["day"], inputs=["orders"], name="odd")(function)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("stray", "rows of keys that its inputs do not have"),
        ("columns", "its result has the columns day, n, more, before day, n"),
        ("types", "column 'n' of its result is DOUBLE, before it was BIGINT"),
        ("nothing", "it returned a NoneType"),
    ],
)
def test_unusable_results(wh: sl.Warehouse, kind: str, message: str) -> None:
    wh.create_model("odd", bad_result(kind))
    wh.apply("orders", [order(1, 1), order(2, 1)])
    wh.refresh()
    wh.apply("orders", [order(3, 1)])
    with pytest.raises(sl.ModelError, match=message):
        wh.refresh()
    assert wh.read("odd")["n"].to_list() == [2]


@pytest.mark.parametrize(
    ("declared", "error", "message"),
    [
        ({"keys": ["day"], "inputs": ["order"]}, sl.UnknownNameError, "did you mean 'orders'"),
        (
            {"keys": ["colour"], "inputs": ["orders"]},
            sl.ConfigurationError,
            "none of its inputs has the columns",
        ),
    ],
)
def test_what_cannot_be_kept_is_said_first(
    wh: sl.Warehouse, declared: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        wh.create_model("m", sl.model(**declared)(daily_code))
    assert wh.models() == {}


def test_declarations() -> None:
    with pytest.raises(sl.ConfigurationError, match="one input, not 2"):
        sl.model(rowwise=True, inputs=["a", "b"])(daily_code)
    with pytest.raises(sl.ConfigurationError, match="names no inputs"):
        sl.model(keys=["x"], inputs=[])(daily_code)
    with (
        pytest.raises(sl.ConfigurationError, match="neither SQL nor a declared function"),
        sl.open(":memory:") as wh,
    ):
        wh.create_model("m", len)

    def plain(orders: pl.LazyFrame) -> pl.LazyFrame:
        return orders

    assert sl.model(keys=["x"])(plain) is plain  # an ordinary function, declared
    assert sl.model(keys=["y"])(plain) is not plain  # and once more
    assert model_function(plain).keys == ("x",)


def test_strict_and_full(wh: sl.Warehouse) -> None:
    keyless = sl.model(inputs=["orders"])(lambda orders: orders.select(n=pl.len()))
    with pytest.raises(sl.StrictError, match="declares no keys"):
        wh.create_model("n", keyless, strict=True)
    wh.create_model("n", keyless)
    wh.create_model("daily", daily, strategy="full")
    wh.apply("orders", [order(1, 1)])
    wh.refresh()
    wh.apply("orders", [order(2, 2)])
    assert {m.strategy for m in wh.refresh().models} == {"full"}
    assert all(wh.verify_all())


def test_changed_code_rebuilds_what_reads_it(wh: sl.Warehouse) -> None:
    wh.apply("orders", [order(1, 1), order(2, 2)])
    wh.refresh()
    assert wh.create_model("daily", daily)
    assert not wh.create_model("daily", daily)
    wh.create_model("top", "SELECT max(n) AS n FROM daily")
    other = sl.model(keys=["day"], inputs=["orders"])(
        lambda orders: orders.group_by("day").agg(n=pl.len().cast(pl.Int64) * 10)
    )
    assert wh.create_model("daily", other)
    assert wh.read("top")["n"].to_list() == [10]
    assert all(wh.verify_all())
    with pytest.raises(sl.UsageError, match="is read by top"):
        wh.drop_model("daily")
    wh.drop_model("top")
    wh.drop_model("daily")
    assert wh.models() == {}


def test_a_function_made_a_query_and_back(wh: sl.Warehouse) -> None:
    wh.apply("orders", [order(1, 1)])
    wh.refresh()
    wh.create_model("daily", daily)
    wh.create_model("top", "SELECT max(n) AS n FROM daily")
    wh.create_model("daily", "SELECT day, count(*) * 7 AS n FROM orders GROUP BY day")
    assert wh.read("top")["n"].to_list() == [7]
    wh.create_model("daily", daily)
    assert wh.read("top")["n"].to_list() == [1]
    wh.apply("orders", [order(2, 1)])
    wh.refresh()
    assert all(wh.verify_all())


def test_a_warehouse_opened_without_the_function(tmp_path: Path) -> None:
    with sl.open(tmp_path / "w.duckdb") as wh:
        wh.create_table("orders", "id INTEGER, day DATE, shop VARCHAR, amount DECIMAL(12,2)", key="id")
        wh.create_model("daily", daily)
        wh.apply("orders", [order(1, 1)])
        wh.refresh()
    with sl.open(tmp_path / "w.duckdb") as wh:
        assert wh.read("daily").height == 1
        assert "keyed" in str(wh.explain("daily"))
        wh.apply("orders", [order(2, 2)])
        with pytest.raises(sl.ModelError, match="not loaded in this process"):
            wh.refresh()
        with pytest.raises(sl.ModelError, match="not loaded"):
            wh.verify("daily")
        wh.provide({"daily": model_function(daily)})
        assert wh.refresh().model("daily") is not None
        assert wh.verify("daily")
        assert wh.reader().verify("daily")


BELOW = {
    "window": "SELECT day, sum(amount) OVER (PARTITION BY shop ORDER BY id)::BIGINT AS v FROM orders",
    "lead": "SELECT day, lead(amount) OVER (PARTITION BY shop ORDER BY id)::BIGINT AS v FROM orders",
    "top": "SELECT day, amount::BIGINT AS v FROM orders "
    "QUALIFY row_number() OVER (PARTITION BY shop ORDER BY amount DESC, id) <= 2",
    "full": "SELECT day, amount::BIGINT AS v FROM orders WHERE amount >= (SELECT avg(amount) FROM orders)",
    "distinct": "SELECT DISTINCT day, shop, amount::BIGINT AS v FROM orders",
    "join": "SELECT o.day, o.amount::BIGINT + length(s.region) AS v"
    " FROM orders o LEFT JOIN shops s USING (shop)",
    "having": "SELECT day, sum(amount)::BIGINT AS v FROM orders GROUP BY day, shop HAVING count(*) > 1",
    "union": "SELECT day, amount::BIGINT AS v FROM orders"
    " UNION ALL SELECT day, 1 FROM orders WHERE shop = 'a'",
}


@pytest.mark.parametrize("kind", BELOW)
def test_over_every_kind_of_stage(wh: sl.Warehouse, kind: str) -> None:
    chance = random.Random(kind)
    wh.create_model("below", BELOW[kind])

    @sl.model(keys=["day"])
    def sums(below: pl.LazyFrame) -> pl.LazyFrame:
        return below.group_by("day").agg(n=pl.len().cast(pl.Int64), v=pl.col("v").sum())

    @sl.model(rowwise=True)
    def doubled(below: pl.LazyFrame) -> pl.LazyFrame:
        return below.select("day", w=pl.col("v") * 2)

    wh.create_model("sums", sums)
    wh.create_model("doubled", doubled)
    for step in range(6):
        most = 5 + step * 3
        come = [
            order(chance.randrange(most), chance.randrange(1, 4), chance.randrange(9), chance.choice("abc"))
            for _ in range(4)
        ]
        wh.apply("orders", come, [{"id": chance.randrange(most)}] if step else None)
        if step % 2:
            wh.apply("shops", [{"shop": chance.choice("abc"), "region": "r" * step}])
        wh.refresh()
        assert all(wh.verify_all())
