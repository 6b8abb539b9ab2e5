"""Window functions and their frames. Orders are total wherever the result depends on it."""

from __future__ import annotations

from dataclasses import dataclass

from fuzz.exprs import condition, constant
from fuzz.scope import Col, Gen, Scope

RANKS = ("rank", "dense_rank", "percent_rank", "cume_dist")
AGGREGATES = ("sum", "avg", "count", "min", "max", "count_star", "stddev", "bool_or", "string_agg")
PLACES = ("row_number", "lag", "lead", "first_value", "last_value", "nth_value", "ntile")


@dataclass(frozen=True)
class Spec:
    """One OVER clause without its frame. `ranged` is the kind of its single order column, if it has one.

    Of equal rows it does not matter which is the first, but for several windows it has to be the same
    one, which plain DuckDB does not promise. To it alone, `copies` end a total order where the place
    among equal rows shows; for Strandline they are a comment (`oracle.told_apart`).
    """

    partition: tuple[str, ...]
    order: tuple[str, ...]
    total: bool
    ranged: str | None
    copies: tuple[str, ...] = ()

    def text(self, frame: str = "", *, placed: bool = False) -> str:
        """With `frame`; `placed` where the function asks for a row's place whatever its frame."""
        parts = []
        if self.partition:
            parts.append("PARTITION BY " + ", ".join(self.partition))
        if self.order:
            parts.append("ORDER BY " + ", ".join(self.order))
            if self.total and self.copies and (placed or frame.startswith("ROWS")):
                parts.append(f"/*, {', '.join(self.copies)}*/")
        if frame:
            parts.append(frame)
        return " ".join(parts)


def direction(gen: Gen) -> str:
    return gen.rng.choices(
        ("", " DESC", " NULLS FIRST", " DESC NULLS LAST", " ASC", " DESC NULLS FIRST"), (55, 20, 8, 6, 6, 5)
    )[0]


def make_spec(gen: Gen, scope: Scope, *, total: bool) -> Spec:
    """A partition (none, one or two columns) and an order, total if asked and possible."""
    rng = gen.rng
    columns = scope.comparable()
    many = min(len(columns), rng.choices((0, 1, 2), (25, 58, 17))[0])
    partition = tuple(c.sql for c in rng.sample(columns, many))
    gen.tag(f"window:partition-by-{many}")
    free = [c for c in columns if c.sql not in partition]
    chosen = rng.sample(free, min(len(free), rng.choice((0, 1, 1, 1, 2))))
    order = [c.sql + direction(gen) for c in chosen]
    if total and scope.total is not None:
        used = {c.sql for c in chosen}
        order += [name + direction(gen) for name in scope.total if name not in used]
        return Spec(partition, tuple(order), True, None, scope.copies or ())
    ranged = chosen[0].kind if len(order) == 1 else None
    return Spec(partition, tuple(order), False, ranged)


def make_window(gen: Gen, scope: Scope, spec: Spec | None = None) -> Col:
    """One window function call over the scope."""
    rng = gen.rng
    if spec is None:
        wants_total = gen.chance(0.6)
        spec = make_spec(gen, scope, total=wants_total)
    if spec.total and gen.chance(0.7):
        return _place(gen, scope, spec)
    if gen.chance(0.35):
        name = rng.choice(RANKS)
        gen.tag(f"window:{name}")
        kind = "int" if name in {"rank", "dense_rank"} else "dbl"
        return Col(f"{name}() OVER ({spec.text()})", kind)
    return _aggregate(gen, scope, spec)


def _place(gen: Gen, scope: Scope, spec: Spec) -> Col:
    """Functions that need a total order."""
    rng = gen.rng
    name = rng.choice((*PLACES, "row_number", "lag", "lead"))
    gen.tag(f"window:{name}")
    if name == "row_number":
        return Col(f"row_number() OVER ({spec.text(placed=True)})", "int")
    if name == "ntile":
        return Col(f"ntile({rng.randint(1, 4)}) OVER ({spec.text(placed=True)})", "int")
    column = rng.choice(scope.columns)
    nulls = rng.choices(("", " IGNORE NULLS", " RESPECT NULLS"), (75, 20, 5))[0]
    if nulls:
        gen.tag(f"window:{nulls.strip().lower().replace(' ', '-')}")
    if name in {"lag", "lead"}:
        arguments = column.sql
        if gen.chance(0.35):
            arguments += f", {rng.choice((1, 2, 2, 3, 0))}"
            if gen.chance(0.4) and column.kind not in {"ival", "list"}:
                arguments += f", {constant(rng, column.kind).sql}"
        return Col(f"{name}({arguments}{nulls}) OVER ({spec.text(placed=True)})", column.kind, column.exact)
    arguments = f"{column.sql}, {rng.randint(1, 3)}" if name == "nth_value" else column.sql
    text = f"{name}({arguments}{nulls}) OVER ({spec.text(frame(gen, spec, values=True))})"
    return Col(text, column.kind, column.exact)


def _aggregate(gen: Gen, scope: Scope, spec: Spec) -> Col:
    rng = gen.rng
    name = rng.choice(AGGREGATES)
    numbers = scope.of("int", "dec", "dbl", "big")
    if (name in {"sum", "avg", "stddev"} and not numbers) or (name == "string_agg" and not spec.total):
        name = "count_star"
    if name in {"string_agg", "bool_or"} and not scope.of("str" if name == "string_agg" else "bool"):
        name = "count"
    gen.tag(f"window:{name}")
    where = ""
    if gen.chance(0.12):
        gen.tag("window:filter")
        where = f" FILTER (WHERE {condition(gen, scope, 0)})"
    over = f"{where} OVER ({spec.text(frame(gen, spec))})"
    if name == "count_star":
        return Col(f"count(*){over}", "int")
    if name in {"sum", "avg", "stddev"}:
        column = rng.choice([c for c in numbers if name != "stddev" or c.kind != "big"] or numbers)
        kind = column.kind if name == "sum" else "dbl"
        return Col(f"{name}({column.sql}){over}", kind, column.exact and name == "sum" and kind != "dbl")
    if name == "string_agg":
        return Col(f"string_agg({rng.choice(scope.of('str')).sql}, '|'){over}", "str")
    if name == "bool_or":
        return Col(f"{rng.choice(('bool_or', 'bool_and'))}({rng.choice(scope.of('bool')).sql}){over}", "bool")
    column = rng.choice(scope.columns if name == "count" else scope.comparable() or scope.columns)
    distinct = "DISTINCT " if name == "count" and gen.chance(0.2) else ""
    return Col(
        f"{name}({distinct}{column.sql}){over}", "int" if name == "count" else column.kind, column.exact
    )


def frame(gen: Gen, spec: Spec, *, values: bool = False) -> str:
    """A frame that leaves no room for chance: ROWS under a total order; RANGE and GROUPS by peers."""
    rng = gen.rng
    if not spec.order or gen.chance(0.35):
        gen.tag("frame:default")
        return ""
    kinds = []
    if spec.total:
        kinds += ["ROWS", "ROWS", "GROUPS"]
    elif not values:
        kinds += ["GROUPS", "RANGE", "RANGE"]
    unit = rng.choice(kinds or ["RANGE"])
    gen.tag(f"frame:{unit.lower()}")
    text = f"{unit} {_bounds(gen, unit, spec)}"
    if gen.chance(0.15):
        exclude = rng.choice(("CURRENT ROW", "GROUP", "TIES", "NO OTHERS"))
        if not spec.total and exclude == "CURRENT ROW":
            exclude = "GROUP"
        if unit == "ROWS" and spec.copies and exclude in ("GROUP", "TIES"):
            exclude = "CURRENT ROW"  # without the others of a group it matters where in it a row stands
        gen.tag(f"frame:exclude-{exclude.lower().replace(' ', '-')}")
        text += f" EXCLUDE {exclude}"
    return text


def _bounds(gen: Gen, unit: str, spec: Spec) -> str:
    rng = gen.rng
    near, far = _distances(gen, unit, spec)
    plain = ("UNBOUNDED PRECEDING", "CURRENT ROW", "UNBOUNDED FOLLOWING")
    pairs = [(plain[0], plain[1])] * 3 + [(plain[0], plain[2]), (plain[1], plain[2])]
    if near:
        before, behind = f"{near} PRECEDING", f"{near} FOLLOWING"
        pairs += [(before, plain[1])] * 3 + [(before, behind), (plain[1], behind), (plain[0], behind)]
        pairs += [(before, plain[2]), (behind, plain[2])]
        pairs += [(f"{far} PRECEDING", f"{near} PRECEDING"), (f"{near} FOLLOWING", f"{far} FOLLOWING")]
        pairs += [(plain[0], f"{near} PRECEDING")]
    start, end = rng.choice(pairs)
    if end.endswith("FOLLOWING"):
        gen.tag("frame:following")
    if start == plain[0] and end == plain[1] and gen.chance(0.2):
        return plain[0]
    return f"BETWEEN {start} AND {end}"


def _distances(gen: Gen, unit: str, spec: Spec) -> tuple[str, str]:
    """A short offset and one not shorter; empty where a RANGE has no column to be measured by."""
    rng = gen.rng
    if unit != "RANGE":
        near = rng.randint(1, 3)
        return str(near), str(near + 2)
    times = [("INTERVAL 5 HOUR", "INTERVAL 2 DAY"), ("INTERVAL 1 DAY", "INTERVAL 1 MONTH")]
    numbers = [("2", "3"), ("0", "1"), ("1", "5")]
    distance = {"ts": times, "date": times, "int": numbers, "dec": [("0.5", "1.5"), *numbers]}
    distance["dbl"] = [("1.5", "2.5e0"), *numbers]
    return rng.choice(distance.get(spec.ranged or "", [("", "")]))
