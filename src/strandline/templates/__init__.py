"""Project templates: each is a folder here that `strandline init` copies as it stands.

from strandline.templates import init_project

init_project("shipments", Path("my-shipments"))     # the files written, relative to the folder
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from strandline.errors import UnknownNameError, UsageError, nearest
from strandline.project import load_project

DEMO_MARK = ".strandline-demo"
"""A file that tells a demo's folder from anything else."""
_HERE = Path(__file__).parent
_LEFT_OUT = {"__init__.py", "__pycache__"}


def template_names() -> tuple[str, ...]:
    """The templates there are, by name."""
    return tuple(sorted(p.parent.name for p in _HERE.glob("*/strandline.toml")))


def template_folder(name: str) -> Path:
    """Where a template's files lie. Raises UnknownNameError naming the nearest one."""
    if name not in template_names():
        raise UnknownNameError(
            f"there is no template {name!r}; {nearest(name, template_names())}",
            hint="run `strandline init --help` to see the templates.",
        )
    return _HERE / name


def describe(name: str) -> str:
    """A template's one line: the first sentence of its README."""
    lines = (template_folder(name) / "README.md").read_text(encoding="utf-8").splitlines()
    text = " ".join(line for line in lines[1:8] if line.strip())
    return re.split(r"(?<=[.])\s", text, maxsplit=1)[0]


def init_project(template: str, directory: Path, *, force: bool = False) -> list[Path]:
    """Copy a template into a folder and make its landing folders; returns the files written, relative to it.

    What the folder already holds is never overwritten, unless `force` says so. Raises
    UnknownNameError (no such template) or UsageError (a file is in the way); then nothing is written.
    """
    source = template_folder(template)
    files = list(_files(source))
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file, not a folder", hint="name another folder.")
    taken = [str(f) for f in files if (directory / f).exists()]
    if taken and not force:
        raise UsageError(
            f"the folder already holds {', '.join(taken[:3])}{' and more' if len(taken) > 3 else ''}",
            where=str(directory),
            hint="name an empty folder, or add --force to overwrite these files.",
        )
    for file in files:
        target = directory / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((source / file).read_bytes())
    for feed in load_project(directory).sources.values():
        (directory / feed.options["path"]).mkdir(parents=True, exist_ok=True)
    return files


def make_room(folder: Path) -> None:
    """Make room for a demo: an earlier one goes, anything else stays. Raises UsageError."""
    if folder.is_dir() and (folder / DEMO_MARK).exists():
        shutil.rmtree(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            "the demo needs a folder of its own, and this one holds something else",
            where=str(folder),
            hint="name another one with --dir.",
        )


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in place.parts[:-1])
        if path.is_file() and not hidden and not _LEFT_OUT & set(place.parts):
            yield place
