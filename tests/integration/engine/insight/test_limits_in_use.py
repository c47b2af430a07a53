"""How much of their limits types use, and which one keeps a job waiting."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import job_in, pending_job
from tests.support.factories import make_job_type
from tests.support.verbs import Lane, ReachedLimit

pytestmark = pytest.mark.usefixtures("broker")


def in_lane(status: str, kind: JobType, organization: Organization, key: int = 0) -> Lane:
    job = job_in(status, job_type=kind, organization=organization)
    Job.objects.filter(pk=job.pk).update(lane_key=key)
    return Lane(organization.pk, kind.pk, key)


def test_what_is_queued_counts_as_running(organization: Organization) -> None:
    kind = make_job_type(max_running=2)
    lane = in_lane("Running", kind, organization)
    found = verbs.read_limits_in_use(kind)
    assert (found.total, found.reached_by(lane)) == (1, None)
    in_lane("Queued", kind, organization)
    in_lane("Completed", kind, organization)
    found = verbs.read_limits_in_use(kind)
    assert (found.total, found.reached_by(lane)) == (2, ReachedLimit("max_running", 2, 2))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"max_running": 1, "max_running_per_organization": 1}, "max_running"),
        ({"max_running_per_organization": 1, "concurrency_key": "account"}, "max_running_per_organization"),
        ({"max_running": 2, "concurrency_key": "account"}, "max_running_per_key"),
    ],
)
def test_the_widest_of_the_limits_that_are_reached_is_told(organization: Organization, fields: Any, field: str) -> None:
    kind = make_job_type(**fields)
    lane = in_lane("Running", kind, organization, key=7)
    assert verbs.read_limits_in_use(kind).reached_by(lane) == ReachedLimit(field, 1, 1)


def test_all_keys_of_an_organization_count_against_its_limit(organization: Organization) -> None:
    kind = make_job_type(max_running_per_organization=2, concurrency_key="account")
    lanes = [in_lane("Running", kind, organization, key) for key in (7, 8)]
    found = verbs.read_limits_in_use(kind)
    assert found.reached_by(lanes[0]) == ReachedLimit("max_running_per_organization", 2, 2)
    assert found.full_organizations() == {organization.pk: 2}


def test_another_key_and_a_type_with_nothing_in_flight_are_not_at_a_limit(organization: Organization) -> None:
    kind, idle = make_job_type(concurrency_key="account"), make_job_type(max_running=1)
    lane = in_lane("Running", kind, organization, key=7)
    assert verbs.read_limits_in_use(kind).full_keys() == {lane: 1}
    assert verbs.read_limits_in_use(kind).reached_by(lane._replace(key=8)) is None
    assert verbs.read_limits_in_use(idle).reached_by(Lane(organization.pk, idle.pk)) is None


@pytest.mark.parametrize("limit", ["max_running", "max_running_per_organization"])
def test_types_at_a_limit_are_told_once_jobs_wait(organization: Organization, limit: str) -> None:
    fields: Any = {limit: 1}
    kind = make_job_type(**fields)
    make_job_type()
    in_lane("Running", kind, organization)
    assert verbs.snapshot()["limits"] == []
    pending_job(kind, organization)
    (found,) = verbs.snapshot()["limits"]
    assert (found["job_type"], found["waiting"], found["waiting_capped"]) == (kind.pk, 1, False)


def test_a_paused_type_does_not_wait_for_its_limit(organization: Organization) -> None:
    kind = make_job_type(max_running=1)
    in_lane("Running", kind, organization)
    JobType.objects.update(is_paused=True)
    pending_job(kind, organization)
    assert verbs.snapshot()["limits"] == []
