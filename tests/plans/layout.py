"""SQL laid out for readers of a diff: a clause a line, subqueries indented, plain names without quotes.

Nothing but white space and those quotes differs from what the engine is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

WIDTH = 108
TOKEN = re.compile(r"""\s+|'(?:[^']|'')*'|"(?:[^"]|"")*"|[\w$]+|<=|>=|<>|!=|::|->>?|\|\||.""", re.DOTALL)
PLAIN = re.compile(r'"(?!(?:case|end)")([a-z_][a-z0-9_]*)"')
QUERY = frozenset({"SELECT", "CREATE", "INSERT", "DELETE", "WITH"})
CLAUSES = frozenset({"SELECT", "FROM", "WHERE", "HAVING", "QUALIFY", "LIMIT", "UNION", "INTERSECT", "EXCEPT"})
JOINS = frozenset({"INNER", "LEFT", "SEMI", "ANTI", "ASOF", "JOIN"})
BREAKS = frozenset({"AND", "OR", "WHEN", "ELSE", "ON"})
CLOSED_BY = {"(": ")", "CASE": "END"}


@dataclass(frozen=True)
class Piece:
    """A token, or what stands in parentheses or between CASE and END; `apart`: after white space."""

    text: str
    apart: bool
    inner: tuple[Piece, ...] | None = None

    @property
    def is_query(self) -> bool:
        """Whether a query stands in the parentheses."""
        first = self.inner[0] if self.inner else None
        return first is not None and (first.text in QUERY or first.is_query)


def laid_out(sql: str, indent: int = 0) -> str:
    """One statement on as many lines as it takes."""
    tokens = TOKEN.findall(unquoted(sql.strip()))
    text = "\n".join(block(tuple(nested(iter(tokens))), indent))
    assert "".join(text.split()) == "".join("".join(tokens).split()), f"the layout changes {sql}"
    return text


def unquoted(sql: str) -> str:
    """Names that need no quotes lose them; texts stay."""
    parts = re.split(r"('(?:[^']|'')*')", sql)
    return "".join(p if p.startswith("'") else PLAIN.sub(r"\1", p) for p in parts)


def nested(tokens: Iterator[str]) -> Iterator[Piece]:
    """Tokens up to what closes them, those in parentheses or in CASE as one piece."""
    apart = False
    for token in tokens:
        if token.isspace():
            apart = True
            continue
        if token in CLOSED_BY.values():
            return
        inner = tuple(nested(tokens)) if token in CLOSED_BY else None
        yield Piece(token, apart, inner)
        apart = False


def inline(pieces: tuple[Piece, ...]) -> str:
    """All on one line."""
    text = ""
    for p in pieces:
        body = p.text if p.inner is None else enclosed(p.text, inline(p.inner))
        text += " " + body if p.apart and text else body
    return text


def enclosed(opening: str, inner: str) -> str:
    return f"({inner})" if opening == "(" else f"{opening} {inner} {CLOSED_BY[opening]}"


def block(pieces: tuple[Piece, ...], indent: int) -> list[str]:
    """A query, a clause a line."""
    pad = " " * indent
    plain = not any(p.is_query for p in pieces)
    if len(pad) + len(inline(pieces)) <= (WIDTH if plain else WIDTH * 2 // 3):
        return [pad + inline(pieces)]
    lines: list[str] = []
    for clause in clauses(pieces):
        text = pad + inline(clause)
        lines += [text] if len(text) <= WIDTH else flow(clause, indent)
    return lines


def clauses(pieces: tuple[Piece, ...]) -> Iterator[tuple[Piece, ...]]:
    """Divided before the words that begin a clause."""
    start = 0
    for at in range(1, len(pieces)):
        if begins_clause(pieces, at):
            yield pieces[start:at]
            start = at
    yield pieces[start:]


def begins_clause(pieces: tuple[Piece, ...], at: int) -> bool:
    word, before = pieces[at].text, pieces[at - 1].text
    following = [p.text for p in pieces[at + 1 : at + 3]]
    if word == "FROM":  # not that of DELETE FROM, IS DISTINCT FROM
        return before not in {"DISTINCT", "DELETE"}
    if word in {"GROUP", "ORDER"}:
        return following[:1] == ["BY"]
    if word in JOINS:
        return before not in JOINS and (word == "JOIN" or "JOIN" in following)
    return word in CLAUSES


def flow(pieces: tuple[Piece, ...], indent: int, hang: int = 2) -> list[str]:
    """A clause that is too long for a line: filled unit by unit, long parentheses opened.

    Lines after the first are `hang` further in.
    """
    lines = [" " * indent]
    for unit in units(pieces):
        space = " " if lines[-1].strip() else ""
        if len(lines[-1] + space + inline(unit)) <= WIDTH:
            lines[-1] += space + inline(unit)
            continue
        if lines[-1].strip() and len(" " * (indent + hang) + inline(unit)) <= WIDTH:
            lines.append(" " * (indent + hang) + inline(unit))
            continue
        for p in unit:
            put(p, lines, indent)
    return lines


def put(piece: Piece, lines: list[str], indent: int) -> None:
    """One piece at the end of the last line; if it is too long, its inside on lines of their own."""
    body = inline((piece,))
    space = " " if piece.apart and lines[-1].strip() else ""
    if piece.inner is None or len(lines[-1] + space + body) <= WIDTH:
        lines[-1] += space + body
        return
    own = len(lines[-1]) - len(lines[-1].lstrip())
    lines[-1] += space + piece.text
    hang = 0 if piece.text == "CASE" else 2
    lines += block(piece.inner, own + 2) if piece.is_query else flow(piece.inner, own + 2, hang)
    lines.append(" " * own + CLOSED_BY[piece.text])


def units(pieces: tuple[Piece, ...]) -> Iterator[tuple[Piece, ...]]:
    """Divided after commas and before AND, OR and the like."""
    start = 0
    for at, piece in enumerate(pieces):
        if piece.text in BREAKS and at > start:
            yield pieces[start:at]
            start = at
        if piece.text == ",":
            yield pieces[start : at + 1]
            start = at + 1
    if start < len(pieces):
        yield pieces[start:]
