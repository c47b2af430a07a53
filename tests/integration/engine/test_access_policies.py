"""Access policies of a host's own: what they may decide, and what happens when they fail."""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet

from django_jobs import AccessPolicy, cancel_job, create_batch, get_job_history, get_job_status, retry_job, submit_job
from django_jobs.exceptions import JobNotFound, PermissionDenied, PolicyFailed
from django_jobs.models import Job, Organization
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.brokers import WORKER, MemoryBroker, job_in, pending_job, queue_up, reread, ticket_of
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user

pytestmark = pytest.mark.usefixtures("broker")

VERBS: Final = ["can_view", "can_read_output", "can_cancel", "can_retry", "can_delete"]


class NobodyPolicy(AccessPolicy):
    """A host's own rule."""

    def can_submit(self, user: Any, organization: Any, job_type: Any) -> bool:
        return False


def test_a_host_may_put_its_own_policy_in_place(settings: Any) -> None:
    settings.DJANGO_JOBS = {"ACCESS_POLICY": f"{__name__}.NobodyPolicy"}
    assert isinstance(verbs.get_policy(), NobodyPolicy)
    assert not verbs.get_policy().can_submit(make_system_admin(), make_organization(), None)  # type: ignore[arg-type]


class OneClubPolicy(AccessPolicy):
    """The five basic answers, as careless as a host may give them: nobody looks at the user."""

    def organizations_of(self, user: Any) -> QuerySet[Any]:
        return Organization.objects.filter(name="club")

    def is_member(self, user: Any, organization: Any) -> bool:
        return bool(organization.name == "club")

    def is_organization_admin(self, user: Any, organization: Any) -> bool:
        return self.is_member(user, organization) and user.username == "chair"

    def is_system_admin(self, user: Any) -> bool:
        return bool(user.username == "root")

    def is_active(self, organization: Any) -> bool:
        return not organization.title


@pytest.fixture
def club(settings: Any) -> Organization:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.OneClubPolicy"}
    return make_organization(name="club")


def test_five_answers_are_enough_for_all_verbs(club: Organization) -> None:
    user, chair = make_user(), make_user("chair")
    job, other = pending_job(organization=club, user=user), pending_job()
    assert get_job_status(job, user=user).organization == "club"
    assert list(Job.objects.visible_to(chair)) == [job]
    assert set(Job.objects.visible_to(make_user("root"))) == {job, other}
    with pytest.raises(JobNotFound):
        get_job_status(other, user=user)
    with pytest.raises(PermissionDenied):
        cancel_job(pending_job(organization=club), user=user)
    with pytest.raises(PermissionDenied):
        submit_job(make_job_type(), make_organization(), user=user)
    assert cancel_job(job, user=chair).status == "Canceled"
    assert retry_job(job_in("Failed", organization=club), user=chair).status == "Pending"


@pytest.mark.parametrize("make", [AnonymousUser, lambda: make_user("root", is_active=False)], ids=["nobody", "former"])
def test_a_policy_is_not_asked_about_users_that_are_not_there(make: Any, club: Organization) -> None:
    user, job = make(), pending_job(organization=club)
    policy = OneClubPolicy()
    assert not Job.objects.visible_to(user).exists()
    assert [verb for verb in VERBS if getattr(policy, verb)(user, job)] == []
    assert not policy.can_submit(user, club, job.job_type)
    with pytest.raises(PermissionDenied):
        create_batch(club, user=user)


def test_a_policys_idea_of_active_is_what_counts(club: Organization, broker: MemoryBroker) -> None:
    pending_job(organization=club)
    Organization.objects.filter(pk=club.pk).update(title="closed", is_active=True)
    assert verbs.dispatch() == 0
    Organization.objects.filter(pk=club.pk).update(title="", is_active=False)
    verbs.forget_tenant_shares()
    assert verbs.dispatch() == 1


class BrokenPolicy(AccessPolicy):
    """Fails for one organization, in everything."""

    def is_active(self, organization: Any) -> bool:
        if organization.name == "unlucky":
            raise KeyError("plan")
        return True

    def is_system_admin(self, user: Any) -> bool:
        raise KeyError("role")


@pytest.fixture
def _broken(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.BrokenPolicy"}


@pytest.fixture
def unlucky() -> Job:
    """A job of the organization for which the policy will fail."""
    return pending_job(organization=make_organization(name="unlucky"))


def test_a_policy_that_fails_keeps_only_that_organization_waiting(
    unlucky: Job, broker: MemoryBroker, request: pytest.FixtureRequest
) -> None:
    other = pending_job()
    request.getfixturevalue("_broken")
    verbs.dispatch()
    assert broker.pks() == [other.pk]
    assert reread(unlucky).status == "Pending"


def test_a_policy_that_fails_at_the_claim_puts_the_job_back_for_a_while(
    unlucky: Job, request: pytest.FixtureRequest, reasons: Reasons
) -> None:
    queued, fine = queue_up(unlucky), queue_up(pending_job())
    request.getfixturevalue("_broken")
    claimed = verbs.claim([ticket_of(queued), ticket_of(fine)], WORKER)
    assert [item.pk for item in claimed] == [fine.pk]
    row = reread(unlucky)
    assert (row.status, row.attempt) == ("Pending", 0)
    assert row.ready_at
    assert row.ready_at > verbs.now()
    assert (reasons(unlucky), "KeyError" in get_job_history(unlucky)[-1]["message"]) == (["policy_failed"], True)


def test_a_policy_that_fails_is_told_of_once_a_minute(
    unlucky: Job, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    request.getfixturevalue("_broken")
    verbs.dispatch()
    verbs.dispatch()
    assert [record.getMessage() for record in caplog.records if "access_policy_failed" in record.message] == [
        "event=access_policy_failed error=KeyError('plan')"
    ]


@pytest.mark.usefixtures("_broken")
def test_a_policy_that_fails_lets_nobody_in() -> None:
    with pytest.raises(PolicyFailed, match="KeyError"):
        Job.objects.visible_to(make_user())


@pytest.mark.parametrize("path", ["nowhere.Policy", f"{__name__}.MissingPolicy", "no_path"])
def test_a_policy_that_cannot_be_imported_says_so(path: str, settings: Any) -> None:
    settings.DJANGO_JOBS = {"ACCESS_POLICY": path}
    with pytest.raises(ImproperlyConfigured, match="ACCESS_POLICY"):
        verbs.get_policy()
