"""Lets quarantined rows in, once the settings accept them."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from strandline.errors import UnknownNameError
from strandline.runner.ports import Batches, BatchWriter, Notice, ledger, literal, quiet, records
from strandline.runner.refresh import (
    FileFaultError,
    Work,
    apply_chunk,
    committed,
    pending,
    take_in,
    with_tables,
)
from strandline.schema import Run
from strandline.sources.base import Chunk, Source


@dataclass(frozen=True, slots=True)
class Release:
    """How many quarantined rows (or whole files) were let in, how many stay, and the run that did it."""

    released: int
    held: int
    run: Run | None = None


_NEWEST_HELD = """
WITH newest AS (
  SELECT * FROM strandline.files
  QUALIFY row_number() OVER (PARTITION BY source, path ORDER BY file_id DESC) = 1)
SELECT q.quarantine_id::VARCHAR AS id, q.line, f.source, f.path, f.file_id
FROM strandline.quarantine q
JOIN strandline.batches b ON b.batch_id = q.batch_id
JOIN newest f ON f.table_name = q.table_name AND f.path = q.file AND f.batch_seq = b.batch_seq
WHERE q.status = 'held'"""


def release(
    wh: Batches,
    sources: Iterable[Source],
    *,
    ids: Sequence[str] | None = None,
    table: str | None = None,
    file: str | None = None,
    notice: Notice = quiet,
) -> Release:
    """Read the held rows again from their files under today's settings, and apply those that now pass.

    Without a choice all held rows are tried. A released row counts as arriving now. A file that was
    refused as a whole is taken in as a whole. Rows of a file's older versions are not tried.
    """
    chosen = _chosen(wh, ids, table, file)
    held = sum(len(rows) for rows in chosen.values())
    work = _work(wh, with_tables(wh, sources), chosen, notice)
    while work:
        try:
            with wh.batch(kind="incremental") as batch:
                done = [i for item in work for i in _let_in(batch, item, chosen[_key(item)])]
                if not done:
                    raise _NothingPassed
                batch.release(done)
            return Release(len(done), held - len(done), committed(batch))
        except _NothingPassed:
            break
        except FileFaultError as fault:
            notice(f"{fault.file.path} stays in quarantine: {fault.reason}")
            work = [item for item in work if item.file != fault.file]
    return Release(0, held)


Held = Sequence[Mapping[str, Any]]


class _NothingPassed(Exception):  # noqa: N818  rolls the empty batch back
    pass


def _chosen(
    wh: Batches, ids: Sequence[str] | None, table: str | None, file: str | None
) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    query = _NEWEST_HELD
    if ids is not None:
        query += f" AND q.quarantine_id::VARCHAR IN ({', '.join(map(literal, ids)) or 'NULL'})"
    if table is not None:
        query += f" AND q.table_name = {literal(table)}"
    if file is not None:
        query += f" AND q.file = {literal(file)}"
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in records(wh, query):
        found[row["source"], row["path"]].append(row)
    if ids and not found:
        hint = "`strandline quarantine list` shows the ids of the rows that are."
        raise UnknownNameError(f"no row with the id {', '.join(ids)} is held", where="quarantine", hint=hint)
    return found


def _work(
    wh: Batches, sources: Iterable[Source], chosen: Mapping[tuple[str, str], Held], notice: Notice
) -> list[Work]:
    """The chosen files as the source sees them today, by hiding their newest version from its ledger."""
    known = ledger(wh)
    hidden = {rows[0]["file_id"]: key for key, rows in chosen.items()}
    digests = {hidden[r.file_id]: r.sha256 for r in known if r.file_id in hidden}
    found = {_key(w): w for w in pending(sources, [r for r in known if r.file_id not in hidden], notice)}
    work = []
    for key in chosen:
        item = found.get(key)
        if item is None or item.file.sha256 != digests[key]:
            notice(f"{key[1]} is gone or has changed since; the next run takes what is there")
            continue
        work.append(replace(item, file=replace(item.file, duplicate_of="", moved_from="")))
    return work


def _let_in(batch: BatchWriter, item: Work, held: Held) -> list[str]:
    """The ids of the held rows that pass now."""
    chunks = item.source.read(item.file)
    first = next(chunks, None)
    if first is None or first.file_rejected:
        return []
    if any(row["line"] == 0 for row in held):
        take_in(batch, item)
        return [row["id"] for row in held]
    wanted = {row["line"] for row in held}
    passed: set[int] = set()
    for chunk in itertools.chain([first], chunks):
        taken = _only(chunk, wanted)
        apply_chunk(batch, item.file, held[0]["file_id"], taken)
        passed.update(taken.lines.to_pylist())
    return [row["id"] for row in held if row["line"] in passed]


def _only(chunk: Chunk, lines: Iterable[int]) -> Chunk:
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pc.is_in(chunk.lines, value_set=pa.array(list(lines), pa.int64()))
    return Chunk(chunk.rows.filter(wanted), chunk.lines.filter(wanted), [])


def _key(item: Work) -> tuple[str, str]:
    return item.file.source, item.file.path
