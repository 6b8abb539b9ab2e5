"""A shop's tables under random changes, for the queries of corpus/shop.sql."""

from __future__ import annotations

import random
from pathlib import Path

from fuzz.tables import Table, TableColumn, make_batches
from fuzz.world import Model, World, mentions


def table(name: str, columns: str, key: tuple[str, ...] = ()) -> Table:
    made = (TableColumn(*column.split(":")) for column in columns.split())
    return Table(name, tuple(made), key)


SHOP = (
    table("customers", "id:int name:str region:str segment:str active:bool credit:dec", ("id",)),
    table("orders", "id:int customer_id:int status:str ordered_at:ts amount:dec discount:dbl", ("id",)),
    table("items", "order_id:int line:int product_id:int qty:int price:dec", ("order_id", "line")),
    table("products", "id:int name:str category:str price:dec", ("id",)),
    table("events", "seq:int user_id:int kind:str ts:ts value:dbl", ("seq",)),
)


def corpus() -> list[str]:
    """The queries of corpus/shop.sql, in order."""
    text = (Path(__file__).parent.parent / "corpus" / "shop.sql").read_text()
    lines = [line for line in text.split("\n") if not line.startswith("--")]
    return [query.strip() for query in "\n".join(lines).split(";\n") if query.strip()]


def shop_world(seed: int, queries: list[str], first: int = 0) -> World:
    """The shop with some of the queries as models q0, q1, …, and changes from the seed."""
    rng = random.Random(seed)
    models = []
    for number, sql in enumerate(queries):
        spaced = sql.replace("\n", " ").replace(",", " , ").replace(";", " ;")
        uses = frozenset(t.name for t in SHOP if mentions(spaced, t.name) or t.name in spaced.split())
        models.append(Model(f"q{first + number}", sql.rstrip(";"), frozenset({"corpus"}), uses))
    used = {u for m in models for u in m.uses}
    tables = tuple(t for t in SHOP if t.name in used)
    early = frozenset(m.name for m in models if rng.random() < 0.3)
    return World(seed, tables, make_batches(rng, tables, 5), tuple(models), early)
