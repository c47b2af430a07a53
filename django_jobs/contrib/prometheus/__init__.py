"""Metrics for Prometheus: the extra ``prometheus``, with the library ``prometheus-client``.

This module answers scrapes, and says so where the library is missing; ``exposition`` names every metric.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from django_jobs.engine.insight.metrics import Gauges
from django_jobs.engine.insight.rollups import ProcessCounts
from django_jobs.health.notes import HealthNotes, Reply

LIBRARY: Final = "prometheus_client"
MISSING: Final = (
    "There are no metrics here: install the extra with `pip install 'django-durable-jobs[prometheus]'`, "
    "and restart this process.\n"
)
#: A server that cannot do what it is asked for says so by this code.
NOT_IMPLEMENTED: Final = 501


def scrape(accept: str, notes: HealthNotes, gauges: Gauges | None = None, counts: ProcessCounts | None = None) -> Reply:
    """Return the metrics in a format that the header ``accept`` asks for. Waits for nothing.

    They tell what is known of this process, of the whole installation where this process reads that, and what this
    process counted. The library is imported by the first scrape: a process that nobody scrapes does without its memory.
    """
    if find_spec(LIBRARY) is None:
        return Reply(NOT_IMPLEMENTED, "text/plain; charset=utf-8", MISSING.encode())
    from django_jobs.contrib.prometheus.exposition import expose

    return Reply(200, *expose(accept, notes, gauges, counts))
