"""Who may act on a group of Dead Letters, and what becomes of an operation when its starter no longer may."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from django_jobs.exceptions import PermissionDenied
from django_jobs.models import Job, JobType, Membership, Organization
from django_jobs.statuses import Status
from tests.support.brokers import pending_job, reread
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.operations import begin, dead, finish, start, work_off
from tests.support.verbs import ActRights, JobFilter

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def kind() -> JobType:
    return make_job_type(type_name="mails")


@pytest.fixture
def organization() -> Organization:
    return make_organization(name="ORG-MINE")


def test_an_organization_admin_reaches_only_the_own_organization(kind: JobType, organization: Organization) -> None:
    (mine,), (theirs,) = dead(kind, 1, organization), dead(kind, 1)
    operation = finish(begin(mine, make_user("boss", admin_of=[organization])))
    assert (operation.total, operation.changed) == (1, 1)
    assert reread(theirs).status == Status.DEAD_LETTER


def test_members_may_not_start_one(kind: JobType, organization: Organization) -> None:
    (job,) = dead(kind, 1, organization)
    with pytest.raises(PermissionDenied):
        begin(job, make_user(member_of=[organization]))


def test_organization_admins_may_not_delete(kind: JobType, organization: Organization) -> None:
    (job,) = dead(kind, 1, organization)
    with pytest.raises(PermissionDenied):
        begin(job, make_user(admin_of=[organization]), action="delete")


def test_rights_are_asked_again_for_every_job(kind: JobType, organization: Organization) -> None:
    boss = make_user("boss", admin_of=[organization])
    operation = begin(dead(kind, 2, organization)[0], boss)
    Membership.objects.filter(user=boss).update(role="member")
    assert finish(operation).refused == {"not_permitted": 2}


def test_who_left_the_organization_meanwhile_is_said_not_to_be_permitted(
    kind: JobType, organization: Organization
) -> None:
    boss = make_user("boss", admin_of=[organization])
    operation = begin(dead(kind, 2, organization)[0], boss)
    Membership.objects.filter(user=boss).delete()
    assert finish(operation).refused == {"not_permitted": 2}


def test_jobs_that_the_host_hides_from_the_user_are_left_alone(
    kind: JobType, organization: Organization, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}
    boss = make_user("boss", admin_of=[organization])
    jobs = dead(kind, 2, organization)
    Job.objects.filter(pk=jobs[0].pk).update(owner=boss)
    operation = finish(begin(jobs[0], boss))
    assert (operation.changed, operation.refused) == (1, {"not_permitted": 1})
    assert reread(jobs[1]).status == Status.DEAD_LETTER


def test_members_cancel_their_own_jobs_alone(kind: JobType, organization: Organization) -> None:
    ada = make_user("ada", member_of=[organization])
    own, other = (pending_job(kind, organization, user=owner) for owner in (ada, None))
    operation = finish(start(JobFilter(job_type=(kind.pk,)), ada, "cancel"))
    assert (operation.changed, operation.refused) == (1, {"not_permitted": 1})
    assert [reread(job).status for job in (own, other)] == [Status.CANCELED, Status.PENDING]


def test_it_stops_when_whoever_started_it_is_deactivated(kind: JobType, system_admin: User) -> None:
    operation = begin(dead(kind, 1)[0], system_admin)
    User.objects.filter(pk=system_admin.pk).update(is_active=False)
    row = finish(operation)
    assert (row.state, row.reason, row.changed) == ("stopped", "user_gone", 0)


def test_it_stops_when_whoever_started_it_is_deleted(kind: JobType, system_admin: User) -> None:
    operation = begin(dead(kind, 1)[0], system_admin)
    system_admin.delete()
    row = finish(operation)
    assert (row.state, row.user_name) == ("stopped", "system_admin")


def test_a_policy_that_fails_pauses_it_and_holds_up_no_other(
    kind: JobType, system_admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_for_mails(self: Any, job: Job) -> bool:
        return 1 // (job.job_type_id != kind.pk) > 0

    failing, fine = begin(dead(kind, 1)[0], system_admin), begin(dead(make_job_type(), 1)[0], system_admin)
    monkeypatch.setattr(ActRights, "may", fail_for_mails)
    assert work_off() == 1
    failing.refresh_from_db()
    assert (failing.state, failing.reason, failing.note) == ("paused", "error", "ZeroDivisionError")
    assert finish(fine).changed == 1
