"""What is told of the jobs that are queued or running."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from django_jobs.engine.store.lane_values import Lane


class InFlightCount(NamedTuple):
    """How many jobs of one lane and priority are queued, and how many are queued or running."""

    lane: Lane
    priority: int
    queued: int
    total: int


class InFlightMark(NamedTuple):
    """Where a count may begin: of the jobs that were queued before ``since``, only ``pks`` were still in flight."""

    since: dt.datetime
    pks: list[int]


class InFlightJob(NamedTuple):
    """A job that is queued after so many attempts, and the lane it came from."""

    lane: Lane
    pk: int
    attempt: int
