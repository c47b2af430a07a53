"""What a monitoring system is told of the whole installation at a moment, read by a bounded number of bounded reads."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db.models import Count

from django_jobs import pools
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.insight.breakers import open_breakers
from django_jobs.engine.insight.metrics import get_job_metrics
from django_jobs.engine.process_counts import MAX_TYPES
from django_jobs.models import Alert
from django_jobs.statuses import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Numbers of one moment. Those of jobs are counted as :mod:`.metrics` says: up to a bound where they are many."""

    jobs: Mapping[str, int]
    backlog: Mapping[str, int]
    oldest_waiting_seconds: float
    #: By pool, and whether they are quiet.
    workers: Mapping[tuple[str, bool], int]
    #: By pool; quiet workers have none.
    slots: Mapping[str, int]
    #: The state of each breaker that holds jobs of its type, and whether of ``all`` organizations or of ``one``.
    breakers: Mapping[str, tuple[str, str]]
    #: How many alarms are open, by rule.
    alerts: Mapping[str, int]
    #: On time.monotonic's clock.
    moment: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        """Return for how many seconds they have been known."""
        return time.monotonic() - self.moment


def read_gauges() -> Gauges:
    """Return the numbers of now."""
    found = get_job_metrics()
    workers, slots = _workers()
    held = open_breakers(most=MAX_TYPES, counts_waiting=False)
    rows = Alert.primary.filter(cleared_at__isnull=True).order_by().values_list("rule")
    return Gauges(
        jobs={status: found["job_count_by_status"].get(status, 0) for status in map(str, Status)},
        backlog=found["queue_depth_by_priority"],
        oldest_waiting_seconds=found["oldest_waiting_seconds"] or 0.0,
        workers=workers,
        slots=slots,
        breakers={
            item.job_type: (item.state.lower().replace(" ", "_"), "one" if item.organization else "all")
            for item in held
        },
        alerts=dict(rows.annotate(count=Count("pk"))),
    )


def _workers() -> tuple[dict[tuple[str, bool], int], dict[str, int]]:
    known = pools.named()
    workers: Counter[tuple[str, bool]] = Counter({(pool, False): 0 for pool in pools.names()})
    slots: Counter[str] = Counter(dict.fromkeys(pools.names(), 0))
    for worker in live_workers():
        for pool in sorted({queue.pool for queue in pools.served_by(worker.queues.split(","), known)}):
            workers[pool, worker.quiet_since is not None] += 1
            slots[pool] += worker.slots if worker.quiet_since is None else 0
    return dict(workers), dict(slots)
