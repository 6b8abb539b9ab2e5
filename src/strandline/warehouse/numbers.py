"""Numbers that grow with time: a batch's or a call's in the upper half, the place within it in the lower."""

from __future__ import annotations

from strandline.compiler.text import BATCH_NUMBER

PLACES = 2**32


def first_number(upper: str) -> str:
    """Below every number of this batch or call (SQL of a BIGINT), and above those of the ones before."""
    return f"{upper} * {PLACES}"


def fresh_identity(order: str = "") -> str:
    """Identities for rows that the batch being applied adds, in the order given."""
    return f"({first_number(BATCH_NUMBER)} + row_number() OVER ({order}))"
