"""What the files say: nothing of the machine they were written on, and links that lead somewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from strandline.record import queries

ROOT = Path(__file__).parents[2]
# Absolute paths of somebody's own machine; the rest of the file system is everybody's.
PRIVATE = re.compile(r"(?<![\w.:/-])/(?:home|root|Users|work|workspace)/\w")
UPWARDS = re.compile(r"(?<![\w./])(?:\.\./)+[\w.-]+")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".sql", ".slt", ".plan", ".html", ".svg", ".txt", ".json", ""}


def tracked() -> list[Path]:
    """The text files git knows; every file of those folders where there is no git."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = done.stdout.split("\0") if done.returncode == 0 else []
    paths = [ROOT / name for name in names if name] or sorted(ROOT.glob("src/**/*"))
    return [path for path in paths if path.is_file() and path.suffix in TEXT and path != Path(__file__)]


FILES = tracked()
MARKDOWN = [path for path in FILES if path.suffix == ".md"]


def lines_with(pattern: re.Pattern[str], path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    return [
        f"{path.relative_to(ROOT)}:{n}: {line.strip()[:120]}"
        for n, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_path_of_a_private_machine() -> None:
    assert not (found := [line for path in FILES for line in lines_with(PRIVATE, path)]), "\n".join(found)


def test_no_path_leads_out_of_the_repository() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match}"
        for path in FILES
        if path.suffix in {".md", ".py", ".toml", ""}
        for match in UPWARDS.findall(path.read_text(encoding="utf-8", errors="replace"))
        if not (path.parent / match).resolve().is_relative_to(ROOT) or not (path.parent / match).exists()
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    targets = [t for t in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in t]
    gone = [t for t in targets if not t.startswith("#") and not (path.parent / t.split("#")[0]).exists()]
    assert not gone


def test_every_statement_of_the_record_is_used() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert not [name for name in queries() if f'"{name}"' not in text]


def test_the_changelog_has_an_entry_for_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[Unreleased\]|^## \[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)
