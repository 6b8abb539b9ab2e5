from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from fake_landing import Landing

from strandline.schema import Column
from strandline.sources import records
from strandline.sources.assemble import whole

HEADER = "id,name,amount\n"


@pytest.fixture
def feed(tmp_path: Path) -> Landing:
    return Landing(tmp_path)


def test_rows_are_typed_and_carry_their_lines(feed: Landing) -> None:
    taken = feed.take("a.csv", HEADER + "1,a,1.50\n2,,\n")
    assert taken.rows == [(1, "a", Decimal("1.50")), (2, None, None)]
    assert taken.lines == [2, 3]
    assert taken.rejects == []
    assert str(taken.chunks[0].rows.schema.field("amount").type) == "decimal128(12, 2)"


@pytest.mark.parametrize(
    "text",
    [
        "id,name,amount\r\n1,a,2\r\n",
        "id,name,amount\n1,a,2",
        "\ufeffid,name,amount\n1,a,2\n",
        '"id","name","amount"\n"1","a","2"\n',
        "id;name;amount\n1;a;2\n",
        "id\tname\tamount\n1\ta\t2\n",
        "id|name|amount\n1|a|2\n",
        "amount,ID, Name \n2,1,a\n",
        "\n\nid,name,amount\n\n1,a,2\n\n\n",
        "id,name,amount\n1,a, 2 \n",
    ],
)
def test_every_dialect_gives_the_same_row(feed: Landing, text: str) -> None:
    taken = feed.take("a.csv", text)
    assert taken.rows == [(1, "a", Decimal(2))]
    assert taken.rejects == []


def test_the_delimiter_that_finds_the_columns_wins(tmp_path: Path) -> None:
    feed = Landing(tmp_path, "a INTEGER, b VARCHAR", "a", new_columns="ignore")
    assert feed.take("x.csv", "a;b;c, d, e, f, g\n1;x;2\n").rows == [(1, "x")]


def test_a_given_delimiter_is_used(tmp_path: Path) -> None:
    assert Landing(tmp_path, delimiter="^").take("a.csv", "id^name^amount\n1^a,b^2\n").rows[0][1] == "a,b"


def test_quoted_fields_keep_their_text_and_lines_count_on(feed: Landing) -> None:
    text = HEADER + '1,"a, ""b""\r\nc\n\nd",1\n2,x,y\n3,"","3"\n'
    taken = feed.take("a.csv", text)
    assert taken.rows == [(1, 'a, "b"\r\nc\n\nd', Decimal(1)), (3, "", Decimal(3))]
    assert taken.lines == [2, 7]
    assert taken.refused_lines == [6]


def test_a_header_over_several_lines(tmp_path: Path) -> None:
    feed = Landing(tmp_path, "id INTEGER", "id", new_columns="ignore")
    taken = feed.take("a.csv", 'id,"two\nlines"\n1,x\nz,x\n')
    assert (taken.lines, taken.refused_lines) == ([3], [4])


def test_empty_text_is_null_and_quoted_empty_text_is_not(tmp_path: Path) -> None:
    text = HEADER + '1,,\n2,"",""\n3,NULL,NULL\n4,"NULL",\n'
    assert [r[1:] for r in Landing(tmp_path, null_values=("NULL",)).take("a.csv", text).rows] == [
        (None, None),
        ("", None),
        (None, None),
        ("NULL", None),
    ]
    kept = Landing(tmp_path, empty_text_is_null=False).take("b.csv", HEADER + "1,,\n")
    assert kept.rows == [(1, "", None)]


def test_header_only_is_no_rows(feed: Landing) -> None:
    assert feed.take("a.csv", HEADER).chunks == []
    assert feed.take("b.csv", HEADER.strip()).chunks == []


def test_no_header(tmp_path: Path) -> None:
    taken = Landing(tmp_path, header=False).take("a.csv", "1,a,2\n2,b\n")
    assert (taken.rows, taken.refused_lines) == ([(1, "a", Decimal(2))], [2])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2,b", "2 of 3 fields"),
        ("2,b,1,", "4 fields, expected 3"),
        ("x,b,1", "column 'id': 'x' is no INTEGER"),
        ("3000000000,b,1", "its range is -2147483648 to 2147483647"),
        ("2,b,1.234", "nothing is rounded"),
        (",b,1", "the key column 'id' is empty"),
        ('"",b,1', "the key column 'id' is empty"),
        ('2,"b', "quoted field is not closed"),
        ('2,"b"c,1', "text follows its closing quote"),
        (b"2,\xff,1", "byte 3 of the record (0xff) is not UTF-8"),
        (b"2,b\0,1", "a NUL byte at byte 4"),
        ("y,b,z", "column 'id': 'y' is no INTEGER; column 'amount': 'z' is no DECIMAL(12,2)"),
    ],
)
def test_a_bad_line_is_refused_and_its_neighbours_stay(feed: Landing, line: str | bytes, reason: str) -> None:
    raw = line.encode() if isinstance(line, str) else line
    taken = feed.take("a.csv", HEADER.encode() + b"1,a,1\n" + raw + b'\n4,"q\nr",4\n5,e,5\n')
    (reject,) = taken.rejects
    assert reason in reject.reason
    assert (reject.table, reject.file, reject.line) == ("t", "a.csv", 3)
    assert reject.raw == raw.decode("utf-8", "backslashreplace")
    assert [row[0] for row in taken.rows] == [1, 4, 5]
    assert taken.lines == [2, 4, 6]


def test_half_a_last_line(feed: Landing) -> None:
    taken = feed.take("a.csv", HEADER + "1,a,1\n2,b")
    assert (taken.lines, taken.refused_lines) == ([2], [3])


def test_an_open_quote_costs_its_own_line_alone(feed: Landing) -> None:
    body = "".join(f"{i},n{i},{i}\n" for i in range(2, 400))
    taken = feed.take("a.csv", HEADER + '1,"open,1\n' + body)
    assert taken.refused_lines == [2]
    assert len(taken.rows) == 398


def test_a_torn_record_is_one_reject_and_ends_before_a_good_line(feed: Landing) -> None:
    taken = feed.take("a.csv", HEADER + '1,"a\nb\n2,x,2\n3,"c\nd",3,4\n5,"e\nf"\n6,",g",6\n')
    assert [row[0] for row in taken.rows] == [2, 6]
    assert taken.refused_lines == [2, 3, 5, 7]


def test_quotes_and_returns_inside_unquoted_text_are_text(feed: Landing) -> None:
    taken = feed.take("a.csv", HEADER + '1,5" pipe,1\n2,x,2\n3,a\rb,3\r\n4,"y",4\n')
    assert [row[1] for row in taken.rows] == ['5" pipe', "x", "a\rb", "y"]
    assert taken.lines == [2, 3, 4, 5]


def test_a_byte_order_mark_within_the_text_is_text(tmp_path: Path) -> None:
    feed = Landing(tmp_path, "name VARCHAR, id INTEGER", "id")
    assert feed.take("a.csv", "name,id\n\ufeffx,1\n").rows == [("\ufeffx", 1)]


def test_a_single_column(tmp_path: Path) -> None:
    feed = Landing(tmp_path, "id VARCHAR", "")
    taken = feed.take("a.csv", 'id\na\n\n""\n"b\nc"\n')
    assert (taken.rows, taken.lines) == ([("a",), ("",), ("b\nc",)], [2, 4, 5])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "0 bytes"),
        (b"\n\n", "blank lines"),
        (b"\xef\xbb\xbf", "empty"),
        (b"id,name,id\n1,a,2\n", "'id' is in the header twice"),
        (b"id,,amount\n1,a,2\n", "column 2 of the header has no name"),
        (b"name,amount\na,2\n", "the key column 'id' is missing"),
        (b"1,a,2\n2,b,3\n", "is the header line missing?"),
        ("id,näme,amount\n1,a,2\n".encode("latin-1"), "header is not UTF-8"),
        ("id,name,amount\n1,a,2\n".encode("utf-16"), "UTF-16"),
        ("id,name,amount\n1,a,2\n".encode("utf-16-le"), "binary or UTF-16"),
        (b"id,name,amount\r1,a,2\r", "lone carriage return"),
        (b'id,"name,amount\n1,a,2\n', "its quotes are broken"),
        (b"id,name,_rid\n1,a,2\n", "'_rid' is reserved"),
        (
            b"id,amount\na,1\nb,2\nc,3\nd,4\n",
            "none of the first 4 values of column 'id' is of its type INTEGER",
        ),
    ],
)
def test_a_file_that_can_not_be_understood_is_refused_as_a_whole(
    feed: Landing, text: bytes, reason: str
) -> None:
    feed.write("sub/a.csv", text)
    (file,) = feed.discover()
    assert feed.source.new_columns(file) == ()
    taken = feed.read(file)
    assert reason in taken.reason
    assert "sub/a.csv" in taken.reason
    assert (taken.rejects[0].line, taken.rows) == (0, [])
    assert taken.chunks[0].file_rejected


def test_other_encodings_can_be_named(tmp_path: Path) -> None:
    text = "id,name,amount\n1,Zürich €,2\n"
    for encoding in ("cp1252", "utf-16"):
        feed = Landing(tmp_path, encoding=encoding)
        assert feed.take(f"{encoding}.csv", text.encode(encoding)).rows[0][1] == "Zürich €"
    refused = Landing(tmp_path, encoding="ascii").take("x.csv", b"id,name,amount\n1,\xff,2\n2,b,2\n")
    assert refused.refused_lines == [2]
    refused = Landing(tmp_path, encoding="utf-16").take("y.csv", text.encode("utf-16")[:-1])
    assert "is not utf-16" in refused.reason


def test_a_new_column_is_offered_and_read(feed: Landing) -> None:
    feed.write(
        "a.csv", "id,note,n,f,d,t,b,zip,empty\n1,x,1,1.5,2024-01-01,2024-01-01T00:00:00Z,true,01234,\n"
    )
    (file,) = feed.discover()
    assert feed.source.new_columns(file) == (
        Column("note", "VARCHAR"),
        Column("n", "BIGINT"),
        Column("f", "DOUBLE"),
        Column("d", "DATE"),
        Column("t", "TIMESTAMP"),
        Column("b", "BOOLEAN"),
        Column("zip", "VARCHAR"),
        Column("empty", "VARCHAR"),
    )
    (chunk,) = feed.source.read(file)
    assert chunk.new_columns == feed.source.new_columns(file)
    assert chunk.rows.column_names[:4] == ["id", "name", "amount", "note"]
    assert chunk.rows["n"].to_pylist() == [1]


def test_a_new_columns_type_fits_all_of_its_values(feed: Landing) -> None:
    body = "".join(f"{i},{i}\n" for i in range(300_000)) + "300000,x\n"
    feed.write("a.csv", "id,extra\n" + body)
    (file,) = feed.discover()
    assert feed.source.new_columns(file) == (Column("extra", "VARCHAR"),)


def test_unknown_columns_can_be_refused_or_ignored(tmp_path: Path) -> None:
    text = "id,name,amuont\n1,a,2\n"
    refused = Landing(tmp_path, new_columns="quarantine").take("a.csv", text)
    assert "'amuont' is unknown to table 't': did you mean 'amount'?" in refused.reason
    ignored = Landing(tmp_path, new_columns="ignore").take("b.csv", text + "\n")
    assert ignored.rows == [(1, "a", None)]


def test_a_source_without_columns_takes_them_all(tmp_path: Path) -> None:
    feed = Landing(tmp_path, "", "")
    taken = feed.take("a.csv", "x,y\n1,2024-01-01\n")
    assert [(c.name, c.type) for c in taken.chunks[0].new_columns] == [("x", "BIGINT"), ("y", "DATE")]


def test_the_format_is_told_by_content_where_the_name_does_not(feed: Landing) -> None:
    assert feed.take("export", HEADER + "1,a,2\n").rows == [(1, "a", Decimal(2))]
    assert feed.take("data.txt", HEADER + "3,a,2\n").rows[0][0] == 3
    assert "neither CSV nor" in feed.take("blob.bin", b"\x00\x01\x02\x03" * 9).reason


def test_a_line_longer_than_any_record_is_refused_alone(
    feed: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "LONGEST", 1 << 16)
    taken = feed.take("a.csv", HEADER + "1,a,1\n2," + "x" * 5_000_000 + ",2\n3,c,3\n")
    assert [row[0] for row in taken.rows if row[0] != 2] == [1, 3]
    assert taken.lines[-1] == 4


def test_an_open_quote_does_not_hold_back_a_large_file(
    feed: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "LONGEST", 1 << 16)
    body = "".join(f"{i},n,1\n" for i in range(2, 200_000))
    taken = feed.take("a.csv", HEADER + '1,"open,1\n' + body)
    assert taken.refused_lines == [2]
    assert len(taken.rows) == 199_998


def test_many_odd_places_are_all_read(feed: Landing) -> None:
    body = "".join(f"{i},{'in' + chr(34) + 'ch' if i % 7 == 0 else 'plain'},1\n" for i in range(20_000))
    taken = feed.take("a.csv", HEADER + body)
    assert [row[0] for row in taken.rows] == list(range(20_000))
    assert taken.lines == list(range(2, 20_002))
    assert len(taken.chunks) == 1


def test_a_column_in_one_piece_is_not_copied() -> None:
    import pyarrow as pa

    one = pa.array(["a", "b"])
    assert whole(pa.chunked_array([one])).buffers()[2].address == one.buffers()[2].address
    assert whole(pa.chunked_array([one, one])).to_pylist() == ["a", "b", "a", "b"]
    assert whole(pa.chunked_array([], pa.string())).to_pylist() == []


def test_a_delimiter_too_many_does_not_make_up_for_one_missing(feed: Landing) -> None:
    taken = feed.take("a.csv", HEADER + "1,a,1\n2,b\n3,c,3,3\n4,d,4\n")
    assert [row[0] for row in taken.rows] == [1, 4]
    assert [reject.line for reject in taken.rejects] == [3, 4]


def test_long_records_are_read_in_large_files_too(feed: Landing) -> None:
    """Blocks of a large file are parsed side by side; each holds its longest record whole."""
    short = "".join(f"{i},row,1\n" for i in range(200_000))
    quotes = '""' * 600_000
    taken = feed.take("a.csv", f'{HEADER}{short}-1,"{quotes}",2\n{short}')
    assert len(taken.rows) == 400_001
    long = next(row for row in taken.rows if row[0] == -1)
    assert long[1] == '"' * 600_000
    assert taken.rejects == []
