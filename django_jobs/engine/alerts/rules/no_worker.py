"""A pool whose jobs wait while no live worker serves it. Quiet workers serve nothing."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Final

from django.core.exceptions import ImproperlyConfigured

from django_jobs import pools
from django_jobs.engine.alerts.findings import MAX_FINDINGS, Finding, Look
from django_jobs.engine.dispatch.window import live_workers, working
from django_jobs.engine.insight.inspection import jobs, waiting
from django_jobs.engine.ports import get_broker
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.head_starts import waits_since
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import JobType
from django_jobs.statuses import Status

MAX_WAITING: Final = 10_000


def find(look: Look) -> list[Finding]:
    """Return the pools without a worker of which jobs have been due for so long."""
    served = {queue for worker in working(live_workers()) for queue in worker.queues.split(",")}
    by_pool: dict[str, list[str]] = defaultdict(list)
    for name, pool in JobType.primary.filter(is_enabled=True, is_paused=False).order_by("pk").values_list("pk", "pool"):
        by_pool[pool].append(name)
    since = look.ago(look.thresholds["seconds"])
    return [
        _finding(pool, types)
        for pool, types in _without_workers(by_pool, served).items()
        if _do_any_wait(types, since) and not _plain_workers(pool)
    ][:MAX_FINDINGS]


def _without_workers(by_pool: Mapping[str, list[str]], served: Collection[str]) -> dict[str, list[str]]:
    known = pools.names()
    return {
        pool: types
        for pool, types in by_pool.items()
        if pool not in known or set(served).isdisjoint(pools.queue_names(pool))
    }


def _do_any_wait(types: list[str], since: dt.datetime) -> bool:
    # A place in a lane is no later than the moment, and in the index.
    in_lanes = waiting().filter(is_delayed=False, job_type_id__in=types, ready_at__lt=since)
    return (
        in_lanes.alias(since=waits_since()).filter(since__lt=since).exists()
        or jobs().filter(status=Status.QUEUED, job_type_id__in=types, queued_at__lt=since).exists()
    )


def _plain_workers(pool: str) -> int:
    """Return how many of RQ's own workers serve a pool; they announce themselves to nobody but the broker."""
    if pool not in pools.names():
        return 0
    try:
        return sum(get_broker().other_workers(pools.queue_names(pool)).values())
    except (BrokerUnavailable, ImproperlyConfigured):
        return 0


def _finding(pool: str, types: list[str]) -> Finding:
    (count,) = store().count_waiting([types], MAX_WAITING + 1)
    queued = jobs().filter(status=Status.QUEUED, job_type_id__in=types)[: MAX_WAITING + 1].count()
    facts = {
        "waiting": min(MAX_WAITING, count + queued),
        "has_more_waiting": count + queued > MAX_WAITING,
        "is_configured": pool in pools.names(),
    }
    return Finding(subject=pool, facts=facts)
