"""A limit of 0, which validation refuses and a row may have all the same: nothing of it starts, and others go on."""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.test import Client

from django_jobs import get_job_status, list_jobs
from django_jobs.models import Job, JobType, Organization
from django_jobs.testing import run_jobs
from tests.support import verbs
from tests.support.admin import codes_on, fact_on, page_of, url
from tests.support.brokers import WORKER, MemoryBroker, end, pending_job, reread, returned, running_job
from tests.support.factories import make_job_type

ZEROS: Final[list[dict[str, Any]]] = [
    {"max_running": 0},
    {"max_running_per_organization": 0},
    {"concurrency_key": "account", "keyed_by": "account", "max_running_per_key": 0},
]
each_zero = pytest.mark.parametrize("zero", ZEROS, ids=["type", "organization", "key"])

pytestmark = pytest.mark.usefixtures("broker")


def close(kind: JobType, zero: dict[str, Any]) -> None:
    """Write a limit of 0 past validation."""
    JobType.objects.filter(pk=kind.pk).update(**zero)


def pass_twice(broker: MemoryBroker) -> list[int]:
    """What two passes and a worker start; they submit nothing themselves."""
    verbs.dispatch()
    verbs.dispatch()
    return [item.pk for item in verbs.claim(broker.take_all(), WORKER)]


@each_zero
def test_nothing_of_the_type_starts_and_others_of_the_organization_do(
    broker: MemoryBroker, kind: JobType, organization: Organization, zero: dict[str, Any]
) -> None:
    close(kind, zero)
    held = [pending_job(kind, organization) for _ in range(3)]
    free = [pending_job(make_job_type(), organization), pending_job(make_job_type(max_running=1), organization)]
    for job in (*held, *free):
        verbs.dispatch_new(job)
    assert sorted(pass_twice(broker)) == sorted(job.pk for job in free)
    assert {reread(job).status for job in held} == {"Pending"}


@each_zero
def test_its_jobs_wait_for_concurrency(kind: JobType, organization: Organization, zero: dict[str, Any]) -> None:
    close(kind, zero)
    job = pending_job(kind, organization)
    verbs.dispatch()
    assert get_job_status(job).waiting_for == "concurrency"
    assert [item.waiting_for for item in list_jobs(organization)] == ["concurrency"]


@each_zero
def test_the_page_of_a_job_says_that_a_limit_holds_it(
    root: Client, kind: JobType, organization: Organization, zero: dict[str, Any]
) -> None:
    close(kind, zero)
    job = pending_job(kind, organization)
    verbs.dispatch()
    assert codes_on(fact_on(page_of(root, job), "waits_because")) == ["concurrency"]
    assert root.get(url("jobtype", "change", kind.pk)).context["flow"]


@each_zero
def test_what_runs_goes_on_to_its_end_and_makes_room_for_nothing(
    broker: MemoryBroker, kind: JobType, organization: Organization, zero: dict[str, Any]
) -> None:
    _, claimed = running_job(job_type=kind, organization=organization)
    close(kind, zero)
    job = pending_job(kind, organization)
    assert end(returned(claimed)).status == "Completed"
    assert pass_twice(broker) == []
    assert reread(job).status == "Pending"


@each_zero
def test_its_jobs_go_once_the_limit_is_blank_or_more(
    broker: MemoryBroker, kind: JobType, organization: Organization, zero: dict[str, Any]
) -> None:
    close(kind, zero)
    job = pending_job(kind, organization)
    assert pass_twice(broker) == []
    close(kind, {"max_running": None, "max_running_per_organization": None, "max_running_per_key": 1})
    assert pass_twice(broker) == [job.pk]


def test_a_type_that_may_run_nothing_is_told_while_its_jobs_wait(kind: JobType, organization: Organization) -> None:
    close(kind, {"max_running": 0})
    pending_job(kind, organization)
    (found,) = verbs.snapshot()["limits"]
    assert (found["job_type"], found["in_use"], found["waiting"]) == (kind.pk, 0, 1)


@each_zero
def test_in_a_hosts_test_its_jobs_stay_pending(kind: JobType, organization: Organization, zero: dict[str, Any]) -> None:
    close(kind, zero)
    held, free = pending_job(kind, organization), pending_job(make_job_type(), organization)
    assert [status.job_id for status in run_jobs()] == [free.name]
    assert Job.objects.get(pk=held.pk).status == "Pending"
