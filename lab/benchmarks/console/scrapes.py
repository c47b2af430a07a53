"""A scrape over HTTP of a process that tells all it can, and the reading of the gauges behind it."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator

from django_jobs.models import JobType, Span
from tests.support import verbs
from tests.support.addresses import free_port
from tests.support.probes import ask, value_of
from tests.support.verbs import (
    OUTCOMES,
    ActivityPlace,
    HealthNotes,
    HealthPort,
    ProcessCounts,
    Tally,
)
from tests.support.waiting import wait_until

SCRAPES = 100


def measure(times: int) -> Iterator[str]:
    """What each costs, as lines to print."""
    yield _told("reading the gauges, in the background", times, verbs.read_gauges)
    notes, port = HealthNotes(), free_port()
    notes.leads = lambda: True
    health = HealthPort("127.0.0.1", port, notes)
    health.work()
    _count_all_types()
    wait_until(lambda: value_of(ask(port, "/metrics").body, "django_jobs_backlog") > 0, 60, "the gauges")
    yield _told("a scrape over HTTP", SCRAPES, lambda: ask(port, "/metrics"))
    counts = ProcessCounts()
    verbs.start_counting(counts)
    _count_all_types()
    gauges = verbs.read_gauges()
    yield _told(
        "of that, CPU of the process",
        SCRAPES,
        lambda: verbs.scrape_metrics("", notes, gauges, counts),
        time.thread_time,
    )
    yield _told("a probe over HTTP", SCRAPES, lambda: ask(port, "/ready"))
    yield f"{len(ask(port, '/metrics').body.splitlines()):,} lines"
    health.close()


def _count_all_types() -> None:
    minute = verbs.start_of_span(Span.MINUTE, verbs.now())
    for name in JobType.objects.values_list("pk", flat=True):
        tally = Tally(attempts=Counter(OUTCOMES.keys()))
        tally.measure("attempt", 1.0, "0")
        tally.measure("wait", 1.0, "0")
        verbs.count_history({ActivityPlace(int(Span.MINUTE), minute, name, None): tally})


def _told(what: str, times: int, call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> str:
    taken = []
    for _ in range(times):
        began = clock()
        call()
        taken.append(1000 * (clock() - began))
    worst = sorted(taken)[int(0.95 * (len(taken) - 1))]
    return f"{what:40}{statistics.median(taken):7.1f} ms at the median, {worst:.1f} ms p95, {min(taken):.1f} ms at best"
