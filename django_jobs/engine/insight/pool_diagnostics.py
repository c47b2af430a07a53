"""Diagnostics of pools: whether each has workers while its jobs wait, and whether the types' pools are configured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.dispatch.window import working
from django_jobs.engine.insight.findings import OK, PROBLEM, WARNING, Finding
from django_jobs.engine.insight.inspection import jobs
from django_jobs.engine.store.chosen import store
from django_jobs.models import JobType, Worker
from django_jobs.statuses import Status
from django_jobs.texts import marked as _
from django_jobs.texts import say

#: How many types are named; the others are counted.
MAX_NAMED: Final = 5
#: What to do about quiet workers.
RESUME: Final = _("Resume them on the admin's page of workers, or start another one.")


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
    served, quiet = queues_of(working(workers)), queues_of(workers)
    for pool in pools.names() if pools.configured() else ():
        yield _examine(pool, by_pool.pop(pool, []), served, quiet)
    yield from (_tell_unknown(pool, names) for pool, names in by_pool.items())


def queues_of(workers: Iterable[Worker]) -> set[str]:
    """Return the queues that any of these workers serves."""
    return {queue for worker in workers for queue in worker.queues.split(",")}


def why_unserved(pool: str, workers: Sequence[Worker]) -> str:
    """Return why nobody takes what waits in a pool, and what to do; "" where one of the live ``workers`` takes it."""
    return _why_unserved(pool, queues_of(working(workers)), queues_of(workers))


def _why_unserved(pool: str, served: set[str], quiet: set[str]) -> str:
    """``served`` are the queues of workers that take jobs, ``quiet`` those of the others too."""
    if not served.isdisjoint(pools.queue_names(pool)):
        return ""
    if not quiet.isdisjoint(pools.queue_names(pool)):
        text = _("all its workers are quiet: they were ordered to take no new jobs, and jobs of it wait. %(advice)s")
        return say(text, code="workers_quiet", advice=say(RESUME))
    return say(_("no live worker, and jobs of it wait. Start `%(command)s`."), code="no_worker", command=_command(pool))


def _command(pool: str) -> str:
    return f"manage.py jobs_worker{'' if pool == DEFAULT_POOL else f' --pool {pool}'}"


def _examine(pool: str, types: Sequence[str], served: set[str], quiet: set[str]) -> Finding:
    """``served`` are the queues of workers that take jobs, ``quiet`` those of the others too."""
    subject = f"pool {pool}"
    problem = _why_unserved(pool, served, quiet)
    if not problem:
        text = say("has workers; job types: %(types)d.", code="served", types=len(types))
        return Finding(level=OK, subject=subject, text=text)
    if _do_any_wait(types):
        return Finding(level=PROBLEM, subject=subject, text=problem)
    if not quiet.isdisjoint(pools.queue_names(pool)):
        text = say(
            "all its workers are quiet: they were ordered to take no new jobs; no job of it waits. %(advice)s",
            code="workers_quiet",
            advice=RESUME,
        )
        return Finding(level=WARNING, subject=subject, text=text)
    text = say("no live worker; no job of it waits. Start `%(command)s`.", code="no_worker", command=_command(pool))
    return Finding(level=WARNING, subject=subject, text=text)


def _do_any_wait(types: Sequence[str]) -> bool:
    return (
        any(any(store().count_waiting([types], 1, delayed=delayed)) for delayed in (False, True))
        or jobs().filter(status=Status.QUEUED, job_type_id__in=types).exists()
    )


def _tell_unknown(pool: str, types: Sequence[str]) -> Finding:
    rest = len(types) - MAX_NAMED
    text = _(
        "is not in DJANGO_JOBS['POOLS'], but is that of the job types %(types)s: their jobs wait. Add it there and "
        "start `%(command)s`, or give these types another pool."
    )
    if rest > 0:
        text = _(
            "is not in DJANGO_JOBS['POOLS'], but is that of the job types %(types)s and %(rest)s more: their jobs "
            "wait. Add it there and start `%(command)s`, or give these types another pool."
        )
    values = {"types": ", ".join(types[:MAX_NAMED]), "rest": rest, "command": f"manage.py jobs_worker --pool {pool}"}
    return Finding(level=PROBLEM, subject=f"pool {pool}", text=say(text, code="unknown_pool", **values))
