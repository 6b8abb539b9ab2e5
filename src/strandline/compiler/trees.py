"""Walks and copies of expression trees, which are most of what compiling does.

sqlglot's own are general: they copy every node's type, and pass each node through
several generators. Types are values here, never changed in place, so copies share them.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlglot import exp

E = TypeVar("E", bound=exp.Expr)
Waiting = tuple[exp.Expr, exp.Expr, Callable[[exp.Expr], exp.Expr]]


def nodes(expr: exp.Expr) -> Iterator[exp.Expr]:
    """The expression and all below it, level by level."""
    queue = [expr]
    for node in queue:  # which grows meanwhile
        yield node
        for value in node.args.values():
            if isinstance(value, exp.Expr):
                queue.append(value)
            elif type(value) is list:
                queue += [v for v in value if isinstance(v, exp.Expr)]


def find_all(expr: exp.Expr, *kinds: type[E]) -> list[E]:
    """All expressions of these kinds, level by level; the tree may be changed while they are looked at."""
    return [node for node in nodes(expr) if isinstance(node, kinds)]


def has(expr: exp.Expr, *kinds: type[exp.Expr]) -> bool:
    """Whether there is any expression of these kinds."""
    return any(isinstance(node, kinds) for node in nodes(expr))


def copy_of(expr: E) -> E:
    """A copy with no parent."""
    return rebuilt(expr, itself)  # type: ignore[return-value]


def itself(node: exp.Expr) -> exp.Expr:
    return node


def rebuilt(expr: exp.Expr, one: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """A copy in which `one` has replaced what it returns another expression for, outermost first.

    Subqueries stay closed: `one` is asked for each as a whole.
    """
    root = one(expr)
    if root is not expr:
        return root
    root = bare(expr)
    waiting: list[Waiting] = [(expr, root, one)]
    while waiting:
        old, new, ask = waiting.pop()
        if isinstance(old, exp.Query):
            ask = itself
        for key, value in old.args.items():
            if isinstance(value, exp.Expr):
                new.set(key, part(value, ask, waiting))
            elif type(value) is list:
                parts = [part(v, ask, waiting) if isinstance(v, exp.Expr) else v for v in value]
                new.set(key, parts)
            else:
                new.args[key] = value
    return root


def part(old: exp.Expr, ask: Callable[[exp.Expr], exp.Expr], waiting: list[Waiting]) -> exp.Expr:
    """What takes the place of a part in the copy; what is below it waits to be copied."""
    given = ask(old)
    if given is old:
        given = bare(old)
        waiting.append((old, given, ask))
    return given


def bare(expr: exp.Expr) -> exp.Expr:
    """A node of the same kind, type and marks, with nothing below it."""
    new = expr.__class__()
    new.comments = expr.comments
    new.type = expr.type
    if expr.meta:
        new.meta.update(expr.meta)
    return new


@contextmanager
def no_collecting() -> Iterator[None]:
    """Garbage collection waits: trees are cyclic and live to the end, looking through them frees nothing."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
