from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from fake_landing import NOW, SECOND, Landing

from strandline.errors import ConfigurationError, InputError
from strandline.schema import Column, FileRecord
from strandline.sources import landing as landing_module
from strandline.sources.files import FilesOptions, options_from

CSV = "id,name,amount\n1,a,1.00\n"
OTHER = "id,name,amount\n2,b,2.00\n"


@pytest.fixture
def feed(tmp_path: Path) -> Landing:
    return Landing(tmp_path)


@pytest.fixture
def unkeyed(tmp_path: Path) -> Landing:
    return Landing(tmp_path, key="")


def test_files_come_by_time_then_by_name_with_relative_paths(feed: Landing) -> None:
    feed.write("b.csv", CSV, at=NOW - 10 * SECOND)
    feed.write("a/z.csv", CSV, at=NOW - 9 * SECOND)
    feed.write("a/c.csv", CSV, at=NOW - 10 * SECOND)
    assert feed.names() == ["a/c.csv", "b.csv", "a/z.csv"]


def test_a_pending_file_says_what_the_ledger_needs(feed: Landing) -> None:
    path = feed.write("a.csv", CSV)
    (file,) = feed.discover()
    assert (file.source, file.table, file.path, file.absolute) == ("feed", "t", "a.csv", path)
    assert (file.size, file.modified_ns) == (len(CSV), feed.clock)
    assert file.sha256 == hashlib.sha256(CSV.encode()).hexdigest()
    assert file.replaces is None
    assert not file.duplicate_of


@pytest.mark.parametrize(
    "name",
    [
        "a.csv.part",
        "a.csv.TMP",
        "a.crdownload",
        "a.filepart",
        "a.inprogress",
        ".a.csv",
        "_a.csv",
        "~a.csv",
        "_temporary/a.csv",
        ".staging/b/a.csv",
    ],
)
def test_what_is_being_written_is_left_alone(feed: Landing, name: str) -> None:
    feed.write(name, CSV)
    assert feed.names() == []


def test_a_file_has_to_be_still_for_a_moment(feed: Landing) -> None:
    feed.write("old.csv", CSV)
    feed.write("new.csv", OTHER, at=NOW - SECOND // 10)
    assert feed.names() == ["old.csv"]
    again = feed.source.next_look_ns(NOW)
    assert again == NOW + SECOND // 10
    assert feed.names(again) == ["old.csv", "new.csv"]
    assert feed.source.next_look_ns(again) is None


def test_a_writer_at_work_moves_the_moment(feed: Landing) -> None:
    feed.write("a.csv", CSV, at=NOW)
    again = feed.source.next_look_ns(NOW)
    assert again is not None
    feed.write("a.csv", CSV + "2,", at=again)
    assert feed.names(again) == []


def test_a_time_far_in_the_future_does_not_hold_a_file_back(feed: Landing) -> None:
    feed.write("a.csv", CSV, at=NOW + 10**6 * SECOND)
    assert feed.names() == ["a.csv"]
    assert feed.source.next_look_ns(NOW) is None


def test_patterns_hold_against_name_or_path(tmp_path: Path) -> None:
    for pattern, expected in (
        ("*.csv*", ["a.csv", "x/b.csv.gz"]),
        (("*.jsonl", "a.*"), ["a.csv", "c.jsonl"]),
        ("x/*", ["x/b.csv.gz"]),
    ):
        feed = Landing(tmp_path, pattern=pattern)
        for name in ("a.csv", "x/b.csv.gz", "c.jsonl"):
            feed.write(name, name)
        assert feed.names() == expected


def test_what_the_ledger_holds_is_skipped_without_being_read(
    feed: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.write("a.csv", CSV)
    feed.accept()
    monkeypatch.setattr(landing_module, "sha256", lambda path: pytest.fail(f"{path} was read"))
    assert feed.discover() == []


def test_a_touched_file_with_the_same_content_is_skipped(feed: Landing) -> None:
    feed.write("a.csv", CSV)
    feed.accept()
    feed.write("a.csv", CSV)
    assert feed.discover() == []


def test_other_content_takes_the_place_of_the_old(feed: Landing) -> None:
    feed.write("a.csv", CSV)
    feed.accept()
    feed.write("a.csv", OTHER)
    (file,) = feed.discover()
    assert file.replaces == feed.ledger[0]


def test_a_rewrite_within_the_same_tick_of_a_coarse_clock_is_seen(feed: Landing) -> None:
    feed.write("a.csv", CSV, at=NOW - SECOND)
    feed.accept()
    feed.write("a.csv", OTHER, at=NOW - SECOND)
    assert len(CSV) == len(OTHER)
    assert feed.names() == ["a.csv"]


def test_without_trust_in_times_every_file_is_hashed(tmp_path: Path) -> None:
    feed = Landing(tmp_path, trust_mtime=False)
    feed.write("a.csv", CSV, at=NOW - 60 * SECOND)
    feed.accept()
    feed.write("a.csv", OTHER, at=NOW - 60 * SECOND)
    assert feed.names() == ["a.csv"]


def test_a_refused_replacement_does_not_hide_the_version_that_counts(feed: Landing) -> None:
    feed.write("a.csv", CSV)
    feed.accept()
    feed.write("a.csv", "nothing,of,this\n1,2,3\n")
    feed.accept()
    assert [record.status for record in feed.ledger] == ["applied", "quarantined"]
    assert feed.discover() == []
    feed.write("a.csv", OTHER)
    (file,) = feed.discover()
    assert file.replaces == feed.ledger[0]


def test_only_the_own_source_counts(feed: Landing) -> None:
    feed.write("a.csv", CSV)
    (file,) = feed.discover()
    feed.ledger = [FileRecord("other", "t", "a.csv", file.size, file.sha256, modified_ns=file.modified_ns)]
    assert feed.names() == ["a.csv"]


def test_the_same_content_under_another_name_is_a_duplicate(unkeyed: Landing) -> None:
    unkeyed.write("a.csv", CSV)
    unkeyed.accept()
    unkeyed.write("b.csv", OTHER)
    unkeyed.accept()
    unkeyed.write("c.csv", CSV)
    (copy,) = unkeyed.accept()
    assert copy.duplicate_of == "a.csv"
    assert unkeyed.read(copy).chunks == []
    assert unkeyed.source.new_columns(copy) == ()
    assert unkeyed.ledger[-1].status == "duplicate"
    assert unkeyed.discover() == []


def test_two_copies_at_once_count_once(unkeyed: Landing) -> None:
    unkeyed.write("b.csv", CSV)
    unkeyed.write("a.csv", CSV)
    assert [(f.path, f.duplicate_of) for f in unkeyed.discover()] == [("b.csv", ""), ("a.csv", "b.csv")]


def test_copies_are_read_where_asked_for(tmp_path: Path) -> None:
    feed = Landing(tmp_path, key="", skip_same_content=False)
    feed.write("a.csv", CSV)
    feed.write("b.csv", CSV)
    assert [f.duplicate_of for f in feed.discover()] == ["", ""]


def test_a_copy_counts_when_the_original_was_replaced(unkeyed: Landing) -> None:
    unkeyed.write("a.csv", CSV)
    unkeyed.write("b.csv", CSV)
    unkeyed.accept()
    unkeyed.write("a.csv", OTHER)
    assert [(f.path, f.duplicate_of) for f in unkeyed.discover()] == [("b.csv", ""), ("a.csv", "")]


def test_rotated_files_keep_all_content(unkeyed: Landing) -> None:
    unkeyed.write("log.csv", CSV)
    unkeyed.accept()
    (unkeyed.folder / "log.csv").rename(unkeyed.folder / "log.1.csv")
    unkeyed.write("log.csv", OTHER)
    assert [(f.path, f.duplicate_of) for f in unkeyed.discover()] == [("log.1.csv", ""), ("log.csv", "")]


def test_a_refused_file_makes_no_duplicates(unkeyed: Landing) -> None:
    unkeyed.write("a.csv", "x,y\n1,2\n")
    unkeyed.accept()
    unkeyed.write("b.csv", "x,y\n1,2\n")
    (file,) = unkeyed.discover()
    assert not file.duplicate_of


def test_with_a_key_old_content_that_comes_again_is_news(feed: Landing) -> None:
    # on, off, on: the third delivery has the bytes of the first and changes the row back.
    feed.write("1.csv", "id,name\n1,on\n")
    feed.write("2.csv", "id,name\n1,off\n")
    feed.accept()
    feed.write("3.csv", "id,name\n1,on\n")
    feed.write("4.csv", "id,name\n1,on\n")  # a copy stands in its own place: 3.csv may be replaced later
    assert [(f.path, f.duplicate_of) for f in feed.discover()] == [("3.csv", ""), ("4.csv", "")]


def test_symbolic_links_are_refused_unless_followed(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    outside = tmp_path / "real.csv"
    outside.write_text(CSV)
    os.utime(outside, ns=(NOW - SECOND * 60,) * 2)
    (inside / "link.csv").symlink_to(outside)
    (inside / "gone.csv").symlink_to(tmp_path / "nowhere.csv")
    for link in ("link.csv", "gone.csv"):
        os.utime(inside / link, ns=(NOW - SECOND * 60,) * 2, follow_symlinks=False)
    feed = Landing(inside)
    taken = {file.path: feed.read(file) for file in feed.accept()}
    assert "symbolic link" in taken["link.csv"].reason
    assert taken["link.csv"].rejects[0].line == 0
    assert feed.discover() == []
    followed = Landing(inside, follow_symlinks=True)
    taken = {file.path: followed.read(file) for file in followed.discover()}
    assert len(taken["link.csv"].rows) == 1
    assert "leads nowhere" in taken["gone.csv"].reason


def test_a_linked_folder_that_contains_itself_ends(tmp_path: Path) -> None:
    feed = Landing(tmp_path, follow_symlinks=True)
    feed.write("a.csv", CSV)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert feed.names() == ["a.csv"]


def test_an_unreadable_file_is_refused_once_and_taken_when_it_can_be_read(
    feed: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.write("a.csv", CSV)
    feed.write("b.csv", OTHER)
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: Path(path).name != "a.csv")
        refused, other = feed.accept()
        assert "permission" in feed.read(refused).reason
        assert feed.source.new_columns(refused) == ()
        assert len(feed.read(other).rows) == 1
        assert feed.discover() == []
    assert feed.names() == ["a.csv"]


def test_what_is_no_regular_file_is_refused(feed: Landing) -> None:
    os.mkfifo(feed.folder / "pipe.csv")
    os.utime(feed.folder / "pipe.csv", ns=(NOW - SECOND * 60,) * 2)
    (file,) = feed.discover()
    assert "regular" in feed.read(file).reason


def test_a_name_that_is_no_utf8_has_a_readable_path(feed: Landing) -> None:
    raw = os.fsencode(feed.folder) + b"/caf\xe9.csv"
    with open(raw, "wb") as file:  # noqa: PTH123
        file.write(CSV.encode())
    os.utime(raw, ns=(NOW - SECOND * 60,) * 2)
    (found,) = feed.discover()
    assert found.path == "caf\\xe9.csv"
    assert len(feed.read(found).rows) == 1


def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can not be listed"):
        Landing(tmp_path / "nowhere").discover()


def test_a_file_that_vanished_or_changed_is_an_input_error(feed: Landing) -> None:
    path = feed.write("a.csv", CSV)
    (file,) = feed.discover()
    feed.write("a.csv", CSV + "2,b,2\n")
    with pytest.raises(InputError, match="changed since"):
        feed.read(file)
    path.unlink()
    with pytest.raises(InputError, match="vanished"):
        feed.read(file)
    with pytest.raises(InputError, match="vanished"):
        feed.source.new_columns(file)


def test_a_file_that_changes_while_it_is_read_is_an_input_error(feed: Landing) -> None:
    feed.write("a.csv", CSV)
    (file,) = feed.discover()
    chunks = feed.source.read(file)
    next(chunks)
    feed.write("a.csv", OTHER)
    with pytest.raises(InputError, match="changed"):
        next(chunks)


def test_the_schema_can_follow_the_table(feed: Landing) -> None:
    wider = feed.source.with_schema(
        type(feed.source.schema)((*feed.source.schema.columns, Column("note", "VARCHAR")), ("id",))
    )
    feed.write("a.csv", CSV)
    (file,) = wider.discover([], NOW)
    (chunk,) = wider.read(file)
    assert chunk.rows.column_names == ["id", "name", "amount", "note"]


def test_options_come_from_settings() -> None:
    options = options_from({"pattern": ["*.csv"], "settle_seconds": 1, "null_values": ["NULL"]}, "here")
    assert options == FilesOptions(pattern=("*.csv",), settle_seconds=1, null_values=("NULL",))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delimitr": ","}, "delimiter"),
        ({"delimiter": ";;"}, "one ASCII character"),
        ({"delimiter": 1}, "str"),
        ({"new_columns": "drop"}, "'quarantine'"),
        ({"format": "xml"}, "'parquet'"),
        ({"encoding": "klingon"}, "klingon"),
        ({"settle_seconds": -1}, "below 0"),
        ({"settle_seconds": True}, "float"),
        ({"null_values": "NULL"}, "list"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        options_from(settings, "strandline.toml: [sources.feed]")
    assert "[sources.feed]" in str(caught.value)
