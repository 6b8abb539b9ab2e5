"""Children that kill themselves: forked from a small server that has the imports behind it."""

from __future__ import annotations

import atexit
import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

SERVER = """
import os, sys
import crash_child
import strandline.warehouse, strandline.wiring, polars, pyarrow
for line in sys.stdin:
    name, number, at, path = line.rstrip("\\n").split(" ", 3)
    child = os.fork()
    if child == 0:
        try:
            getattr(crash_child, name)(path, int(number), int(at))
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@functools.cache
def server() -> subprocess.Popen[str]:
    """One server a test process; it ends with its standard input."""
    running = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    atexit.register(running.communicate)
    return running


def killed(target: str, path: Path, number: int, at: int) -> bool:
    """Run a function of crash_child; True if it was killed, False if it came to its end first."""
    running = server()
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(f"{target} {number} {at} {path}\n")
    running.stdin.flush()
    code = int(running.stdout.readline())
    assert code in {0, -signal.SIGKILL}, f"the child ended with {code}"
    return code != 0
