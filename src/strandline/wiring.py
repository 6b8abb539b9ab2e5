"""Puts the parts together: the only importer of concrete engines and sources.

pipeline = Pipeline.load("shipments")     # reads strandline.toml and models/; opens nothing
pipeline.run()                            # one commit
pipeline.warehouse.read("shipment_timeline")
"""

from __future__ import annotations

import contextlib
import logging
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from strandline import local, runner
from strandline.arguments import called, checked_methods
from strandline.errors import EngineError, InputError, LockedError, StrandlineError, UsageError
from strandline.local import LocalServer, Reading, RemoteWarehouse, Status
from strandline.local.answers import Handler
from strandline.project import FILE_NAME, ModelSettings, Project, SourceSettings, load_project
from strandline.runner import Notice, Progress, Release, RunPlan
from strandline.schema import BatchKind, Parity, Run, Schema

if TYPE_CHECKING:
    from strandline.engines.duckdb import DuckDB
    from strandline.runner.ports import Batches, Definitions
    from strandline.sources.base import Source
    from strandline.warehouse import Warehouse
    from strandline.watch import Timing, Watcher

_log = logging.getLogger("strandline")
PATIENCE_SECONDS = 10.0
"""How long a pipeline waits for a warehouse that another process holds, such as for a short query."""
LASTING_ROLES = ("watch", "serve")
"""Holders that waiting for is in vain."""
SETTLING_SECONDS = 1.0
"""How long `run` and `plan` wait at most for files that were written a moment ago."""
IDLE_SECONDS = 5.0
"""How long after a batch a watching pipeline lets the engine tidy its files."""


@called("open")
def open_warehouse(
    path: str | Path = "warehouse.duckdb",
    *,
    read_only: bool = False,
    threads: int | None = None,
    memory_limit: str | None = None,
    role: str = "python",
    patience: float = 0.0,
    more: Mapping[str, Handler] | None = None,
) -> Warehouse:
    """Open a warehouse file (created when it is not there), or `:memory:`.

    Opened for writing, this process answers other processes' readers until the warehouse is closed;
    `role` is how it is named to them, `more` adds operations. Raises LockedError naming the holder
    when another process has the file for longer than `patience` seconds, and where this one has it.
    """
    from strandline.warehouse import Warehouse

    name = str(path)
    if not name or "\0" in name:
        raise UsageError(f"{name!r} is no path", where="open()", hint='name a file, or ":memory:".')
    settings = {"read_only": read_only, "threads": threads, "memory_limit": memory_limit}
    with local.claimed(name, read_only):
        engine = _connect(name, settings, patience)
        if read_only:
            return _reading(engine, name)
        if not local.is_file(name):
            return Warehouse(engine)
        return _writing(engine, name, role, more)


def open_reader(path: str | Path, *, patience: float = 2.0) -> Reading:
    """A reader of a warehouse, whoever holds it: the file itself when it is free, else its holder.

    Raises LockedError naming the holder when it neither answers readers nor ends in time.
    """
    return local.open_reader(path, lambda: open_warehouse(path, read_only=True), patience)


def build_source(settings: SourceSettings, directory: Path) -> Source:
    """The source that a `[sources.NAME]` describes; its path is relative to the project."""
    from strandline.sources.files import FilesSource, options_from

    options = dict(settings.options)
    folder = directory / Path(options.pop("path")).expanduser()
    where = f"{FILE_NAME} [sources.{settings.name}]"
    checked = options_from(options, where)
    return FilesSource(settings.name, settings.table, folder, settings.schema, checked)


@checked_methods
class Pipeline:
    """A project and its warehouse. One thread uses it; `stop` may be called from any.

    `config` is what the project's files said when it was loaded; load again after changing them.
    """

    def __init__(self, config: Project, *, role: str = "python", notice: Notice | None = None) -> None:
        self.config = config
        self._role = role
        self._notice: Notice = notice or _log.info
        self._sources = [build_source(s, config.directory) for s in config.sources.values()]
        self._functions = {m.name: m.function for m in config.models if m.function is not None}
        self._warehouse: Warehouse | None = None
        self._prepared = False
        self._watcher: Watcher | None = None
        self._said: set[str] = set()
        self._untidy_since: float | None = None
        self.checked: tuple[Parity, ...] = ()
        """What the last round compared, where `[verify]` said that it was time."""

    @classmethod
    def load(
        cls,
        directory: str | Path = ".",
        *,
        role: str = "python",
        notice: Notice | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Pipeline:
        """Read a project's folder. Nothing is opened before it is needed.

        `notice` takes a sentence whenever something happens that stops nothing (a model rebuilt, a
        file left out). Raises ConfigurationError naming file and line.
        """
        if "\0" in str(directory):
            raise UsageError(
                f"{str(directory)!r} is no path", where="load()", hint="name the project's folder."
            )
        return cls(load_project(directory, environment=environment), role=role, notice=notice)

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse, open for writing and answering other processes' readers from then on.

        Raises LockedError naming the process that holds it.
        """
        if self._warehouse is None:
            where = self.config.warehouse
            self._warehouse = open_warehouse(
                where.path,
                threads=where.threads,
                memory_limit=where.memory_limit,
                role=self._role,
                patience=PATIENCE_SECONDS,
                more=self._operations(),
            )
            self._warehouse.provide(self._functions)
        return self._warehouse

    def prepare(self) -> None:
        """Create, rebuild or drop tables and models as the project's files say; once per pipeline."""
        if not self._prepared:
            runner.prepare(cast("Definitions", self.warehouse), self.config, self._notice)
            self._prepared = True

    def run(
        self,
        kind: BatchKind | None = None,
        on_run: Callable[[Run], None] | None = None,
        on_file: Progress = runner.unseen,
    ) -> Run:
        """Bring the tables and models up to date with the files; one commit, or none for no change.

        With `max_files_per_batch` there may be several: `on_run` sees each, the last is returned.
        `on_file` is told how many of a batch's files are in, how many there are, and which is read now.
        Files written a moment ago are waited for, up to a second; those that still grow are left alone.
        While another process watches, that one does it; raises LockedError where the project's tables or
        models were edited since it was started, or a `kind` is asked for.
        """
        if kind is None and self._is_watched():
            return self._ask_watcher(on_run)
        self.prepare()
        self._settle()
        run = following = self._refresh(kind, self._notice, progress=on_file)
        while following.changed:
            run = following
            if on_run is not None:
                on_run(run)
            if self.config.max_files_per_batch is None:
                break
            following = self._refresh(None, self._notice, progress=on_file)
        self._check()
        return run

    def _is_watched(self) -> bool:
        """Whether another process holds the warehouse, watches, and answers."""
        path = self.config.warehouse.path
        if self._warehouse is not None or not local.is_file(path):
            return False
        holder = local.holder_of(path)
        return holder is not None and holder.alive and holder.role == "watch" and local.answers(path)

    def _ask_watcher(self, on_run: Callable[[Run], None] | None) -> Run:
        """What the watching process makes of what is waiting: the last batch, or one of no change."""
        path, planned = self.config.warehouse.path, self.plan()
        if planned.edited:
            raise local.locked(path, why="the project was edited since it was started")
        run = following = cast("Run", local.ask(path, "run", {}))
        while following.changed:
            run = following
            if on_run is not None:
                on_run(run)
            following = cast("Run", local.ask(path, "run", {}))
        return run

    def _check(self) -> None:
        """Compare models with their recompute where `[verify]` says that it is time."""
        wh = self.warehouse
        self.checked = runner.check_if_due(wh, self.config.verify, self._notice)

    def plan(self, kind: BatchKind | None = None) -> RunPlan:
        """What `run` would do. Nothing is written, and a warehouse that is not there is not created."""
        self._settle()
        with self.reader() as wh:
            return self._plan(wh, kind)

    def release(
        self, *, ids: Sequence[str] | None = None, table: str | None = None, file: str | None = None
    ) -> Release:
        """Let quarantined rows in that today's settings accept; without a choice all of them are tried.

        While another process watches, that one does it, with the settings that it was started with.
        """
        path = self.config.warehouse.path
        if self._warehouse is None and local.is_file(path) and local.answers(path):
            found = local.ask(path, "release", {"ids": ids, "table": table, "file": file})
            assert isinstance(found, Release)
            return found
        self.prepare()
        wh = cast("Batches", self.warehouse)
        return runner.release(wh, self._sources, ids=ids, table=table, file=file, notice=self._notice)

    def watch(
        self,
        on_run: Callable[[Run], None],
        on_error: Callable[[StrandlineError, float], None],
        timing: Timing | None = None,
    ) -> int | None:
        """Run whenever files arrive until a signal comes; its number, or None when `stop` was called.

        Holds the warehouse and answers its readers meanwhile. `on_error` gets what a batch failed
        with and the seconds until it is tried again. Raises only what keeps it from starting.
        """
        from strandline.watch import Timing, Watcher, stopping_on_signals

        self.prepare()
        folders = [self.config.directory / s.options["path"] for s in self.config.sources.values()]
        watcher = Watcher(self._watched_batch, folders, on_run, on_error, timing or Timing(), self._resting)
        self._watcher = watcher
        try:
            with stopping_on_signals(watcher) as received:
                watcher.run()
        finally:
            self._watcher = None
        return received[0] if received else None

    def stop(self) -> None:
        """End `watch` after the commit under way; callable from any thread."""
        if (watcher := self._watcher) is not None:
            watcher.stop()

    @contextlib.contextmanager
    def reader(self) -> Iterator[Reading]:
        """A reader of the warehouse, whoever holds it; an empty one where there is no warehouse yet."""
        if self._warehouse is not None:
            yield self._warehouse
            return
        path = self.config.warehouse.path
        there = not local.is_file(path) or Path(path).exists()
        with contextlib.closing(open_reader(path) if there else open_warehouse(":memory:")) as wh:
            if not isinstance(wh, RemoteWarehouse):
                cast("Warehouse", wh).provide(self._functions)
            yield wh

    def status(self) -> Status:
        """What the warehouse holds and how fresh it is."""
        path = self.config.warehouse.path
        with self.reader() as wh:
            if isinstance(wh, RemoteWarehouse):
                return wh.status()
            # where the file could be opened for reading, nobody else holds it for writing
            return local.read_status(wh, path, local.holder_of(path) if self._warehouse is not None else None)

    def close(self) -> None:
        """Let the warehouse go; the next use opens it again."""
        if self._warehouse is not None:
            self._warehouse.close()
            self._warehouse = None

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refresh(
        self,
        kind: BatchKind | None,
        notice: Notice,
        *,
        lenient: bool = False,
        progress: Progress = runner.unseen,
    ) -> Run:
        return runner.refresh(
            cast("Batches", self.warehouse),
            self._sources,
            kind=kind,
            most_files=self.config.max_files_per_batch,
            notice=notice,
            lenient=lenient,
            progress=progress,
        )

    def _watched_batch(self) -> Run:
        """One round of watching. What is still as it was at the last look is not said again."""
        said: list[str] = []
        try:
            run = self._refresh(None, said.append, lenient=True)
        except EngineError as error:
            if "invalidated" in error.message:  # DuckDB gives up after a fault of the disk: open it anew
                self.close()
            raise
        for sentence in said:
            if sentence not in self._said:
                self._notice(sentence)
        self._said = set(said)
        self._check()
        self._tidy(run)
        return run

    def _tidy(self, run: Run) -> None:
        """Let the engine move its log into its file, but only when nothing has happened for a while."""
        if run.changed:
            self._untidy_since = time.monotonic()
        elif self._untidy_since is not None and time.monotonic() - self._untidy_since > IDLE_SECONDS:
            self._untidy_since = None
            with contextlib.suppress(EngineError):  # a reader is at work: some other time
                self.warehouse.checkpoint()

    def _settle(self) -> None:
        """Let files that were written a moment ago become complete: `run` right after writing takes them."""
        deadline = time.monotonic() + SETTLING_SECONDS
        while (wait := self._resting()) is not None:
            if time.monotonic() + wait > deadline:
                self._notice(
                    "a file that changed a moment ago may still be written: it is left for the next run"
                )
                return
            time.sleep(wait)

    def _resting(self) -> float | None:
        """Seconds until files that are still being written could be complete."""
        now = time.time_ns()
        found = []
        for source in self._sources:
            with contextlib.suppress(InputError):  # the look that follows says it
                found.append(source.next_look_ns(now))
        times = [at for at in found if at is not None]
        return max(0, min(times) - now) / 1e9 if times else None

    def _plan(self, wh: Any, kind: BatchKind | None) -> RunPlan:
        return runner.plan(wh, self.config, self._sources, _explain_new, kind)

    def _operations(self) -> dict[str, Handler]:
        """What the local server can do besides reading; the server keeps no pipeline alive."""
        path = self.config.warehouse.path
        methods = {"plan": self._serve_plan, "release": self._serve_release, "run": self._serve_run}
        return {op: _weakly(method, path) for op, method in methods.items()}

    def _serve_plan(self, wh: Reading, args: Mapping[str, Any]) -> RunPlan:
        return self._plan(wh, args.get("kind"))

    def _serve_release(self, _: Reading, args: Mapping[str, Any]) -> Any:
        chosen = {name: args.get(name) for name in ("ids", "table", "file")}
        return self._writer().submit(lambda: self.release(**chosen))

    def _serve_run(self, _: Reading, __: Mapping[str, Any]) -> Any:
        watcher = self._writer()
        return watcher.submit(watcher.round)

    def _writer(self) -> Watcher:
        """The loop that owns the writer: only its thread may write."""
        if self._watcher is None:
            raise local.locked(self.config.warehouse.path, why="it is busy with something else")
        return self._watcher


def _weakly(method: Handler, path: str) -> Handler:
    reference = weakref.WeakMethod(method)

    def handle(wh: Reading, args: Mapping[str, Any]) -> Any:
        bound = reference()
        if bound is None:
            raise local.locked(path, why="it is about to let go of it")
        return bound(wh, args)

    return handle


def _reading(engine: DuckDB, path: str) -> Warehouse:
    """A warehouse that is only read, and so has to be one already."""
    from strandline.warehouse import Warehouse

    if not engine.rows("SELECT 1 FROM duckdb_schemas() WHERE schema_name = 'strandline'"):
        engine.close()
        raise EngineError(
            "this database is no warehouse", where=path, hint="open it once for writing, or correct the path."
        )
    return Warehouse(engine, read_only=True)


def _writing(engine: DuckDB, path: str, role: str, more: Mapping[str, Handler] | None) -> Warehouse:
    """A warehouse that is written and answers other processes' readers, as long as its path is claimed."""
    from strandline.warehouse import Warehouse

    local.announce(path, role)
    serving = contextlib.ExitStack()
    warehouse = Warehouse(engine, on_close=serving.close)
    local.opened(path, warehouse)
    serving.callback(local.released, path)
    serving.callback(local.withdraw, path)  # before the path is free: the next note is not this one's
    _serve(serving, warehouse, path, more)
    # A warehouse that is dropped without being closed must not be held by its own server.
    weakref.finalize(warehouse, serving.close)
    return warehouse


def _connect(path: str, settings: Mapping[str, Any], patience: float) -> DuckDB:
    from strandline.engines.duckdb import connect

    deadline = time.monotonic() + patience
    while True:
        try:
            return connect(path, **settings)
        except LockedError as error:
            holder = local.holder_of(path)
            lasting = holder is not None and holder.role in LASTING_ROLES and holder.alive
            if lasting or time.monotonic() >= deadline:
                raise local.locked(path, error) from error
        time.sleep(0.05)


def _serve(
    serving: contextlib.ExitStack, warehouse: Warehouse, path: str, more: Mapping[str, Handler] | None
) -> None:
    # Cursors are made from one of their own: the writer's connection belongs to the writer's thread.
    spare = warehouse.reader()
    serving.callback(spare.close)

    @contextlib.contextmanager
    def cursor() -> Iterator[Reading]:
        # One turn, so that what belongs together (a model and its recompute) is of one moment.
        with contextlib.closing(spare.reader()) as reader, reader.turn.taken("answering"):
            yield reader

    serving.enter_context(LocalServer(path, cursor, more))


def _explain_new(tables: Mapping[str, Schema], models: Sequence[ModelSettings]) -> dict[str, Any]:
    """How models would be kept, found by creating them over empty tables in memory."""
    with open_warehouse(":memory:") as scratch:
        for name, schema in tables.items():
            scratch.create_table(name, schema.columns, schema.key or None, append_only=schema.append_only)
        for model in models:
            with runner.in_file(model):
                scratch.create_model(model.name, model.definition, strict=model.strict)
        return {model.name: scratch.explain(model.name) for model in models}
