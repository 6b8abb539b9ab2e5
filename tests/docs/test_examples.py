"""The examples of README.md and docs/ run, and print what the page says they print.

A page's blocks run in order, in one empty folder. ```python blocks share their names; a ```text block
right after one is what it prints. A block whose fence says `file=NAME` is written to that file. In
```console blocks the lines after `$ ` are run by sh, and what follows is what they print (to stdout, or
to stderr where that is all); `cd` counts for the rest of the page. `…` alone on a line stands for any
lines; times, sizes and ids may differ. A block whose fence says `skip` is left alone.

`make examples` writes what they print now into the pages; read the difference before you commit it.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
REWRITE = "REWRITE_EXAMPLES" in os.environ
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
    """The blocks to run; a `text` block directly after a `python` one becomes its expected output.

    For a file `expected` is its name.
    """
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
        elif file := re.search(r"file=(\S+)", info):
            found.append(Block("file", body, line, file[1]))
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


@dataclass(frozen=True)
class Place:
    """Where on which page something is said."""

    page: Path
    line: int

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def compare(self, before: str, shown: str, got: str) -> None:
        """Fail, or rewrite the page, where what stands after `before` is not what was printed."""
        if same(normal(shown), normal(got)):
            return
        if not REWRITE:
            pytest.fail(f"{self} prints something else\n--- the page\n{shown}\n--- the program\n{got}")
        text = self.page.read_text(encoding="utf-8")
        tidy = "\n".join(line.rstrip() for line in got.strip("\n").splitlines()) + "\n"
        self.page.write_text(text.replace(before + shown, before + tidy, 1), encoding="utf-8")


def run_python(block: Block, names: dict[str, Any], place: Place) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, str(place), "exec"), names)
    if block.expected is not None:
        place.compare("```text\n", block.expected, printed.getvalue())


def commands(block: Block) -> list[tuple[str, str]]:
    """(command, what it prints) of a console block."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    pairs = (part.partition("\n") for part in parts if part.strip())
    return [(command, shown) for command, _, shown in pairs]


def run_console(block: Block, folder: Path, place: Place) -> Path:
    """The folder that the commands end in."""
    environment = {
        **os.environ,
        "PATH": f"{shim()}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "110",
        "NO_COLOR": "1",
        "TERM": "dumb",
    }
    for line, shown in commands(block):
        command, _, code = line.partition("  # exit ")
        if command.startswith("cd "):
            folder = folder / command[3:]
            continue
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
        assert done.returncode == int(code or 0), f"{place}: {command}\n{done.stdout}{done.stderr}"
        if shown.strip():
            place.compare(f"$ {line}\n", shown, done.stdout or done.stderr)
    return folder


def write_file(file: Path, text: str) -> None:
    """Written a second ago, so that nobody takes it for a file that is still being written."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    os.utime(file, (time.time() - 1,) * 2)


@functools.cache
def shim() -> Path:
    """A folder with a `strandline` and a `python` that are this interpreter with this source."""
    folder = Path(tempfile.mkdtemp(prefix="strandline-docs-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, words in (("strandline", "-m strandline"), ("python", "")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    folder = tmp_path
    names: dict[str, Any] = {"__name__": "__page__"}
    for block in blocks(page):
        place = Place(page, block.line)
        if block.language == "python":
            run_python(block, names, place)
        elif block.language == "file":
            write_file(folder / (block.expected or ""), block.text)
        else:
            folder = run_console(block, folder, place)
    for value in names.values():
        if hasattr(value, "verify") and hasattr(value, "close"):
            value.close()
