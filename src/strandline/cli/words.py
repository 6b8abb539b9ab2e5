"""The options that several commands share, and how the project's folder is found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from strandline.errors import ConfigurationError

SETTINGS = "strandline.toml"

ProjectDir = Annotated[
    Path | None,
    Parameter(name=["--project", "-C"], help="The project's folder; else this one or the nearest above."),
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print the result as JSON.")]


def share(_: type, value: float | None) -> None:
    """Cyclopts' way to check a value: a share is more than 0 and at most 1."""
    if value is not None and not 0 < value <= 1:
        raise ValueError("a share is more than 0 and at most 1.")


def project_folder(*given: Path | None) -> Path:
    """The folder that was named, or the nearest one from here upwards with a strandline.toml.

    Raises ConfigurationError where there is none.
    """
    for folder in given:
        if folder is not None:
            return _named(folder)
    found = nearest_project()
    if found is None:
        raise ConfigurationError(
            f"there is no {SETTINGS} here or in any folder above",
            where=str(Path.cwd()),
            hint="`strandline init shipments DIR` makes a project; or name one with --project DIR.",
        )
    return found


def nearest_project() -> Path | None:
    """The nearest folder from here upwards with a strandline.toml."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / SETTINGS).is_file()), None)


def _named(folder: Path) -> Path:
    folder = folder.parent if folder.name == SETTINGS else folder
    if not (folder / SETTINGS).is_file():
        raise ConfigurationError(
            f"there is no {SETTINGS} in this folder" if folder.is_dir() else "there is no such folder",
            where=str(folder),
            hint=f"`strandline init shipments {folder}` makes a project there.",
        )
    return folder
