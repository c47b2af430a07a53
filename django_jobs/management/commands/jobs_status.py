"""``manage.py jobs_status``: show what waits, what runs and who works, once or again and again."""

from __future__ import annotations

import time
from typing import Any, Final

from django.core.management.base import CommandParser
from django.db import Error

from django_jobs.engine.alerts.reading import read_all_alerts
from django_jobs.engine.alerts.telling import plain_text
from django_jobs.engine.insight.inspection import (
    MAX_BATCHES,
    MAX_ENDED,
    Depth,
    LimitsInUse,
    Snapshot,
    open_breakers,
    read_full_types,
    snapshot,
)
from django_jobs.engine.ports import Queue
from django_jobs.engine.store import database
from django_jobs.management.shell import ShellCommand, told_plainly
from django_jobs.models import Worker

PAUSE_SECONDS = 2.0
CLEAR_SCREEN = "\x1b[H\x1b[2J"


class Command(ShellCommand):
    help = "Shows what waits, what runs, who works and whether the scheduler ticks."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--watch", action="store_true", help="Show it again every two seconds, until Ctrl+C.")

    def handle(self, *args: Any, **options: Any) -> None:
        with told_plainly():
            if options["watch"]:
                self._watch()
            else:
                self.say(status_facts(snapshot()))

    def _watch(self) -> None:
        try:
            while not self.is_unread:
                facts = look()
                if self.stdout.isatty() and not self.as_json:
                    self.stdout.write(CLEAR_SCREEN, ending="")
                self.say(facts)
                time.sleep(PAUSE_SECONDS)
        except KeyboardInterrupt:
            return


def look() -> dict[str, Any]:
    """Return the state. If the database is away, return that; the next call asks it again."""
    database.mend_connections()
    try:
        return status_facts(snapshot())
    except Error as error:
        text = f"The database cannot be read ({type(error).__name__})."
        return {"error": {"code": "unavailable", "message": text}}


# What it tells: to programs as it is, to people in lines and tables. Times are in UTC.


#: Alarms and breakers that are told one by one.
MAX_HELD: Final = 20


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
        for alert in found.open[:MAX_HELD]
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
        for item in open_breakers(most=MAX_HELD)
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
