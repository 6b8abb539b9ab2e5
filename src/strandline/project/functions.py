"""Python models of a project: `models/*.py`, each run in a module of its own.

They may import modules of the project: those beside them, then those in the project's folder. Python's
own search path comes before, so that a file of the project never stands for a library.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from strandline.errors import ConfigurationError
from strandline.functions import ModelFunction, functions_of


def load_functions(file: Path, place: str) -> list[ModelFunction]:
    """The models that a file declares with `@sl.model`, in order.

    Any change of the file, or of a module of the project that it imports, changes them. `place` is its
    path in the project, and what it is called in messages. Raises ConfigurationError where it cannot
    be run or declares nothing.
    """
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text, str(file))
        code = compile(tree, str(file), "exec")
    except SyntaxError as problem:
        raise ConfigurationError(
            f"it is not Python: {problem.msg}", where=f"{place}:{problem.lineno}", hint="correct the file."
        ) from problem
    except (OSError, ValueError) as problem:
        raise ConfigurationError(f"it cannot be read: {problem}", where=place) from problem
    module = _module(file)
    folders = (file.parent, file.parents[len(Path(place).parts) - 1])
    helpers = imported(tree, folders)
    try:
        with _importable(folders, helpers):
            exec(code, module.__dict__)
    except ConfigurationError as problem:
        problem.where = f"{place}: {problem.where}" if problem.where else place
        raise
    except Exception as problem:  # whatever the user's file raises
        raise _failed(problem, file, place) from problem
    found = functions_of(module.__dict__, text + _hashes(helpers))
    if not found:
        raise ConfigurationError(
            "it declares no model",
            where=place,
            hint="decorate a function with @sl.model(…), or let the file's name begin with `_`.",
        )
    return found


def imported(tree: ast.AST, folders: Sequence[Path]) -> dict[str, Path]:
    """The modules below these folders that code imports, also through each other, by name."""
    found: dict[str, Path] = {}
    waiting = [tree]
    while waiting:
        for name in _names(waiting.pop()):
            file = None if name in found else _file_of(name, folders)
            if file is not None:
                found[name] = file
                with contextlib.suppress(SyntaxError, ValueError):  # importing it says what is wrong
                    waiting.append(ast.parse(file.read_bytes()))
    return found


def _names(tree: ast.AST) -> Iterator[str]:
    """`a`, `a.b` for `import a.b` and `from a import b`, whose `b` may be a module or not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            whole = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in whole:
            parts = name.split(".")
            yield from (".".join(parts[: i + 1]) for i in range(len(parts)))


def _file_of(name: str, folders: Sequence[Path]) -> Path | None:
    path = Path(*name.split("."))
    places = [folder / end for folder in folders for end in (path.with_suffix(".py"), path / "__init__.py")]
    return next((place for place in places if place.is_file()), None)


@contextlib.contextmanager
def _importable(folders: Sequence[Path], helpers: dict[str, Path]) -> Iterator[None]:
    """Let the project's modules be imported, as their files are now, and none from an old byte code."""
    for name in helpers:
        if _is_own(name, helpers):
            del sys.modules[name]
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    added = [str(folder) for folder in dict.fromkeys(folders)]
    sys.path += added
    importlib.invalidate_caches()
    try:
        yield
        for name in helpers:  # also those that a function imports when it is called
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    finally:
        sys.dont_write_bytecode = before
        for folder in added:
            sys.path.remove(folder)


def _is_own(name: str, helpers: dict[str, Path]) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is not None and Path(file) == helpers[name]


def _hashes(helpers: dict[str, Path]) -> str:
    """What stands for the imported modules in the text of a model."""
    own = {n: p for n, p in helpers.items() if _is_own(n, helpers)}
    lines = [
        f"# {name}: {hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in sorted(own.items())
    ]
    return "\n".join(["", *lines]) if lines else ""


def _module(file: Path) -> ModuleType:
    # Known to `sys.modules` under a name nobody else has: dataclasses and pickling look it up there.
    name = f"_strandline_model_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    module = ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module
    return module


def _failed(problem: Exception, file: Path, place: str) -> ConfigurationError:
    lines = [f.lineno for f in traceback.extract_tb(problem.__traceback__) if f.filename == str(file)]
    where = f"{place}:{lines[-1]}" if lines else place
    return ConfigurationError(
        f"running it raised {type(problem).__name__}: {problem}", where=where, hint="correct the file."
    )
