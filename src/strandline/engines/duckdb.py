"""DuckDB, embedded: the default engine. One process writes; cursors of it read beside the writer."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from strandline.engines.base import Capabilities
from strandline.errors import HELD, EngineError, LockedError
from strandline.schema import Column

if TYPE_CHECKING:
    import pyarrow as pa

MEMORY = ":memory:"
WIDE = frozenset({"HUGEINT", "UHUGEINT"})
CAPABILITIES = Capabilities("duckdb", "duckdb", transactional_tables=True, many_writers=False)
# Automatic checkpoints rewrite the file in the middle of a commit (seconds at
# 10M rows); the warehouse asks for them when idle, this is only the safety net.
CHECKPOINT_THRESHOLD = "2GB"
PARSED = 2_000
"""Statements kept parsed: a refresh runs the same ones each time, and parsing is a third of a small one."""
ONE_THREAD_ROWS = range(10_000, 122_880)
"""Frames of so many rows are written by one thread. What several write is copied once more where it is
less than a row group each, which takes twice as long; of fewer rows one vector is no work for several."""
EFFORTLESS = ("BEGIN", "COMMIT", "ROLLBACK", "SET ")
"""How statements begin that no thread could help with."""

on_statement: Callable[[int, str], None] | None = None
"""Called before every statement with its number in this process: crash tests kill the process here."""

_numbers = itertools.count(1)


def connect(
    path: str, *, read_only: bool = False, threads: int | None = None, memory_limit: str | None = None
) -> DuckDB:
    """Open a database file or `:memory:`. Raises LockedError naming the holder."""
    settings: dict[str, Any] = {
        "checkpoint_threshold": CHECKPOINT_THRESHOLD,
        # DuckDB 2.0.0 loses columns of a large parallel insert that follows an empty one in the same
        # transaction when it also has to keep the order; nothing here depends on the order of rows.
        "preserve_insertion_order": False,
        # of two joins that differ in the columns they show DuckDB 2.0.0 takes one for the other
        "disabled_optimizers": "common_subplan",
    }
    if threads:
        settings["threads"] = threads
    if memory_limit:
        settings["memory_limit"] = memory_limit
    try:
        connection = duckdb.connect(path, read_only=read_only, config=settings)
    except duckdb.IOException as error:
        raise opening_error(path, error) from error
    except duckdb.Error as error:
        hint = "check the path and the file."
        if "different configuration" in str(error):
            hint = "this process has the file open in another way: close that first, or use its reader()."
        raise EngineError(first_line(error), where=f"opening {path}", hint=hint) from error
    return DuckDB(connection)


def opening_error(path: str, error: duckdb.IOException) -> EngineError:
    """A lock names its holder; anything else says what the file system said."""
    text = str(error)
    if "lock" in text.lower():
        return LockedError(
            f"{HELD} {holder(path, locking(text)) or locking(text) or 'another process'}",
            where=path,
            hint="stop that process, or read through it: `strandline query` and read-only clients do.",
        )
    return EngineError(first_line(error), where=f"opening {path}", hint="check the path and its permissions.")


def locking(text: str) -> str:
    """The process that the database says has the lock; empty where it does not say."""
    found = re.search(r"\(PID (\d+)\)", text)
    return f"process {found[1]}" if found else ""


def holder(path: str, known: str = "") -> str:
    """Who wrote the lock note beside the file, in words; empty where there is none, or of another process."""
    try:
        note = json.loads(Path(f"{path}.lock").read_text())
        if known not in ("", f"process {note['pid']}"):
            return ""
        return (
            f"{note.get('role', 'a process')} (process {note['pid']}, since {note.get('started', 'unknown')})"
        )
    except (OSError, ValueError, KeyError):
        return ""


def narrowed(sql: str, names: Sequence[str], types: Sequence[str], kind: str) -> str:
    """The query with its 128-bit integers cast to a type that Arrow has."""
    places = [f"c{i}" for i in range(len(names))]
    quoted = ['"' + n.replace('"', '""') + '"' for n in names]
    outs = [
        f"CAST({p} AS {kind}) AS {n}" if t in WIDE else f"{p} AS {n}"
        for p, n, t in zip(places, quoted, types, strict=True)
    ]
    return f"SELECT {', '.join(outs)} FROM ({sql.strip().rstrip(';')}\n) AS q({', '.join(places)})"


def complaint(error: Exception, hint: str) -> EngineError:
    """What the database says, as an error of ours."""
    if isinstance(error, duckdb.ConnectionException) and "closed" in str(error):
        return EngineError("the warehouse is closed", hint="open it again.", cause=error)
    return EngineError(first_line(error), hint=hint, cause=error)


def first_line(error: Exception) -> str:
    """The database's message without its echo of the statement."""
    return re.split(r"\n\s*\n|\nLINE |\n\s*Candidate functions", str(error))[0].strip().replace("\n", " ")


def place_of(error: BaseException, sql: str, before: int) -> str:
    """` (line 2, column 3)` of what the database points at in a statement; empty where it points at nothing.

    `before` characters of the first line were put there by us. Of long lines the database shows a part.
    """
    shown = re.search(r"\nLINE (\d+): (.*)\n( *)\^", str(error))
    if shown is None:
        return ""
    line, part = int(shown[1]), shown[2]
    lead = 3 if part.startswith("...") else 0
    beyond = len(shown[3]) - len(f"LINE {line}: ") - lead
    start = sql.split("\n")[line - 1].find(part[lead:].removesuffix("..."))
    if start < 0:
        return ""
    return f" (line {line}, column {start + beyond + 1 - (before if line == 1 else 0)})"


@dataclass
class Shared:
    """What the connections to one database know of each other: who runs a statement, by how many threads."""

    running: set[DuckDB] = field(default_factory=set)
    narrowed: bool = False
    usual: int = 0
    """How many threads the database has where it is not narrowed; 0 before they were asked for."""

    def narrow(self, asking: DuckDB) -> None:
        """One thread from now on; not while another connection works, since threads end with their work."""
        if self.narrowed or self.usual == 1 or self.running - {asking}:
            return
        with asking.connection.cursor() as beside:  # the transaction may be an aborted one
            self.usual = self.usual or beside.execute("SELECT current_setting('threads')").fetchall()[0][0]
            if self.usual > 1:
                beside.execute("SET threads = 1")
                self.narrowed = True

    def widen(self, asking: DuckDB) -> None:
        """All threads again."""
        with asking.connection.cursor() as beside:
            beside.execute(f"SET threads = {self.usual}")
        self.narrowed = False


class DuckDB:
    """One DuckDB connection; all times are UTC."""

    capabilities = CAPABILITIES

    def __init__(self, connection: duckdb.DuckDBPyConnection, shared: Shared | None = None) -> None:
        self.connection = connection
        self._shared = shared or Shared()
        self._alone = False
        self._parsed = functools.lru_cache(PARSED)(connection.extract_statements)
        connection.execute("SET TimeZone = 'UTC'")
        # a progress bar of the database's own would go to standard output, among the data
        connection.execute("SET enable_progress_bar = false")

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement; the count it reports (0 where it reports none)."""
        rows = self._run(sql, parameters).fetchall()
        return int(rows[0][0]) if rows and isinstance(rows[0][0], (int, bool)) else 0

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._run(sql, parameters).fetchall()

    def arrow(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        try:
            self._begin(sql)
            found = self.connection.sql(sql, params=list(parameters) or None)
            types = [str(t) for t in found.types]
            if parameters or not WIDE & set(types):
                return found.to_arrow_table()
            return self._narrowed(sql, found.columns, types)
        except duckdb.Error as error:
            raise complaint(error, "correct the query.") from error
        finally:
            self._shared.running.discard(self)

    def _narrowed(self, sql: str, names: Sequence[str], types: Sequence[str]) -> pa.Table:
        """128-bit integers as DECIMAL(38,0), or as text where one has 39 digits: never as floating point."""
        try:
            return self.connection.sql(narrowed(sql, names, types, "DECIMAL(38,0)")).to_arrow_table()
        except duckdb.ConversionException:
            return self.connection.sql(narrowed(sql, names, types, "VARCHAR")).to_arrow_table()

    def describe(self, sql: str) -> tuple[Column, ...]:
        """Names and types a query would return, without running it; errors carry line and column."""
        asked = f"DESCRIBE {sql}"
        try:
            return tuple(Column(str(r[0]), str(r[1])) for r in self.rows(asked))
        except EngineError as error:
            at = place_of(error.__cause__, asked, len("DESCRIBE ")) if error.__cause__ is not None else ""
            raise EngineError(error.message + at, hint=error.hint, cause=error.__cause__) from error.__cause__

    def load(self, frame: pa.Table, sql: str) -> int:
        """Run `sql` with the frame readable as `incoming`, without copying it."""
        try:
            self.connection.register("incoming", frame)
            with self.alone() if frame.num_rows in ONE_THREAD_ROWS else contextlib.nullcontext():
                return self.execute(sql)
        except duckdb.Error as error:
            raise complaint(error, "begin a new batch.") from error
        finally:
            # an aborted transaction lets nothing be unregistered; its end does
            with contextlib.suppress(duckdb.Error):
                self.connection.unregister("incoming")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Run what is inside on this thread: small work is done before others have taken it over.

        The other threads stay away until something else is to be run, for sending them away and calling
        them each time costs more than they do.
        """
        before, self._alone = self._alone, True
        with contextlib.suppress(duckdb.Error):  # whatever is wrong, the statement itself will say it
            self._shared.narrow(self)
        try:
            yield
        finally:
            self._alone = before

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self.execute("BEGIN")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(EngineError):
                self.execute("ROLLBACK")
            raise

    def reader(self) -> DuckDB:
        """A second connection to the same database that sees committed state only."""
        try:
            return DuckDB(self.connection.cursor(), self._shared)
        except duckdb.Error as error:
            raise complaint(error, "open the warehouse again.") from error

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file, now that nobody waits."""
        self.execute("CHECKPOINT")

    def close(self) -> None:
        try:
            self.connection.close()
        except duckdb.Error as error:
            raise complaint(error, "end what still uses it, and close it again.") from error

    def _begin(self, sql: str) -> None:
        """Others see that a statement runs; it has all threads where it may need them."""
        self._shared.running.add(self)
        if self._shared.narrowed and not self._alone and not sql.startswith(EFFORTLESS):
            self._shared.widen(self)

    def _run(self, sql: str, parameters: Sequence[Any]) -> duckdb.DuckDBPyConnection:
        number = next(_numbers)
        if on_statement is not None:
            on_statement(number, sql)
        try:
            self._begin(sql)
            statements = self._parsed(sql)
            run = statements[0] if len(statements) == 1 else sql
            return self.connection.execute(run, parameters) if parameters else self.connection.execute(run)
        except duckdb.Error as error:
            raise complaint(error, "see the cause; nothing was committed.") from error
        finally:
            self._shared.running.discard(self)
