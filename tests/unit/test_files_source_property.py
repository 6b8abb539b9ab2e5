"""Random files with random damage: every physical record is either a row or a reject, none is lost."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
from fake_landing import Landing
from hypothesis import given, settings
from hypothesis import strategies as st

from strandline.sources import jsonl, records
from strandline.sources.records import Shape

# Words begin and end with a letter, so that an open quote of a bad line can not pair up with theirs.
WORD = st.from_regex(r"[a-zé]([a-z ,;'\"\r\n€]{0,6}[a-z])?", fullmatch=True)
NAME = st.one_of(st.none(), st.just(""), WORD)


@dataclass(frozen=True)
class Line:
    """One record as bytes; `row` is what it says, None where it has to be refused."""

    raw: bytes
    row: tuple[int, str | None] | None


def quoted(value: str | None, always: bool) -> str:
    if value is None:
        return ""
    if always or not value or set(value) & set('",\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return value


@st.composite
def good(draw: st.DrawFn) -> Line:
    number, name, always = draw(st.integers(0, 99)), draw(NAME), draw(st.booleans())
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return Line(f"{quoted(str(number), always)},{quoted(name, always)},x{end}".encode(), (number, name))


@st.composite
def inch(draw: st.DrawFn) -> Line:
    """A quote inside of an unquoted field is text (at its end it might close one opened a line before)."""
    number, name = draw(st.integers(0, 99)), draw(st.sampled_from(['5" pipe', 'a""b', "a\rb"]))
    return Line(f"{number},{name},x\n".encode(), (number, name))


BAD = st.sampled_from(
    [
        b"7,half\n",
        b"7\n",
        b"7,a,x,x\n",
        b"z,a,x\n",
        b",a,x\n",
        b'7,"open,x\n',
        b'"7\n',
        b'7,"a"b,x\n',
        b"7,\xff,x\n",
        b"7,a\0,x\n",
        b'7,"\xff",x\r\n',
        b'7,"a" ,x\n',
        b'7,"two\nlines",x,x\n',
    ],
).map(lambda raw: Line(raw, None))
BLANK = st.sampled_from([b"\n", b"\r\n"]).map(lambda raw: Line(raw, None))
CSV = st.lists(st.one_of(good(), good(), good(), inch(), BAD, BLANK), max_size=30)


def expectation(lines: list[Line], first: int) -> tuple[list[tuple[int, str | None]], list[int], list[int]]:
    rows, places, refused, at = [], [], [], first
    for line in lines:
        if line.row is not None:
            rows.append(line.row)
            places.append(at)
        elif line.raw.strip():
            refused.append(at)
        at += line.raw.count(b"\n")
    return rows, places, refused


@settings(deadline=None, max_examples=100)
@given(lines=CSV, careful=st.integers(1, 200), ended=st.booleans())
def test_every_csv_record_is_a_row_or_a_reject(lines: list[Line], careful: int, ended: bool) -> None:
    # Three good rows first: without any, the file would be refused as a whole.
    lines = [Line(b"1,a,x\n", (1, "a"))] * 3 + lines
    data = b"id,name,note\n" + b"".join(line.raw for line in lines)
    if not ended and lines[-1].row is not None:
        data = data.removesuffix(b"\n").removesuffix(b"\r")
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(records, "_CAREFUL", careful):
        taken = Landing(Path(folder), "id INTEGER, name VARCHAR, note VARCHAR", "id").take("a.csv", data)
    rows, places, refused = expectation(lines, first=2)
    assert [row[:2] for row in taken.rows] == rows
    assert taken.lines == places
    assert taken.refused_lines == refused


@settings(deadline=None, max_examples=100)
@given(lines=CSV, data=st.data())
def test_blocks_may_end_anywhere(lines: list[Line], data: st.DataObject) -> None:
    whole = b"".join(line.raw for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert found(parts) == found([whole])


def found(parts: list[bytes]) -> tuple[list[tuple[int, str]], list[tuple[int, str, str]], list[bytes]]:
    """Lines and texts of the records, the rejects, and the strict text, wherever blocks end."""
    cut = list(records.records(parts, Shape(b",", 3), 1))
    good = [(int(part.lines[i]), part.text(i)) for part in cut for i in range(len(part.lines))]
    rejects = sorted(reject for part in cut for reject in part.rejects)
    return good, rejects, b"".join(part.data for part in cut).split()


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_are_cut_without_an_error(data: bytes) -> None:
    for part in records.records([data], Shape(b",", 2), 1):
        assert len(part.lines) == len(part.starts) == len(part.ends)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.sampled_from([b",", b'"', b"\n", b"\r", b"a", b"\xff", b"\0", b"1"]), max_size=60).map(
        b"".join
    )
)
def test_any_text_of_syntax_is_read_without_an_error(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        taken = Landing(Path(folder), "id VARCHAR, name VARCHAR", "").take("a.csv", b"id,name\n1,a\n" + data)
    physical = data.count(b"\n") + 3
    assert all(1 < line <= physical for line in [*taken.lines, *taken.refused_lines])


JSON_GOOD = st.builds(
    lambda number, name: Line(json.dumps({"id": number, "name": name}).encode() + b"\n", (number, name)),
    st.integers(0, 99),
    st.one_of(st.none(), st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=5)),
)
JSON_BAD = st.sampled_from(
    [
        b"{\n",
        b"}\n",
        b'{"id":1}}\n',
        b'{"id":1}{"id":2}\n',
        b'{"id":"x"}\n',
        b'{"name":"a"}\n',
        b"[1]\n",
        b"1\n",
        b'{"id":1,"id":2}\n',
        b'{"id":\xff}\n',
        b'{"id":1,\n"name":2}\n',
        b'{"id":1.5}\n',
        b'{"id":1,"name":[]}\n',
        b'{"a":{"id":1}\n',
        b"\0\n",
        b'{"id":NaN}\n',
    ],
).map(lambda raw: Line(raw, None))


@settings(deadline=None, max_examples=100)
@given(
    lines=st.lists(st.one_of(JSON_GOOD, JSON_GOOD, JSON_BAD, BLANK), max_size=30),
    few=st.integers(1, 8),
    block=st.integers(16, 400),
)
def test_every_json_line_is_a_row_or_a_reject(lines: list[Line], few: int, block: int) -> None:
    lines = [Line(b'{"id":1,"name":"a"}\n', (1, "a"))] * 3 + lines
    data = b"".join(line.raw for line in lines)
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(jsonl, "_FEW", few),
        mock.patch("strandline.sources.jsonscan.block_size", return_value=block),
    ):
        feed = Landing(Path(folder), "id INTEGER, name VARCHAR", "id", new_columns="ignore")
        taken = feed.take("a.jsonl", data)
    rows, places, _ = expectation(lines, first=1)
    assert taken.rows == rows
    assert taken.lines == places
    refused = [at for at, line in enumerate(data.split(b"\n"), 1) if line.strip() and at not in places]
    assert taken.refused_lines == refused


@pytest.mark.parametrize("rows", [1_000_000])
def test_memory_does_not_follow_the_size(tmp_path: Path, rows: int) -> None:
    block = b"".join(b"%d,name %d,2024-01-31T10:11:12Z,12.34\n" % (i, i) for i in range(10_000))
    with (tmp_path / "a.csv").open("wb") as file:
        file.write(b"id,name,at,amount\n")
        for _ in range(rows // 10_000):
            file.write(block)
    assert peak_growth_mb(tmp_path, rows) < 300


MEASURE = """
import resource, sys
from pathlib import Path
import pyarrow.csv, pyarrow.json, pyarrow.parquet
from strandline.schema import Column, Schema
from strandline.sources import formats
from strandline.sources.files import FilesSource
types = {"id": "INTEGER", "name": "VARCHAR", "at": "TIMESTAMP", "amount": "DECIMAL(9,2)"}
columns = tuple(Column(*item) for item in types.items())
source = FilesSource("feed", "t", Path(sys.argv[1]), Schema(columns))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
(file,) = source.discover([], 2**62)
rows = sum(chunk.rows.num_rows for chunk in source.read(file))
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def peak_growth_mb(folder: Path, rows: int) -> float:
    import os
    import subprocess
    import sys

    environment = {**os.environ, "PYTHONPATH": str(Path(records.__file__).parents[2])}
    command = [sys.executable, "-c", MEASURE, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    read, grown = map(int, done.stdout.split())
    assert read == rows
    return grown / (1024 * 1024 if sys.platform == "darwin" else 1024)
