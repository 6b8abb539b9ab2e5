"""Every case file under tests/slt/cases (and STRANDLINE_SLT, a folder of your own)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fuzz.coverage import Tally
from fuzz.ways import any_way
from slt_run import Case, CaseError

from strandline.compiler import suffix
from strandline.warehouse import keeping
from strandline.warehouse.costs import Choice

CASES = Path(__file__).parent / "cases"


def files() -> list[Path]:
    folders = [CASES, *(Path(p) for p in [os.environ.get("STRANDLINE_SLT", "")] if p)]
    return sorted(path for folder in folders for path in folder.rglob("*.slt"))


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_case_file(path: Path) -> None:
    case = Case(path)
    case.run()
    folder = os.environ.get("STRANDLINE_COVERAGE")
    if folder:
        tally = Tally()
        tally.add_file(case.queries)
        tally.save(Path(folder) / f"slt-{path.stem}.json")


@pytest.mark.parametrize(
    "path", [p for p in files() if " OVER " in p.read_text()], ids=lambda path: path.stem
)
def test_long_partitions_are_kept_alike(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every partition is taken for a long one, and no model is filled anew."""
    monkeypatch.setattr(suffix, "LONG", 0)
    monkeypatch.setattr(keeping, "cheapest", lambda *_: Choice("refresh"))
    Case(path).run()


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_models_go_plain_and_back_alike(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every refresh a model is refreshed, filled anew or kept plain, by the draw."""
    monkeypatch.setattr(keeping, "cheapest", any_way(len(path.stem)))
    monkeypatch.setattr(Case, "do_strategy", lambda *_: None)
    Case(path).run()


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "case.slt"
    path.write_text(text)
    return path


def test_a_wrong_expectation_is_found(tmp_path: Path) -> None:
    text = "table t (a INTEGER)\n\nmodel m\nSELECT a FROM t\n\napply t\n+ 1\n\nrefresh\n\n"
    text += "query I\nFROM m\n----\n2\n"
    with pytest.raises(CaseError, match=r"case.slt:11: got \[\['1'\]\], want \[\['2'\]\]"):
        Case(written(tmp_path, text)).run()


def test_an_unknown_record_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 1: unknown record 'refrsh'"):
        Case(written(tmp_path, "refrsh\n")).run()
