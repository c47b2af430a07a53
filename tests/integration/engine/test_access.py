"""Who may do what, by the built-in policy, and what strangers learn of a job."""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.contrib.auth.models import AnonymousUser

from django_jobs import (
    AccessPolicy,
    cancel_job,
    get_job_history,
    get_job_metrics,
    get_job_status,
    list_jobs,
    retry_job,
    submit_job,
    submit_jobs,
    wait_for_job,
)
from django_jobs.exceptions import JobNotFound, PermissionDenied
from django_jobs.models import Job, Organization
from tests.support.brokers import pending_job, reread
from tests.support.cases import rolled_back
from tests.support.factories import make_organization, make_system_admin, make_user

pytestmark = pytest.mark.usefixtures("broker")

VERBS: Final = ["can_view", "can_read_output", "can_cancel", "can_retry", "can_delete", "can_read_logs"]
POLICY: Final = AccessPolicy()


@pytest.fixture
def job(organization: Organization) -> Job:
    return pending_job(organization=organization)


def allowed(user: Any, job: Job) -> list[str]:
    """The verbs that this user may do with the job."""
    return [verb for verb in VERBS if getattr(POLICY, verb)(user, job)]


def may_submit(user: Any, job: Job) -> bool:
    return POLICY.can_submit(user, Organization.objects.get(pk=job.organization_id), job.job_type)


def test_members_see_and_submit(organization: Organization, job: Job) -> None:
    user = make_user(member_of=[organization])
    assert (allowed(user, job), may_submit(user, job)) == (["can_view", "can_read_output"], True)


def test_owners_cancel_their_own(organization: Organization) -> None:
    user = make_user(member_of=[organization])
    assert allowed(user, pending_job(organization=organization, user=user)) == VERBS[:3]


def test_owners_who_left_may_nothing(organization: Organization) -> None:
    user = make_user(member_of=[organization])
    job = pending_job(organization=organization, user=user)
    user.job_memberships.all().delete()
    assert (allowed(user, job), may_submit(user, job)) == ([], False)


def test_organization_admins_cancel_and_retry_too(organization: Organization, job: Job) -> None:
    user = make_user(admin_of=[organization])
    assert (allowed(user, job), may_submit(user, job)) == (VERBS[:4], True)


def test_an_admin_of_another_organization_may_nothing(job: Job) -> None:
    user = make_user(admin_of=[make_organization()])
    assert (allowed(user, job), may_submit(user, job)) == ([], False)


@pytest.mark.parametrize("make", [make_system_admin, lambda: make_user(is_superuser=True)], ids=["holder", "superuser"])
def test_system_admins_may_all_everywhere(make: Any, job: Job) -> None:
    user = make()
    assert (allowed(user, job), may_submit(user, job)) == (VERBS, True)
    job.job_type.submit_by = "code"
    assert not POLICY.can_submit(user, job.organization, job.job_type)


def test_anonymous_users_may_nothing(job: Job) -> None:
    assert (allowed(AnonymousUser(), job), may_submit(AnonymousUser(), job)) == ([], False)


@pytest.mark.parametrize("role", ["member_of", "admin_of"])
def test_inactive_users_may_nothing(role: str, organization: Organization, job: Job) -> None:
    user = make_user(is_active=False, **{role: [organization]})  # type: ignore[arg-type]
    assert (allowed(user, job), may_submit(user, job)) == ([], False)
    assert not any(asked(user, organization) for asked in (POLICY.is_member, POLICY.is_organization_admin))


def test_an_inactive_superuser_may_nothing(job: Job) -> None:
    assert allowed(make_user(is_active=False, is_superuser=True), job) == []


def test_of_a_job_whose_organization_is_gone_only_system_admins_know(organization: Organization, job: Job) -> None:
    user = make_user(admin_of=[organization])
    organization.delete()
    assert (allowed(user, job), allowed(make_system_admin(), job)) == ([], VERBS)


def test_a_users_organizations_are_those_of_the_memberships(organization: Organization) -> None:
    second = make_organization()
    make_organization()
    user = make_user(member_of=[organization], admin_of=[second])
    assert set(POLICY.organizations_of(user)) == {organization, second}


VERBS_OF_USERS: Final[dict[str, Any]] = {
    "status": get_job_status,
    "history": get_job_history,
    "wait": wait_for_job,
    "cancel": cancel_job,
    "retry": retry_job,
    "list": lambda job, user: list_jobs(job.organization_name, user=user),
    "metrics": lambda job, user: get_job_metrics(job.organization_name, user=user),
}


def strangers() -> dict[str, Any]:
    return {
        "nobody": AnonymousUser(),
        "of another organization": make_user(admin_of=[make_organization()]),
        "of none": make_user(is_staff=True),
        "deactivated": make_user(is_superuser=True, is_active=False),
    }


def test_no_verb_tells_a_stranger_that_there_is_such_a_job(subtests: pytest.Subtests, job: Job) -> None:
    for verb in VERBS_OF_USERS:
        for who in ("nobody", "of another organization", "of none", "deactivated"):
            with rolled_back(subtests, verb=verb, who=who):
                with pytest.raises(JobNotFound):
                    VERBS_OF_USERS[verb](job, user=strangers()[who])
                assert reread(job).status == "Pending"


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_what_may_be_seen_and_not_be_done_is_denied(job: Job, organization: Organization, verb: str) -> None:
    with pytest.raises(PermissionDenied) as caught:
        VERBS_OF_USERS[verb](job, user=make_user(member_of=[organization]))
    assert (caught.value.code, caught.value.facts) == ("permission_denied", {"job": job.name})


@pytest.mark.parametrize("who", ["nobody", "of another organization", "of none", "deactivated"])
def test_a_stranger_submits_nothing(job: Job, organization: Organization, who: str) -> None:
    for submit in (
        lambda user: submit_job(job.job_type, organization, user=user),
        lambda user: submit_jobs([{"job_type": job.job_type, "organization": organization}], user=user),
    ):
        with pytest.raises(PermissionDenied):
            submit(strangers()[who])
    assert Job.objects.count() == 1
