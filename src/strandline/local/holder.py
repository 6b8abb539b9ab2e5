"""Who holds a warehouse, and where that process can be reached.

DuckDB's own lock on the file is the truth. The `.lock` file beside the warehouse only
lets a message name the holder; it may be missing or left over, and nothing depends on it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import socket
import stat
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from strandline.errors import HELD, LockedError
from strandline.schema import utc_now

# sockaddr_un holds 108 bytes on Linux and 104 on macOS, with the closing zero.
LONGEST_SOCKET_PATH = 100


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that has a warehouse open for writing. `started` is in UTC."""

    pid: int
    role: str
    host: str
    started: dt.datetime

    @property
    def alive(self) -> bool:
        """False only where it is known to have ended; another machine's process counts as alive."""
        if self.host != socket.gethostname():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:  # it belongs to somebody else, so it is there
            return True
        return True

    def __str__(self) -> str:
        place = "" if self.host == socket.gethostname() else f" on {self.host}"
        return f"{self.role} (process {self.pid}{place}, since {self.started:%Y-%m-%d %H:%M:%S} UTC)"


def is_file(warehouse: str) -> bool:
    """Whether a warehouse's path names a file (not memory, not a database server)."""
    return warehouse != ":memory:" and "://" not in warehouse


def real_path(warehouse: str | Path) -> Path:
    """The one path that every process derives the same names from."""
    return Path(os.path.realpath(warehouse))


def announce(warehouse: str | Path, role: str) -> Holder:
    """Write the `.lock` file of a warehouse that this process has just opened for writing."""
    holder = Holder(os.getpid(), role, socket.gethostname(), utc_now())
    path = _lock_file(warehouse)
    # A message's file must never keep the work from being done.
    with contextlib.suppress(OSError):
        fresh = path.with_name(f"{path.name}.{holder.pid}")
        fresh.write_text(json.dumps({**asdict(holder), "started": holder.started.isoformat()}))
        fresh.replace(path)
    return holder


def withdraw(warehouse: str | Path) -> None:
    """Remove this process's `.lock` file; another's is left alone."""
    holder = holder_of(warehouse)
    if holder is not None and holder.pid == os.getpid() and holder.host == socket.gethostname():
        _lock_file(warehouse).unlink(missing_ok=True)


def holder_of(warehouse: str | Path) -> Holder | None:
    """Who the `.lock` file names; None where there is none that can be read."""
    try:
        found = json.loads(_lock_file(warehouse).read_text())
        started = dt.datetime.fromisoformat(found["started"])
        return Holder(int(found["pid"]), str(found["role"]), str(found["host"]), started)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def locked(warehouse: str | Path, cause: BaseException | None = None, why: str = "") -> LockedError:
    """The error that names the holder of a warehouse, as well as it can be known."""
    holder = holder_of(warehouse)
    if holder is not None and not holder.alive:
        holder = None
    told = f"; {why}" if why else ""
    held = f"{HELD} {holder or 'another process'}"
    if holder is None and isinstance(cause, LockedError):
        held = cause.message if cause.message.startswith(HELD) else f"{held} ({cause.message})"
    return LockedError(
        f"{held}{told}",
        where=str(warehouse),
        hint="wait until it has finished, or stop it; reading is possible while `strandline watch` holds it.",
        cause=cause,
    )


def socket_paths(warehouse: str | Path) -> list[Path]:
    """Where the holder listens, the preferred place first: beside the warehouse, else a per-user folder."""
    real = real_path(warehouse)
    beside = real.with_name(f"{real.name}.sock")
    name = hashlib.sha256(os.fsencode(real)).hexdigest()[:24]
    hashed = _runtime_folder() / f"{name}.sock"
    return [p for p in (beside, hashed) if len(os.fsencode(p)) <= LONGEST_SOCKET_PATH]


def make_private_folder(folder: Path) -> None:
    """Create the per-user folder, or refuse one that others could have prepared.

    Raises PermissionError when it is not this user's alone.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder of this user alone")


def _runtime_folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "strandline"
    user = os.getuid() if sys.platform != "win32" else "user"
    return Path(tempfile.gettempdir()) / f"strandline-{user}"


def _lock_file(warehouse: str | Path) -> Path:
    real = real_path(warehouse)
    return real.with_name(f"{real.name}.lock")
