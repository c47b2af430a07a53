"""Sums of what happened, by span of time, type and organization: what is counted, and as what."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any, Final, NamedTuple

from django_jobs.engine.store import histograms
from django_jobs.models import Span
from django_jobs.statuses import AWAITING_RETRY, Status

COUNTERS: Final = ("submitted", "started", "completed", "failed", "died", "canceled")
SUMS: Final = ("run_seconds", "wait_seconds")
HISTOGRAMS: Final = ("run_histogram", "wait_histogram")
#: By the status that a job moved to; a row without a status before is a submission.
COUNTED_AS: Final[dict[str, str]] = {
    Status.RUNNING: "started",
    Status.COMPLETED: "completed",
    **dict.fromkeys(sorted(AWAITING_RETRY), "failed"),
    Status.DEAD_LETTER: "died",
    Status.CANCELED: "canceled",
}


@dataclasses.dataclass(slots=True)
class Tally:
    """The measures of one row, being added up."""

    organization_name: str = ""
    submitted: int = 0
    started: int = 0
    completed: int = 0
    failed: int = 0
    died: int = 0
    canceled: int = 0
    run_seconds: float = 0.0
    run_histogram: dict[str, int] = dataclasses.field(default_factory=dict)
    wait_seconds: float = 0.0
    wait_histogram: dict[str, int] = dataclasses.field(default_factory=dict)

    def count(self, name: str, number: int = 1) -> None:
        """Add to one of COUNTERS."""
        setattr(self, name, getattr(self, name) + number)

    def ran(self, seconds: float, key: str, number: int = 1) -> None:
        """Add runs that took this many seconds together, each counted in this class of the histogram."""
        self.run_seconds += seconds
        self.run_histogram[key] = self.run_histogram.get(key, 0) + number

    def waited(self, seconds: float, key: str, number: int = 1) -> None:
        """Add waits that took this many seconds together, each counted in this class of the histogram."""
        self.wait_seconds += seconds
        self.wait_histogram[key] = self.wait_histogram.get(key, 0) + number

    def add_runs(self, other: Any) -> None:
        """Add only what another tally, or a row, tells of ends and run times."""
        self.completed += other.completed
        self.died += other.died
        self.run_seconds += other.run_seconds
        histograms.merge(self.run_histogram, other.run_histogram)

    def add(self, other: Any) -> None:
        """Add what another tally, or a stored row, holds."""
        for name in (*COUNTERS, *SUMS):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in HISTOGRAMS:
            histograms.merge(getattr(self, name), getattr(other, name))


class Place(NamedTuple):
    """What a row is about; ``organization`` is None of all together."""

    span: int
    starts_at: dt.datetime
    job_type: str
    organization: Any


def start_of(span: Span | int, moment: dt.datetime) -> dt.datetime:
    """When the span began that the moment lies in."""
    second = int(moment.timestamp())
    return dt.datetime.fromtimestamp(second - second % int(span), dt.UTC)
