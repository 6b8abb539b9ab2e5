"""The command `strandline`: reads the words, calls the library, prints what comes back.

Exit codes: 0 done, 1 a step or check failed, 2 usage or configuration, 3 `strict` refused a plan,
101 a mistake in Strandline itself, 130 interrupted. Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from strandline.errors import StrandlineError, UsageError

if TYPE_CHECKING:
    from cyclopts import CycloptsError

OK, INTERNAL, INTERRUPTED = 0, 101, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = run(words)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough, as in `strandline query … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OK
    sys.exit(code)


def run(words: Sequence[str]) -> int:
    """The exit code of a command line; what went wrong has been said on stderr."""
    if list(words) in (["--version"], ["-V"]):  # answered without loading anything
        from strandline import __version__

        sys.stdout.write(f"{__version__}\n")
        return OK
    try:
        return _call(words)
    except StrandlineError as error:
        return _say(error, words)
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  the last resort: a short message instead of a traceback
        # Ctrl-C in the middle of a query reaches us as DuckDB's own words for it.
        return _interrupted() if str(error) == "Query interrupted" else _internal(error)


def _call(words: Sequence[str]) -> int:
    import logging

    from cyclopts import CycloptsError

    from strandline.cli.commands import app

    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # what it takes for unusual we say ourselves
    try:
        result = app(list(words))
    except CycloptsError as error:
        raise _usage(error) from None
    return result if isinstance(result, int) else OK


def _usage(error: CycloptsError) -> UsageError:
    """The parser's complaint in our words; it already names the nearest option or command."""
    error.verbose = False
    text = str(error).strip()
    chain = " ".join(("strandline", *(error.command_chain or ())))
    return UsageError(text, hint=f"`{chain} --help` shows what there is.")


def _say(error: StrandlineError, words: Sequence[str]) -> int:
    from strandline.cli.output import show_error

    if os.environ.get("STRANDLINE_DEBUG"):
        _traceback()
    show_error(error, "--json" in words)
    return error.exit_code


def _interrupted() -> int:
    sys.stderr.write("interrupted; what was committed stays, nothing is half done\n")
    return INTERRUPTED


def _internal(error: Exception) -> int:
    if os.environ.get("STRANDLINE_DEBUG"):
        _traceback()
    sys.stderr.write(
        f"internal error: {type(error).__name__}: {error}\n"
        "  next:  this is a mistake in Strandline, not yours. STRANDLINE_DEBUG=1 shows where;"
        " please report it.\n"
    )
    return INTERNAL


def _traceback() -> None:
    import traceback

    traceback.print_exc()


def __getattr__(name: str) -> Any:
    """`strandline.cli.app`, for those who extend the command line; loaded when asked for."""
    if name == "app":
        from strandline.cli.commands import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
