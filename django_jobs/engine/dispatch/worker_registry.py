"""Worker processes make themselves known, with the number of tickets that they want within reach."""

from __future__ import annotations

import datetime as dt
import os
import socket
from collections.abc import Sequence

from django_jobs.engine.store import database
from django_jobs.models import Worker

FRESH_SECONDS = 30


def announce(name: str, queues: Sequence[str], *, slots: int, window: int) -> None:
    """Say that this process works on ``queues`` with so many slots."""
    now = database.now()
    rows = Worker.primary.all()
    if rows.filter(pk=name).update(last_seen=now, window=window, slots=slots):
        return
    rows.bulk_create(
        [
            Worker(
                name=name,
                hostname=socket.gethostname(),
                pid=os.getpid(),
                queues=",".join(queues)[:500],
                slots=slots,
                window=window,
                started_at=now,
                last_seen=now,
            )
        ],
        ignore_conflicts=True,
    )


def withdraw(name: str) -> None:
    """The process leaves."""
    Worker.primary.filter(pk=name).delete()


def live_workers() -> list[Worker]:
    """The processes that were seen within half a minute."""
    since = database.now() - dt.timedelta(seconds=FRESH_SECONDS)
    return list(Worker.primary.filter(last_seen__gte=since).order_by("name"))
