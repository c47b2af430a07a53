"""Why a job waits whose organization has as many in flight as the access policy allows, whatever the setting says."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from django.test import Client

from django_jobs import AccessPolicy, get_job_status, list_jobs
from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.admin import codes_on, fact_on, page_of
from tests.support.brokers import end, job_in, pending_job, queue_up, returned, running_job
from tests.support.factories import make_job_type, make_organization

pytestmark = pytest.mark.usefixtures("broker")


class ByOrganization(AccessPolicy):
    """Lets as many jobs of an organization be in flight as the test says; of others, as many as the setting says."""

    limits: ClassVar[dict[Any, int]] = {}

    def in_flight_limit(self, organization: Any) -> int:
        return self.limits.get(organization.pk, super().in_flight_limit(organization))


@pytest.fixture(autouse=True)
def _policy(settings: Any, monkeypatch: pytest.MonkeyPatch, organization: Organization) -> None:
    """One job of the organization, and many of all others."""
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.ByOrganization"}
    monkeypatch.setattr(ByOrganization, "limits", {organization.pk: 1})
    verbs.forget_tenant_shares()


def reason(job: Job) -> str | None:
    verbs.dispatch()
    return get_job_status(job).waiting_for


@pytest.mark.parametrize("status", ["Queued", "Running"])
def test_a_job_waits_for_the_limit_that_the_policy_gives(
    kind: JobType, organization: Organization, status: str
) -> None:
    job_in(status, job_type=kind, organization=organization)
    held = pending_job(kind, organization)
    other = pending_job(kind)
    assert reason(held) == "limit"
    assert get_job_status(other).waiting_for == "broker"
    assert [item.waiting_for for item in list_jobs(organization, "Pending")] == ["limit"]


def test_it_goes_once_there_is_a_place(kind: JobType, organization: Organization) -> None:
    _, claimed = running_job(job_type=kind, organization=organization)
    job = pending_job(kind, organization)
    assert reason(job) == "limit"
    end(returned(claimed))
    assert get_job_status(job).waiting_for == "window"
    assert reason(job) == "broker"


def test_a_wider_limit_of_the_policy_is_the_one_that_counts(
    kind: JobType, organization: Organization, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 1}
    ByOrganization.limits = {organization.pk: 2}
    others = make_organization()
    jobs = [pending_job(kind, of) for of in (organization, others) for _ in range(3)]
    verbs.dispatch()
    reasons = [get_job_status(job).waiting_for for job in jobs]
    assert reasons == ["broker", "broker", "limit", "broker", "limit", "limit"]


def test_a_limit_of_the_type_is_named_first(organization: Organization) -> None:
    kind, other = make_job_type(max_running=1), make_job_type()
    queue_up(pending_job(kind, organization))
    assert reason(pending_job(kind, organization)) == "concurrency"
    assert reason(pending_job(other, organization)) == "limit"


def test_a_changed_answer_is_told_when_it_is_asked_again(kind: JobType, organization: Organization) -> None:
    job_in("Running", job_type=kind, organization=organization)
    job = pending_job(kind, organization)
    assert reason(job) == "limit"
    ByOrganization.limits = {organization.pk: 2}
    verbs.forget_tenant_shares()
    assert get_job_status(job).waiting_for == "window"


def test_the_page_of_the_job_says_so(root: Client, kind: JobType, organization: Organization) -> None:
    job_in("Running", job_type=kind, organization=organization)
    job = pending_job(kind, organization)
    assert codes_on(fact_on(page_of(root, job), "waits_because")) == ["limit"]
