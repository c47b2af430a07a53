"""Jobs with head starts, as the tasks backend submits them for numbers, and where these stand."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import reread
from tests.support.factories import make_job_type

HOUR: Final = dt.timedelta(hours=1)


def ahead_job(hours: int, kind: JobType, organization: Organization, **given: Any) -> Job:
    """A submitted job with a head start of so many hours; ``given`` is the rest of the submission."""
    return verbs.submit_single(kind, organization, {**given, "head_start": hours}, None)[0]


def make_task_type(name: str) -> JobType:
    """The type of a task."""
    kind = make_job_type()
    kind.type_name = f"task:shop.tasks.{name}"  # which a form refuses
    kind.save(force_insert=True)
    return kind


def place_of(job: Job) -> dt.datetime:
    """When a job became ready, as its place in its lane has it."""
    row = reread(job)
    assert row.ready_at is not None
    assert not row.is_delayed
    return row.ready_at
