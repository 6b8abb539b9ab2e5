"""Strandline keeps tables exactly up to date from only what changed.

    import strandline as sl

    wh = sl.open("warehouse.duckdb")
    wh.create_table("orders", "id INTEGER, amount DECIMAL(12,2)", key="id")
    wh.create_model("totals", "SELECT count(*) AS n, sum(amount) AS amount FROM orders")
    wh.apply("orders", inserts=[{"id": 1, "amount": "9.50"}])
    wh.refresh()
    wh.read("totals")

The names below are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strandline.errors import (
        CompileError,
        ConfigurationError,
        EngineError,
        InputError,
        LockedError,
        ModelError,
        ParityError,
        ParseError,
        RejectedError,
        SchemaError,
        StrandlineError,
        StrictError,
        UnknownNameError,
        UsageError,
    )
    from strandline.functions import model
    from strandline.schema import Column, FileRecord, ModelRun, Parity, Run, Schema, StageRun, TableRun
    from strandline.warehouse import Warehouse
    from strandline.wiring import Pipeline
    from strandline.wiring import open_warehouse as open

__version__ = "0.1.0"

_ERRORS = (
    "CompileError",
    "ConfigurationError",
    "EngineError",
    "InputError",
    "LockedError",
    "ModelError",
    "ParityError",
    "ParseError",
    "RejectedError",
    "SchemaError",
    "StrandlineError",
    "StrictError",
    "UnknownNameError",
    "UsageError",
)
_VALUES = ("Column", "FileRecord", "ModelRun", "Parity", "Run", "Schema", "StageRun", "TableRun")

# public name -> (module, name there)
_LAZY: dict[str, tuple[str, str]] = {
    **{name: ("strandline.errors", name) for name in _ERRORS},
    **{name: ("strandline.schema", name) for name in _VALUES},
    "Warehouse": ("strandline.warehouse", "Warehouse"),
    "model": ("strandline.functions", "model"),
    "Pipeline": ("strandline.wiring", "Pipeline"),
    "open": ("strandline.wiring", "open_warehouse"),
}

__all__ = [
    "Column",
    "CompileError",
    "ConfigurationError",
    "EngineError",
    "FileRecord",
    "InputError",
    "LockedError",
    "ModelError",
    "ModelRun",
    "Parity",
    "ParityError",
    "ParseError",
    "Pipeline",
    "RejectedError",
    "Run",
    "Schema",
    "SchemaError",
    "StageRun",
    "StrandlineError",
    "StrictError",
    "TableRun",
    "UnknownNameError",
    "UsageError",
    "Warehouse",
    "__version__",
    "model",
    "open",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use; afterwards it is an ordinary attribute."""
    try:
        module, attribute = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
