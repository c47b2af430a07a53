"""Metrics in the text format of Prometheus."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from django_jobs.engine.insight.metrics import Gauges
from django_jobs.engine.insight.rollups import ProcessCounts
from django_jobs.engine.store.values import CLASSES_PER_DECADE, Tally
from django_jobs.health.notes import HealthNotes
from django_jobs.statuses import FINAL, Status

# Every metric: its name, its kind, its labels, and what it says. Names and units follow Prometheus's conventions.


F = TypeVar("F", CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily)


@dataclass(frozen=True, slots=True)
class Described(Generic[F]):
    """A metric without values."""

    kind: type[F]
    name: str
    text: str
    labels: tuple[str, ...] = ()

    def family(self, *more_labels: str) -> F:
        """Return an empty family of it."""
        return self.kind(f"django_jobs_{self.name}", self.text, labels=(*self.labels, *more_labels))


_COUNTER, _GAUGE, _HISTOGRAM = CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

# Of the process that is scraped.
CHILD_EXITS: Final = Described(_COUNTER, "child_exits", "Child processes of this worker that ended.", ("how",))
CHILDREN: Final = Described(_GAUGE, "children", "Child processes of this worker that live.")
CHILDREN_WANTED: Final = Described(_GAUGE, "children_wanted", "Child processes that this worker should have.")
DATABASE_UP: Final = Described(_GAUGE, "database_up", "1 if the database answered this process last time.")
BROKER_UP: Final = Described(_GAUGE, "broker_up", "1 if the broker (Redis) answered this process last time.")
LEADS: Final = Described(_GAUGE, "scheduler_leads", "1 if the scheduler of this process leads.")

# Of the installation, told by the process whose scheduler leads.
# METRICS_ORGANIZATIONS adds the label ``organization`` to the first three.
SUBMITTED: Final = Described(_COUNTER, "submitted", "Jobs that were submitted, by the history.", ("job_type",))
ENDED: Final = Described(_COUNTER, "ended", "Jobs that ended, by the history.", ("job_type", "outcome"))
ATTEMPTS: Final = Described(_COUNTER, "attempts", "Attempts that ended, by the history.", ("job_type", "outcome"))
RUN_SECONDS: Final = Described(
    _HISTOGRAM, "run_seconds", "How long attempts took that were not requeued, by the history.", ("job_type",)
)
WAIT_SECONDS: Final = Described(
    _HISTOGRAM, "wait_seconds", "How long first attempts waited since they could start, by the history.", ("job_type",)
)

# Of the installation, told by the process whose scheduler leads, and by the web.
GAUGES_AGE: Final = Described(_GAUGE, "gauges_age_seconds", "How old the gauges of the installation are.")
JOBS: Final = Described(_GAUGE, "jobs", "Jobs that have not ended well, up to 10,000 of a status.", ("status",))
BACKLOG: Final = Described(_GAUGE, "backlog", "Jobs that wait for a worker, up to 10,000 a priority.", ("priority",))
OLDEST: Final = Described(_GAUGE, "oldest_waiting_seconds", "How long the job that waits longest has been due.")
DEAD_LETTERS: Final = Described(_GAUGE, "dead_letters", "Jobs in Dead Letter, up to 10,000.")
WORKERS: Final = Described(_GAUGE, "workers", "Worker processes that were seen lately.", ("pool", "state"))
SLOTS: Final = Described(_GAUGE, "worker_slots", "How many jobs they run at once.", ("pool",))
BREAKERS: Final = Described(
    _GAUGE, "breaker_open", "1 for each type of which a breaker holds jobs.", ("job_type", "state", "organizations")
)
ALERTS: Final = Described(_GAUGE, "alerts", "Alarms that are open.", ("rule",))


# The counters and histograms of what a process has counted.


#: The last class of durations below each bound: about 1, 2 and 5 of every power of ten, from 10 ms to three hours.
#: The bounds lie between two classes, so that every duration is on its right side.
_LAST_CLASSES: Final = (-20, *(power + step for power in range(-20, 40, 10) for step in (3, 7, 10)))
BOUNDS: Final = tuple((last, str(float(f"{10 ** ((last + 0.5) / CLASSES_PER_DECADE):.3g}"))) for last in _LAST_CLASSES)

#: The outcome of an attempt, by the status that its job goes to. "returned" costs no retry: the job runs again.
OUTCOMES: Final[Mapping[str, str]] = {
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.TIMED_OUT: "timed_out",
    Status.DEAD_LETTER: "dead_letter",
    Status.CANCELED: "canceled",
    Status.QUEUED: "returned",
    Status.PENDING: "returned",
}


def counted_families(counts: ProcessCounts) -> Iterator[Metric]:
    """Yield what was counted."""
    names = ["organization"] if counts.organizations else []
    submitted, ended, attempts = (item.family(*names) for item in (SUBMITTED, ENDED, ATTEMPTS))
    by_type: dict[str, Tally] = defaultdict(Tally)
    for (job_type, organization), tally in counts.read().items():
        by_type[job_type].add_all(tally)
        labels = [organization] if names else []
        submitted.add_metric([job_type, *labels], tally.submitted)
        ends = {"completed": tally.completed, "dead_letter": tally.died, "canceled": tally.canceled}
        for family, numbers in ((ended, ends), (attempts, _outcomes(tally))):
            for outcome, number in numbers.items():
                if number or not names:  # without the zeros, the first one of an outcome would be no increase
                    family.add_metric([job_type, outcome, *labels], number)
    exits = CHILD_EXITS.family()
    for how, number in counts.exits.items():
        exits.add_metric([how], number)
    runs, waits = RUN_SECONDS.family(), WAIT_SECONDS.family()
    for job_type, tally in by_type.items():
        for histogram, classes, seconds in (
            (runs, tally.attempt_histogram, tally.attempt_seconds),
            (waits, tally.wait_histogram, tally.wait_seconds),
        ):
            if classes:
                histogram.add_metric([job_type], list(_buckets(classes)), seconds)
    yield from (submitted, ended, attempts, exits, runs, waits)


def _outcomes(tally: Tally) -> Mapping[str, int]:
    numbers = dict.fromkeys(OUTCOMES.values(), 0)
    for status, number in tally.attempts.items():
        numbers[OUTCOMES[status]] += number
    return numbers


def _buckets(classes: Mapping[str, int]) -> Iterator[tuple[str, float]]:
    """Yield each bound with the number of durations up to it."""
    numbers = {int(name): number for name, number in classes.items()}
    for last, bound in (*BOUNDS, (math.inf, "+Inf")):
        yield bound, sum(number for place, number in numbers.items() if place <= last)


# Metrics as text, in the format that a scrape asks for.


#: Older gauges are not told: what is known no longer must not look as if it were.
OLDEST_GAUGES_SECONDS: Final = 60.0
#: Of the jobs that ended well there are as many as are kept, which says nothing.
_TOLD: Final = tuple(str(status) for status in Status if status not in FINAL)


@dataclass(eq=False)
class JobsCollector(Collector):
    """Makes the metrics of one scrape."""

    notes: HealthNotes
    gauges: Gauges | None = None
    counts: ProcessCounts | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that have a value."""
        yield from _of_process(self.notes)
        if self.counts is not None:
            yield from counted_families(self.counts)
        if self.gauges is not None and self.gauges.age < OLDEST_GAUGES_SECONDS:
            yield from _of_installation(self.gauges)


def expose(accept: str, notes: HealthNotes, gauges: Gauges | None, counts: ProcessCounts | None) -> tuple[str, bytes]:
    """Return the content type and the text of the metrics, in the format that the header ``accept`` asks for."""
    registry = CollectorRegistry()
    registry.register(JobsCollector(notes, gauges, counts))
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # the library cannot read that header
        encode, content_type = choose_encoder("")
    return content_type, encode(registry)


def _of_process(notes: HealthNotes) -> Iterator[Metric]:
    yield _gauge(DATABASE_UP, notes.database.is_up)
    yield _gauge(BROKER_UP, notes.broker.is_up)
    if notes.leads is not None:
        yield _gauge(LEADS, notes.leads())
    if notes.children is not None:
        wanted, living = notes.children
        yield _gauge(CHILDREN_WANTED, wanted)
        yield _gauge(CHILDREN, living)


def _of_installation(gauges: Gauges) -> Iterator[Metric]:
    yield _gauge(GAUGES_AGE, gauges.age)
    yield _gauge(OLDEST, gauges.oldest_waiting_seconds)
    yield _gauge(DEAD_LETTERS, gauges.jobs[Status.DEAD_LETTER])
    yield _gauges(JOBS, (((_word(status),), gauges.jobs[status]) for status in _TOLD))
    yield _gauges(BACKLOG, (((_word(word),), count) for word, count in gauges.backlog.items()))
    yield _gauges(WORKERS, ((_worker(*key), count) for key, count in gauges.workers.items()))
    yield _gauges(SLOTS, (((pool,), count) for pool, count in gauges.slots.items()))
    yield _gauges(BREAKERS, (((job_type, *held), 1) for job_type, held in gauges.breakers.items()))
    yield _gauges(ALERTS, (((rule,), count) for rule, count in gauges.alerts.items()))


def _worker(pool: str, is_quiet: bool) -> tuple[str, str]:
    return pool, "quiet" if is_quiet else "active"


def _word(status: str) -> str:
    return status.lower().replace(" ", "_")


def _gauge(described: Described[GaugeMetricFamily], value: float) -> Metric:
    return _gauges(described, [((), value)])


def _gauges(described: Described[GaugeMetricFamily], values: Iterable[tuple[Sequence[str], float]]) -> Metric:
    family = described.family()
    for labels, value in values:
        family.add_metric(labels, float(value))
    return family
