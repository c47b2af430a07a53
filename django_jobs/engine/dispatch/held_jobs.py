"""Queued jobs that nobody can claim for now, since others' transactions hold their rows.

A process that finds one notes it. Its next pass takes the notes over into the row of the dispatchers' lock, so that all
of them know. Such a job takes no room in the window: it keeps no worker from others' jobs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django_jobs.engine.dispatch import pools
from django_jobs.engine.dispatch.in_flight import InFlight
from django_jobs.engine.ports import Queue
from django_jobs.models import Job
from django_jobs.statuses import Status

#: Under which name the row has them.
KEY: Final = "held"
#: No note is for longer: one that seems to be comes from a machine whose clock differs much.
MOST_SECONDS: Final = 60.0

#: By job, until when this process' notes hold, in seconds since the epoch.
_noted: Final[dict[int, float]] = {}


def note(pks: Iterable[int], seconds: float) -> None:
    """Note that these jobs were found to be held, for so many seconds."""
    _noted.update(dict.fromkeys(pks, time.time() + seconds))


def known(state: Mapping[str, Any]) -> dict[int, float]:
    """Return the jobs that are held as far as this process and the row's state tell, each with until when it is."""
    now = time.time()
    found = {int(pk): until for pk, until in (state.get(KEY) or {}).items()}
    found |= dict(_noted)  # a copy, since another thread may add to it
    held = {pk: until for pk, until in found.items() if now < until < now + MOST_SECONDS}
    for pk in _noted.keys() - held.keys():
        _noted.pop(pk, None)
    return held


def to_write(state: Mapping[str, Any]) -> dict[str, float]:
    """Return what the row is to have of them."""
    return {str(pk): until for pk, until in known(state).items()}


def is_sound(value: Any) -> bool:
    """Return whether the row may have this: somebody may have edited it."""
    return isinstance(value, dict) and all(
        pk.isdecimal() and isinstance(until, int | float) for pk, until in value.items()
    )


def leave_out(counts: InFlight, state: Mapping[str, Any]) -> None:
    """Count the tickets of jobs that are held as if there were none."""
    if not (held := known(state)):
        return
    rows = Job.primary.filter(pk__in=held, status=Status.QUEUED)
    for priority, organization_pk, job_type in rows.values_list("priority", "organization_id", "job_type_id"):
        counts.queued[Queue(pools.pool_of(job_type), priority)][organization_pk, job_type] -= 1
    for queue, tickets in counts.queued.items():
        counts.queued[queue] = +tickets


def forget() -> None:
    """Forget the notes, as a process that has just started."""
    _noted.clear()
