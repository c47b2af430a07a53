"""Handlers that write down when they ran."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django_jobs import TransientError
from tests.support.record import recorded

if TYPE_CHECKING:
    from django_jobs import JobContext

#: The environment variable with the path of a file: while there is one, the provider is down.
OUTAGE: Final = "DJANGO_JOBS_FLOW_OUTAGE"


def work(context: JobContext) -> None:
    """Wait for ``seconds``."""
    with recorded(context):
        time.sleep(context.parameters.get("seconds", 0))


def call_provider(context: JobContext) -> None:
    """Wait for ``seconds``; while the provider is down, fail at once."""
    with recorded(context):
        if Path(os.environ[OUTAGE]).exists():
            raise TransientError("The provider does not answer")
        time.sleep(context.parameters["seconds"])


def nothing(context: JobContext) -> None:
    """Write nothing down: the job whose whole cost is ours."""
