"""The highest resident memory of this process since a moment of one's choice."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from pathlib import Path

_SELF = Path("/proc/self")


def start() -> None:
    """Forget the peak so far. Where the system cannot (not Linux), the peak is that of the whole process."""
    with contextlib.suppress(OSError):
        (_SELF / "clear_refs").write_text("5", encoding="ascii")


def peak_mb() -> float:
    """The highest resident memory since `start`, in MB (10^6 bytes)."""
    with contextlib.suppress(OSError, AttributeError):
        status = (_SELF / "status").read_text(encoding="ascii")
        if found := re.search(r"VmHWM:\s+(\d+) kB", status):
            return int(found[1]) * 1024 / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6
