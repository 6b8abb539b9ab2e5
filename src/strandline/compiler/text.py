"""Small pieces of SQL text: stored names, hashes, NULL-safe comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from strandline.compiler.names import BATCH
from strandline.compiler.relations import Order, quote
from strandline.compiler.trees import copy_of

if TYPE_CHECKING:
    from sqlglot import exp

DIALECT = "duckdb"
BATCH_NUMBER = "getvariable('strandline_batch')::BIGINT"
"""The number of the batch being applied."""
NESTED = 4
"""Terms of an order up to which a comparison nests: the engine plans deep nests in quadratic time."""


@dataclass(frozen=True)
class Step:
    """One statement of a program.

    `into` names the count that the statement's result is added to (`-name`:
    taken from); `when` lists counts that must be above zero (`a|b`: one of
    them; `!a`: that must be zero; `a>n`: more than n) for the statement to run. Without text
    there is nothing to run: the rows that the step would count are known
    to be there.
    """

    sql: str
    into: str | None = None
    when: tuple[str, ...] = ()


def sql(expr: exp.Expr) -> str:
    """A user expression as text of the dialect."""
    return copy_of(expr).sql(dialect=DIALECT, copy=False)


def stored(table: str) -> str:
    """Where a stored table lives: `data/x` → strandline_data."x"."""
    place, name = table.split("/", 1)
    return f"strandline_{place}.{quote(name)}"


def plus(table: str) -> str:
    """The rows this refresh added to a stored table."""
    return f"temp.{quote(table + '+')}"


def minus(table: str) -> str:
    """The rows this refresh removed from a stored table, as they were."""
    return f"temp.{quote(table + '-')}"


def scratch(table: str, what: str) -> str:
    """A temporary table of one stage's program."""
    return f"temp.{quote(f'{table} {what}')}"


def make(name: str, select: str) -> str:
    """(Re)create a temporary table from a query."""
    return f"CREATE OR REPLACE TEMP TABLE {name.removeprefix('temp.')} AS {select}"


def beside(statement: str, *writes: str) -> str:
    """One statement that makes these writes too, if any: planning several of them takes longer."""
    if not writes:
        return statement
    parts = ", ".join(f"w{i} AS ({text})" for i, text in enumerate(writes))
    return f"WITH {parts} {statement}"


def from_rows(name: str, select: str, statement: str, *writes: str) -> str:
    """One statement that finds rows once, under a name, and makes these writes from them."""
    parts = "".join(f", w{i} AS ({text})" for i, text in enumerate(writes))
    return f"WITH {name} AS MATERIALIZED ({select}){parts} {statement}"


def listed(names: Iterable[str], prefix: str = "") -> str:
    """A column list."""
    return ", ".join(f"{prefix}{quote(n)}" for n in names)


def bucket(keys: Sequence[str], prefix: str = "") -> str:
    """The hash of a stage's key columns; one bucket where there are none."""
    return f"hash({listed(keys, prefix)})" if keys else "0::UBIGINT"


def same(keys: Sequence[str], left: str, right: str, right_prefix: str = "") -> str:
    """NULL-safe equality of key columns of two relations."""
    terms = [f"{left}.{quote(k)} IS NOT DISTINCT FROM {right}.{quote(right_prefix + k)}" for k in keys]
    return " AND ".join(terms) or "TRUE"


def equal(keys: Sequence[str], left: str, right: str) -> str:
    """Equality of key columns of two relations, none of which is NULL."""
    return " AND ".join(f"{left}.{quote(k)} = {right}.{quote(k)}" for k in keys)


def batch() -> str:
    """The column that tells which batch wrote a row."""
    return f"{BATCH_NUMBER} AS {quote(BATCH)}"


def ordering(terms: Iterable[Order], ids: Iterable[str] = ()) -> str:
    """ORDER BY terms, with identities appended that are not among them."""
    listed_terms = list(terms)
    used = {t.column for t in listed_terms}
    parts = [t.sql for t in listed_terms] + [quote(i) for i in ids if i not in used]
    return ", ".join(parts)


def precedes(a: str, b: str, terms: Sequence[Order]) -> str:
    """True where row `a` sorts strictly before row `b`: lexicographic, NULL-aware."""
    pairs = [(f"{a}.{quote(t.column)}", f"{b}.{quote(t.column)}", sooner(a, b, t)) for t in terms]
    if len(pairs) > NESTED:
        first = (f"WHEN {x} IS DISTINCT FROM {y} THEN {text}" for x, y, text in pairs)
        return f"CASE {' '.join(first)} ELSE FALSE END"
    text = pairs[-1][2] if pairs else "FALSE"
    for x, y, one in pairs[-2::-1]:
        text = f"{one} OR ({x} IS NOT DISTINCT FROM {y} AND ({text}))"
    return text


def sooner(a: str, b: str, term: Order) -> str:
    """True where `a` sorts before `b` by one term."""
    left, right = f"{a}.{quote(term.column)}", f"{b}.{quote(term.column)}"
    first, second = (right, left) if term.descending else (left, right)
    null_side = (left, right) if term.nulls_first else (right, left)
    return f"coalesce({first} < {second}, {null_side[0]} IS NULL AND {null_side[1]} IS NOT NULL)"


def exact_hash(columns: Iterable[tuple[str, str]], prefix: str = "", seed: str = "") -> str:
    """A hash of (name, type) columns that tells apart what looks different.

    The engine's own does not tell NULL from an empty list, nor one interval
    from another that is as long, nor the zeros: such values go in as text.
    """
    parts = []
    for name, kind in columns:
        text = f"{prefix}{quote(name)}"
        nested = kind.endswith("]") or kind.upper().startswith(
            ("STRUCT", "MAP", "UNION", "INTERVAL", "VARIANT")
        )
        parts.append(f"{text}::VARCHAR" if nested else text)
        if kind.upper() in ("DOUBLE", "FLOAT"):
            parts.append(f"signbit({text})")
    return f"hash({', '.join([*parts, seed] if seed else parts)})"
