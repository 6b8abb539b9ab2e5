"""`strandline doctor`: is everything here that a project needs, and if not, what to do.

Nothing is changed; the warehouse is not even opened.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from strandline.errors import StrandlineError
from strandline.local import holder_of, is_file
from strandline.project import Project, load_project
from strandline.units import counted, size

State = Literal["ok", "warning", "failed"]

LIBRARIES = ("duckdb", "sqlglot", "polars", "pyarrow", "watchfiles")
LEAST_PYTHON = (3, 11)
SPARE_BYTES = 2 * 10**9
FEW_WATCHES = 8_192
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_watches")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `next` says what to do where it is not ok."""

    name: str
    state: State
    found: str
    next: str = ""


def examine(directory: Path | None) -> list[Check]:
    """Look at this machine, and at the project in `directory` if there is one."""
    found = [_python(), *_libraries(), _watches()]
    if directory is None:
        return [*found, Check("project", "warning", "no strandline.toml here", "run it inside a project.")]
    try:
        project = load_project(directory)
    except StrandlineError as error:
        where = f"{error.where}: " if error.where else ""
        return [*found, Check("project", "failed", f"{where}{error.message}", error.hint)]
    return [*found, *_project(project)]


def _python() -> Check:
    version = platform.python_version()
    if sys.version_info[:2] < LEAST_PYTHON:
        return Check("Python", "failed", version, "install Python 3.11 or later.")
    return Check("Python", "ok", version)


def _libraries() -> Iterator[Check]:
    for name in LIBRARIES:
        try:
            yield Check(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "failed", "not installed", f"install it: pip install {name}")


def _watches() -> Check:
    if not _INOTIFY.exists():
        return Check("file events", "ok", "the system's own")
    limit = int(_INOTIFY.read_text(encoding="ascii"))
    if limit < FEW_WATCHES:
        raise_it = "raise fs.inotify.max_user_watches; until then `watch` looks every few seconds."
        return Check("file events", "warning", f"only {limit:,} watches a user", raise_it)
    return Check("file events", "ok", f"{limit:,} watches a user")


def _project(project: Project) -> Iterator[Check]:
    models, sources = counted(len(project.models), "model"), counted(len(project.sources), "source")
    yield Check("project", "ok", f"{project.name}: {sources}, {models}")
    for source in project.sources.values():
        path = source.options.get("path")
        if path and not (project.directory / path).is_dir():
            yield Check(f"source {source.name}", "warning", f"{path} is not there", "it may yet come.")
    yield from _warehouse(project)


def _warehouse(project: Project) -> Iterator[Check]:
    path = project.warehouse.path
    if not is_file(path):
        yield Check("warehouse", "ok", path)
        return
    file = Path(path)
    if file.exists():
        holder = holder_of(path)
        held = f", held by {holder}" if holder and holder.alive else ""
        yield Check("warehouse", "ok", f"{file.name}, {size(file.stat().st_size)}{held}")
    else:
        yield Check("warehouse", "warning", f"{file.name} is not there yet", "`strandline run` creates it.")
    place = file.parent if file.parent.is_dir() else project.directory
    free = shutil.disk_usage(place).free
    state: State = "ok" if free >= SPARE_BYTES else "warning"
    yield Check("disk", state, f"{size(free)} free", "" if state == "ok" else "make room before a large run.")
