"""What a firing is refused is told, in the history, on the schedule and in the log, and stops nobody."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import InterfaceError

from django_jobs import AccessPolicy
from django_jobs.models import Job, JobType, Membership, Organization, Schedule, ScheduleFiring
from tests.support import verbs
from tests.support.alerts import evaluate, only
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.schedules import MINUTE, NOON, make_schedule
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The warnings of firings."""
    monkeypatch.setattr(logging.getLogger("django_jobs"), "propagate", True)
    caplog.set_level("WARNING", "django_jobs")
    return lambda: [(record.getMessage(), record.code) for record in caplog.records]  # type: ignore[attr-defined]


def outcomes() -> list[tuple[str, str]]:
    return list(ScheduleFiring.objects.order_by("pk").values_list("outcome", "note"))


def reread(schedule: Schedule) -> Schedule:
    schedule.refresh_from_db()
    return schedule


def test_a_refusal_is_told_once_and_cleared_by_the_next_good_firing(organization: Organization, lines: Any) -> None:
    kind = make_job_type()
    schedule = make_schedule(kind, organization, overlap="allow")
    kind.is_enabled = False
    kind.save()
    first, second = [*verbs.fire(NOON), *verbs.fire(NOON + MINUTE)]
    assert (first.note.code, second.note.code) == ("job_type_disabled", "job_type_disabled")
    reason = str(first.note)
    assert kind.pk in reason
    assert outcomes() == [("failed", reason)] * 2
    assert (reread(schedule).fault, schedule.faulty_since) == (reason, NOON)
    JobType.objects.update(is_enabled=True)
    verbs.fire(NOON + 2 * MINUTE)
    assert (reread(schedule).fault, schedule.faulty_since) == ("", None)


def test_a_schedule_that_is_skipped_for_its_unfinished_job_shows_no_fault_of_before(organization: Organization) -> None:
    schedule = make_schedule(None, organization, overlap="skip")
    verbs.fire(NOON)
    Schedule.objects.update(fault="it was refused", faulty_since=NOON)
    verbs.fire(NOON + MINUTE)
    assert outcomes()[-1][0] == "skipped"
    assert (reread(schedule).fault, schedule.faulty_since) == ("", None)


def test_the_diagnostics_name_schedules_that_cannot_fire(organization: Organization) -> None:
    assert list(verbs.examine_schedules()) == []
    made = make_schedule(None, organization)
    Organization.objects.update(is_active=False)
    verbs.fire(NOON)
    [found] = verbs.examine_schedules()
    assert (found.level, found.code) == ("PROBLEM", "schedules_cannot_fire")
    assert f"{made} (" in found.text
    verbs.pause_schedule(made)
    assert list(verbs.examine_schedules()) == []


@pytest.mark.django_db(transaction=True)
def test_a_refusal_leaves_one_line_when_it_begins(organization: Organization, lines: Any) -> None:
    kind = make_job_type()
    schedule = make_schedule(kind, organization)
    JobType.objects.filter(pk=kind.pk).delete()
    verbs.fire(NOON)
    verbs.fire(NOON + MINUTE)
    line = f"event=schedule_cannot_fire schedule=nightly #{schedule.pk} reason={reread(schedule).fault}"
    assert lines() == [(line, "unknown_job_type")]
    assert kind.type_name in schedule.fault


def test_a_schedule_that_cannot_fire_stops_no_other(organization: Organization) -> None:
    gone = make_organization()
    make_schedule(None, gone, name="a")
    make_schedule(None, organization, name="b")
    Organization.objects.filter(pk=gone.pk).delete()
    assert [item.outcome for item in verbs.fire(NOON)] == ["failed", "submitted"]


def test_an_inactive_organization_is_a_refusal(organization: Organization) -> None:
    make_schedule(None, organization)
    Organization.objects.update(is_active=False)
    [fired] = verbs.fire(NOON)
    assert (fired.outcome, fired.note.code) == ("failed", "organization_inactive")


def test_what_a_full_backlog_refuses_is_skipped_and_told(organization: Organization, settings: Any) -> None:
    schedule = make_schedule(None, organization, user=make_user(admin_of=[organization]))
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_BACKLOG_PER_ORGANIZATION": 0}
    [fired] = verbs.fire(NOON)
    assert fired.note.code == "queue_full"
    assert outcomes() == [("skipped", reread(schedule).fault)]
    assert [found.level for found in verbs.examine_schedules()] == ["PROBLEM"]


def test_a_users_firings_count_for_the_types_rate(organization: Organization) -> None:
    kind = make_job_type(rate_limit=1, rate_limit_window=3600)
    schedule = make_schedule(kind, organization, user=make_user(admin_of=[organization]), overlap="allow")
    make_schedule(kind, due=NOON + MINUTE)
    fired = [*verbs.fire(NOON), *verbs.fire(NOON + MINUTE)]
    assert outcomes()[0] == ("submitted", "")
    assert outcomes()[1] == ("skipped", reread(schedule).fault)
    assert [(item.outcome, item.note.code) for item in fired[1:]] == [("skipped", "rate_limited")] * 2
    assert Schedule.objects.exclude(fault="").count() == 2
    kind.rate_limit = None
    kind.save()
    verbs.fire(NOON + 2 * MINUTE)
    assert not Schedule.objects.exclude(fault="").exists()


@pytest.mark.parametrize("has_tenants", [False, True], ids=["none", "all inactive"])
@pytest.mark.django_db(transaction=True)
def test_a_schedule_that_fires_for_nobody_is_a_problem(lines: Any, settings: Any, *, has_tenants: bool) -> None:
    if has_tenants:
        make_organization(is_active=False)
    schedule = make_schedule()
    verbs.fire(NOON)
    [(outcome, note)] = outcomes()
    assert outcome == "skipped"
    assert note == reread(schedule).fault != ""
    code = "organization_inactive" if has_tenants else "no_organization"
    assert lines() == [(f"event=schedule_cannot_fire schedule=nightly reason={note}", code)]
    assert [found.level for found in verbs.examine_schedules()] == ["PROBLEM"]
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **only("schedule_cannot_fire")}
    assert [alert.subject for alert in evaluate()] == ["nightly"]
    make_organization()
    verbs.fire(NOON + MINUTE)
    assert list(verbs.examine_schedules()) == []


@pytest.mark.django_db(transaction=True)
def test_a_policy_that_fails_decides_nothing_and_the_log_alone_has_its_text(
    organization: Organization, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lines: Any
) -> None:
    schedule, rests = make_schedule(None, organization), dict[int, float]()

    def fail(*args: object) -> bool:
        raise RuntimeError("no answer from ldap://user:secret@host")

    with monkeypatch.context() as patch:
        patch.setattr(AccessPolicy, "is_active", fail)
        assert verbs.fire(NOON, rests) == []
        assert verbs.fire(NOON, rests) == []  # it rests
        reason = reread(schedule).fault
        assert (outcomes(), "RuntimeError" in reason, "secret" in reason) == ([], True, False)
        assert lines() == [(f"event=schedule_cannot_fire schedule={schedule} reason={reason}", "policy_failed")]
        assert "secret" in str(caplog.records[0].exc_info)
        assert verbs.fire_now(schedule).note == reason  # who fires by hand is told
    rests.clear()
    assert [item.outcome for item in verbs.fire(NOON, rests)] == ["submitted"]
    assert reread(schedule).fault == ""


def test_a_policy_that_fails_for_one_organization_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, other = make_organization(), make_organization()
    make_schedule()
    monkeypatch.setattr(AccessPolicy, "is_active", lambda _, tenant: bool(1 / (tenant.pk - broken.pk)))
    [fired] = verbs.fire(NOON)
    assert (fired.outcome, fired.note.code) == ("submitted", "policy_failed")
    assert list(Job.objects.values_list("organization_id", flat=True)) == [other.pk]


def test_of_an_error_that_is_not_made_for_people_the_class_is_told(
    organization: Organization, settings: Any, interpose: Interpose
) -> None:
    make_schedule(None, organization)

    def fail(*args: object) -> None:
        raise KeyError("secret")

    interpose("submit_for_schedule", fail)
    verbs.fire(NOON)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SHOW_ERROR_TEXT": True}
    verbs.fire(NOON + MINUTE)
    assert outcomes() == [("failed", "KeyError"), ("failed", "'secret'")]


def test_an_owner_who_lost_the_right_or_is_gone_submits_nothing(organization: Organization) -> None:
    boss = make_user("boss", admin_of=[organization])
    make_schedule(make_job_type(submit_by="admins"), organization, user=boss)
    Membership.objects.all().delete()
    fired = verbs.fire(NOON)
    boss.delete()
    fired += verbs.fire(NOON + MINUTE)
    assert [(item.outcome, item.note.code) for item in fired] == [("failed", "no_part"), ("failed", "owner_gone")]
    assert "boss" in outcomes()[1][1]


def test_by_hand_a_refusal_is_noted(organization: Organization) -> None:
    made = make_schedule(None, organization)
    Organization.objects.update(is_active=False)
    assert verbs.fire_now(made).outcome == "failed"
    assert Schedule.objects.get().fault


def test_a_firing_that_the_database_ends_each_time_is_told(
    organization: Organization, lines: Any, monkeypatch: pytest.MonkeyPatch, interpose: Interpose, tuning: Tuning
) -> None:
    schedule = make_schedule(None, organization)
    tuning.set(schedule_rest_seconds=0.0)
    interpose("is_lost_connection", lambda error: isinstance(error, InterfaceError))

    def hang_up(*args: object) -> None:
        raise InterfaceError("idle for too long")

    rests_until: dict[int, float] = {}
    with monkeypatch.context() as patched:
        Interpose(patched)("submit_for_schedule", hang_up)
        assert verbs.fire_round(NOON, rests_until) == []
        assert reread(schedule).fault == ""  # it may be over in a moment
        assert verbs.fire_round(NOON, rests_until) == []
    assert reread(schedule).fault == "InterfaceError"
    assert len(verbs.fire_round(NOON, rests_until)) == 1
    assert (reread(schedule).fault, rests_until) == ("", {})


def test_a_firing_that_breaks_is_told_rests_and_stops_no_other(organization: Organization) -> None:
    broken = make_schedule(None, organization, name="a")
    make_schedule(None, organization, name="b", overlap="allow")
    Schedule.objects.filter(pk=broken.pk).update(timezone="Mars/Phobos")  # as where a host loses its time zones
    rests_until: dict[int, float] = {}
    assert [item.schedule.name for item in verbs.fire(NOON, rests_until)] == ["b"]
    assert reread(broken).fault.startswith("timezone: ")
    assert "'Mars/Phobos'" in broken.fault
    Schedule.objects.filter(pk=broken.pk).update(timezone="UTC")
    assert [item.schedule.name for item in verbs.fire(NOON + MINUTE, rests_until)] == ["b"]
    assert [item.schedule.name for item in verbs.fire(NOON + MINUTE)] == ["a"]


def test_however_many_rest_the_others_fire(organization: Organization, tuning: Tuning) -> None:
    tuning.set(schedules_a_look=1)
    broken = make_schedule(None, organization, name="a")
    make_schedule(None, organization, name="b")
    Schedule.objects.filter(pk=broken.pk).update(timezone="Mars/Phobos")
    rests_until: dict[int, float] = {}
    rounds = [verbs.fire_round(NOON, rests_until) for _ in range(2)]
    assert [[item.schedule.name for item in found] for found in rounds] == [[], ["b"]]
