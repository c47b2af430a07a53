"""The facts that ``jobs_status`` and ``jobs_check`` tell."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

from django_jobs.engine.alerts.reading import read_all_alerts
from django_jobs.engine.alerts.telling import plain_text
from django_jobs.engine.insight.inspection import (
    MAX_BATCHES,
    MAX_ENDED,
    MAX_ERROR,
    MAX_FULL,
    Depth,
    FullType,
    LimitsInUse,
    OpenBreaker,
    Snapshot,
    for_whom,
    open_breakers,
    read_full_types,
    waiting_in_words,
)
from django_jobs.engine.ports import Queue
from django_jobs.engine.store import database
from django_jobs.models import Worker

# What ``jobs_status --json`` answers: the same as the text, for programs. Times are in UTC.


#: Breakers that are told one by one.
MAX_BREAKERS: Final = 20


def status_facts(seen: Snapshot) -> dict[str, Any]:
    """Return the answer; alarms, breakers and limits are read now."""
    return {
        "moment": seen.moment,
        "unfinished": seen.unfinished,
        "ended": {name: _capped(count, MAX_ENDED) for name, count in seen.ended.items()},
        "oldest_waiting_seconds": seen.oldest_waiting_seconds,
        "broker_answers": seen.tickets is not None,
        "depths": [_depth(depth, seen) for depth in seen.depths],
        "set_aside": None if seen.set_aside is None else seen.set_aside.count,
        "batches": {
            **_capped(seen.batches.count, MAX_BATCHES),
            "oldest": [batch.as_dict() for batch in seen.batches.oldest],
        },
        "alarms": _alarms(),
        "breakers": _breakers(),
        "limits": [_limit(item.in_use, item.waiting, has_more=item.has_more) for item in read_full_types()],
        "scheduler": {
            "holder": seen.leader.holder,
            "is_alive": seen.leader.is_alive,
            "seconds_since_tick": seen.leader.seconds_since_tick,
        },
        "schedules": {
            "count": seen.schedules.count,
            "paused": seen.schedules.paused,
            "cannot_fire": seen.schedules.faulty_count,
            "faults": [{"id": row.pk, "name": row.name, "reason": row.fault} for row in seen.schedules.faulty],
            "next": [{"id": row.pk, "name": row.name, "at": row.next_run_at} for row in seen.schedules.coming],
        },
        "workers": [_worker(worker) for worker in seen.workers],
    }


def _capped(count: int, most: int) -> dict[str, Any]:
    return {"count": min(count, most), "capped": count > most}


def _depth(depth: Depth, seen: Snapshot) -> dict[str, Any]:
    queue = Queue(depth.pool, int(depth.priority))
    return {
        "pool": depth.pool,
        "priority": depth.priority.word,
        "due": depth.due,
        "later": depth.later,
        "queued": depth.queued,
        "running": depth.running,
        "tickets": None if seen.tickets is None else seen.tickets.get(queue, 0),
    }


def _alarms() -> list[dict[str, Any]]:
    found = read_all_alerts()
    return [
        {"rule": alert.rule, "subject": alert.subject, "since": alert.since, "text": plain_text(alert, found.moment)}
        for alert in found.open[:MAX_ALARMS]
    ]


def _breakers() -> list[dict[str, Any]]:
    return [
        {
            "job_type": item.job_type,
            "organization": item.organization or None,
            "state": str(item.state),
            "since": item.since,
            "next_try_at": item.next_try_at,
            "waiting": item.waiting,
            "error": item.error_message,
        }
        for item in open_breakers(most=MAX_BREAKERS)
    ]


def _limit(in_use: LimitsInUse, waiting: int, *, has_more: bool) -> dict[str, Any]:
    return {
        "job_type": in_use.flow.type_name,
        "in_use": in_use.total,
        "max_running": in_use.flow.max_running,
        "full_organizations": len(in_use.full_organizations()),
        "full_keys": len(in_use.full_keys()),
        "waiting": waiting,
        "waiting_capped": has_more,
    }


def _worker(worker: Worker) -> dict[str, Any]:
    return {
        "name": worker.name,
        "hostname": worker.hostname,
        "pid": worker.pid,
        "slots": worker.slots,
        "queues": worker.queues.split(","),
        "quiet_since": worker.quiet_since,
    }


# The lines of ``jobs_status`` about open alarms.


#: Alarms that are told one by one.
MAX_ALARMS: Final = 20


def alarm_lines() -> list[str]:
    """Return the lines, read now; none where nothing is wrong."""
    lines = list(_lines())
    return [*lines, ""] if lines else []


def _lines() -> Iterator[str]:
    found = read_all_alerts()
    if not found.open:
        return
    yield f"Alarms       {len(found.open)}"
    for alert in found.open[:MAX_ALARMS]:
        yield f"  {alert.rule:<20} {plain_text(alert, found.moment)}"
    if len(found.open) > MAX_ALARMS:
        yield f"  and {len(found.open) - MAX_ALARMS} more"


# The lines of ``jobs_status`` about breakers that hold jobs, and about types at their limits.


#: Breakers that are told one by one.
MAX_NAMED_BREAKERS: Final = 5


def hindrances() -> list[str]:
    """Return the lines, read now; none where nothing is held, and no type is at a limit while jobs of it wait."""
    lines = [*_breaker_lines(), *_limit_lines()]
    return [*lines, ""] if lines else []


def _breaker_lines() -> Iterator[str]:
    found = open_breakers(most=MAX_NAMED_BREAKERS + 1)
    if not found:
        return
    now = database.now()
    yield "Breakers     jobs of these types are held since their last attempts failed"
    for item in found[:MAX_NAMED_BREAKERS]:
        error = " ".join(item.error_message.split())[:MAX_ERROR]
        held = f"{item.job_type} {item.state.upper()}{for_whom(item)}"
        yield f"  {held}, {_next_try(item, now)}; {waiting_in_words(item)} wait: {error}"
    if len(found) > MAX_NAMED_BREAKERS:
        yield "  and more; jobs_check names all"


def _next_try(item: OpenBreaker, now: dt.datetime) -> str:
    if item.next_try_at is None:
        return "its jobs start at a growing rate"
    left = (item.next_try_at - now).total_seconds()
    return f"next try in {left:.0f} s" if left > 0 else "next try now"


def _limit_lines() -> Iterator[str]:
    found = read_full_types()
    if found:
        yield "At limits    jobs of these types wait until others have ended"
    for item in found[:MAX_FULL]:
        yield f"  {item.in_use.flow.type_name}: {_limits(item.in_use)}; {_waiting(item)} wait"
    if len(found) > MAX_FULL:
        yield "  and more"


def _limits(in_use: LimitsInUse) -> str:
    if in_use.is_full:
        return f"{in_use.total:,} of {in_use.flow.max_running:,} run or are queued"
    organizations, keys = len(in_use.full_organizations()), len(in_use.full_keys())
    told = [
        f"{count:,} {name}{'' if count == 1 else 's'} at {limit}"
        for count, name, limit in (
            (organizations, "organization", in_use.flow.max_running_per_organization),
            (keys, f"{in_use.flow.concurrency_key} key", in_use.flow.max_running_per_key),
        )
        if count
    ]
    return " and ".join(told)


def _waiting(item: FullType) -> str:
    return f"{item.waiting:,}{'+' if item.has_more else ''}"
