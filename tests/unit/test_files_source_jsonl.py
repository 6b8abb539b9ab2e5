from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from fake_landing import Landing

from strandline.sources import lines


@pytest.fixture
def feed(tmp_path: Path) -> Landing:
    return Landing(tmp_path)


def test_rows_are_typed_and_carry_their_lines(feed: Landing) -> None:
    taken = feed.take("a.jsonl", '{"id":1,"name":"a","amount":1.5}\r\n\n{"amount":"2.25","id":2}')
    assert taken.rows == [(1, "a", Decimal("1.50")), (2, None, Decimal("2.25"))]
    assert taken.lines == [1, 3]
    assert taken.rejects == []


def test_whole_blocks_and_single_lines_take_the_same_values(tmp_path: Path) -> None:
    columns = (
        "b BOOLEAN, i BIGINT, u UTINYINT, h HUGEINT, d DECIMAL(38;2), f DOUBLE, r REAL, t VARCHAR,"
        "day DATE, ts TIMESTAMP, tm TIME, id UUID"
    )
    value = {
        "b": True,
        "i": -9007199254740993,
        "u": 255,
        "h": 10**30,
        "d": Decimal("1.10"),
        "f": 1e300,
        "r": 0.5,
        "t": 'ü"\n',
        "day": "2024-02-29",
        "ts": "2024-01-01T10:00:00+02:00",
        "tm": "10:11:12.5",
        "id": "6F9619FF-8B86-D011-B42D-00C04FC964FF",
    }
    line = json.dumps(value, default=float).replace("1e+30", str(10**30))
    feed = Landing(tmp_path, columns, "")
    quick = feed.take("a.jsonl", f"{line}\n{line}\n")
    slow = feed.take("b.jsonl", f"{line}\nnot json\n{line}\n")
    assert quick.rejects == []
    assert slow.refused_lines == [2]
    assert quick.rows == slow.rows
    assert quick.rows[0][1:5] == (-9007199254740993, 255, Decimal(10**30), Decimal("1.10"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nope", "it is not JSON: Expecting value at character 1"),
        ('{"id": "x', "it is not JSON: Unterminated string starting at character 8"),
        ('{"id":2', "it is not JSON"),
        ('{"id":2}{"id":3}', "Extra data"),
        ("[1]", "it holds a list, expected one JSON object"),
        ('"x"', "it holds a string"),
        ('{"id":2,"id":3}', "field 'id' is there twice"),
        ('{"id":2,"ID":3}', "field 'ID' is there twice"),
        ('{"id":2.5}', "column 'id': '2.5' is no INTEGER"),
        ('{"id":3000000000}', "its range is"),
        ('{"id":2,"amount":1.234}', "nothing is rounded"),
        ('{"id":2,"amount":NaN}', "NaN is no JSON value"),
        ('{"id":2,"name":{"x":1}}', "column 'name': an object is no VARCHAR"),
        ('{"id":2,"name":["x"]}', "column 'name': a list is no VARCHAR"),
        ('{"id":2,"name":"\\ud800"}', "half a surrogate pair"),
        ('{"name":"x"}', "the key column 'id' is empty"),
        ('{"id":null}', "the key column 'id' is empty"),
        ("[" * 100_000, "nested too deeply"),
        ('{"id":2,"":1}', "a field has no name"),
        (b'{"id":2,"name":"\xff"}', "0xff) is not UTF-8"),
    ],
)
def test_a_bad_line_is_refused_and_its_neighbours_stay(feed: Landing, line: str | bytes, reason: str) -> None:
    raw = line.encode() if isinstance(line, str) else line
    good = [f'{{"id":{i}}}'.encode() for i in (1, 4, 5)]
    taken = feed.take("a.jsonl", b"\n".join([good[0], raw, *good[1:]]))
    (reject,) = taken.rejects
    assert reason in reject.reason
    assert (reject.file, reject.line) == ("a.jsonl", 2)
    assert reject.raw[:50] == raw.decode("utf-8", "backslashreplace")[:50]
    assert [row[0] for row in taken.rows] == [1, 4, 5]
    assert taken.lines == [1, 3, 4]


def test_an_object_torn_over_two_lines_is_two_bad_lines(feed: Landing) -> None:
    taken = feed.take("a.jsonl", '{"id":1}\n{"id":2,\n"name":"x"}\n{"id":3}{"id":4}\n{"id":5}\n')
    assert [row[0] for row in taken.rows] == [1, 5]
    assert taken.refused_lines == [2, 3, 4]


def test_one_bad_line_among_many(feed: Landing) -> None:
    body = [f'{{"id":{i},"amount":{i}.25}}' for i in range(5000)]
    body[1234] = '{"id":"x"}'
    body[4000] = "{"
    taken = feed.take("a.jsonl", "\n".join(body))
    assert taken.refused_lines == [1235, 4001]
    assert taken.lines == [i + 1 for i in range(5000) if i not in (1234, 4000)]
    assert taken.rows[-1] == (4999, None, Decimal("4999.25"))


def test_scalars_become_text_in_text_columns(feed: Landing) -> None:
    taken = feed.take("a.jsonl", '{"id":1,"name":7.10}\n{"id":"2","name":true}\n{"id":3,"name":""}\n')
    assert [row[:2] for row in taken.rows] == [(1, "7.10"), (2, "true"), (3, "")]


def test_names_match_in_any_case(feed: Landing) -> None:
    assert feed.take("a.jsonl", '{"ID":1,"Name":"a"}\n').rows == [(1, "a", None)]
    assert feed.take("b.jsonl", '{"id":1,"name":"a"}\n{"Id":2,"NAME":"b"}\n').rows == [
        (1, "a", None),
        (2, "b", None),
    ]


def test_json_columns_keep_any_value(tmp_path: Path) -> None:
    feed = Landing(tmp_path, "id INTEGER, payload JSON", "id")
    taken = feed.take("a.jsonl", '{"id":1,"payload":{"a":[1,null,"ü"]}}\n{"id":2,"payload":"x"}\n{"id":3}\n')
    assert [row[1] for row in taken.rows] == ['{"a":[1,null,"ü"]}', '"x"', None]


def test_new_fields_are_offered_with_a_type_that_fits_them_all(feed: Landing) -> None:
    lines = [
        '{"id":1,"n":1,"mixed":1,"o":{"a":1},"d":"2024-01-01","ts":"2024-01-01 10:00:00","b":true,"q":"12"}',
        '{"id":2,"n":2.5,"mixed":"x","o":[1],"d":"2024-01-02","ts":"2024-01-01T10:00:00Z","late":null}',
    ]
    feed.write("a.jsonl", "\n".join(lines))
    (file,) = feed.discover()
    assert {c.name: c.type for c in feed.source.new_columns(file)} == {
        "n": "DOUBLE",
        "mixed": "VARCHAR",
        "o": "JSON",
        "d": "DATE",
        "ts": "TIMESTAMP",
        "b": "BOOLEAN",
        "q": "VARCHAR",
        "late": "VARCHAR",
    }
    taken = feed.read(file)
    assert taken.rejects == []
    assert taken.chunks[0].rows["mixed"].to_pylist() == ["1", "x"]


def test_unknown_fields_can_be_refused_or_ignored(tmp_path: Path) -> None:
    text = '{"id":1,"nmae":"a"}\n{"id":2}\n'
    refused = Landing(tmp_path, new_columns="quarantine").take("a.jsonl", text)
    assert refused.refused_lines == [1]
    assert "field 'nmae' is unknown to table 't': did you mean 'name'?" in refused.reason
    ignored = Landing(tmp_path, new_columns="ignore").take("b.jsonl", text + "\n")
    assert [row[0] for row in ignored.rows] == [1, 2]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 bytes"),
        ('[{"id":1}]', "one JSON list"),
        ('{"name":"a"}\n{"name":"b"}\n', "no line has the key column 'id'"),
        ('{"x":1}\n', "none is a column of the table"),
        ('{"id":"a"}\n{"id":"b"}\n{"id":"c"}\n', "none of the first 3 values of column 'id'"),
    ],
)
def test_a_file_that_can_not_be_understood_is_refused_as_a_whole(
    feed: Landing, text: str, reason: str
) -> None:
    taken = feed.take("a.json", text)
    assert reason in taken.reason
    assert taken.chunks[0].file_rejected


def test_content_tells_json_where_the_name_does_not(feed: Landing) -> None:
    assert feed.take("events", '\ufeff{"id":1}\n').rows == [(1, None, None)]


def test_a_line_that_is_too_long_is_refused_alone(feed: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST", 1 << 16)
    long = '{"id":2,"name":"' + "x" * 40_000_000 + '"}'
    taken = feed.take("a.jsonl", f'{{"id":1}}\n{long}\n{{"id":3}}\n')
    assert [row[0] for row in taken.rows] == [1, 3]
    assert taken.lines == [1, 3]
    assert "longer than" in taken.reason
