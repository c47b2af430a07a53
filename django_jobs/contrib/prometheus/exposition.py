"""Metrics in the text format of Prometheus."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from django_jobs.contrib.prometheus.exposed import Exposed
from django_jobs.engine.insight import rollups
from django_jobs.engine.insight.metrics import Gauges
from django_jobs.engine.insight.rollups import Key, ProcessCounts
from django_jobs.engine.store.values import CLASSES_PER_DECADE
from django_jobs.health.notes import HealthNotes
from django_jobs.statuses import FINAL, Status

# Every metric: its name, its kind, its labels, and what it says. Names and units follow Prometheus's conventions.


F = TypeVar("F", CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily)


@dataclass(frozen=True, slots=True)
class Described(Generic[F]):
    """A metric without values. ``by_organization``: METRICS_ORGANIZATIONS adds the label ``organization``."""

    kind: type[F]
    name: str
    text: str
    labels: tuple[str, ...] = ()
    by_organization: bool = False

    def family(self, *, with_organizations: bool = False) -> F:
        """Return an empty family of it."""
        return self.kind(f"django_jobs_{self.name}", self.text, labels=self.label_names(with_organizations))

    def label_names(self, with_organizations: bool) -> tuple[str, ...]:
        """Return the names of its labels, in the order of their values."""
        return (*self.labels, *(("organization",) if with_organizations and self.by_organization else ()))


_COUNTER, _GAUGE, _HISTOGRAM = CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

# Of the process that is scraped.
CHILD_EXITS: Final = Described(_COUNTER, "child_exits", "Child processes of this worker that ended.", ("how",))
CHILDREN: Final = Described(_GAUGE, "children", "Child processes of this worker that live.")
CHILDREN_WANTED: Final = Described(_GAUGE, "children_wanted", "Child processes that this worker should have.")
DATABASE_UP: Final = Described(_GAUGE, "database_up", "1 if the database answered this process last time.")
BROKER_UP: Final = Described(_GAUGE, "broker_up", "1 if the broker (Redis) answered this process last time.")
LEADS: Final = Described(_GAUGE, "scheduler_leads", "1 if the scheduler of this process leads.")

# Of the installation, told by the process whose scheduler leads.
SUBMITTED: Final = Described(
    _COUNTER, "submitted", "Jobs that were submitted, by the history.", ("job_type",), by_organization=True
)
ENDED: Final = Described(
    _COUNTER, "ended", "Jobs that ended, by the history.", ("job_type", "outcome"), by_organization=True
)
ATTEMPTS: Final = Described(
    _COUNTER, "attempts", "Attempts that ended, by the history.", ("job_type", "outcome"), by_organization=True
)
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

ALL: Final[tuple[Described[Any], ...]] = (
    *(CHILD_EXITS, CHILDREN, CHILDREN_WANTED, DATABASE_UP, BROKER_UP, LEADS),
    *(SUBMITTED, ENDED, ATTEMPTS, RUN_SECONDS, WAIT_SECONDS),
    *(GAUGES_AGE, JOBS, BACKLOG, OLDEST, DEAD_LETTERS, WORKERS, SLOTS, BREAKERS, ALERTS),
)


# The counters and histograms of what a process has counted.


#: The last class of durations below each bound: about 1, 2 and 5 of every power of ten, from 10 ms to three hours.
#: The bounds lie between two classes, so that every duration is on its right side.
_LAST_CLASSES: Final = (-20, *(power + step for power in range(-20, 40, 10) for step in (3, 7, 10)))
BOUNDS: Final = tuple((last, str(float(f"{10 ** ((last + 0.5) / CLASSES_PER_DECADE):.3g}"))) for last in _LAST_CLASSES)

_COUNTERS: Final[Mapping[str, Described[CounterMetricFamily]]] = {
    rollups.ATTEMPTS: ATTEMPTS,
    rollups.SUBMITTED: SUBMITTED,
    rollups.ENDED: ENDED,
}


def counted_families(counts: ProcessCounts) -> Iterator[Metric]:
    """Yield what was counted."""
    by_name: dict[str, dict[Key, float]] = defaultdict(dict)
    for key, number in counts.read().items():
        by_name[key.name][key] = number
    for name, described in _COUNTERS.items():
        yield _counter(described, by_name[name], with_organizations=counts.organizations > 0)
    exits = CHILD_EXITS.family()
    for how in rollups.WAYS_TO_EXIT:
        exits.add_metric([how], by_name[rollups.EXITS].get(Key(rollups.EXITS, detail=how), 0))
    yield exits
    yield _histogram(RUN_SECONDS, by_name[rollups.RUNS], by_name[rollups.RUN_SECONDS])
    yield _histogram(WAIT_SECONDS, by_name[rollups.WAITS], by_name[rollups.WAIT_SECONDS])


def _counter(
    described: Described[CounterMetricFamily], numbers: Mapping[Key, float], *, with_organizations: bool
) -> Metric:
    family = described.family(with_organizations=with_organizations)
    for key, number in (numbers if with_organizations else _with_zeros(numbers)).items():
        values = {"job_type": key.job_type, "outcome": key.detail, "organization": key.organization}
        family.add_metric([values[name] for name in described.label_names(with_organizations)], number)
    return family


def _with_zeros(numbers: Mapping[Key, float]) -> Mapping[Key, float]:
    """Return the numbers, and 0 for each outcome that a type has not had: else its first one would be no increase."""
    outcomes = {
        rollups.ATTEMPTS: sorted(set(rollups.OUTCOMES.values())),
        rollups.ENDED: rollups.ENDS,
    }
    zeros = {key._replace(detail=detail): 0 for key in numbers for detail in outcomes.get(key.name, ())}
    return {**zeros, **numbers}


def _histogram(
    described: Described[HistogramMetricFamily], classes: Mapping[Key, float], sums: Mapping[Key, float]
) -> Metric:
    family = described.family()
    by_type: dict[str, dict[int, float]] = defaultdict(dict)
    for key, number in classes.items():
        by_type[key.job_type][int(key.detail)] = number
    seconds = {key.job_type: number for key, number in sums.items()}
    for job_type, counted in by_type.items():
        family.add_metric([job_type], list(_buckets(counted)), seconds.get(job_type, 0.0))
    return family


def _buckets(counted: Mapping[int, float]) -> Iterator[tuple[str, float]]:
    """Yield each bound with the number of durations up to it."""
    total, places, left = 0.0, sorted(counted), 0
    for last, bound in (*BOUNDS, (math.inf, "+Inf")):
        while left < len(places) and places[left] <= last:
            total += counted[places[left]]
            left += 1
        yield bound, total


# Metrics as text, in the format that a scrape asks for.


#: Older gauges are not told: what is known no longer must not look as if it were.
OLDEST_GAUGES_SECONDS: Final = 60.0
#: Of the jobs that ended well there are as many as are kept, which says nothing.
_TOLD: Final = tuple(str(status) for status in Status if status not in FINAL)


class JobsCollector(Collector):
    """Makes the metrics of what is exposed, anew for each scrape."""

    def __init__(self, exposed: Exposed) -> None:
        self._exposed = exposed

    def describe(self) -> Iterator[Metric]:
        """Yield every metric that there may be, without values."""
        for described in ALL:
            yield described.family()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that have a value."""
        yield from _of_process(self._exposed.notes)
        if self._exposed.counts is not None:
            yield from counted_families(self._exposed.counts)
        gauges = self._exposed.gauges
        if gauges is not None and gauges.age < OLDEST_GAUGES_SECONDS:
            yield from _of_installation(gauges)


def expose(exposed: Exposed, accept: str) -> tuple[str, bytes]:
    """Return the content type and the text of the metrics, in the format that the header ``accept`` asks for."""
    registry = CollectorRegistry()
    registry.register(JobsCollector(exposed))
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
