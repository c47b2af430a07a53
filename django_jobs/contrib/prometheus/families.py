"""Every metric: its name, its kind, its labels, and what it says. Names and units follow Prometheus's conventions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

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
    _HISTOGRAM, "run_seconds", "How long attempts took that were not handed back, by the history.", ("job_type",)
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
