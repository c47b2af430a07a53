"""Who may see, make and change which schedules, and who owns them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User

from django_jobs import schedule_job, unschedule
from django_jobs.exceptions import InvalidSchedule, PermissionDenied, ScheduleNotFound
from django_jobs.models import JobType, Membership, Organization, Schedule
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.refusals import refused

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


def test_system_admins_manage_all_and_admins_those_of_their_organization(kind: JobType) -> None:
    mine, theirs = make_organization(), make_organization()
    code = make_job_type(submit_by="code")
    rows = {
        "mine": schedule_job("mine", kind, mine, every=60),
        "code": schedule_job("code", code, mine, every=60),
        "theirs": schedule_job("theirs", kind, theirs, every=60),
        "all": schedule_job("all", kind, every=60),
    }
    seen = {
        "root": make_system_admin("root"),
        "admin": make_user("admin", admin_of=[mine]),
        "member": make_user("member", member_of=[mine]),
        "stranger": make_user("stranger"),
    }
    expected = {"root": set(rows), "admin": {"mine"}, "member": set(), "stranger": set()}
    for name, user in seen.items():
        assert {row.name for row in verbs.Scope(user).schedules()} == expected[name]
        assert {row.name for row in rows.values() if verbs.may_manage_schedule(user, row)} == expected[name]


def test_an_admin_makes_schedules_for_their_organization_alone(kind: JobType) -> None:
    mine, theirs = make_organization(), make_organization()
    admin, member = make_user("admin", admin_of=[mine]), make_user(member_of=[mine])
    assert schedule_job("mine", kind, mine, every=60, user=admin).owner == admin
    for organization, user in ((theirs, admin), (mine, member)):
        with pytest.raises(PermissionDenied):
            schedule_job("x", kind, organization, every=60, user=user)
    with refused(InvalidSchedule, {"organization": ["required"]}):
        schedule_job("x", kind, every=60, user=admin)


def test_a_users_schedule_fires_seldom_enough_and_codes_as_often_as_it_likes(
    kind: JobType, organization: Organization, settings: Any
) -> None:
    admin = make_user(admin_of=[organization])

    def wrong(change: Any) -> list[str]:
        with pytest.raises(InvalidSchedule) as caught:
            change()
        return list(caught.value.errors)

    assert wrong(lambda: schedule_job("x", kind, organization, every=9, user=admin)) == ["every"]
    assert wrong(lambda: schedule_job("x", kind, every=9, user=make_system_admin())) == ["every"]
    mine = schedule_job("x", kind, organization, every=10, user=admin)
    assert wrong(lambda: verbs.change_schedule(mine, {"every": 9}, user=admin)) == ["every"]
    code = schedule_job("code", kind, organization, every=1)
    assert verbs.change_schedule(code, {"jitter": 5}, user=admin).every == 1
    assert wrong(lambda: verbs.change_schedule(code, {"every": 2}, user=admin)) == ["every"]
    assert wrong(lambda: verbs.take_over_schedule(code, user=admin)) == ["every"]
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MIN_SCHEDULE_SECONDS": 300}
    assert wrong(lambda: schedule_job("y", kind, organization, cron="0,4 * * * *", user=admin)) == ["cron"]
    schedule_job("y", kind, organization, cron="0,5 * * * *", user=admin)


def test_an_organization_has_so_many_schedules_of_users(
    kind: JobType, organization: Organization, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_SCHEDULES_PER_ORGANIZATION": 2}
    other = make_organization()
    admin = make_user(admin_of=[organization, other])
    schedule_job("code", kind, organization, every=60)
    for name in ("a", "b", "b"):
        schedule_job(name, kind, organization, every=60, user=admin)
    elsewhere = schedule_job("c", kind, other, every=60, user=admin)
    given = {"name": "c", "job_type": kind, "organization": organization, "every": 60}
    refused: list[Callable[[], Schedule]] = [
        lambda: schedule_job("c", kind, organization, every=60, user=admin),
        lambda: verbs.create_schedule(given, user=admin),
        lambda: verbs.change_schedule(elsewhere, {"organization": organization}, user=admin),
    ]
    for one_more in refused:
        with pytest.raises(InvalidSchedule) as caught:
            one_more()
        assert list(caught.value.errors) == ["organization"]
    schedule_job("more", kind, organization, every=60)
    assert Schedule.objects.filter(organization=organization).count() == 4


def test_a_type_for_code_alone_is_unknown_to_users(organization: Organization) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        schedule_job("x", make_job_type(submit_by="code"), organization, every=60, user=make_system_admin())
    assert list(caught.value.errors) == ["job_type"]


def test_nobody_takes_over_a_name_that_they_do_not_manage(kind: JobType) -> None:
    mine = make_organization()
    made = schedule_job("nightly", make_job_type(submit_by="code"), mine, every=60)
    with refused(InvalidSchedule, {"name": ["taken"]}):
        schedule_job("nightly", kind, mine, every=50, user=make_user(admin_of=[mine]))
    assert Schedule.objects.get() == made


def test_who_changes_only_when_it_fires_leaves_the_owner(organization: Organization) -> None:
    made = schedule_job("nightly", make_job_type(submit_by="code"), organization, cron="0 2 * * *")
    changed = verbs.change_schedule(made, {"every": 60, "organization": organization.name}, user=make_system_admin())
    assert (changed.owner, changed.every, changed.cron) == (None, 60, "")


def test_who_changes_what_is_submitted_becomes_the_owner(kind: JobType, organization: Organization) -> None:
    root = make_system_admin()
    made = schedule_job("nightly", kind, organization, cron="0 2 * * *")
    assert verbs.change_schedule(made, {"parameters": {"n": 1}}, user=root).owner == root
    code = make_job_type(submit_by="code")
    with pytest.raises(InvalidSchedule) as caught:
        verbs.change_schedule(made, {"job_type": code}, user=root)
    assert list(caught.value.errors) == ["job_type"]


def test_who_takes_one_over_needs_the_rights_of_who_makes_one(kind: JobType, organization: Organization) -> None:
    made = schedule_job("n", kind, organization, every=60)
    root = make_system_admin()
    assert verbs.take_over_schedule(made, user=root).owner == root
    code = schedule_job("code", make_job_type(submit_by="code"), organization, every=60)
    with pytest.raises(InvalidSchedule):
        verbs.take_over_schedule(code, user=root)


def test_whoever_was_an_admin_sees_and_stops_what_still_runs_in_their_name(
    kind: JobType, organization: Organization
) -> None:
    boss, other = make_user("boss", admin_of=[organization]), make_user("other", admin_of=[organization])
    mine = schedule_job("mine", kind, organization, every=60, user=boss)
    schedule_job("other", kind, organization, every=60, user=other)
    root = make_system_admin("root")
    for_all = schedule_job("for all", kind, every=60, user=root)
    schedule_job("code", kind, every=60)
    Membership.objects.filter(user=boss).update(role="member")
    root.user_permissions.clear()
    boss, root = User.objects.get(pk=boss.pk), User.objects.get(pk=root.pk)
    for user, schedule in ((boss, mine), (root, for_all)):
        assert list(verbs.Scope(user).schedules()) == [schedule]
        for verb in (verbs.resume_schedule, verbs.fire_now):
            with pytest.raises(PermissionDenied):
                verb(schedule, user=user)
        with pytest.raises(PermissionDenied):
            verbs.change_schedule(schedule, {"jitter": 5}, user=user)
        assert not verbs.pause_schedule(schedule, user=user).is_enabled
        unschedule(schedule, user=user)
    assert set(Schedule.objects.values_list("name", flat=True)) == {"other", "code"}


def test_who_left_the_organization_or_is_nobody_sees_none_of_it(kind: JobType, organization: Organization) -> None:
    boss = make_user("boss", admin_of=[organization])
    made = schedule_job("mine", kind, organization, every=60, user=boss)
    schedule_job("code", kind, every=60)
    Membership.objects.all().delete()
    for user in (User.objects.get(pk=boss.pk), AnonymousUser()):
        assert not verbs.Scope(user).schedules()
        with pytest.raises(ScheduleNotFound):
            verbs.pause_schedule(made, user=user)


def test_hidden_parameters_go_to_no_other_type_or_organization(organization: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("token",)}
    other, other_kind = make_organization(), make_job_type()
    admin = make_user("admin", admin_of=[organization, other])
    made = schedule_job("n", make_job_type(), organization, {"token": "s3cret"}, every=60)
    for moved in ({"job_type": other_kind}, {"organization": other}):
        with refused(InvalidSchedule, {"parameters": ["hidden"]}):
            verbs.change_schedule(made, moved, user=admin)
    assert verbs.change_schedule(made, {"every": 50}, user=admin).parameters == {"token": "s3cret"}
    assert verbs.change_schedule(made, {"job_type": other_kind, "parameters": {"n": 1}}, user=admin).owner == admin
    assert verbs.change_schedule(made, {"job_type": make_job_type()}).parameters == {"n": 1}
