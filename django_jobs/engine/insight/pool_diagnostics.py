"""Diagnostics of pools: whether each has workers while its jobs wait, and whether the types' pools are configured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.insight.findings import OK, PROBLEM, WARNING, Finding
from django_jobs.engine.insight.inspection import jobs, waiting
from django_jobs.models import JobType, Worker
from django_jobs.statuses import Status

#: How many types are named; the others are counted.
MAX_NAMED: Final = 5


def examine_pools(workers: Sequence[Worker], types: Collection[str] | None = None) -> Iterator[Finding]:
    """Yield a finding for each pool where there are several, and one for types whose pool is not configured.

    ``workers`` are those that live. With ``types``, only these job types are looked at.
    """
    rows = JobType.primary.all() if pools.configured() else JobType.primary.exclude(pool=DEFAULT_POOL)
    if types is not None:
        rows = rows.filter(pk__in=list(types))
    by_pool: dict[str, list[str]] = defaultdict(list)
    for name, pool in rows.order_by("pk").values_list("pk", "pool"):
        by_pool[pool].append(name)
    served = {queue for worker in workers for queue in worker.queues.split(",")}
    for pool in pools.names() if pools.configured() else ():
        yield _examine(pool, by_pool.pop(pool, []), served)
    yield from (_tell_unknown(pool, names) for pool, names in by_pool.items())


def _examine(pool: str, types: Sequence[str], served: set[str]) -> Finding:
    subject = f"pool {pool}"
    if not served.isdisjoint(pools.queue_names(pool)):
        return Finding(level=OK, subject=subject, text=f"has workers; job types: {len(types)}.")
    option = "" if pool == DEFAULT_POOL else f" --pool {pool}"
    advice = f"Start `manage.py jobs_worker{option}`."
    if _do_any_wait(types):
        return Finding(level=PROBLEM, subject=subject, text=f"no live worker, and jobs of it wait. {advice}")
    return Finding(level=WARNING, subject=subject, text=f"no live worker; no job of it waits. {advice}")


def _do_any_wait(types: Sequence[str]) -> bool:
    if not types:
        return False
    return waiting().filter(job_type_id__in=types).exists() or (
        jobs().filter(status=Status.QUEUED, job_type_id__in=types).exists()
    )


def _tell_unknown(pool: str, types: Sequence[str]) -> Finding:
    rest = len(types) - MAX_NAMED
    named = ", ".join(types[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
    text = (
        f"is not in DJANGO_JOBS['POOLS'], but is that of the job types {named}: their jobs wait. Add it there and "
        f"start `manage.py jobs_worker --pool {pool}`, or give these types another pool."
    )
    return Finding(level=PROBLEM, subject=f"pool {pool}", text=text)
