"""Changes of a table with a key: the batch's last row of each key against the stored row of that key.

Both stand side by side in one table of *pairs*, found by one join, from which
what goes and what comes are copied. Whether a row really changed is told by
`_h`, the hash of the whole row, so that no other column of an old row is read
unless a model wants it.
"""

from __future__ import annotations

from collections.abc import Collection

from strandline.compiler.names import HIDDEN
from strandline.compiler.relations import quote
from strandline.compiler.text import batch, equal, listed, make, minus, plus, stored
from strandline.engines.base import Engine
from strandline.warehouse import superseded
from strandline.warehouse.definitions import TableDefinition
from strandline.warehouse.numbers import fresh_identity
from strandline.warehouse.waiting import FEW, Facts, Incoming, identity, new_rows, row_hash

RANGED = frozenset({"VARCHAR", "INTEGER", "BIGINT", "SMALLINT", "DATE", "TIMESTAMP"})
"""Key types whose ranges are compared by zone maps."""


def resolve(
    engine: Engine, table: TableDefinition, facts: Facts, wanted: Collection[str], *, small: bool
) -> tuple[int, int]:
    """Leave the rows that go and come in the table's minus and plus; (removed, added).

    Of removed rows the `wanted` columns are kept. `small` says that the stored table is.
    """
    at = Incoming(table)
    last = last_rows(engine, table, facts)
    if (
        table.append_only
        or all_new(engine, table, facts)
        or (facts.rows > FEW and unknown(engine, table, last))
    ):
        fresh = new_rows(table, f"FROM {last} AS l WHERE l._op > 0", fresh_identity("ORDER BY l._seq"))
        return 0, engine.execute(make(plus(table.stored), fresh))
    pairs, kept = at.part("pairs"), kept_columns(table, wanted)
    from_files = facts.first_file is not None
    if not engine.execute(make(pairs, paired(table, last, kept, from_files=from_files, small=small))):
        return 0, 0
    added = engine.execute(make(plus(table.stored), coming(table, pairs)))
    removed = engine.execute(make(minus(table.stored), going(table, pairs, kept)))
    retracted = facts.retractions > 0
    if removed:
        superseded.note_changed(engine, table, at.waiting, retracted=retracted)
    if from_files:
        owner = quote(old(table, "_file"))
        superseded.note_unchanged(engine, table, pairs, owner, at.waiting, retracted=retracted)
    if facts.rows > FEW:
        engine.execute(f"DROP TABLE {pairs}")
    return removed, added


def last_rows(engine: Engine, table: TableDefinition, facts: Facts) -> str:
    """Where the batch's last row of each key is."""
    at = Incoming(table)
    if facts.distinct:
        return at.waiting
    last, by = at.part("last"), f"PARTITION BY {listed(table.key)} ORDER BY _seq DESC"
    engine.execute(make(last, f"SELECT * FROM {at.waiting} QUALIFY row_number() OVER ({by}) = 1"))
    if facts.first_file != facts.last_file:
        superseded.note_waiting(engine, table, at.waiting, last)
    return last


def all_new(engine: Engine, table: TableDefinition, facts: Facts) -> bool:
    """True where no stored key lies in the batch's range.

    Keys that grow with time are told apart by zone maps alone.
    """
    kind = dict(table.columns)[table.key[0]]
    if kind not in RANGED or facts.least is None:
        return False
    key = quote(table.key[0])
    bounds = f"CAST(? AS {kind}) AND CAST(? AS {kind})"
    inside = f"SELECT 1 FROM {stored(table.stored)} WHERE {key} BETWEEN {bounds} LIMIT 1"
    return not engine.rows(inside, [facts.least, facts.greatest])


def unknown(engine: Engine, table: TableDefinition, last: str) -> bool:
    """True where no stored row has a key of the batch's, or one of the same hash.

    Of many rows, for putting them side by side with nothing would copy them once more.
    """
    return not engine.rows(f"SELECT 1 FROM {stored(table.stored)}{of_the_batch(table, last)} LIMIT 1")


def of_the_batch(table: TableDefinition, last: str) -> str:
    """Stored rows whose keys have the hash of one of the batch's."""
    return f" WHERE _k IN (SELECT {identity(table)} FROM {last})"


def kept_columns(table: TableDefinition, wanted: Collection[str]) -> list[str]:
    """The columns kept of removed rows: the key, and what models want."""
    lowered = {w.lower() for w in wanted} | {k.lower() for k in table.key}
    return [n for n in table.names if n.lower() in lowered]


def old(table: TableDefinition, name: str) -> str:
    """What a column of the stored row is called beside the new row: as no column of the table is."""
    leading = max(len(n) - len(n.lstrip("_")) for n in (*table.names, *HIDDEN))
    return "_" * (leading + 1) + name


def paired(table: TableDefinition, last: str, kept: list[str], *, from_files: bool, small: bool) -> str:
    """Rows of the batch that change something, beside the stored row of their key where there is one.

    `_op` is 0 where a file brings an unchanged row that another one owns.
    """
    hashed = f"SELECT *, {identity(table)} AS _k, {row_hash(table)} AS _h FROM {last}"
    match = f"t._k = l._k AND {equal(table.key, 't', 'l')}"
    really = "CASE WHEN l._op > 0 THEN t._rid IS NULL OR t._h <> l._h ELSE t._rid IS NOT NULL END"
    was = ", ".join(f"t.{quote(n)} AS {quote(old(table, n))}" for n in (*kept, "_h", "_file"))
    cols = f"{listed(table.names, 'l.')}, l._seq, l._file, l._line, l._k, l._h, {was}, t._rid, t._row"
    found = f"FROM ({hashed}) AS l LEFT JOIN ({there(table, last, kept, small=small)}) AS t ON {match}"
    if not from_files:
        return f"SELECT {cols}, l._op {found} WHERE {really}"
    other = "l._op > 0 AND l._file <> t._file"
    return f"SELECT {cols}, CASE WHEN {really} THEN l._op ELSE 0 END AS _op {found} WHERE {really} OR {other}"


def there(table: TableDefinition, last: str, kept: list[str], *, small: bool) -> str:
    """The stored rows, of a table that is not small those of the batch's keys, by hash.

    Scanning 8 bytes a row against a Bloom filter of the batch costs a fifth of
    comparing text keys; rows of another key with the same hash fall out later.
    """
    rows = f"SELECT {listed([*kept, '_rid', '_k', '_h', '_file'])}, {table.place} AS _row"
    return f"{rows} FROM {stored(table.stored)}{'' if small else of_the_batch(table, last)}"


def coming(table: TableDefinition, pairs: str) -> str:
    """The new rows as they are stored; one that takes the place of another keeps its identity."""
    rid = f"coalesce(_rid, {fresh_identity('ORDER BY _seq')}) AS _rid"
    return f"SELECT {listed(table.names)}, {rid}, _k, _h, {batch()}, _file, _line FROM {pairs} WHERE _op > 0"


def going(table: TableDefinition, pairs: str, kept: list[str]) -> str:
    """The old rows as they were, and where they lie."""
    was = ", ".join(f"{quote(old(table, n))} AS {quote(n)}" for n in (*kept, "_h", "_file"))
    return f"SELECT {was}, _rid, _k, _row FROM {pairs} WHERE _row IS NOT NULL AND _op <> 0"
