"""SELECTs nested two or three deep whose windows have the same PARTITION BY and ORDER BY."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fuzz.exprs import condition, constant, expression
from fuzz.scope import Col, Gen, Relation, Scope, qualified
from fuzz.windows import Spec, direction, make_window

FRAMES = ("", "ROWS UNBOUNDED PRECEDING", "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW")
NEAR = (
    "ROWS 2 PRECEDING",
    "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
    "ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING",
    "ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING",
    "ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING",
    "ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING",
)
PLACED = ("lag", "lag", "lag", "lead", "first_value", "last_value", "row_number", "nth_value")
ADDED = ("sum", "count", "min", "max", "avg", "count_star", "bool_or")


@dataclass(frozen=True)
class Keys:
    """The common partition and order by the bottom's names, which the levels above may rename.

    The order is `total` only over a key: equal rows of a bag differ once windows have numbered them.
    """

    partition: tuple[str, ...]
    order: tuple[tuple[str, str], ...]
    total: bool

    def spec(self, names: Mapping[str, str]) -> Spec:
        """The OVER clause under the names of one level."""
        order = tuple(names[c] + how for c, how in self.order)
        return Spec(tuple(names[c] for c in self.partition), order, self.total, None)

    def needed(self) -> list[str]:
        return [*self.partition, *(c for c, _ in self.order)]


@dataclass(frozen=True)
class Layer:
    """A SELECT so far: FROM item, its columns, where the bottom's columns are now, what windows computed."""

    source: str
    columns: tuple[Col, ...]
    names: Mapping[str, str]
    made: frozenset[str] = frozenset()

    def of(self, columns: Iterable[str]) -> list[Col]:
        return [c for c in self.columns if c.sql in set(columns)]

    def under(self, alias: str) -> Layer:
        """The same with every column under an alias, beside which another table has columns."""
        columns = tuple(Col(f"{alias}.{c.sql}", c.kind, c.exact) for c in self.columns)
        names = {bottom: f"{alias}.{name}" for bottom, name in self.names.items()}
        made = frozenset(f"{alias}.{name}" for name in self.made)
        return Layer(f"{self.source} AS {alias}", columns, names, made)


def make_levels(gen: Gen) -> tuple[str, tuple[Col, ...], tuple[str, ...]] | None:
    """SQL, its columns and those of its key, if it has one; None where there is nothing to order by."""
    known = [r for r in gen.relations if r.total and r.named]
    if not known:
        return None
    relation = gen.rng.choice(known)
    keys = _keys(gen, relation)
    layer = Layer(relation.sql, relation.columns, {c.sql: c.sql for c in relation.columns})
    deep = gen.rng.choice((2, 2, 3))
    gen.tag(f"levels:{deep}")
    wanted = [*keys.needed(), *relation.key]
    sql = ""
    for number in range(deep):
        sql, layer = _select(gen, layer, keys, list(dict.fromkeys(wanted)), top=number == deep - 1)
    return sql, layer.columns, _key(relation, layer)


def _key(relation: Relation, layer: Layer) -> tuple[str, ...]:
    """The bottom's key under the names at the top."""
    shown = {c.sql for c in layer.columns}
    found = tuple(layer.names[c] for c in relation.key)
    return found if set(found) <= shown else ()


def _keys(gen: Gen, relation: Relation) -> Keys:
    rng = gen.rng
    columns = [c.sql for c in relation.columns if c.comparable]
    total = relation.key or tuple(relation.total or ())
    free = [c for c in columns if c not in total] or columns
    many = min(len(free), rng.choices((0, 1, 2), (20, 70, 10))[0])
    partition = tuple(rng.sample(free, many))
    first = rng.sample(columns, 1) if columns and gen.chance(0.4) else []
    ordered = gen.chance(0.75)
    names = [*first, *(total if ordered else ())] or list(total)[:1]
    unique = list(dict.fromkeys(names))
    whole = bool(relation.key) and set(total) <= set(unique)
    plain = gen.chance(0.6)
    return Keys(partition, tuple((c, "" if plain else direction(gen)) for c in unique), whole)


def _select(gen: Gen, layer: Layer, keys: Keys, wanted: list[str], *, top: bool) -> tuple[str, Layer]:
    """One SELECT over the layer: functions, expressions over them, columns passed on or renamed."""
    lookup = None
    if gen.chance(0.45 if top else 0.12):
        layer = layer.under(gen.fresh("l"))
        lookup = _lookup(gen, layer)
    scope = _looked_at(layer)
    spec = keys.spec(layer.names)
    calls = [continued(gen, scope, spec) for _ in range(gen.rng.choice((1, 2, 2, 3)))]
    if gen.chance(0.3):
        gen.tag("levels:expression")
        calls[0] = expression(gen, Scope((calls[0],)), calls[0].kind, 1)
    passed = [] if top and gen.chance(0.4) else [Col(layer.names[c], _kind(layer, c)) for c in wanted]
    spare = [c for c in layer.columns if c.sql not in {p.sql for p in passed}]
    passed += gen.rng.sample(spare, min(len(spare), gen.rng.choice((0, 1, 2))))
    if gen.chance(0.3) and layer.made:
        gen.tag("levels:computed")
        made = Scope(tuple(layer.of(layer.made)))
        passed.append(expression(gen, made, gen.rng.choice(made.columns).kind, 2))
    where = f" WHERE {condition(gen, Scope(layer.columns), 0)}" if gen.chance(0.15) else ""
    qualify = _qualify(gen, scope, spec) if gen.chance(0.12) else ""
    items = [(c, _name(gen, c)) for c in passed]
    items += [(c, gen.fresh("f")) for c in calls]
    if lookup is not None:
        items += [(c, gen.fresh("j")) for c in lookup[1]]
        gen.tag("levels:lookup")
    return _put(gen, layer, items, f"{lookup[0] if lookup else ''}{where}{qualify}")


def _put(gen: Gen, layer: Layer, items: list[tuple[Col, str]], clauses: str) -> tuple[str, Layer]:
    """The SELECT as text, and the layer that it is for the next one."""
    if len({name for _, name in items}) < len(items):
        items = [(c, gen.fresh("r")) for c, _ in items]
    listed = ", ".join(c.sql if c.sql == name else f"{c.sql} AS {name}" for c, name in items)
    sql = f"SELECT {listed} FROM {layer.source}{clauses}"
    outer = {c.sql: name for c, name in reversed(items)}
    names = {bottom: outer.get(name, "?") for bottom, name in layer.names.items()}
    before = {c.sql for c in layer.columns} - layer.made
    made = frozenset(name for c, name in items if c.sql not in before)
    columns = tuple(Col(name, c.kind, c.exact) for c, name in items)
    return sql, Layer(f"({sql})", columns, names, made)


def _kind(layer: Layer, bottom: str) -> str:
    return next(c.kind for c in layer.columns if c.sql == layer.names[bottom])


def _name(gen: Gen, column: Col) -> str:
    """What a column is called above: mostly what it is called below."""
    name = column.sql.split(".")[-1]
    if name.strip('"').isidentifier() and not gen.chance(0.2):
        return name
    gen.tag("levels:renamed")
    return gen.fresh("r")


def _looked_at(layer: Layer) -> Scope:
    """All columns, those that a window below has computed more often."""
    return Scope((*layer.columns, *layer.of(layer.made) * 3))


def _qualify(gen: Gen, scope: Scope, spec: Spec) -> str:
    gen.tag("levels:qualify")
    test = continued(gen, scope, spec)
    return f" QUALIFY {condition(gen, Scope((test,)) if test.comparable else scope, 0)}"


def _lookup(gen: Gen, layer: Layer) -> tuple[str, list[Col]] | None:
    """A left join that meets at most one row, and some of that row's columns."""
    other = gen.fresh("u")
    for relation in gen.rng.sample(gen.relations, len(gen.relations)):
        if not relation.key or not relation.named:
            continue
        kinds = {c.sql: c.kind for c in relation.columns}
        pairs = [(k, [c for c in layer.columns if c.kind == kinds[k] and c.comparable]) for k in relation.key]
        if all(found for _, found in pairs):
            on = " AND ".join(f"{other}.{k} = {gen.rng.choice(found).sql}" for k, found in pairs)
            shown = [c for c in qualified(relation, other).columns if c.sql.split(".")[1] not in relation.key]
            return f" LEFT JOIN {relation.sql} AS {other} ON {on}", shown[:2]
    return None


def continued(gen: Gen, scope: Scope, spec: Spec) -> Col:
    """A function that is mostly carried: running, ranked, or looking a few rows back or ahead."""
    if gen.chance(0.12):
        return make_window(gen, scope, spec)
    if not spec.total and gen.chance(0.5):
        name = gen.rng.choice(("rank", "dense_rank"))
        gen.tag(f"window:{name}")
        return Col(f"{name}() OVER ({spec.text()})", "int")
    if spec.total and gen.chance(0.15):
        name = gen.rng.choice(("rank", "dense_rank", "row_number"))
        gen.tag(f"window:{name}")
        return Col(f"{name}() OVER ({spec.text()})", "int")
    return _placed(gen, scope, spec) if spec.total and gen.chance(0.5) else _added(gen, scope, spec)


def _placed(gen: Gen, scope: Scope, spec: Spec) -> Col:
    rng = gen.rng
    name = rng.choice(PLACED)
    gen.tag(f"window:{name}")
    if name == "row_number":
        return Col(f"row_number() OVER ({spec.text()})", "int")
    column = rng.choice(scope.columns)
    nulls = ""
    if name in {"first_value", "last_value", "nth_value"}:
        nulls = rng.choice(("", "", " IGNORE NULLS"))
        place = f", {rng.randint(1, 3)}" if name == "nth_value" else ""
        frame = rng.choice((*FRAMES, rng.choice(NEAR)))
        return Col(f"{name}({column.sql}{place}{nulls}) OVER ({spec.text(frame)})", column.kind, column.exact)
    arguments = column.sql
    if gen.chance(0.4):
        arguments += f", {rng.choice((1, 2, 3))}"
        if gen.chance(0.4) and column.kind not in {"ival", "list"}:
            arguments += f", {constant(rng, column.kind).sql}"
    return Col(f"{name}({arguments}) OVER ({spec.text()})", column.kind, column.exact)


def _added(gen: Gen, scope: Scope, spec: Spec) -> Col:
    rng = gen.rng
    name = rng.choice(ADDED)
    kinds: dict[str, Callable[[], list[Col]]] = {
        "sum": lambda: scope.of("int", "dec", "dbl"),
        "avg": lambda: scope.of("int", "dec", "dbl"),
        "bool_or": lambda: scope.of("bool"),
        "count": lambda: list(scope.columns),
    }
    columns = kinds.get(name, scope.comparable)()
    if not columns:
        name = "count_star"
    gen.tag(f"window:{name}")
    where = f" FILTER (WHERE {condition(gen, scope, 0)})" if gen.chance(0.15) else ""
    frame = rng.choice((*FRAMES, rng.choice(NEAR))) if spec.total else ""
    over = f"{where} OVER ({spec.text(frame)})"
    if name == "count_star":
        return Col(f"count(*){over}", "int")
    column = rng.choice(columns)
    if name == "avg":
        return Col(f"avg({column.sql}){over}", "dbl", exact=False)
    kind = "int" if name == "count" else "big" if name == "sum" and column.kind == "int" else column.kind
    exact = name == "count" or (column.exact and not (name == "sum" and column.kind == "dbl"))
    return Col(f"{name}({column.sql}){over}", kind, exact)
