"""A job that was changed since it was queued is judged as it is now, though others like it were just allowed to run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

import pytest

from django_jobs import cancel_job
from django_jobs.models import Job, JobType, Membership, Organization
from tests.support import verbs
from tests.support.brokers import WORKER, MemoryBroker, pending_job, queue_up, reread, ticket_of
from tests.support.factories import make_user

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def user(organization: Organization) -> Any:
    return make_user(member_of=[organization])


@pytest.fixture(autouse=True)
def allowed(kind: JobType, organization: Organization, user: Any) -> None:
    """A worker has claimed one of them, and remembers that it may run."""
    assert verbs.claim([ticket_of(queue_up(pending_job(kind, organization, user=user)))], WORKER)


def _pause(job: Job) -> None:
    JobType.objects.filter(pk=job.job_type_id).update(is_paused=True)


def _disable(job: Job) -> None:
    JobType.objects.filter(pk=job.job_type_id).update(is_enabled=False)


def _change_handler(job: Job) -> None:
    JobType.objects.filter(pk=job.job_type_id).update(handler_method="tests.support.handlers.gone")


def _require_permission(job: Job) -> None:
    JobType.objects.filter(pk=job.job_type_id).update(requires_permission="example_project.nobody_has_it")


def _close_to_users(job: Job) -> None:
    JobType.objects.filter(pk=job.job_type_id).update(submit_by="admins")
    Membership.objects.all().delete()


def _rename_and_suspend(job: Job) -> None:
    Organization.objects.filter(pk=job.organization_id).update(name="RENAMED", is_active=False)


def _change_pool(job: Job) -> None:
    JobType.objects.filter(pk=job.job_type_id).update(pool="gpu")


def _expire(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(expires_at=verbs.now() - dt.timedelta(seconds=1))


def _cancel(job: Job) -> None:
    cancel_job(job)


def _take_owner_away(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(owner=None)  # the name stays


def _hand_over(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(owner=make_user(), owner_name="somebody")


def _void(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(attempt=3)


CHANGES: Final[list[Callable[[Job], object]]] = [
    _pause,
    _disable,
    _change_handler,
    _require_permission,
    _close_to_users,
    _rename_and_suspend,
    _change_pool,
    _expire,
    _cancel,
    _take_owner_away,
    _hand_over,
    _void,
]


@pytest.mark.parametrize("change", CHANGES)
def test_it_does_not_start(
    kind: JobType, organization: Organization, user: Any, change: Callable[[Job], object], broker: MemoryBroker
) -> None:
    job = queue_up(pending_job(kind, organization, user=user))
    change(job)
    assert verbs.claim([ticket_of(job)], WORKER) == []
    assert reread(job).status != "Running"
