"""From a project's files and sources to committed batches: read → check → apply → refresh → record.

prepare(wh, project)              tables and models as the project says
run = refresh(wh, sources)        one batch, one commit
plan(wh, project, sources, …)     what would happen, without writing
release(wh, sources, ids=[…])     quarantined rows that are accepted by now
"""

from __future__ import annotations

from strandline.runner.planning import PlannedFile, PlannedModel, RunPlan, plan
from strandline.runner.ports import Notice, Progress, quiet, unseen
from strandline.runner.prepare import in_file, prepare
from strandline.runner.refresh import refresh
from strandline.runner.release import Release, release
from strandline.runner.verifying import check_if_due

__all__ = [
    "Notice",
    "PlannedFile",
    "PlannedModel",
    "Progress",
    "Release",
    "RunPlan",
    "check_if_due",
    "in_file",
    "plan",
    "prepare",
    "quiet",
    "refresh",
    "release",
    "unseen",
]
