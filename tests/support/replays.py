"""Groups of Dead Letters, and replays of them that are worked off without waiting."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.contrib.auth.models import User

from django_jobs.engine.control import replays
from django_jobs.models import Job, JobType, Organization, Replay
from django_jobs.statuses import Status
from tests.support.brokers import job_in
from tests.support.factories import make_organization

FAST: Final = replays.MAX_PER_MINUTE


def dead(kind: JobType, count: int, organization: Organization | None = None, **fields: Any) -> list[Job]:
    """So many jobs that died of the same."""
    tenant = organization or make_organization()
    return [job_in(Status.DEAD_LETTER, job_type=kind, organization=tenant, **fields) for _ in range(count)]


def begin(job: Job, user: User, per_minute: int = FAST, verb: str = "retry") -> Replay:
    """A replay of the job's group."""
    replay = replays.start_replay(job.job_type_id, job.error_fingerprint, user=user, per_minute=per_minute, verb=verb)
    assert replay is not None
    return replay


def later(replay: Replay, seconds: float) -> None:
    """Let time go by for this replay."""
    row = Replay.objects.get(pk=replay.pk)
    Replay.objects.filter(pk=replay.pk).update(released_until=row.released_until - dt.timedelta(seconds=seconds))


def finish(replay: Replay) -> Replay:
    """Work it off, however long that takes."""
    while (row := Replay.objects.get(pk=replay.pk)).state == Replay.State.RUNNING:
        later(row, 10)
        replays.work_off()
    return row
