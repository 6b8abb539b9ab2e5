"""What cannot be kept, said before anything is created."""

from __future__ import annotations

from sqlglot import exp

from strandline.compiler.trees import nodes
from strandline.errors import RejectedError

VOLATILE = frozenset(
    [
        "random",
        "rand",
        "setseed",
        "uuid",
        "uuidv4",
        "uuidv7",
        "gen_random_uuid",
        "now",
        "get_current_timestamp",
        "nextval",
        "currval",
        "transaction_timestamp",
        "statement_timestamp",
        "clock_timestamp",
        "txid_current",
        "getvariable",
        "current_localtimestamp",
        "current_localtime",
        "current_query",
        "current_query_id",
        "current_transaction_id",
        "current_connection_id",
        "get_current_time",
        "today",
        "pg_postmaster_start_time",
        "pg_conf_load_time",
        "current_setting",
        "getenv",
        "reservoir_quantile",
        "sleep_ms",
        "write_log",
    ]
)
CLOCK = (
    exp.CurrentDate,
    exp.CurrentTime,
    exp.CurrentTimestamp,
    exp.CurrentDatetime,
    exp.Localtime,
    exp.Localtimestamp,
)
VOLATILE_NODES = (exp.Rand, exp.Uuid, *CLOCK)


class UnsupportedError(Exception):
    """This construct has no incremental rule yet; the model is kept by full recompute, with this reason."""


def reject_volatile(query: exp.Expr) -> None:
    """Refuse what is not a function of the tables: clocks, random numbers, the order rows lie in."""
    for node in nodes(query):
        if isinstance(node, exp.Join) and node.method == "POSITIONAL":
            raise RejectedError(
                "POSITIONAL JOIN pairs rows by the order in which they lie, and a table has none",
                hint="number both sides with row_number() over a column that orders them, and join by that.",
            )
        name = node.name.lower() if isinstance(node, exp.Anonymous) else node.key
        today = name == "age" and len(node.expressions) == 1  # of one argument: until today
        if today or isinstance(node, VOLATILE_NODES) or name in VOLATILE or node.args.get("sample"):
            shown = node.sql(dialect="duckdb")
            raise RejectedError(
                f"{shown} changes from call to call, so no stored result can stay equal to the query",
                hint="put the value into a table (a batch parameter) and join it, or store it with the row.",
            )
