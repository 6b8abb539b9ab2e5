"""Types of expressions as the engine gives them, or none: what is taken for exact has to be exact.

The parser's own inference takes a DECIMAL with DOUBLE for a DECIMAL, and a list of quantiles for a
number. A sum so judged would be subtracted from where it has to be read again. Here the precision of
decimals is left out, so that the wider kind of number wins wherever kinds meet; and where the engine
decides by values or by forms of arguments, the type is unknown, which every rule takes for the worst.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.optimizer.annotate_types import annotate_types

from strandline.compiler.trees import copy_of, find_all, has

Kind = exp.DType
WIDEST_FIRST = (
    Kind.DOUBLE,
    Kind.FLOAT,
    Kind.DECIMAL,
    Kind.INT128,
    Kind.UBIGINT,
    Kind.BIGINT,
    Kind.UINT,
    Kind.INT,
    Kind.USMALLINT,
    Kind.SMALLINT,
    Kind.UTINYINT,
    Kind.TINYINT,
    Kind.BOOLEAN,
)
TIMES = (Kind.TIMESTAMPTZ, Kind.TIMESTAMP, Kind.DATE)
TIMES_OF_DAY = (Kind.TIME, Kind.TIMETZ, Kind.TIME_NS, Kind.UNKNOWN)
"""What an interval is added to around midnight; what is unknown may be one."""
TEXTS = (Kind.VARCHAR, Kind.TEXT)
NUMBERS = frozenset(WIDEST_FIRST) - {Kind.BOOLEAN}
FLOATS = frozenset([Kind.DOUBLE, Kind.FLOAT])
DIGITS = 38
"""Of a number with a point; one of more digits is floating point."""


def inferred(tree: exp.Expr, schema: Mapping[str, Mapping[str, str]], dialect: str) -> exp.Expr:
    """The tree with the types of its expressions; `schema` has table → column → type."""
    known: dict[str, object] = {
        table: {name: column_type(text, dialect) for name, text in columns.items()}
        for table, columns in schema.items()
    }
    return annotate_types(
        tree, schema=known, expression_metadata=metadata(dialect), coerces_to=COERCES_TO, dialect=dialect
    )


def column_type(text: str, dialect: str) -> str | exp.DataType:
    """A column's type, decimals in it without their precision."""
    if not re.search("DEC|NUMERIC", text, re.IGNORECASE):
        return text
    return without_precision(exp.DataType.build(text, dialect=dialect))


def without_precision(type_: exp.DataType) -> exp.DataType:
    """DECIMAL(12, 2) is a DECIMAL, within other types too."""
    plain = copy_of(type_)
    for part in find_all(plain, exp.DataType):
        if part.this == Kind.DECIMAL:
            part.set("expressions", [])
    return plain


def wider(*chains: Iterable[exp.DType]) -> dict[exp.DType, set[exp.DType]]:
    """Each type with those that win where both meet; JSON wins always."""
    found: dict[exp.DType, set[exp.DType]] = {}
    for chain in chains:
        above = {Kind.JSON}
        for kind in chain:
            found[kind] = set(above)
            above.add(kind)
    return found


COERCES_TO = wider(WIDEST_FIRST, TIMES, TEXTS)


def kind(expr: exp.Expr | None) -> exp.DType:
    """The kind of an annotated expression's type."""
    found = expr.type.this if expr is not None and expr.type is not None else None
    return found if isinstance(found, Kind) else Kind.UNKNOWN


def arithmetic(node: exp.Binary) -> exp.DType | None:
    """+ - * / // %: floating point wins, times make intervals, and decimals divide to DOUBLE."""
    left, right = kind(node.left), kind(node.right)
    both = {left, right}
    if Kind.INTERVAL in both and isinstance(node, (exp.Mul, exp.Div, exp.IntDiv)):
        return Kind.INTERVAL
    if not both & set(TEXTS) and not both <= NUMBERS:
        return of_times(both, isinstance(node, exp.Sub))
    if Kind.UINT128 in both or (isinstance(node, exp.Mod) and both == {Kind.DECIMAL, Kind.INT128}):
        return Kind.UNKNOWN
    divides = isinstance(node, exp.Div) or (isinstance(node, exp.IntDiv) and Kind.DECIMAL in both)
    return Kind.DOUBLE if divides and not both & FLOATS else None


def of_times(both: set[exp.DType], minus: bool) -> exp.DType:
    """What sums and differences of dates, moments and intervals are; unknown of anything else."""
    if both == {Kind.INTERVAL}:
        return Kind.INTERVAL
    if both <= set(TIMES) and minus:
        return Kind.BIGINT if both == {Kind.DATE} else Kind.INTERVAL
    if Kind.DATE in both and both & NUMBERS:
        return Kind.DATE
    at = both - {Kind.INTERVAL}
    if len(both) == 2 and len(at) == 1 and at <= {*TIMES, Kind.TIME}:
        return Kind.TIMESTAMP if at == {Kind.DATE} else at.pop()
    return Kind.UNKNOWN


def literal(node: exp.Literal) -> exp.DType | None:
    """1.5 is a DECIMAL, 1.5e0 a DOUBLE."""
    if node.is_string or node.is_int:
        return None
    text = str(node.this)
    exact = "e" not in text.lower() and sum(c.isdigit() for c in text) <= DIGITS
    return Kind.DECIMAL if exact else Kind.DOUBLE


def cast(node: exp.Cast) -> exp.DataType:
    """The type it is cast to, decimals without their precision."""
    to: exp.DataType = node.args["to"]
    return without_precision(to) if has(to, exp.DataTypeParam) else to


def rounded(node: exp.Round) -> exp.DType:
    """round(x): what x is, where that is a number."""
    return kind(node.this) if kind(node.this) in NUMBERS else Kind.UNKNOWN


def averaged(node: exp.Avg) -> exp.DType:
    """avg(x) of numbers is a DOUBLE; of times it is not."""
    return Kind.DOUBLE if kind(node.this) in NUMBERS else Kind.UNKNOWN


def summed(node: exp.Sum) -> exp.DType:
    """sum(x): wider than x, and exact where x is."""
    of = kind(node.this)
    if of in FLOATS or of == Kind.DECIMAL:
        return Kind.DECIMAL if of == Kind.DECIMAL else Kind.DOUBLE
    return Kind.INT128 if of in NUMBERS or of == Kind.BOOLEAN else Kind.UNKNOWN


def first_argument(node: exp.Nullif) -> exp.DataType | exp.DType:
    """nullif(x, y): what x is."""
    return node.this.type or Kind.UNKNOWN


def joined(node: exp.Expr) -> exp.DType:
    """x || y is text only where one of them is; it joins lists and bytes as well."""
    return Kind.VARCHAR if any(kind(e) in TEXTS for e in node.iter_expressions()) else Kind.UNKNOWN


def extracted(node: exp.Extract) -> exp.DType:
    """Seconds since 1970 and Julian days have fractions; other fields are whole, several a struct."""
    if node.name.upper() in ("EPOCH", "JULIAN"):
        return Kind.DOUBLE
    return Kind.BIGINT if node.name else Kind.UNKNOWN


def undecided(_: exp.Expr) -> exp.DType:
    """What the arguments decide: one quantile or a list, one path or several."""
    return Kind.UNKNOWN


RULES: dict[type[exp.Expr], Callable[[Any], exp.DataType | exp.DType | None]] = {
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod), arithmetic),
    **dict.fromkeys((exp.Cast, exp.TryCast), cast),
    **dict.fromkeys((exp.DPipe, exp.Concat), joined),
    exp.Literal: literal,
    exp.Round: rounded,
    exp.Avg: averaged,
    exp.Sum: summed,
    exp.Nullif: first_argument,
    exp.Extract: extracted,
    **dict.fromkeys((exp.ApproxQuantile, exp.PercentileCont, exp.PercentileDisc, exp.Quantile), undecided),
    **dict.fromkeys((exp.JSONExtract, exp.JSONExtractScalar, exp.ArrayPosition), undecided),
    **dict.fromkeys((exp.WithinGroup, exp.Corr, exp.Repeat), undecided),
}
"""The type of a node whose operands have theirs; None leaves it to the parser."""


@cache
def metadata(dialect: str) -> dict[type[exp.Expr], dict[str, Any]]:
    """The parser's rules with ours in place of those that differ from the engine."""
    known = Dialect.get_or_raise(dialect).EXPRESSION_METADATA
    return {**known, **{node: {"annotator": as_annotator(node, rule, known)} for node, rule in RULES.items()}}


def as_annotator(
    node: type[exp.Expr],
    rule: Callable[[Any], exp.DataType | exp.DType | None],
    known: Mapping[type[exp.Expr], Mapping[str, Any]],
) -> Callable[[Any, Any], Any]:
    """A rule as the parser calls it: with its annotator, which holds the types."""

    def annotate(annotator: Any, expr: exp.Expr) -> Any:
        found = rule(expr)
        if found is None:
            return known[node]["annotator"](annotator, expr)
        return annotator._set_type(expr, found)  # noqa: SLF001 (as the parser's own rules do)

    return annotate
