"""Metrics as text, in the format that a scrape asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from django_jobs.contrib.prometheus import families
from django_jobs.contrib.prometheus.counted import counted_families
from django_jobs.contrib.prometheus.exposed import Exposed
from django_jobs.contrib.prometheus.families import Described
from django_jobs.engine.insight.metrics import Gauges
from django_jobs.health.notes import HealthNotes
from django_jobs.statuses import FINAL, Status

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
        for described in families.ALL:
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
    yield _gauge(families.DATABASE_UP, notes.database.is_up)
    yield _gauge(families.BROKER_UP, notes.broker.is_up)
    if notes.leads is not None:
        yield _gauge(families.LEADS, notes.leads())
    if notes.children is not None:
        wanted, living = notes.children
        yield _gauge(families.CHILDREN_WANTED, wanted)
        yield _gauge(families.CHILDREN, living)


def _of_installation(gauges: Gauges) -> Iterator[Metric]:
    yield _gauge(families.GAUGES_AGE, gauges.age)
    yield _gauge(families.OLDEST, gauges.oldest_waiting_seconds)
    yield _gauge(families.DEAD_LETTERS, gauges.jobs[Status.DEAD_LETTER])
    yield _gauges(families.JOBS, (((_word(status),), gauges.jobs[status]) for status in _TOLD))
    yield _gauges(families.BACKLOG, (((_word(word),), count) for word, count in gauges.backlog.items()))
    yield _gauges(families.WORKERS, ((_worker(*key), count) for key, count in gauges.workers.items()))
    yield _gauges(families.SLOTS, (((pool,), count) for pool, count in gauges.slots.items()))
    yield _gauges(families.BREAKERS, (((job_type, *held), 1) for job_type, held in gauges.breakers.items()))
    yield _gauges(families.ALERTS, (((rule,), count) for rule, count in gauges.alerts.items()))


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
