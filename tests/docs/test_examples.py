"""The examples of README.md and docs/ run, and print what the page says they print.

A page's blocks run in order, in one empty folder. ```python blocks share their names; a ```text block
right after one is what it prints. In ```console blocks the lines after `$ ` are run by sh, and what
follows is what they print. `…` alone on a line stands for any lines; times, sizes and ids may differ.
A block whose fence says `skip` is left alone.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARYING = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?"), "<time>"),
    (re.compile(r"\b\d[\d,]*(\.\d+)? ?(ms|µs|s|KiB|MiB|GiB|kB|MB|GB|B)\b"), "<n>"),
    (re.compile(r"\b\d+(\.\d+)?×"), "<n>×"),
    (re.compile(r"[─━-]{3,}"), "---"),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int
    expected: str | None = None


def blocks(page: Path) -> list[Block]:
    """The blocks to run; a `text` block directly after a `python` one becomes its expected output."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    end = 0
    for match in FENCE.finditer(text):
        language, info, body = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        follows = not text[end : match.start()].strip()
        end = match.end()
        if language == "text" and follows and found and found[-1].language == "python":
            found[-1] = Block("python", found[-1].text, found[-1].line, body)
        elif language in {"python", "console"} and "skip" not in info:
            found.append(Block(language, body, line))
    return found


PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if blocks(page)]


def normal(text: str) -> list[str]:
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    return [line.strip() for line in text.strip().splitlines()]


def same(shown: list[str], got: list[str]) -> bool:
    """Line by line; `…` matches any number of lines."""
    if "…" in shown:
        at = shown.index("…")
        head, tail = shown[:at], shown[at + 1 :]
        rest = got[at:]
        return head == got[:at] and any(same(tail, rest[n:]) for n in range(len(rest) + 1))
    return shown == got


def compare(where: str, shown: str, got: str) -> None:
    if not same(normal(shown), normal(got)):
        pytest.fail(f"{where} prints something else\n--- the page\n{shown}\n--- the program\n{got}")


def run_python(block: Block, names: dict[str, Any], where: str) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, where, "exec"), names)
    if block.expected is not None:
        compare(where, block.expected, printed.getvalue())


def commands(block: Block) -> list[tuple[str, str]]:
    """(command, what it prints) of a console block."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    pairs = (part.partition("\n") for part in parts if part.strip())
    return [(command, shown) for command, _, shown in pairs]


def run_console(block: Block, folder: Path, where: str) -> None:
    environment = {
        **os.environ,
        "PATH": f"{folder / '.bin'}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "110",
        "NO_COLOR": "1",
        "TERM": "dumb",
    }
    for line, shown in commands(block):
        command, _, code = line.partition("  # exit ")
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == int(code or 0), f"{where}: {command}\n{printed}"
        if shown.strip():
            compare(f"{where}: {command}", shown, printed)


def shim(folder: Path) -> None:
    """A `strandline` command that runs this interpreter and this source."""
    (folder / ".bin").mkdir()
    command = folder / ".bin" / "strandline"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m strandline "$@"\n', encoding="utf-8")
    command.chmod(0o755)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    shim(tmp_path)
    names: dict[str, Any] = {"__name__": "__page__"}
    for block in blocks(page):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if block.language == "python":
            run_python(block, names, where)
        elif shutil.which("sh"):
            run_console(block, tmp_path, where)
    for value in names.values():
        if hasattr(value, "verify") and hasattr(value, "close"):
            value.close()
