"""Archives read on from a block inside of them: the rows of a whole reading, or a whole reading."""

from __future__ import annotations

import json
import os
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import strandline as sl
from strandline.schema import Run
from strandline.sources import inflate, resume
from strandline.sources.archives import opened as opened_archive
from strandline.sources.chain import PIECE, Running
from strandline.sources.inflate import Inflated

pytestmark = pytest.mark.skipif(not inflate.available(), reason="libz cannot be called here")

TOML = """
[warehouse]
path = ":memory:"

[sources.sales]
kind = "files"
path = "in"
cumulative = true
settle_seconds = 0

[sources.sales.columns]
id = "INTEGER"
word = "VARCHAR"
"""
HEADER = "id,word\n"
Pack = Callable[[str], bytes]


def lines(first: int, stop: int) -> str:
    """Rows of words that compress badly: a block of the archive holds a few thousand of them."""
    words = random.Random(first)
    return "".join(f"{i},{words.getrandbits(64):x}\n" for i in range(first, stop))


BASE = HEADER + lines(0, 20_000)
MORE = BASE + lines(20_000, 22_000)


def zipped(text: str, level: int = 6, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    from io import BytesIO

    made = BytesIO()
    with zipfile.ZipFile(made, "w", method, compresslevel=level) as archive:
        archive.writestr("sales.csv", text)
    return made.getvalue()


def of_member(text: str, packed: bytes) -> bytes:
    """A zip around a deflate stream made elsewhere."""
    name, raw = b"sales.csv", text.encode()
    fixed = struct.pack(
        "<HHHHHLLLHH", 20, 0, 8, 0, 0x5B41, zlib.crc32(raw), len(packed), len(raw), len(name), 0
    )
    local = b"PK\x03\x04" + fixed + name + packed
    entry = b"PK\x01\x02" + struct.pack("<H", 20) + fixed + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + name
    return local + entry + b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 1, 1, len(entry), len(local), 0)


class Project:
    """A project whose archives come one by one; `starts` are where each reading of one began."""

    def __init__(self, pipeline: sl.Pipeline, starts: list[int]) -> None:
        self.pipeline, self.starts, self._clock = pipeline, starts, 1_700_000_000

    @property
    def folder(self) -> Path:
        return self.pipeline.config.directory / "in"

    def drop(self, name: str, archive: bytes) -> Run:
        self.starts.clear()
        self._clock += 1
        (self.folder / name).write_bytes(archive)
        os.utime(self.folder / name, (self._clock, self._clock))
        return self.pipeline.run()

    def rows(self) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = self.pipeline.warehouse.sql("FROM sales ORDER BY ALL").rows()
        return found

    def content(self, name: str) -> dict[str, Any]:
        wanted = f"SELECT content FROM strandline.files WHERE path = '{name}' ORDER BY file_id DESC"
        found: dict[str, Any] = json.loads(self.pipeline.warehouse.sql(wanted).rows()[0][0])
        return found

    def spoil(self, name: str, **changed: Any) -> None:
        content = self.content(name)
        content["resume"] |= changed
        self.pipeline.warehouse.engine.execute(
            "UPDATE strandline.files SET content = ? WHERE path = ?", [json.dumps(content), name]
        )


@contextmanager
def made_in(folder: Path, starts: list[int]) -> Iterator[Project]:
    (folder / "in").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "strandline.toml").write_text(TOML)
    with sl.Pipeline.load(folder) as loaded:
        yield Project(loaded, starts)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    starts: list[int] = []
    plain = resume.opened

    @contextmanager
    def watched(path: Path, compression: Any, start: Any) -> Iterator[resume.Opened]:
        starts.append(start.place.size if start else 0)
        with plain(path, compression, start) as found:
            yield found

    monkeypatch.setattr(resume, "opened", watched)
    with made_in(tmp_path / "project", starts) as made:
        yield made


def expected(text: str) -> list[tuple[int, str]]:
    return sorted((int(i), word) for i, word in (line.split(",") for line in text.splitlines()[1:]))


def read_on(project: Project) -> bool:
    """Whether the last archive was read once, and not from its beginning."""
    return len(project.starts) == 1 and project.starts[0] > len(BASE) // 2


def test_archives_made_anew_share_their_beginning(project: Project) -> None:
    project.drop("1.zip", zipped(BASE))
    assert project.starts == [0]
    run = project.drop("2.zip", zipped(MORE))
    assert read_on(project)
    assert [f.rows for f in run.files] == [2_000]
    run = project.drop("3.zip", zipped(MORE + "-1,last\n"))
    assert read_on(project)
    assert project.starts[0] > len(BASE)
    assert project.rows() == expected(MORE + "-1,last\n")


def test_only_the_newest_file_has_a_place(project: Project) -> None:
    project.drop("1.zip", zipped(BASE))
    assert len(json.dumps(project.content("1.zip"))) < 50_000
    project.drop("2.zip", zipped(MORE))
    assert "resume" not in project.content("1.zip")
    assert "resume" in project.content("2.zip")
    project.drop("old.zip", zipped(BASE, level=1))  # an older state, which says nothing new
    assert "resume" not in project.content("2.zip")
    project.drop("3.zip", zipped(MORE + "-1,last\n"))
    assert read_on(project)
    assert project.rows() == expected(MORE + "-1,last\n")


def test_lines_and_refused_rows_are_those_of_a_whole_reading(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.drop("1.zip", zipped(BASE))
    text = BASE + '30000,x\nbroken\n30001,"two\nlines"\n\n30002,y,z\nx,y\n'
    project.drop("2.zip", zipped(text))
    assert read_on(project)
    refused = "SELECT file, line, reason, raw FROM strandline.quarantine ORDER BY line"
    numbered = 'SELECT id, word, _line FROM strandline_data."sales" ORDER BY ALL'
    both = [project.pipeline.warehouse.sql(q).rows() for q in (refused, numbered)]
    assert [line for _, line, *_ in both[0]] == [20_003, 20_007, 20_008]
    project.pipeline.close()
    monkeypatch.setattr(inflate, "available", lambda: False)
    with sl.Pipeline.load(project.pipeline.config.directory) as again:
        again.run()
        assert [again.warehouse.sql(q).rows() for q in (refused, numbered)] == both


@pytest.mark.parametrize("where", [0.01, 0.5, 0.98])
def test_a_changed_byte_of_the_beginning_is_noticed(project: Project, where: float) -> None:
    project.drop("1.zip", zipped(BASE))
    at = BASE.index("\n", int(len(BASE) * where)) - 1
    changed = BASE[:at] + ("0" if BASE[at] != "0" else "1") + MORE[at + 1 :]
    run = project.drop("2.zip", zipped(changed))
    assert project.starts[-1] == 0
    assert (run.tables[0].inserted, run.tables[0].deleted) == (2_001, 1)
    assert project.rows() == expected(changed)


def test_a_changed_beginning_behind_the_same_blocks(project: Project) -> None:
    """Stored blocks: the change moves nothing, and what follows it inflates to the same bytes."""
    packed = stored(BASE)
    project.drop("1.zip", of_member(BASE, packed + last(b"")))
    at = BASE.index("\n", 50_000) - 1
    changed = BASE[:at] + ("0" if BASE[at] != "0" else "1") + BASE[at + 1 :]
    text = changed + "-1,new\n"
    run = project.drop("2.zip", of_member(text, stored(changed) + last(b"-1,new\n")))
    assert project.starts[0] > 0
    assert project.starts[-1] == 0
    assert (run.tables[0].inserted, run.tables[0].deleted) == (2, 1)
    assert project.rows() == expected(text)


def stored(text: str) -> bytes:
    """Deflate blocks that hold their bytes as they are, none of them the last."""
    raw = text.encode()
    parts = [raw[i : i + 60_000] for i in range(0, len(raw), 60_000)]
    return b"".join(b"\x00" + struct.pack("<HH", len(p), len(p) ^ 0xFFFF) + p for p in parts)


def last(part: bytes) -> bytes:
    return b"\x01" + struct.pack("<HH", len(part), len(part) ^ 0xFFFF) + part


def test_a_writer_that_flushes_ends_a_block_with_the_known_bytes(project: Project) -> None:
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed, text = b"", ""
    for part in (BASE, "-1,a\n", "-2,b\n"):
        text += part
        packed += deflate.compress(part.encode()) + deflate.flush(zlib.Z_SYNC_FLUSH)
        project.drop(f"{len(text)}.zip", of_member(text, packed + deflate.copy().flush()))
    assert read_on(project)
    assert project.rows() == expected(text)


def test_another_level_or_method_is_read_from_its_beginning(project: Project) -> None:
    project.drop("1.zip", zipped(BASE))
    run = project.drop("2.zip", zipped(MORE, level=1))
    assert project.starts[-1] == 0
    assert [f.rows for f in run.files] == [2_000]
    run = project.drop("3.zip", zipped(MORE + "-1,a\n", method=zipfile.ZIP_STORED))
    assert [f.rows for f in run.files] == [1]
    assert "resume" not in project.content("3.zip")
    run = project.drop("4.zip", zipped(MORE + "-1,a\n-2,b\n"))
    assert project.starts == [0]
    run = project.drop("5.zip", zlib_gzip(MORE + "-1,a\n-2,b\n-3,c\n"))
    assert [f.rows for f in run.files] == [1]
    assert project.rows() == expected(MORE + "-1,a\n-2,b\n-3,c\n")


def zlib_gzip(text: str) -> bytes:
    import gzip

    return gzip.compress(text.encode())


def test_a_shorter_archive_is_read_from_its_beginning(project: Project) -> None:
    project.drop("1.zip", zipped(MORE))
    project.drop("2.zip", zipped(BASE[: len(BASE) // 2].rpartition("\n")[0] + "\n"))
    assert project.starts[-1] == 0
    assert project.rows() == expected(BASE[: len(BASE) // 2].rpartition("\n")[0])


@pytest.mark.parametrize(
    "changed",
    [
        {"window": "AAAA"},
        {"window": None},
        {"packed": 10**9},
        {"packed": 5},
        {"bits": 9},
        {"crc": 1},
        {"before": "00" * 32},
        {"prefix": ""},
        {"size": 40_000},
    ],
    ids=lambda c: "-".join(f"{k}={v}"[:12] for k, v in c.items()),
)
def test_what_is_spoiled_in_the_ledger_is_not_trusted(project: Project, changed: dict[str, Any]) -> None:
    project.drop("1.zip", zipped(BASE))
    project.spoil("1.zip", **changed)
    run = project.drop("2.zip", zipped(MORE))
    assert project.starts[-1] == 0
    assert [f.rows for f in run.files] == [2_000]
    assert project.rows() == expected(MORE)


def test_a_spoiled_window_is_not_trusted(project: Project) -> None:
    import base64

    project.drop("1.zip", zipped(BASE))
    window = bytearray(zlib.decompress(base64.b64decode(project.content("1.zip")["resume"]["window"])))
    window[0] ^= 1
    project.spoil("1.zip", window=base64.b64encode(zlib.compress(bytes(window))).decode())
    project.drop("2.zip", zipped(MORE))
    assert project.starts[-1] == 0
    assert project.rows() == expected(MORE)


def test_without_libz_all_is_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.drop("1.zip", zipped(BASE))
    with monkeypatch.context() as without:
        without.setattr(inflate, "available", lambda: False)
        run = project.drop("2.zip", zipped(MORE))
        assert [f.rows for f in run.files] == [2_000]
        assert "resume" not in project.content("2.zip")
    project.drop("3.zip", zipped(MORE + "-1,last\n"))
    assert project.starts == [0]
    assert project.rows() == expected(MORE + "-1,last\n")


def _cut(archive: bytes) -> bytes:
    return archive[:-40]


def _garbage(archive: bytes) -> bytes:
    return archive + b"garbage" * 10


def _end_damaged(archive: bytes) -> bytes:
    at = archive.index(b"PK\x01\x02") - 40
    return archive[:at] + bytes([archive[at] ^ 0x55]) + archive[at + 1 :]


def _start_damaged(archive: bytes) -> bytes:
    at = len(archive) // 3
    return archive[:at] + bytes([archive[at] ^ 0x55]) + archive[at + 1 :]


def _other_crc(archive: bytes) -> bytes:
    at = archive.index(b"PK\x01\x02") + 16
    return archive[:at] + b"\0\0\0\0" + archive[at + 4 :]


def _longer_than_said(archive: bytes) -> bytes:
    at = archive.index(b"PK\x01\x02") + 24
    return archive[:at] + struct.pack("<L", len(MORE) - 1) + archive[at + 4 :]


def _two_members(archive: bytes) -> bytes:
    from io import BytesIO

    made = BytesIO(archive)
    with zipfile.ZipFile(made, "a") as twice:
        twice.writestr("b.csv", HEADER)
    return made.getvalue()


def _not_utf8(_: bytes) -> bytes:
    raw = MORE.encode() + b"-1,caf\xe9\n"
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = deflate.compress(raw) + deflate.flush()
    archive = of_member("x" * len(raw), packed)
    return archive.replace(struct.pack("<L", zlib.crc32(b"x" * len(raw))), struct.pack("<L", zlib.crc32(raw)))


@pytest.mark.parametrize(
    "damage",
    [
        _cut, _garbage, _end_damaged, _start_damaged, _other_crc, _longer_than_said, _two_members, _not_utf8,
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_as_ever(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    said = _said(project, damage)
    monkeypatch.setattr(inflate, "available", lambda: False)
    with made_in(tmp_path / "whole", []) as other:
        assert _said(other, damage) == said
    assert damage is _garbage or said[1]


def _said(project: Project, damage: Callable[[bytes], bytes]) -> tuple[object, ...]:
    """What becomes of a good archive and a bad one behind it: statuses, quarantine, rows."""
    project.drop("good.zip", zipped(BASE))
    run = project.drop("bad.zip", damage(zipped(MORE)))
    held = "SELECT file, line, reason, raw FROM strandline.quarantine ORDER BY ALL"
    files = [(f.status, f.rows, f.rejected) for f in run.files]
    return files, project.pipeline.warehouse.sql(held).rows(), project.rows()


def test_every_place_leads_to_the_same_end(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(MORE))
    places = []

    def noted(raw: Any, member: zipfile.ZipInfo) -> Inflated:
        found = Inflated(raw, member)
        plain = found._remember

        def remember() -> None:
            plain()
            places.append(found.place)

        found._remember = remember  # type: ignore[method-assign]
        return found

    with opened_archive(path, "zip", noted) as stream:
        while stream.read(10_007):
            pass
    assert len(places) > 3
    for place in places:
        assert place is not None
        with opened_archive(path, "zip", lambda r, m, at=place: Inflated(r, m, at)) as stream:
            rest = b"".join(iter(lambda: stream.read(1 << 16), b""))
        assert rest == MORE.encode()[place.size :]


@pytest.mark.parametrize("at", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7])
@pytest.mark.parametrize("cut", [1, 1000, PIECE, 3 * PIECE + 1])
def test_the_hash_depends_on_the_bytes_alone(at: int, cut: int) -> None:
    data = random.Random(1).randbytes(5 * PIECE + 3) if cut > 1 else bytes(3 * PIECE + 99)
    step = cut if cut > 1 else PIECE // 7
    with Running() as whole:
        whole.update(data, at)
    with Running() as parts:
        for begin in range(0, len(data), step):
            parts.update(data[begin : begin + step], at if begin <= at <= begin + step else None)
    assert whole.hexdigest() == parts.hexdigest()
    assert whole.marked() == parts.marked()
    with Running(at, whole.marked(), data[at - at % PIECE : at]) as resumed:
        resumed.update(data[at:])
    assert resumed.hexdigest() == whole.hexdigest()
