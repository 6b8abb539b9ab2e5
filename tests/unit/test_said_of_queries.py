"""What is said of a query that cannot be kept: what, where (line and column, from 1), and what was meant."""

import pytest

import strandline as sl

SAID = [
    ("SELECT amout FROM orders", "there is no column 'amout' (line 1, column 8)", "did you mean 'amount'?"),
    (
        "SELECT id,\n  o.amout FROM orders o",
        "o has no column 'amout' (line 2, column 5)",
        "did you mean 'amount'?",
    ),
    ("SELECT idd FROM (SELECT id FROM orders)", "there is no column 'idd' (line 1, column 8)", "mean 'id'?"),
    (
        "WITH a AS (SELECT id AS key FROM orders) SELECT a.kye FROM a",
        "a has no column 'kye' (line 1, column 51)",
        "did you mean 'key'?",
    ),
    (
        "SELECT u.id FROM orders o",
        "'u' is no table or alias of this query (line 1, column 8)",
        "known: o.",
    ),
    (
        "SELECT name FROM people a, people b",
        "'name' is a column of a and of b (line 1, column 8)",
        "write a.name or b.name.",
    ),
    (
        "SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM people WHERE person = nam)",
        "there is no column 'nam' (line 1, column 73)",
        "did you mean 'name'?",
    ),
    ("SELECT *\nFROM ordrs", "there is no table or model 'ordrs' (line 2, column 6)", "mean 'orders'?"),
    (
        "SELECT sum(amount) FROM orders GRUP BY id",
        "cannot be parsed at line 1, column 37: unexpected 'BY'",
        "",
    ),
    (
        "SELECT id FROM orders\nWHERE",
        "cannot be parsed at line 2, column 1: something is missing beside 'WHERE'",
        "",
    ),
    ("SELECT 'a FROM orders", "at line 1, column 8: ' is opened there and not closed", ""),
    (
        "SELECT COLUMNS(lambda c: length(c) > 1\n AND nosuch(c)) FROM orders",
        'nosuch does not exist! Did you mean "cosh"? (line 2, column 6)',
        "correct the query.",
    ),
    ("SELECT id,\n summ(amount) FROM orders", 'Did you mean "sum"? (line 2, column 2)', ""),
    (
        "SELECT id FROM orders ORDER BY amout",
        'Candidate bindings: "amount" (line 1, column 32)',
        "",
    ),
    ("SELECT amount + name FROM orders, people", "explicit type casts. (line 1, column 15)", ""),
]


@pytest.fixture(scope="module")
def warehouse():
    with sl.open(":memory:") as wh:
        wh.create_table("orders", "id INTEGER, person INTEGER, amount DECIMAL(9,2)", key="id")
        wh.create_table("people", "person INTEGER, name VARCHAR", key="person")
        yield wh


@pytest.mark.parametrize(("query", "message", "hint"), SAID, ids=range(len(SAID)))
def test_the_error_says_what_and_where(warehouse, query, message, hint):
    with pytest.raises(sl.StrandlineError) as caught:
        warehouse.create_model("m", query)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.where == "model m"


def test_long_lines_are_pointed_into(warehouse):
    query = "SELECT id, " + "person, " * 40 + "wrong(person) FROM orders"
    with pytest.raises(sl.CompileError, match=r"\(line 1, column 332\)"):
        warehouse.create_model("m", query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT s.x FROM (SELECT {'x': id} AS s FROM orders) q",
        "SELECT [i + 1 FOR i IN [id]] AS l, list_transform([id], lambda i: i) AS k FROM orders",
        "SELECT amount * 2 AS twice, twice + 1 AS more FROM orders WHERE twice > 1",
        "SELECT orders.id, p FROM orders, (VALUES (1)) v(p)",
        "SELECT id FROM orders JOIN people USING (person) WHERE person > 1",
    ],
)
def test_names_that_mean_something_are_not_complained_of(warehouse, query):
    assert warehouse.create_model("fine", query)
    warehouse.drop_model("fine")


def test_what_only_the_engine_can_keep_is_refused_by_strict_as_such(warehouse):
    query = "SELECT list(id) AS ids FROM (SELECT id FROM orders GROUP BY ALL ORDER BY max(amount)) AS q"
    with pytest.raises(sl.StrictError) as caught:
        warehouse.create_model("m", query, strict=True)
    assert "shows in no output" in caught.value.message
    assert warehouse.create_model("m", query)
    warehouse.drop_model("m")


def test_a_call_behind_a_dot_that_is_none_keeps_its_own_words(warehouse):
    with pytest.raises(sl.UnknownNameError, match="no column 'VARCHAR'"):
        warehouse.create_model("m", "SELECT id.cast(VARCHAR) FROM orders")
