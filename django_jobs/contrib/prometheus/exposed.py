"""What a scrape is told, as values."""

from __future__ import annotations

from typing import NamedTuple

from django_jobs.engine.insight.metrics import Gauges
from django_jobs.engine.insight.rollups import ProcessCounts
from django_jobs.health.notes import HealthNotes


class Exposed(NamedTuple):
    """What is known of this process, of the whole installation if this process reads that, and what it counted."""

    notes: HealthNotes
    gauges: Gauges | None = None
    counts: ProcessCounts | None = None
