"""What else FROM can say: ASOF joins, LATERAL, lists and series, VALUES over columns, merged columns."""

from __future__ import annotations

from fuzz.exprs import condition, expression
from fuzz.scope import Col, Gen, Relation, Scope, merged, qualified
from fuzz.subqueries import Inner, make_inner, where

PLACED = ("int", "big", "dec", "ts", "date")  # kinds in which to search for the nearest
LISTED = ("int", "big", "str", "dec", "date", "ts")

Joined = tuple[str, Scope]


def more(gen: Gen, text: str, scope: Scope) -> Joined:
    """The FROM clause with one item more, or as it was where nothing fits."""
    makers = (
        _asof,
        _asof,
        _computed,
        _rows,
        _rows,
        _aggregated,
        _unnested,
        _unnested,
        _series,
        _listed,
        _merged,
    )
    return gen.rng.choice(makers)(gen, text, scope) or (text, scope)


def _asof(gen: Gen, text: str, scope: Scope) -> Joined | None:
    """The nearest of the right rows, of which there is one at each place."""
    relation, alias, rng = gen.rng.choice(gen.relations), gen.fresh("n"), gen.rng
    placed = [c for c in relation.columns if c.kind in PLACED and c.exact]
    values = [c for c in relation.columns if c.comparable]
    if not placed:
        return None
    place, key, value = rng.choice(placed), rng.choice([*placed, None]), rng.choice(values)
    mine = [c for c in scope.columns if c.kind == place.kind and c.exact]
    if not mine:
        return None
    terms = [f"{rng.choice(mine).sql} {rng.choice(('>=', '>=', '>', '<', '<='))} {alias}.place"]
    shown = [f"{place.sql} AS place", f"max({value.sql}) AS most"]
    columns = [Col(f"{alias}.place", place.kind), Col(f"{alias}.most", value.kind)]
    keys = [c for c in scope.columns if key is not None and c.kind == key.kind and c.exact]
    if key is not None and keys:
        shown.append(f"{key.sql} AS key")
        terms.append(f"{rng.choice(keys).sql} = {alias}.key")
        columns.append(Col(f"{alias}.key", key.kind))
    by = "place, key" if len(shown) > 2 else "place"
    side = rng.choice(("", "LEFT "))
    gen.tag(f"join:asof{'-left' if side else ''}")
    right = f"(SELECT {', '.join(shown)} FROM {relation.sql} AS {gen.fresh('i')} GROUP BY {by}) AS {alias}"
    joined = f"{text} ASOF {side}JOIN {right} ON {' AND '.join(reversed(terms))}"
    return joined, Scope((*scope.columns, *columns), scope.total)


def _computed(gen: Gen, text: str, scope: Scope) -> Joined:
    """A column computed beside the row."""
    alias, made = gen.fresh("e"), expression(gen, scope)
    gen.tag("lateral:computed")
    test = f" WHERE {condition(gen, scope, 0)}" if gen.chance(0.2) else ""
    column = Col(f"{alias}.x", made.kind, made.exact)
    lateral = gen.rng.choice((", LATERAL", " CROSS JOIN LATERAL", ","))
    return f"{text}{lateral} (SELECT {made.sql} AS x{test}) AS {alias}", Scope(
        (*scope.columns, column), scope.total
    )


def _inner(gen: Gen, scope: Scope) -> tuple[Inner, str] | None:
    inner = make_inner(gen, scope)
    return (inner, where(gen, inner, 0)) if inner.pairs and inner.scope.comparable() else None


def _lateral(gen: Gen, text: str, query: str, alias: str) -> str:
    how = gen.rng.choice(
        (", LATERAL {}", " CROSS JOIN LATERAL {}", " LEFT JOIN LATERAL {} ON TRUE", " LEFT JOIN {} ON TRUE")
    )
    return text + how.format(f"({query}) AS {alias}")


def _rows(gen: Gen, text: str, scope: Scope) -> Joined | None:
    """The rows of a subquery that belong to the row: all, different ones, the first few, numbered."""
    found = _inner(gen, scope)
    if found is None:
        return None
    inner, test = found
    alias, rng = gen.fresh("r"), gen.rng
    columns = rng.sample(inner.scope.comparable(), 1)
    ordered = [c for c in inner.scope.columns if c.sql in (inner.scope.total or ())]
    columns += [c for c in ordered if c not in columns]
    items = ", ".join(f"{c.sql} AS x{i}" for i, c in enumerate(columns))
    names = tuple(f"x{i}" for i in range(len(columns)))
    how = rng.choice(
        ("all", "all", "distinct", "first", "numbered") if inner.scope.total else ("all", "distinct")
    )
    gen.tag(f"lateral:{how}")
    query = f"SELECT {'DISTINCT ' if how == 'distinct' else ''}{items} FROM {inner.text}{test}"
    if how in ("first", "numbered"):
        order = ", ".join(f"{c.sql}{rng.choice(('', ' DESC'))}" for c in columns)
        query += f" ORDER BY {order} LIMIT {rng.randint(1, 2)}" if how == "first" else ""
        query = (
            query.replace("SELECT ", f"SELECT row_number() OVER (ORDER BY {order}) AS n, ", 1)
            if how != "first"
            else query
        )
    relation = Relation("", tuple(Col(n, c.kind) for n, c in zip(names, columns, strict=True)), None)
    right = qualified(relation, alias)
    total = tuple(f"{alias}.{n}" for n in names) if inner.scope.total or how == "distinct" else None
    both = merged([scope, Scope(right.columns, total)])
    return _lateral(gen, text, query, alias), both


def _aggregated(gen: Gen, text: str, scope: Scope) -> Joined | None:
    """One row of aggregates for each row, also where there is nothing."""
    found = _inner(gen, scope)
    if found is None:
        return None
    inner, test = found
    alias, column = gen.fresh("g"), gen.rng.choice(inner.scope.comparable())
    gen.tag("lateral:aggregate")
    query = f"SELECT count(*) AS n, max({column.sql}) AS most FROM {inner.text}{test}"
    columns = (Col(f"{alias}.n", "int"), Col(f"{alias}.most", column.kind))
    return _lateral(gen, text, query, alias), Scope((*scope.columns, *columns), scope.total)


def _of_one_kind(gen: Gen, scope: Scope) -> tuple[str, list[str]] | None:
    """A kind of values that lists may hold, and the row's columns of that kind."""
    usable = [c for c in scope.columns if c.kind in LISTED and c.exact]
    if not usable:
        return None
    kind = gen.rng.choice(usable).kind
    return kind, [c.sql for c in usable if c.kind == kind]


def _unnested(gen: Gen, text: str, scope: Scope) -> Joined | None:
    """The elements of a list made of the row's own values."""
    found = _of_one_kind(gen, scope)
    if found is None:
        return None
    rng, alias, (kind, of_kind) = gen.rng, gen.fresh("u"), found
    rows = f"[{', '.join(rng.choices(of_kind, k=rng.randint(1, 3)))}]"
    if gen.chance(0.5):
        rows = f"CASE WHEN {condition(gen, scope, 0)} THEN {rows} END"
    how = rng.choice(
        (", unnest({})", ", LATERAL unnest({})", " CROSS JOIN unnest({})", " LEFT JOIN unnest({})")
    )
    gen.tag(f"unnest:{'left' if 'LEFT' in how else 'from'}")
    item = how.format(rows) + f" WITH ORDINALITY AS {alias}(x, o)"
    on = " ON TRUE" if "LEFT" in how else ""
    if on and gen.chance(0.3):
        on = f" ON {alias}.o > 1"
    columns = (Col(f"{alias}.x", kind), Col(f"{alias}.o", "int"))
    total = None if scope.total is None else (*scope.total, f"{alias}.o")
    return f"{text}{item}{on}", Scope((*scope.columns, *columns), total)


def _series(gen: Gen, text: str, scope: Scope) -> Joined | None:
    """As many rows as a column says."""
    numbers = [c for c in scope.columns if c.kind == "int" and c.exact]
    if not numbers:
        return None
    rng, alias = gen.rng, gen.fresh("u")
    gen.tag("unnest:series")
    call = rng.choice(("range({} % 4)", "generate_series(1, {} % 3)", "range(0, {} % 4, 2)"))
    item = f"{call.format(rng.choice(numbers).sql)} AS {alias}(x)"
    how = rng.choice((", {}", " CROSS JOIN {}", " LEFT JOIN {} ON TRUE"))
    total = None if scope.total is None else (*scope.total, f"{alias}.x")
    return text + how.format(item), Scope((*scope.columns, Col(f"{alias}.x", "int")), total)


def _listed(gen: Gen, text: str, scope: Scope) -> Joined | None:
    """VALUES over columns of the row."""
    found = _of_one_kind(gen, scope)
    if found is None:
        return None
    rng, alias, (kind, of_kind) = gen.rng, gen.fresh("v"), found
    rows = ", ".join(f"({i}, {rng.choice(of_kind)})" for i in range(rng.randint(1, 3)))
    gen.tag("lateral:values")
    columns = (Col(f"{alias}.i", "int"), Col(f"{alias}.x", kind))
    total = None if scope.total is None else (*scope.total, f"{alias}.i")
    return f"{text}, (VALUES {rows}) AS {alias}(i, x)", Scope((*scope.columns, *columns), total)


def _merged(gen: Gen, text: str, scope: Scope) -> Joined | None:
    """Instead of what was there: three relations by one column of the same name, or joins in parentheses."""
    rng = gen.rng
    first, second, third = rng.choices(gen.relations, k=3)
    names = [n for n in _plain(first) if _plain(first)[n] == _plain(second).get(n) == _plain(third).get(n)]
    if not names:
        return None
    name, aliases = rng.choice(names), [gen.fresh("m") for _ in range(3)]
    kinds = rng.choices(("FULL", "LEFT", "RIGHT", "INNER"), (4, 2, 2, 1), k=2)
    a, b, c = (f"{r.sql} AS {alias}" for r, alias in zip((first, second, third), aliases, strict=True))
    gen.tag("join:using-chain")
    joined = f"{a} {kinds[0]} JOIN {b} USING ({name})"
    joined = f"({joined})" if gen.chance(0.3) else joined
    both = merged([qualified(r, alias) for r, alias in zip((first, second, third), aliases, strict=True)])
    columns = (Col(name, _plain(first)[name]), *both.columns)
    return f"{joined} {kinds[1]} JOIN {c} USING ({name})", Scope(columns, both.total)


def _plain(relation: Relation) -> dict[str, str]:
    return {c.sql: c.kind for c in relation.columns if c.comparable and c.kind != "dbl"}
