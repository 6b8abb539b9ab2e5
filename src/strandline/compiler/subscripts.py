"""Subscripts stay as they were written.

The parser counts from 0 where it takes an operand for a list, and the generator counts back by a
type that it may only know by then: `text[1]` became `text[0]`, and `list[n]` became `list[n + 1]`.
"""

from __future__ import annotations

from typing import TypeVar

from sqlglot import exp
from sqlglot.expressions import apply_index_offset

from strandline.compiler.trees import find_all

Tree = TypeVar("Tree", bound=exp.Expr)


def as_written(tree: Tree, dialect: str) -> Tree:
    """The freshly parsed tree, its subscripts counted as in its text; nothing counts them anew.

    To be called before types are annotated: only then is what the parser did known.
    """
    for bracket in find_all(tree, exp.Bracket):
        places = apply_index_offset(bracket.this, bracket.expressions, 1, dialect=dialect)
        bracket.set("expressions", places)
        bracket.set("offset", 1)
    return tree
