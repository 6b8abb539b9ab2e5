"""The pages leave nothing out: every command, option, setting, error and public method is named."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

import strandline as sl
from strandline import errors
from strandline.cli.commands import app, quarantine
from strandline.project import SOURCE_KINDS, ModelSettings, WarehouseSettings

DOCS = Path(__file__).parents[2] / "docs"
EVERYWHERE = {"--json", "--project", "--help", "--version", "--directory"}


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def public(cls: type) -> list[str]:
    return [name for name, _ in inspect.getmembers(cls) if not name.startswith("_")]


def test_every_command_is_named() -> None:
    names = [n for n in app if not n.startswith("-")] + [f"quarantine {n}" for n in quarantine if n[0] != "-"]
    found = re.findall(r"^\| `([a-z ]+)", page("cli.md"), re.MULTILINE)
    assert {n for n in names if n != "quarantine"} == {f.strip() for f in found}


@pytest.mark.parametrize("command", sorted(n for n in app if not n.startswith("-")))
def test_every_option_is_named(command: str) -> None:
    arguments = app[command].assemble_argument_collection() if command != "quarantine" else []
    options = {name for a in arguments for name in a.names if name.startswith("--")} - EVERYWHERE
    text = page("cli.md")
    assert not {o for o in options if o not in text and not o.startswith("--no-")}


def test_every_setting_is_named() -> None:
    wanted = {name for kind in SOURCE_KINDS.values() for name in kind}
    wanted |= {f.name for f in fields(WarehouseSettings)}
    wanted |= {f.name for f in fields(ModelSettings)} - {"name", "sql", "file", "uses", "function"}
    text = page("project.md")
    assert not {name for name in wanted if f"`{name}`" not in text}


def test_every_error_is_named() -> None:
    found = [n for n, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, Exception)]
    text = page("errors.md")
    assert not [name for name in found if f"`{name}`" not in text]


@pytest.mark.parametrize("cls", [sl.Warehouse, sl.Pipeline, sl.Parity, sl.Run], ids=lambda c: c.__name__)
def test_every_public_method_is_named(cls: type) -> None:
    text = page("python-api.md")
    # `engine` is for those who write engines, `held` for the package's own modules; `sample` is filled
    # by a parity that does not hold.
    missing = [name for name in public(cls) if not re.search(rf"\b{name}\b", text)]
    assert set(missing) <= {"engine", "held", "read_only", "sample"}
