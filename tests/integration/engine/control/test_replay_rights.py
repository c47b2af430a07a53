"""Who may replay a group of Dead Letters, and what becomes of a replay when its starter no longer may."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from django_jobs.engine.control import replays
from django_jobs.exceptions import PermissionDenied
from django_jobs.models import Job, JobType, Membership, Organization
from django_jobs.statuses import Status
from tests.support.brokers import reread
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.replays import begin, dead, finish

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def kind() -> JobType:
    return make_job_type(type_name="mails")


@pytest.fixture
def organization() -> Organization:
    return make_organization(name="ORG-MINE")


@pytest.fixture
def root() -> User:
    return make_system_admin("root")


def test_an_organization_admin_reaches_only_the_own_organization(kind: JobType, organization: Organization) -> None:
    (mine,), (theirs,) = dead(kind, 1, organization), dead(kind, 1)
    replay = finish(begin(mine, make_user("boss", admin_of=[organization])))
    assert (replay.total, replay.changed) == (1, 1)
    assert reread(theirs).status == Status.DEAD_LETTER


def test_members_may_not_start_one(kind: JobType, organization: Organization) -> None:
    (job,) = dead(kind, 1, organization)
    with pytest.raises(PermissionDenied):
        begin(job, make_user(member_of=[organization]))


def test_organization_admins_may_not_delete(kind: JobType, organization: Organization) -> None:
    (job,) = dead(kind, 1, organization)
    with pytest.raises(PermissionDenied):
        begin(job, make_user(admin_of=[organization]), verb="delete")


def test_rights_are_asked_again_for_every_job(kind: JobType, organization: Organization) -> None:
    boss = make_user("boss", admin_of=[organization])
    replay = begin(dead(kind, 2, organization)[0], boss)
    Membership.objects.filter(user=boss).update(role="member")
    assert finish(replay).refused == {replays.NOT_PERMITTED: 2}


def test_it_stops_when_whoever_started_it_is_deactivated(kind: JobType, root: User) -> None:
    replay = begin(dead(kind, 1)[0], root)
    User.objects.filter(pk=root.pk).update(is_active=False)
    row = finish(replay)
    assert (row.state, row.note, row.changed) == ("stopped", replays.USER_GONE, 0)


def test_it_stops_when_whoever_started_it_is_deleted(kind: JobType, root: User) -> None:
    replay = begin(dead(kind, 1)[0], root)
    root.delete()
    row = finish(replay)
    assert (row.state, row.user_name) == ("stopped", "root")


def test_a_policy_that_fails_pauses_it_and_holds_up_no_other(
    kind: JobType, root: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_for_mails(verb: str, user: Any, job: Job) -> bool:
        return 1 // (job.job_type_id != kind.pk) > 0

    failing, fine = begin(dead(kind, 1)[0], root), begin(dead(make_job_type(), 1)[0], root)
    monkeypatch.setattr(replays, "may", fail_for_mails)
    assert replays.work_off() == 1
    failing.refresh_from_db()
    assert (failing.state, failing.note) == ("paused", "Paused by an error: ZeroDivisionError.")
    assert finish(fine).changed == 1
