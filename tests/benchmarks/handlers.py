"""What benchmark jobs do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django_jobs import JobContext


def nothing(context: JobContext) -> None:
    """The job whose whole cost is ours."""


def clock(context: JobContext) -> dict[str, float]:
    """Says when it began."""
    return {"began": time.time()}
