"""Who may import whom: read from the source text, so that a lazy import counts too."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "strandline"

# From the ground up; a module imports from the layers below its own and from its own package.
# The longest matching name decides, so `engines.base` may lie below `engines`.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("schema", "units"),
    ("arguments",),
    ("functions",),
    ("compiler", "zset", "checks", "engines.base", "sources.base"),
    ("engines", "sources", "record"),
    ("warehouse",),
    ("project",),
    ("runner",),
    ("watch", "local"),
    ("wiring",),
    ("templates",),
    ("benchmark", "doctor"),
    ("demo",),
    ("cli", "server"),
    ("__main__",),
)
PLACES = {name: level for level, names in enumerate(LAYERS) for name in names}
# Within these packages, what belongs to one of the named kinds is imported by that kind alone.
KINDS = {"engines": ("duckdb",), "sources": ("files",)}
# May be imported from anywhere: `__version__` and the lazy public names.
EVERYWHERE = "strandline"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = sorted(SOURCE.rglob("*.py"))


def module_name(path: Path) -> str:
    """`engines.duckdb` for .../strandline/engines/duckdb.py; `` for the package itself."""
    parts = list(path.relative_to(SOURCE).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def place(module: str) -> str:
    """The longest name of LAYERS that holds the module."""
    parts = module.split(".")
    names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((name for name in names if name in PLACES), "")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and module (without `strandline.`) of every import of one of our own modules."""
    known = {module_name(p) for p in MODULES}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            deeper = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [d if d.partition(".")[2] in known else node.module for d in deeper]
        else:
            continue
        for name in dict.fromkeys(names):
            if name.startswith("strandline."):
                yield node.lineno, name.removeprefix("strandline.")


def allowed(importer: str, target: str) -> bool:
    """Downwards, or within one place; an engine knows no other engine, a source no other source."""
    above, below = place(importer), place(target)
    if above == below:
        return kind_of(target) in {"", kind_of(importer)}
    return PLACES[below] < PLACES[above]


def kind_of(module: str) -> str:
    """The engine or source a module belongs to (`engines.duckdb_types` to `duckdb`); none: ``."""
    package, _, rest = module.partition(".")
    return next((kind for kind in KINDS.get(package, ()) if rest.startswith(kind)), "")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: module_name(p) or EVERYWHERE)
def test_imports_point_downwards(path: Path) -> None:
    importer = module_name(path)
    if importer == "":
        return
    assert place(importer), f"{importer} has no place in LAYERS: give it one"
    wrong = [
        f"line {line}: {importer} imports {target}"
        for line, target in imported(path)
        if not allowed(importer, target)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_compiler_imports_no_engine_library() -> None:
    banned = {"duckdb", "polars", "pyarrow", "pandas"}
    found = [
        f"{path.name}:{node.lineno}"
        for path in (SOURCE / "compiler").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and {(getattr(node, "module", None) or node.names[0].name).split(".")[0]} & banned
    ]
    assert not found


def declared(dependencies: list[str]) -> set[str]:
    """The names in requirements such as `duckdb>=2.0,<3`."""
    return {re.split(r"[<>=\[~! ]", text)[0] for text in dependencies}


def libraries_imported() -> Iterator[tuple[str, str]]:
    """Place and name of every import of a library that is neither ours nor Python's."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            else:
                continue
            for name in (n.partition(".")[0] for n in names):
                if name not in {*sys.stdlib_module_names, EVERYWHERE}:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", name


def test_every_library_that_is_imported_is_declared() -> None:
    """A library that comes with another one by chance is missing where that one is installed alone."""
    extras = [text for texts in PROJECT["optional-dependencies"].values() for text in texts]
    named = declared([*PROJECT["dependencies"], *extras])
    found = {f"{where} {name}" for where, name in libraries_imported() if name not in named}
    assert not found, "\n".join(sorted(found))


def test_every_library_that_is_declared_is_imported() -> None:
    """Whoever installs Strandline gets no library that it does not use."""
    unused = declared(PROJECT["dependencies"]) - {name for _, name in libraries_imported()}
    assert not unused
