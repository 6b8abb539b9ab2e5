"""Arguments of the wrong kind: a sentence that says so, never an error of Python from somewhere below."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import strandline as sl
from strandline import Pipeline, Warehouse

WRONG: list[Any] = [
    5,
    -1,
    None,
    "",
    1.5,
    True,
    float("nan"),
    [],
    [5],
    {},
    {1: 2},
    b"x",
    object(),
    "a\0b",
    len,
    [[]],
]
GOOD: dict[str, Any] = {
    "name": "t",
    "columns": "id INTEGER",
    "sql": "SELECT id FROM t",
    "text": "SELECT 1",
    "model": "m",
    "table": "t",
    "column": "v",
    "to": "w",
    "type": "BIGINT",
    "functions": {},
    "found": [],
}


def made() -> Warehouse:
    wh = sl.open(":memory:", threads=1)
    wh.create_table("t", "id INTEGER, v INTEGER", key="id")
    wh.create_model("m", "SELECT id, v FROM t")
    return wh


def methods(cls: type) -> list[tuple[str, str]]:
    """Public methods with each of their arguments."""
    found = [(n, m) for n, m in vars(cls).items() if not n.startswith("_") and inspect.isfunction(m)]
    return [(n, p) for n, m in found for p in inspect.signature(m).parameters if p != "self"]


def said(call: Callable[[], Any]) -> None:
    """The call works, or fails with one of our own errors, which says what to do next."""
    problem: sl.StrandlineError | None = None
    try:
        call()
    except sl.StrandlineError as error:
        problem = error
    assert problem is None or (problem.hint and "object has no" not in problem.message)


@pytest.mark.parametrize(("method", "argument"), methods(Warehouse))
def test_a_warehouse_refuses_what_it_cannot_take(method: str, argument: str) -> None:
    wh = made()
    parameters = inspect.signature(getattr(Warehouse, method)).parameters
    needed = [n for n, p in parameters.items() if n != "self" and p.default is inspect.Parameter.empty]
    for value in WRONG:
        given = {n: GOOD.get(n) for n in needed} | {argument: value}
        said(lambda given=given: getattr(wh, method)(**given))  # type: ignore[misc]
    assert wh.tables()["t"].names[0] == "id"


@pytest.mark.parametrize("argument", list(inspect.signature(sl.open).parameters))
def test_open_refuses_what_it_cannot_take(
    argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in WRONG:
        said(lambda value=value: sl.open(**{"path": ":memory:", argument: value}).close())  # type: ignore[misc]


@pytest.mark.parametrize("value", [*WRONG, "/dev/null", "/dev/null/x"])
def test_loading_a_project_refuses_what_it_cannot_take(value: Any) -> None:
    with pytest.raises(sl.StrandlineError) as error:
        Pipeline.load(value)
    assert error.value.hint


@pytest.mark.parametrize("argument", ["keys", "inputs", "lookup", "rowwise", "name"])
def test_the_decorator_refuses_what_it_cannot_take(argument: str) -> None:
    for value in WRONG:
        given: dict[str, Any] = {"keys": ["k"], "inputs": ["t"], argument: value}
        said(lambda given=given: sl.model(**given)(lambda t: t))  # type: ignore[misc]


def test_the_error_names_argument_value_and_kind() -> None:
    with pytest.raises(sl.UsageError) as error:
        made().read("t", limit="x")  # type: ignore[arg-type]
    assert (
        str(error.value)
        == "read(): limit is 'x' (str), not a whole number Next: give a whole number, or leave it out."
    )


def test_a_missing_argument_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        made().read()  # type: ignore[call-arg]


@pytest.mark.parametrize("sample", [0, -0.5, 1.5, float("nan")])
def test_a_sample_is_a_share(sample: float) -> None:
    with pytest.raises(sl.UsageError, match="not a share"):
        made().verify("m", sample)


def test_a_name_that_cannot_be_written_down_is_refused() -> None:
    with sl.open(":memory:") as wh:
        for call in (lambda: wh.create_table("\ud800", "a INTEGER"), lambda: wh.sql("SELECT '\ud800'")):
            with pytest.raises(sl.UsageError, match="not a string"):
                call()


def test_tables_and_models_are_told_apart() -> None:
    with sl.open(":memory:") as wh:
        wh.create_table("t", "a INTEGER")
        wh.create_model("m", "SELECT a FROM t")
        with pytest.raises(sl.UsageError, match=r"'m' is a model.*drop_model\(\)"):
            wh.drop_table("m")
        with pytest.raises(sl.StrandlineError, match="no model 't' Next: it is a table"):
            wh.drop_model("t")
        with pytest.raises(sl.StrandlineError, match="full, incremental, keyed, partition"):
            wh.create_model("x", "SELECT a FROM t", strategy="zzz")
