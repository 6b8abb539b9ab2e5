"""Python models of a project: `models/*.py`, each run in a module of its own."""

from __future__ import annotations

import hashlib
import sys
import traceback
from pathlib import Path
from types import ModuleType

from strandline.errors import ConfigurationError
from strandline.functions import ModelFunction, functions_of


def load_functions(file: Path, place: str) -> list[ModelFunction]:
    """The models that a file declares with `@sl.model`, in order; any change of the file changes them.

    `place` is what the file is called in messages. Raises ConfigurationError where it cannot be run or
    declares nothing.
    """
    try:
        text = file.read_text(encoding="utf-8")
        code = compile(text, str(file), "exec")
    except SyntaxError as problem:
        raise ConfigurationError(
            f"it is not Python: {problem.msg}", where=f"{place}:{problem.lineno}", hint="correct the file."
        ) from problem
    except (OSError, ValueError) as problem:
        raise ConfigurationError(f"it cannot be read: {problem}", where=place) from problem
    module = _module(file)
    try:
        exec(code, module.__dict__)
    except ConfigurationError as problem:
        problem.where = f"{place}: {problem.where}" if problem.where else place
        raise
    except Exception as problem:  # whatever the user's file raises
        raise _failed(problem, file, place) from problem
    found = functions_of(module.__dict__, text)
    if not found:
        raise ConfigurationError(
            "it declares no model",
            where=place,
            hint="decorate a function with @sl.model(…), or let the file's name begin with `_`.",
        )
    return found


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
