"""Walks and copies of expression trees are those of sqlglot, only cheaper."""

from __future__ import annotations

import gc

import pytest
import sqlglot
from sqlglot import exp

from strandline.compiler.trees import copy_of, find_all, has, no_collecting, nodes, rebuilt

QUERIES = [
    "SELECT 1",
    "SELECT a, sum(b) OVER (PARTITION BY c ORDER BY d ROWS 2 PRECEDING) FROM t /* why */ WHERE a IN (1, 2)",
    "WITH x AS (SELECT DISTINCT a FROM t) SELECT * FROM x JOIN u USING (a) WHERE EXISTS (SELECT 1 FROM v)",
    "SELECT CASE WHEN a > 1 THEN {'k': a} END, list_transform([1], y -> y + 1) FROM t",
    "SELECT a FROM t QUALIFY rank() OVER () = 1",
]


@pytest.mark.parametrize("sql", QUERIES)
def test_a_walk_meets_what_sqlglot_meets(sql: str) -> None:
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    assert [id(n) for n in nodes(tree)] == [id(n) for n in tree.walk()]
    assert find_all(tree, exp.Column, exp.Select) == list(tree.find_all(exp.Column, exp.Select))
    assert has(tree, exp.Window) == (tree.find(exp.Window) is not None)


@pytest.mark.parametrize("sql", QUERIES)
def test_a_copy_equals_and_shares_no_node(sql: str) -> None:
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    tree.selects[0].meta["mark"] = 1
    new = copy_of(tree)
    assert new == tree
    assert new.sql("duckdb") == tree.sql("duckdb")
    assert new.selects[0].meta["mark"] == 1
    assert not {id(n) for n in nodes(new)} & {id(n) for n in nodes(tree)}
    places = [(n.arg_key, n.index, n.parent is None) for n in nodes(new)]
    assert places == [(n.arg_key, n.index, n.parent is None) for n in nodes(tree)]


def test_replacing_goes_outermost_first_and_leaves_subqueries_closed() -> None:
    tree = sqlglot.parse_one("f(a + a, (SELECT a FROM t))", dialect="duckdb")

    def one(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Add):
            return exp.column("whole")
        return exp.column("b") if isinstance(node, exp.Column) else node

    assert rebuilt(tree, one).sql("duckdb") == "F(whole, (SELECT a FROM t))"
    assert tree.sql("duckdb") == "F(a + a, (SELECT a FROM t))"


def test_collecting_goes_on_afterwards_also_after_an_error() -> None:
    def failing() -> None:
        with no_collecting():
            with no_collecting():
                pass
            assert not gc.isenabled()
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        failing()
    assert gc.isenabled()
