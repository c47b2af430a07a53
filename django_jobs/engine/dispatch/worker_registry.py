"""Worker processes make themselves known, with the number of tickets that they want within reach."""

from __future__ import annotations

import datetime as dt
import functools
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from django_jobs.engine import processes
from django_jobs.engine.dispatch.window import forget
from django_jobs.engine.store import database
from django_jobs.models import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """Whom a worker process obeys: the process that looks after it, and the name by which that is given orders."""

    pid: int
    name: str = ""


def announce(
    name: str,
    queues: Sequence[str],
    *,
    slots: int,
    window: int,
    quick_types: Mapping[str, int] | None = None,
    supervision: Supervision | None = None,
    memory: int | None = None,
    quiet_since: dt.datetime | None = None,
) -> None:
    """Say that this process works on ``queues`` with so many slots, and wants so many tickets within reach.

    It wants more of the ``quick_types``, by their names. What this process dispatches counts with it at once; others
    hear of it within a moment. ``memory`` is what it holds in megabytes; since ``quiet_since`` it takes no new jobs.
    """
    now = database.now()
    rows = Worker.primary.all()
    told = {"last_seen": now, "window": window, "quick_types": dict(quick_types or {}), "slots": slots}
    told |= {"memory": memory, "quiet_since": quiet_since}
    if not rows.filter(pk=name).update(**told):
        pids = [os.getpid()] if supervision is None else [os.getpid(), supervision.pid]
        new = Worker(
            name=name,
            hostname=socket.gethostname(),
            pid=os.getpid(),
            queues=",".join(queues)[:500],
            place=processes.place(),
            processes=processes.describe(*pids),
            supervisor=supervision.name if supervision else "",
            supervisor_pid=supervision.pid if supervision else None,
            release=_release(),
            started_at=now,
            **told,
        )
        rows.bulk_create([new], ignore_conflicts=True)
    forget()


@functools.cache
def _release() -> str:
    """Return this package's release; empty where it is not installed as one."""
    try:
        return metadata.version("django-durable-jobs")[:40]
    except metadata.PackageNotFoundError:
        return ""


def withdraw(name: str) -> None:
    """Take a process off the list, since it leaves or is gone."""
    Worker.primary.filter(pk=name).delete()


def gone_from_here() -> list[Worker]:
    """Return the processes of this machine of which it is certain that they and their supervisors are gone."""
    place = processes.place()
    found = Worker.primary.filter(place=place).order_by("name") if place else []
    return [worker for worker in found if processes.are_gone(worker.processes)]
