"""Worker processes make themselves known, with the number of tickets that they want within reach."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from django_jobs.engine import processes
from django_jobs.engine.dispatch.window import forget
from django_jobs.engine.store import database
from django_jobs.models import Worker


def announce(name: str, queues: Sequence[str], *, slots: int, window: int, supervisor: int | None = None) -> None:
    """Say that this process works on ``queues`` with so many slots, and wants so many tickets within reach.

    What this process dispatches counts with it at once; others hear of it within a moment. ``supervisor`` is the id
    of the process that looks after it.
    """
    now = database.now()
    rows = Worker.primary.all()
    if not rows.filter(pk=name).update(last_seen=now, window=window, slots=slots):
        values = {"queues": ",".join(queues)[:500], "slots": slots, "window": window}
        pids = [os.getpid()] if supervisor is None else [os.getpid(), supervisor]
        values |= {"place": processes.place(), "processes": processes.describe(*pids)}
        new = Worker(name=name, hostname=socket.gethostname(), pid=os.getpid(), started_at=now, last_seen=now, **values)
        rows.bulk_create([new], ignore_conflicts=True)
    forget()


def withdraw(name: str) -> None:
    """Take a process off the list, since it leaves or is gone."""
    Worker.primary.filter(pk=name).delete()


def gone_from_here() -> list[Worker]:
    """Return the processes of this machine of which it is certain that they and their supervisors are gone."""
    place = processes.place()
    found = Worker.primary.filter(place=place).order_by("name") if place else []
    return [worker for worker in found if processes.are_gone(worker.processes)]
