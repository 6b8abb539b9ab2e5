"""Parity on a schedule: models against their full recompute every so many batches or minutes.

What was found is recorded in `strandline.checks`. A model that differs is an alert: a line of JSON in the
log, a command that gets it on its standard input, and a message by Apprise where that is installed.
"""

from __future__ import annotations

import importlib
import json
import logging
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from strandline.errors import ConfigurationError
from strandline.project import FILE_NAME, VerifySettings
from strandline.runner.ports import Notice
from strandline.schema import Parity

_log = logging.getLogger("strandline")
PATIENCE_SECONDS = 60
"""How long an alert's command may take."""


class Verifiable(Protocol):
    """What a scheduled check needs of a warehouse."""

    def models(self) -> dict[str, str]: ...

    def verify(self, model: str, sample: float | None = None) -> Parity: ...

    def since_check(self) -> tuple[int, float | None]: ...

    def record_checks(self, found: Sequence[Parity], sample: float | None = None) -> None: ...


def check_if_due(wh: Verifiable, settings: VerifySettings, notice: Notice) -> tuple[Parity, ...]:
    """Verify, record and raise the alarm, if it is time; empty where it is not."""
    if settings.every_batches is None and settings.every_minutes is None:
        return ()
    if not due(settings, *wh.since_check()):
        return ()
    found = tuple(wh.verify(name, settings.sample) for name in chosen(wh, settings))
    wh.record_checks(found, settings.sample)
    failed = [parity for parity in found if not parity.ok]
    if failed:
        alert(settings, failed, notice)
    return found


def due(settings: VerifySettings, batches: int, seconds: float | None) -> bool:
    """Whether enough has happened since the last check; `seconds` is None where there was none yet."""
    if not batches:
        return False
    if settings.every_batches is not None and batches >= settings.every_batches:
        return True
    return settings.every_minutes is not None and (seconds is None or seconds >= settings.every_minutes * 60)


def chosen(wh: Verifiable, settings: VerifySettings) -> list[str]:
    """The models to look at. Raises ConfigurationError for one that is not there."""
    there = {name.lower(): name for name in wh.models()}
    unknown = next((name for name in settings.models if name.lower() not in there), None)
    if unknown is not None:
        raise ConfigurationError(
            f"there is no model {unknown!r}", where=f"{FILE_NAME} [verify]", hint="correct `models`."
        )
    return [there[name.lower()] for name in settings.models] or list(there.values())


def alert(settings: VerifySettings, failed: Iterable[Parity], notice: Notice) -> None:
    """Tell everyone who wants to know; that one of them cannot be told stops nothing."""
    told = [told_of(parity) for parity in failed]
    names = ", ".join(t["model"] for t in told)
    message = json.dumps({"alert": "parity", "models": told})
    _log.error("%s", message)
    notice(f"ALERT: {names} differ{'s' * (len(told) == 1)} from the full recompute; see strandline.checks")
    if settings.on_alert:
        run_command(settings.on_alert, message, notice)
    if settings.notify:
        send(settings.notify, f"Strandline: {names} differ from the full recompute", message, notice)


def told_of(parity: Parity) -> dict[str, Any]:
    """What an alert says of a model: counts, no rows."""
    return {
        "model": parity.model,
        "rows": parity.rows,
        "expected_rows": parity.expected_rows,
        "missing": parity.missing,
        "extra": parity.extra,
    }


def run_command(command: Sequence[str], message: str, notice: Notice) -> None:
    try:
        done = subprocess.run(
            command, input=message, text=True, timeout=PATIENCE_SECONDS, check=False, capture_output=True
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        notice(f"the alert's command did not run: {problem}")
        return
    if done.returncode:
        notice(f"the alert's command ended with {done.returncode}: {done.stderr.strip()[:200]}")


def send(addresses: Sequence[str], title: str, body: str, notice: Notice) -> None:
    try:
        sender = importlib.import_module("apprise").Apprise()
    except ImportError:
        notice("the alert was not sent: `notify` needs Apprise (pip install apprise)")
        return
    for address in addresses:
        sender.add(address)
    if not sender.notify(body=body, title=title):
        notice("the alert was not sent to every address in `notify`")
