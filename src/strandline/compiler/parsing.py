"""SQL text → trees as the engine reads it, where the parser would read it otherwise."""

from __future__ import annotations

import re
from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import OptimizeError, SqlglotError
from sqlglot.errors import ParseError as SqlglotParseError
from sqlglot.parsers.duckdb import DuckDBParser
from sqlglot.tokenizer_core import TokenType

from strandline.compiler.chained import without_chains
from strandline.compiler.pivot import as_select
from strandline.compiler.subscripts import as_written
from strandline.compiler.trees import find_all
from strandline.errors import ParseError

ARROWS = (exp.JSONExtract, exp.JSONExtractScalar)
VERBATIM = frozenset(
    (
        "APPLY",
        "APPROX_TOP_K",
        "DATE_ADD",
        "DECODE",
        "JARO_WINKLER_SIMILARITY",
        "LOG10",
        "LOG2",
        "REDUCE",
        "TIME_BUCKET",
    )
)
"""Functions that the parser knows under other names, with fewer or other arguments than the engine's."""
OPERATORS = (exp.Binary, exp.Unary, exp.In, exp.Between)


class Parser(DuckDBParser):
    """The parser of the dialect, where the engine reads a text otherwise."""

    FUNCTIONS: ClassVar = {k: v for k, v in DuckDBParser.FUNCTIONS.items() if k not in VERBATIM}
    FUNC_TOKENS: ClassVar = DuckDBParser.FUNC_TOKENS | {TokenType.APPLY}
    LAMBDAS: ClassVar = {k: v for k, v in DuckDBParser.LAMBDAS.items() if k is not TokenType.ARROW}
    """`f(j -> 'a')` takes a part of JSON: the engine has no lambdas with an arrow any more."""

    def _parse_primary(self) -> exp.Expr | None:
        """`.5` stays as it is: `0.5` would be a DECIMAL of one digit more."""
        if self._match_pair(TokenType.DOT, TokenType.NUMBER):
            return exp.Literal.number(f".{self._prev.text}")
        found: exp.Expr | None = super()._parse_primary()
        return found


class AsTheEngine(DuckDB):
    """The dialect with this parser."""

    Parser = Parser

    def to_json_path(self, path: exp.Expr | None) -> exp.Expr | None:
        """As it is: `j -> 'a.b'` is the value of the one key `a.b`, which `$.a.b` is not."""
        return path


def statements(sql: str) -> list[exp.Expr]:
    """The statements of a text; a comment after the last semicolon is none. Raises SqlglotError."""
    trees = AsTheEngine().parse(sql)
    found = [t for t in trees if t is not None and not isinstance(t, exp.Semicolon)]
    for tree in found:
        without_chains(tree, AsTheEngine().parse)
    for negated in (n for tree in found for n in find_all(tree, exp.Not)):
        if isinstance(negated.parent, exp.Binary) and not isinstance(negated.parent, exp.Connector):
            # `a NOT IN (b) = c` compares with what is not; written as `NOT a IN (b) = c` it would not
            negated.replace(exp.Paren(this=negated.copy()))
    return found


def parse(sql: str, dialect: str) -> exp.Query:
    """One SELECT (or set operation) from text; errors carry line and column."""
    try:
        trees = statements(sql)
    except SqlglotError as error:
        at, what = trouble(error)
        raise ParseError(f"the query cannot be parsed{at}: {what}", hint="check the SQL.") from None
    whole = [as_select(t) for t in trees]
    if len(whole) != 1 or not isinstance(whole[0], exp.Query):
        raise ParseError("a model is exactly one SELECT statement", hint="write one SELECT per model.")
    return as_written(whole[0], dialect)


def trouble(error: SqlglotError) -> tuple[str, str]:
    """Where a text is no SQL, and why, without the parser's own objects, which tell nobody anything."""
    unclosed = re.search(r"Missing (.+) from (\d+):(\d+)", str(error.__cause__))
    if unclosed is not None:
        line, column = int(unclosed[2]), int(unclosed[3]) + 1
        return f" at line {line}, column {column}", f"{unclosed[1]} is opened there and not closed"
    if not isinstance(error, SqlglotParseError) or not error.errors:
        return "", str(error)
    detail = error.errors[0]
    near = str(detail.get("highlight") or "")
    text = str(detail.get("description", error)).partition(" but got <Token")[0]
    if "<class" in text:
        text = f"something is missing beside {near!r}" if near else "something is missing"
    elif text.startswith("Invalid expression"):
        text = f"unexpected {near!r}"
    return f" at line {detail.get('line')}, column {detail['col'] - max(len(near) - 1, 0)}", text


def refuse_loose_arrows(tree: exp.Expr) -> None:
    """Raises OptimizeError where `->` stands among operators.

    To the engine it binds more loosely than any of them (`j -> 'a' || 'b'` is `j -> ('a' || 'b')`), to
    the parser more tightly. Brackets say what is meant; without them the engine alone knows.
    """
    for arrow in find_all(tree, *ARROWS):
        if arrow.args.get("only_json_types") is None or isinstance(arrow.parent, ARROWS):
            continue
        if isinstance(arrow.parent, OPERATORS) and not isinstance(arrow.parent, exp.Paren):
            steps = [arrow]
            while isinstance(steps[-1].this, ARROWS):
                steps.append(steps[-1].this)
            if any(isinstance(s, exp.JSONExtract) for s in steps):
                raise OptimizeError("-> without brackets among operators is taken apart by the engine alone")
