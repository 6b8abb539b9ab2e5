"""Relations that are written in the query itself: VALUES."""

from __future__ import annotations

from fuzz.scope import Col, Gen, Relation
from fuzz.values import literal, ordinary


def make_values(gen: Gen) -> Relation:
    """A few rows of one or two columns, NULLs among them; equal rows are possible."""
    rng = gen.rng
    gen.tag("from:values")
    kinds = rng.sample(("int", "str", "date", "bool"), rng.randint(1, 2))
    rows = []
    for number in range(rng.randint(1, 4)):
        items = [None if number and gen.chance(0.15) else ordinary(rng, kind) for kind in kinds]
        rows.append("(" + ", ".join(literal(item) for item in items) + ")")
    names = [f"v{kind}" for kind in kinds]
    text = f"(SELECT * FROM (VALUES {', '.join(rows)}) AS v({', '.join(names)}))"
    columns = tuple(Col(n, k) for n, k in zip(names, kinds, strict=True))
    return Relation(text, columns, tuple(names), named=False)
