"""Diagnostics of the running setup: one finding for each subject. They change nothing at the broker."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping

from django.core.exceptions import ImproperlyConfigured
from django.db import Error

from django_jobs import pools
from django_jobs.conf import jobs_settings
from django_jobs.engine import duty_watch
from django_jobs.engine.dispatch.reconciliation import installation_id
from django_jobs.engine.dispatch.window import live_workers, working
from django_jobs.engine.insight.batch_diagnostics import examine_batches
from django_jobs.engine.insight.breakers import examine_breakers
from django_jobs.engine.insight.findings import OK, PROBLEM, WARNING, Finding
from django_jobs.engine.insight.inspection import Leader, jobs, leader, waiting
from django_jobs.engine.insight.pool_diagnostics import RESUME, examine_pools
from django_jobs.engine.insight.schedule_diagnostics import examine_schedules
from django_jobs.engine.insight.share_diagnostics import examine_shares
from django_jobs.engine.insight.tenant_tables import swapped_from
from django_jobs.engine.insight.type_diagnostics import examine_types
from django_jobs.engine.insight.waiting_diagnostics import examine_waiting
from django_jobs.engine.ports import get_broker
from django_jobs.engine.store import database, schema
from django_jobs.engine.store.chosen import store
from django_jobs.exceptions import BrokerUnavailable, ForeignBroker
from django_jobs.models import Worker
from django_jobs.statuses import Status
from django_jobs.texts import say


def examine() -> Iterator[Finding]:
    """Yield the findings. What cannot be read is a problem."""
    try:
        now = database.now()
        mine = installation_id()
    except Error as error:
        yield Finding(
            level=PROBLEM,
            subject="database",
            text=say(
                "cannot be read (%(error)s). Is it running, and has `manage.py migrate` been run?",
                code="unreadable",
                error=type(error).__name__,
            ),
        )
        return
    name = database.connection().display_name
    text = say("%(database)s answers; installation %(installation)s.", code="answers", database=name, installation=mine)
    yield Finding(level=OK, subject="database", text=text)
    yield from _examine_schema()
    if store().hides_changes():
        text = say("lets equal jobs be accepted twice (django_jobs.E020).", code="hides_changes")
        yield Finding(level=PROBLEM, subject="isolation level", text=text)
    yield from _examine_tenants()
    yield examine_shares()
    yield from _examine_broker(mine)
    workers = live_workers()
    yield from _examine_queues(workers)
    yield from examine_pools(workers)
    yield _examine_scheduler(leader(now))
    yield from _examine_duties(now)
    yield examine_waiting(workers)
    yield examine_batches(now)
    yield from examine_types()
    yield from examine_breakers()
    yield from examine_schedules()


def _examine_schema() -> Iterator[Finding]:
    """Yield what is wrong with the tables. A migration that only takes away what an older release needs may be late."""
    late = schema.unapplied_migrations()
    if late:
        level = PROBLEM if schema.lacks_columns() else WARNING
        yield Finding(level=level, subject="schema", text=schema.behind(late))


def _examine_tenants() -> Iterator[Finding]:
    before = swapped_from()
    if before is not None:
        text = say(
            "are those of another table than %(before)r, for which the tables were made (django_jobs.E019). Set "
            "DJANGO_JOBS_ORGANIZATION_MODEL back.",
            code="swapped",
            before=before,
        )
        yield Finding(level=PROBLEM, subject="organizations", text=text)


def _examine_broker(mine: str) -> Iterator[Finding]:
    checks: list[Callable[[], Finding]] = [_reachable, lambda: _owner(mine), _eviction, _foreign]
    for check in checks:
        try:
            yield check()
        except BrokerUnavailable as error:
            text = say(
                "%(error)s. Mend that, or correct the URL in RQ_QUEUES; until then jobs stay Pending.",
                code=error.code,
                error=str(error),
            )
            yield Finding(level=PROBLEM, subject="broker", text=text)
            return
        except ImproperlyConfigured as error:
            text = say("%(error)s", code="wrong_setting", error=str(error))
            yield Finding(level=PROBLEM, subject="broker", text=text)
            return


def _reachable() -> Finding:
    total = sum(get_broker().depths().values())
    text = say("answers; tickets waiting: %(tickets)d.", code="answers", tickets=total)
    return Finding(level=OK, subject="broker", text=text)


def _owner(mine: str) -> Finding:
    theirs = get_broker().installation()
    if theirs is None:
        text = say(
            "has no owner yet, or was emptied; the first worker or scheduler claims it for this database.",
            code="no_owner",
        )
        return Finding(level=WARNING, subject="broker owner", text=text)
    if theirs != mine:
        text = say(
            "belongs to installation %(installation)s. %(advice)s (RQ_QUEUES names N).",
            code=ForeignBroker.code,
            installation=theirs,
            advice=ForeignBroker.advice,
        )
        return Finding(level=PROBLEM, subject="broker owner", text=text)
    return Finding(level=OK, subject="broker owner", text=say("belongs to this database.", code="owned"))


def _eviction() -> Finding:
    policy, subject = get_broker().eviction_policy(), "eviction policy"
    if policy == "noeviction":
        return Finding(level=OK, subject=subject, text=say("noeviction.", code="no_eviction"))
    if not policy:
        text = say(
            "may not be asked (CONFIG is closed). See to it that maxmemory-policy is noeviction.", code="unreadable"
        )
        return Finding(level=WARNING, subject=subject, text=text)
    text = say(
        "is %(policy)s, which drops tickets when memory is short. Set maxmemory-policy to noeviction.",
        code="evicts",
        policy=policy,
    )
    return Finding(level=PROBLEM, subject=subject, text=text)


def _foreign() -> Finding:
    subject, waiting_ids, aside = "foreign jobs", get_broker().foreign_ids(), get_broker().set_aside()
    if not waiting_ids and not aside.count:
        return Finding(level=OK, subject=subject, text=say("none in our queues.", code="none"))
    text = f"set aside from our queues: {aside}"
    if aside.newest:
        text += f" (newest: {', '.join(aside.newest)})"
    if waiting_ids:
        text += f"; waiting there: {len(waiting_ids)} (first: {waiting_ids[0][:80]!a})"
    text += ". They are no tickets of ours. Give RQ jobs of yours queues of their own, and see who may write to Redis."
    found = say("%(found)s", code="foreign_jobs", found=text, waiting=len(waiting_ids), set_aside=aside.count)
    return Finding(level=WARNING, subject=subject, text=found)


def _examine_queues(workers: list[Worker]) -> Iterator[Finding]:
    """Tell for each queue who serves it. Of a pool without workers :func:`examine_pools` tells, in one finding."""
    names = _queues_to_examine(workers)
    plain = _plain_workers(list(names))
    for name, option in names.items():
        subject = f"queue {name}"
        mine = [worker for worker in workers if name in worker.queues.split(",")]
        if count := len(working(mine)):
            text = say("worker processes: %(workers)d.", code="served", workers=count)
            if quiet := len(mine) - count:
                pattern = "worker processes: %(workers)d, and %(quiet)d that are quiet."
                text = say(pattern, code="served", workers=count, quiet=quiet)
            yield Finding(level=OK, subject=subject, text=text)
        elif mine:
            text = say(
                "worker processes: %(quiet)d, all of them quiet: they take no new jobs. %(advice)s",
                code="workers_quiet",
                quiet=len(mine),
                advice=RESUME,
            )
            yield Finding(level=PROBLEM if _do_any_wait(name) else WARNING, subject=subject, text=text)
        elif plain.get(name):
            text = say(
                "served by plain rqworkers: %(workers)d in RQ's list. They are for a trial; run `jobs_worker`.",
                code="plain_workers",
                workers=plain[name],
            )
            yield Finding(level=WARNING, subject=subject, text=text)
        else:
            text = say(
                "no live worker takes its jobs. Start `%(command)s`, or one with `--queues %(queue)s`.",
                code="no_worker",
                command=f"manage.py jobs_worker{option}",
                queue=name,
            )
            yield Finding(level=PROBLEM, subject=subject, text=text)


def _do_any_wait(name: str) -> bool:
    """Return whether a job of this queue's priority waits, of whichever pool."""
    priority = pools.by_queue_name()[name].priority
    queued = jobs().filter(status=Status.QUEUED, priority=priority)
    return waiting().filter(priority=priority).exists() or queued.exists()


def _queues_to_examine(workers: list[Worker]) -> dict[str, str]:
    """Return the queues of the default pool, and of each other one that has a worker, with the option that names it."""
    served = {queue for worker in workers for queue in worker.queues.split(",")}
    found = dict.fromkeys(jobs_settings.QUEUES.values(), "")
    for pool in pools.configured():
        if names := pools.queue_names(pool) if not served.isdisjoint(pools.queue_names(pool)) else []:
            found |= dict.fromkeys(names, f" --pool {pool}")
    return found


def _plain_workers(queues: list[str]) -> Mapping[str, int]:
    """Return how many of RQ's own workers take from each queue; nothing if the broker cannot be asked."""
    try:
        return get_broker().other_workers(queues)
    except (BrokerUnavailable, ImproperlyConfigured):
        return {}


def _examine_duties(now: dt.datetime) -> Iterator[Finding]:
    for item in duty_watch.stalled(now):
        seconds = (now - item.since).total_seconds()
        text = say(
            "%(duty)s of %(scheduler)s has made no round for %(seconds).0f s. Its log says where it hangs.",
            code="duty_stalled",
            duty=item.duty,
            scheduler=item.scheduler,
            seconds=seconds,
        )
        yield Finding(level=PROBLEM, subject="scheduler", text=text)


def _examine_scheduler(found: Leader) -> Finding:
    since = found.seconds_since_tick
    if found.is_alive:
        holder = found.holder or "none leads now"
        text = say("%(holder)s, ticked %(seconds).0f s ago.", code="ticks", holder=holder, seconds=since)
        return Finding(level=OK, subject="scheduler", text=text)
    text = say(
        "%(last)s: no retries, no rescue. Run `manage.py jobs_worker` without --no-scheduler, or `jobs_scheduler`.",
        code="never_ticked" if since is None else "silent",
        last="never ticked" if since is None else f"last ticked {since:.0f} s ago",
        seconds=since,
    )
    return Finding(level=PROBLEM, subject="scheduler", text=text)
