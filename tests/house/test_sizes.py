"""Functions and files stay small enough to be read at a sitting."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_LINES_OF_A_FUNCTION = 40
USUAL_LINES_OF_A_FUNCTION = 25
SHARE_THAT_MAY_BE_LONGER = 0.10
MOST_LINES_OF_A_FILE = 500
MOST_METHODS_OF_A_PROTOCOL = 10

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def nodes(*folders: str) -> Iterator[tuple[Path, ast.AST]]:
    for path in python_files(*folders):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield path, node


def length(function: Function) -> int:
    """Lines from `def` to the end, without the docstring."""
    first = function.body[0]
    docstring = ast.get_docstring(function, clean=False) is not None
    described = (first.end_lineno or 0) - first.lineno + 1 if docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - described


def functions(*folders: str) -> list[tuple[str, int]]:
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", length(node))
        for path, node in nodes(*folders)
        if isinstance(node, Function)
    ]


def test_no_function_is_too_long() -> None:
    found = [f"{where}: {n} lines" for where, n in functions("src") if n > MOST_LINES_OF_A_FUNCTION]
    assert not found, "\n".join(found)


def test_most_functions_are_short() -> None:
    all_of_them = functions("src")
    longer = [f"{where}: {n} lines" for where, n in all_of_them if n > USUAL_LINES_OF_A_FUNCTION]
    assert len(longer) <= SHARE_THAT_MAY_BE_LONGER * len(all_of_them), "\n".join(longer)


def test_no_file_is_too_long() -> None:
    counted = [
        (path, len(path.read_text(encoding="utf-8").splitlines()))
        for path in python_files("src", "tests", "bench")
    ]
    found = [f"{path.relative_to(ROOT)}: {n}" for path, n in counted if n >= MOST_LINES_OF_A_FILE]
    assert not found, "\n".join(found)


def test_protocols_are_narrow() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path, node in nodes("src")
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).split("[")[0].split(".")[-1] == "Protocol" for base in node.bases)
        and sum(isinstance(part, Function) for part in node.body) > MOST_METHODS_OF_A_PROTOCOL
    ]
    assert not found, "\n".join(found)
