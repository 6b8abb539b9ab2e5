"""Starting costs nothing: the heavy libraries are loaded when they are needed, not before."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import strandline

HEAVY = {"duckdb", "polars", "pyarrow", "pandas", "numpy", "sqlglot", "watchfiles"}


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running the code."""
    return {name.split(".")[0] for name in all_modules_after(code)}


def all_modules_after(code: str) -> set[str]:
    report = "import json, sys; sys.stderr.write(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], check=True, capture_output=True, text=True
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_the_command_starts_light(argument: str) -> None:
    code = (
        f"import sys; sys.argv = ['strandline', {argument!r}]\n"
        "from strandline.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass"
    )
    assert not modules_after(code) & HEAVY


def test_the_package_starts_light() -> None:
    assert not modules_after("import strandline, strandline.errors, strandline.schema") & HEAVY


def test_a_format_is_loaded_with_its_first_file() -> None:
    loaded = all_modules_after("import strandline.sources.formats, strandline.sources.csv")
    assert "pyarrow.csv" in loaded
    assert not loaded & {"pyarrow.parquet", "pyarrow.json"}


def test_the_version_is_printed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "strandline", "--version"], check=True, capture_output=True, text=True
    )
    assert strandline.__version__ in done.stdout


@pytest.mark.parametrize("name", strandline.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(strandline, name) is not None


def test_the_lazy_names_are_the_public_ones() -> None:
    assert sorted({*strandline._LAZY, "__version__"}) == sorted(strandline.__all__) == dir(strandline)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = strandline.nothing
