"""One World: tables, a sequence of changes and a few models over them, all from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from fuzz.queries import make_query
from fuzz.scope import COMPARABLE, Gen, of_table
from fuzz.tables import Batch, Table, make_batches, make_table

MODELS = 5  # models in a World; each counts as one case


@dataclass(frozen=True)
class Model:
    """A named query; `uses` are the tables and models that it reads."""

    name: str
    sql: str
    tags: frozenset[str]
    uses: frozenset[str]


@dataclass(frozen=True)
class World:
    """`early` models are created before any row is there, the others after batch 0."""

    seed: int
    tables: tuple[Table, ...]
    batches: tuple[Batch, ...]
    models: tuple[Model, ...]
    early: frozenset[str] = frozenset()

    @property
    def order(self) -> tuple[Model, ...]:
        """Models in the order they are created: early ones first."""
        return tuple(sorted(self.models, key=lambda m: m.name not in self.early))


def make_world(seed: int, models: int = MODELS) -> World:
    """The World of a seed. Some of its queries may not be valid: the oracle says which."""
    rng = random.Random(seed)
    tables = tuple(make_table(rng, f"t{'abc'[i]}") for i in range(rng.choices((1, 2, 3), (25, 50, 25))[0]))
    batches = make_batches(rng, tables, rng.choice((2, 3, 3, 4, 5)))
    relations = [of_table(t) for t in tables]
    made: list[Model] = []
    for number in range(models):
        gen = Gen(rng, list(relations))
        if gen.chance(0.6):
            gen.relations = gen.relations[: len(tables)]
        query = make_query(gen)
        name = f"m{number}"
        used = frozenset(r.sql for r in gen.relations if r.named and mentions(query.sql, r.sql))
        if any(u.startswith("m") for u in used):
            gen.tag("model-over-model")
        made.append(Model(name, query.sql, frozenset(gen.tags), used))
        if all(c.kind in COMPARABLE for c in query.columns):
            relations.append(replace(query.relation(name), stored=True))
    early = _early(rng, made)
    return World(seed, tables, batches, tuple(made), early)


def mentions(sql: str, name: str) -> bool:
    """Whether a table or model name stands in FROM or JOIN."""
    starts = ("FROM ", "JOIN ", "FROM (", "JOIN (")
    return any(f"{start}{name}{end}" in f"{sql} " for start in starts for end in (" ", ")"))


def _early(rng: random.Random, models: list[Model]) -> frozenset[str]:
    """A few models exist before the data; whatever they read does too."""
    early = {m.name for m in models if rng.random() < 0.25}
    for model in reversed(models):
        if model.name in early:
            early |= {u for u in model.uses if u.startswith("m")}
    return frozenset(early)
