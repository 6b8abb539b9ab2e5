"""Calls a model's function: rows in as LazyFrames, its result out as a table, its failure in words."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from strandline.compiler.text import make
from strandline.engines.base import Engine
from strandline.errors import InputError, ModelError
from strandline.functions import ModelFunction
from strandline.warehouse.frames import to_arrow
from strandline.warehouse.outgoing import to_polars

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE = 5


def called(model: str, function: ModelFunction) -> str:
    """`model daily, function daily()`: where an error happened."""
    return f"model {model}, function {function.name}()"


def given(engine: Engine, keys: str, names: Sequence[str]) -> str:
    """A sample of the keys in a table of keys, in words; "" where there is none."""
    if not keys:
        return ""
    count = engine.execute(f"SELECT count(*) FROM {keys}")
    few = [
        ", ".join(map(str, row)) for row in engine.rows(f"SELECT * FROM {keys} ORDER BY ALL LIMIT {SAMPLE}")
    ]
    more = f" and {count - len(few):,} more" if count > len(few) else ""
    return f"({', '.join(names)}): {'; '.join(few)}{more}"


def evaluate(
    engine: Engine,
    model: str,
    function: ModelFunction,
    feeds: Sequence[str],
    into: str,
    keys: Callable[[], str] = lambda: "",
) -> bool:
    """Call the function with the rows of these queries and keep its result as the table `into`.

    `keys` says which keys they are of, should the function fail. False where the result's types depend
    on its rows (pandas). Raises ModelError with the function's name, the keys and its traceback.
    """
    frames = [to_polars(engine.arrow(query)).lazy() for query in feeds]
    try:
        result = function.call(*frames)
        rows = collected(result)
    except ModelError as error:
        error.where = error.where or called(model, function)
        raise
    except Exception as error:  # whatever a user's function raises
        raise failure(model, function, error, keys()) from error
    engine.load(rows, make(into, "SELECT * FROM incoming"))
    return not type(result).__module__.startswith("pandas")


def collected(result: Any) -> pa.Table:
    """The function's result as an Arrow table. Raises ModelError where it is no frame, or what it raised."""
    try:
        return to_arrow(result, "")
    except InputError as error:
        if error.__cause__ is not None:  # a frame, whose rows could not be computed
            raise error.__cause__ from None
        raise ModelError(
            f"it returned a {type(result).__name__}",
            hint="return a polars LazyFrame or DataFrame, a pandas frame or an Arrow table.",
        ) from None


def failure(model: str, function: ModelFunction, error: Exception, keys: str) -> ModelError:
    """What the function raised, for which keys, and where in its code; our own lines are left out."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename != __file__] or list(frames)
    lines = "".join(traceback.format_list(own)).rstrip()
    what = f"{type(error).__name__}: {error}"
    among = f"\nkeys {keys}" if keys else ""
    return ModelError(
        f"{what}{among}\n{lines}",
        where=called(model, function),
        hint="correct the function; nothing was committed.",
    )
