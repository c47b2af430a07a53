from __future__ import annotations

import os
import sys
from typing import Final

from django_jobs import JobContext, job_handler

_shared: Final[set[str]] = set()
os.register_at_fork(after_in_child=lambda: _shared.update(sys.modules))


@job_handler("nothing")
def nothing(context: JobContext) -> None:
    """Do nothing: what is looked at is the process."""


@job_handler("refused", max_retries=0)
def refused(context: JobContext) -> None:
    """Fail, since what is made of an error is part of what a process loads."""
    raise ValueError("refused")


@job_handler("imported")
def imported(context: JobContext) -> dict[str, list[str]]:
    """Return which modules of ours this process has imported since it was forked."""
    return {"ours": sorted(name for name in sys.modules.keys() - _shared if name.startswith("django_jobs"))}
