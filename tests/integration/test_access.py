"""Who may do what, by the built-in policy, and that a host may replace it."""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.contrib.auth.models import AnonymousUser

from django_jobs import AccessPolicy
from django_jobs.engine.access import get_policy
from django_jobs.models import Job, Organization
from tests.support.brokers import pending_job
from tests.support.factories import make_organization, make_system_admin, make_user

pytestmark = pytest.mark.usefixtures("broker")

VERBS: Final = ["can_view", "can_read_output", "can_cancel", "can_retry", "can_delete"]
POLICY: Final = AccessPolicy()


@pytest.fixture
def organization() -> Organization:
    return make_organization()


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


def test_anonymous_users_may_nothing(job: Job) -> None:
    assert (allowed(AnonymousUser(), job), may_submit(AnonymousUser(), job)) == ([], False)


@pytest.mark.parametrize("role", ["member_of", "admin_of"])
def test_inactive_users_may_nothing(role: str, organization: Organization, job: Job) -> None:
    user = make_user(is_active=False, **{role: [organization]})  # type: ignore[arg-type]
    assert (allowed(user, job), may_submit(user, job)) == ([], False)


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


class NobodyPolicy(AccessPolicy):
    """A host's own rule."""

    def can_submit(self, user: Any, organization: Any, job_type: Any) -> bool:
        return False


def test_a_host_may_put_its_own_policy_in_place(settings: Any) -> None:
    settings.DJANGO_JOBS = {"ACCESS_POLICY": f"{__name__}.NobodyPolicy"}
    assert isinstance(get_policy(), NobodyPolicy)
    assert not get_policy().can_submit(make_system_admin(), make_organization(), None)  # type: ignore[arg-type]
