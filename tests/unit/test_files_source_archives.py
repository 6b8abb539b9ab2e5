from __future__ import annotations

import gzip
import io
import os
import zipfile
import zlib
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_landing import Landing

from strandline.sources import archives
from strandline.sources.plan import FileRefusedError

CSV = b"id,name,amount\n" + b"".join(b"%d,n%d,1.50\n" % (i, i) for i in range(1000))
FIRST = (0, "n0", Decimal("1.50"))


@pytest.fixture
def feed(tmp_path: Path) -> Landing:
    return Landing(tmp_path)


def zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


def zipped(*members: tuple[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return sink.getvalue()


def shown(value: object) -> str:
    """The id of a parameter: archives hold the time they were made at, so their bytes are no name."""
    return value if isinstance(value, str) else "bytes"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv.gz", gzip.compress(CSV)),
        ("a.csv", gzip.compress(CSV)),
        ("a.csv.gz", CSV),
        ("a.csv.gz", gzip.compress(CSV[:500]) + gzip.compress(CSV[500:])),
        ("a.csv.zst", zstd(CSV)),
        ("a.csv.zst", zstd(CSV[:500]) + zstd(CSV[500:])),
        ("a.csv.zip", zipped(("a.csv", CSV))),
        ("a.zip", zipped(("folder/b.csv", CSV))),
        ("a.zip", zipped(("folder/", b""), ("b.csv", CSV), ("__MACOSX/._b.csv", b"x"))),
        ("a", gzip.compress(CSV)),
    ],
    ids=shown,
)
def test_compression_is_seen_from_the_first_bytes(feed: Landing, name: str, content: bytes) -> None:
    taken = feed.take(name, content)
    assert taken.rejects == []
    assert taken.rows[0] == FIRST
    assert taken.lines == list(range(2, 1002))


def test_every_format_can_be_compressed(feed: Landing) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": [1]}), sink)
    assert feed.take("a.parquet.zip", zipped(("a.parquet", sink.getvalue()))).rows[0][0] == 1
    assert feed.take("b.zst", zstd(sink.getvalue())).rows[0][0] == 1
    assert feed.take("c.jsonl.gz", gzip.compress(b'{"id":1}\n')).rows[0][0] == 1
    assert feed.take("d.zip", zipped(("x.ndjson", b'{"id":1}\n'))).rows[0][0] == 1


NOISE = gzip.compress(b"id,name,amount\n" + os.urandom(4000).hex().encode())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(CSV)[:-1], "truncated"),
        (gzip.compress(CSV)[:100], "truncated"),
        (gzip.compress(CSV)[:3], "truncated"),
        (NOISE[:1000] + b"\x00\xff" * 9 + NOISE[1018:], "damaged"),
        (gzip.compress(CSV) + b"garbage", "damaged"),
        (gzip.compress(b""), "empty"),
        (zstd(CSV)[:-1], "damaged"),
        (zstd(CSV)[:20], "damaged"),
        (zstd(CSV) + b"garbage", "damaged"),
        (zipped(("a.csv", CSV))[:-10], "damaged: the directory that a zip ends with is missing"),
        (zipped(("a.csv", CSV))[:50], "so it is cut short"),
        (zipped(), "holds 0 files, expected exactly one"),
        (zipped(("a.csv", CSV), ("b.csv", CSV)), "holds 2 files, expected exactly one: a.csv, b.csv"),
        (zipped(("a.csv", b"")), "empty"),
        (b"BZh91AY&SY" + bytes(50), "bzip2; gzip, zip and zstd are read"),
        (b"\xfd7zXZ\x00" + bytes(50), "xz"),
    ],
    ids=shown,
)
def test_a_broken_archive_is_refused_before_a_row_is_handed_over(
    feed: Landing, content: bytes, reason: str
) -> None:
    feed.write("a.csv.x", content)
    feed.write("good.csv", CSV)
    broken, good = feed.discover()
    assert feed.source.new_columns(broken) == ()
    taken = feed.read(broken)
    assert reason in taken.reason
    assert (taken.rejects[0].file, taken.rejects[0].line, taken.rows) == ("a.csv.x", 0, [])
    assert len(feed.read(good).rows) == 1000


def test_a_zip_that_lies_about_its_content_is_refused(feed: Landing) -> None:
    content = bytearray(zipped(("a.csv", CSV)))
    content[100] ^= 0xFF
    assert "damaged" in feed.take("a.zip", bytes(content)).reason


def test_an_encrypted_zip_is_refused(feed: Landing) -> None:
    content = bytearray(zipped(("a.csv", CSV)))
    central = content.index(b"PK\x01\x02")
    content[central + 8] |= 1
    assert "encrypted" in feed.take("a.zip", bytes(content)).reason


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("size", [7, 4_096, archives.BLOCK])
def test_a_zip_is_read_in_pieces_of_any_size(tmp_path: Path, method: int, size: int) -> None:
    """Of content that packs well, a few packed bytes are more than one piece."""
    content = CSV + b"0" * (60_000 if size == 7 else 5_000_000)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as packed:
        packed.writestr("a.csv", content)
    with archives.opened(path, "zip") as stream:
        pieces = list(iter(lambda: stream.read(size), b""))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= size


def test_a_member_that_is_not_what_was_packed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    whole = zipped(("a.csv", CSV))
    crc = zlib.crc32(CSV).to_bytes(4, "little")
    path.write_bytes(whole.replace(crc, b"\0\0\0\0"))
    with pytest.raises(FileRefusedError, match="not what was packed"):
        archives.check(path, "zip")
