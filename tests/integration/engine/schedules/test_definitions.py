"""Making, changing, pausing and deleting schedules, by whoever may."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.admin.models import LogEntry
from rest_framework import serializers

from django_jobs import aschedule_job, aunschedule, every, job_handler, schedule_job, unschedule
from django_jobs.engine.schedules.definitions import _titles
from django_jobs.exceptions import InvalidSchedule, ScheduleNotFound
from django_jobs.models import JobType, Organization, Schedule, ScheduleFiring
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.handlers import do_nothing
from tests.support.refusals import refused
from tests.support.schedules import NOON, make_schedule

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


class Parameters(serializers.Serializer[Any]):
    day = serializers.DateField()


@pytest.fixture
def strict(nothing_declared: object) -> JobType:
    """A type whose parameters have a serializer."""
    kind = make_job_type()
    job_handler(kind.type_name, parameters=Parameters)(do_nothing)
    return kind


def codes_of(*args: Any, **keywords: Any) -> dict[str, list[str]]:
    with pytest.raises(InvalidSchedule) as caught:
        schedule_job(*args, **keywords)
    assert not Schedule.objects.exists()
    return caught.value.codes


def titled(field: str) -> str:
    """A field's name as the admin's history has it."""
    found: Any = Schedule._meta.get_field(field)
    return str(found.verbose_name).capitalize()


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def test_a_schedule_is_made_and_due_at_its_next_moment(kind: JobType, organization: Organization) -> None:
    made = schedule_job("nightly", kind, organization.name, {"n": 1}, cron=" 0  2 * * MON-FRI ", timezone="Asia/Tokyo")
    stored = Schedule.objects.get(name="nightly")
    assert (stored.cron, stored.timezone, stored.organization, stored.owner) == (
        "0 2 * * MON-FRI",
        "Asia/Tokyo",
        organization,
        None,
    )
    assert made.next_run_at == stored.next_run_at
    assert stored.next_run_at is not None
    assert stored.next_run_at > now()
    assert (stored.next_run_at.hour, stored.next_run_at.minute) == (17, 0)


@pytest.mark.parametrize("given", [300, dt.timedelta(minutes=5), every(minutes=5), 300.0])
def test_an_interval_may_be_given_in_many_ways(given: Any, kind: JobType) -> None:
    assert schedule_job("often", kind, every=given).every == 300


def test_the_same_name_changes_it_and_an_unchanged_rule_keeps_its_next_moment(kind: JobType) -> None:
    first = schedule_job("often", kind, every=3600)
    Schedule.objects.update(next_run_at=now() - dt.timedelta(seconds=5))
    same = schedule_job("often", kind, parameters={"n": 2}, every=3600)
    assert (same.pk, same.parameters) == (first.pk, {"n": 2})
    assert same.next_run_at is not None
    assert same.next_run_at < now()
    changed = schedule_job("often", kind, parameters={"n": 2}, every=7200)
    assert changed.next_run_at is not None
    assert changed.next_run_at > now()


def test_a_name_that_differs_in_case_or_accents_is_another_one(kind: JobType) -> None:
    """MariaDB compares otherwise, and has room for one of the two."""
    first = schedule_job("ubersicht", kind, parameters={"n": 1}, every=60)
    for name in ("Übersicht", "UBERSICHT"):
        with contextlib.suppress(InvalidSchedule):
            assert schedule_job(name, kind, parameters={"n": 2}, every=60) != first
            unschedule(name)
        with pytest.raises(ScheduleNotFound):
            unschedule(name)
        with pytest.raises(ScheduleNotFound):
            verbs.pause_schedule(name)
    row = Schedule.objects.get()
    assert (row, row.name, row.parameters, row.is_enabled) == (first, "ubersicht", {"n": 1}, True)


def test_a_name_is_unique_in_its_organization_and_among_those_of_none(kind: JobType) -> None:
    mine, theirs = make_organization(), make_organization()
    made = {owner: schedule_job("nightly", kind, owner, every=60) for owner in (mine, theirs, None)}
    assert schedule_job("nightly", kind, mine, every=90) == made[mine]
    assert list(Schedule.objects.order_by("pk").values_list("every", flat=True)) == [90, 60, 60]
    for owner in made:
        with refused(InvalidSchedule, {"name": ["taken"]}):
            verbs.create_schedule({"name": "nightly", "job_type": kind, "organization": owner, "every": 60})
    unschedule("nightly", theirs)
    assert verbs.change_schedule(made[mine], {"organization": theirs}).organization == theirs
    with refused(InvalidSchedule, {"name": ["taken"]}):
        verbs.change_schedule(made[mine], {"organization": None}, user=make_system_admin())
    unschedule("nightly")
    assert Schedule.objects.get() == made[mine]


def test_code_without_an_organization_touches_only_what_code_made(kind: JobType, organization: Organization) -> None:
    root = make_system_admin()
    theirs = schedule_job("tenants", kind, organization, every=60, user=make_user(admin_of=[organization]))
    persons = schedule_job("persons", kind, every=60, user=root)
    with pytest.raises(InvalidSchedule) as caught:
        schedule_job("persons", kind, every=90)
    assert list(caught.value.errors) == ["name"]
    for name in ("tenants", "persons"):
        with pytest.raises(ScheduleNotFound):
            unschedule(name)
    assert schedule_job("tenants", kind, every=90) != theirs
    assert set(Schedule.objects.filter(every=60)) == {theirs, persons}
    unschedule("persons", user=root)
    assert schedule_job("tenants", kind, organization, every=80) == theirs


def test_what_a_person_changed_of_what_code_made_is_changed_back_by_the_code(kind: JobType) -> None:
    made, root = schedule_job("often", kind, every=60), make_system_admin()
    assert verbs.change_schedule(made, {"parameters": {"n": 1}}, user=root).owner == root
    assert schedule_job("often", kind, every=60) == made
    assert (Schedule.objects.get().parameters, Schedule.objects.get().owner) == ({}, None)


def test_numbers_that_python_finds_equal_are_changed_all_the_same(kind: JobType) -> None:
    schedule_job("n", kind, parameters={"full": 1}, every=60)
    schedule_job("n", kind, parameters={"full": True}, every=60)
    assert Schedule.objects.get().parameters["full"] is True
    assert verbs.change_schedule("n", {"parameters": {"full": 1.0}}).parameters["full"] is not True


def test_what_changes_nothing_writes_nothing(kind: JobType) -> None:
    root = make_system_admin()
    for _ in range(2):
        schedule_job("often", kind, every=60, user=root)
    assert LogEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("keywords", "errors"),
    [
        ({}, {"cron": ["required"]}),
        ({"cron": "* * * * *", "every": 5}, {"cron": ["two_rules"]}),
        ({"cron": "0 0 30 2 *"}, {"cron": ["never_fires"]}),
        ({"every": 0}, {"every": ["too_often"]}),
        ({"every": 0.5}, {"every": ["too_often"]}),
        ({"every": 1.5}, {"every": ["not_whole"]}),
        ({"every": 366 * 24 * 3600 + 1}, {"every": ["too_large"]}),
        ({"every": 5, "timezone": "Mars/Phobos"}, {"timezone": ["unknown_zone"]}),
        ({"every": 5, "jitter": -1}, {"jitter": ["out_of_range"]}),
        ({"every": 5, "jitter": 86_401}, {"jitter": ["out_of_range"]}),
        ({"every": 5, "catch_up": "maybe"}, {"catch_up": ["invalid_choice"]}),
        ({"every": 5, "overlap": "maybe"}, {"overlap": ["invalid_choice"]}),
        ({"every": 5, "priority": "Huge"}, {"priority": ["invalid_choice"]}),
        ({"every": 5, "parameters": [1]}, {"parameters": ["not_an_object"]}),
        (
            {"every": 5, "starts_at": dt.datetime(2026, 1, 1)},  # noqa: DTZ001
            {"starts_at": ["not_aware"]},
        ),
        (
            {
                "every": 5,
                "starts_at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
                "ends_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            },
            {"ends_at": ["before_starts_at"]},
        ),
        (
            {
                "every": 5,
                "starts_at": dt.datetime.min.replace(tzinfo=dt.UTC),
                "ends_at": dt.datetime(9999, 12, 31, tzinfo=dt.UTC),
            },
            {"starts_at": ["out_of_range"], "ends_at": ["out_of_range"]},
        ),
        ({"every": 5, "is_enabled": "no"}, {"is_enabled": ["not_true_or_false"]}),
        ({"every": 5, "organization": "nowhere"}, {"organization": ["unknown_organization"]}),
        ({"every": 5, "organization": ""}, {"organization": ["required"]}),
    ],
)
def test_bad_input_is_named_and_nothing_is_stored(
    keywords: dict[str, Any], errors: dict[str, list[str]], kind: JobType
) -> None:
    assert codes_of("x", kind, **keywords) == errors


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 201, None])
def test_a_name_is_one_line_of_text(name: Any, kind: JobType) -> None:
    assert list(codes_of(name, kind, every=5)) == ["name"]


def test_a_type_must_exist() -> None:
    assert codes_of("x", "nothing", every=5) == {"job_type": ["unknown_job_type"]}


def test_parameters_are_validated_when_it_is_made(strict: JobType) -> None:
    assert list(codes_of("x", strict, None, {"day": "soon"}, every=5)) == ["parameters.day"]
    schedule_job("x", strict, None, {"day": "2026-01-01"}, every=5)


def test_parameters_that_no_longer_validate_are_told_at_the_firing(strict: JobType, organization: Organization) -> None:
    schedule = make_schedule(strict, organization, parameters={"day": "2026-01-01"})
    Parameters._declared_fields["hour"] = serializers.IntegerField()
    try:
        [fired] = verbs.fire(schedule.next_run_at)
    finally:
        del Parameters._declared_fields["hour"]
    schedule.refresh_from_db()
    assert (fired.outcome, fired.note) == ("failed", schedule.fault)
    assert schedule.fault.startswith("parameters.hour: ")


def test_paused_it_has_no_next_moment_and_resumed_it_catches_nothing_up(kind: JobType) -> None:
    schedule_job("often", kind, every=60)
    assert verbs.pause_schedule("often").next_run_at is None
    Schedule.objects.update(last_fired_at=now() - dt.timedelta(hours=5))
    resumed = verbs.resume_schedule("often")
    assert resumed.next_run_at is not None
    assert resumed.next_run_at > now()


def test_with_another_organization_it_leaves_its_history_behind(kind: JobType, organization: Organization) -> None:
    schedule = make_schedule(kind, organization)
    other = make_schedule(kind, organization, name="other")
    for made in (schedule, other):
        verbs.fire_now(made)
    Schedule.objects.update(fault="boss may not submit", faulty_since=NOON)
    verbs.change_schedule(schedule, {"organization": organization.name, "jitter": 5})
    assert ScheduleFiring.objects.filter(schedule=schedule).exists()
    moved = verbs.change_schedule(schedule, {"organization": make_organization().name})
    assert (moved.fault, moved.faulty_since) == ("", None)
    assert list(ScheduleFiring.objects.values_list("schedule__name", flat=True)) == ["other"]
    assert _titles(["organization_id", "fault"]) == [titled("organization")]


def test_unscheduled_it_is_gone_with_its_history(kind: JobType, organization: Organization) -> None:
    verbs.fire(make_schedule(kind, organization).next_run_at)
    unschedule("nightly", organization)
    assert (Schedule.objects.count(), ScheduleFiring.objects.count()) == (0, 0)
    with pytest.raises(ScheduleNotFound):
        unschedule("nightly", organization.name)


@pytest.mark.django_db(transaction=True)
def test_the_twins_for_async_code_do_the_same(kind: JobType) -> None:
    async_to_sync(aschedule_job)("often", kind.type_name, every=60)
    async_to_sync(aunschedule)("often")
    assert not Schedule.objects.exists()


def test_a_new_one_must_not_exist_and_a_new_name_must_be_free(kind: JobType) -> None:
    for name in ("a", "b"):
        verbs.create_schedule({"name": name, "job_type": kind, "every": 60})
    with refused(InvalidSchedule, {"name": ["taken"]}):
        verbs.create_schedule({"name": "a", "job_type": kind, "every": 60})
    with refused(InvalidSchedule, {"name": ["taken"]}):
        verbs.change_schedule("a", {"name": "b"})
    assert verbs.change_schedule("a", {"name": "c"}).name == "c"


@pytest.mark.django_db(transaction=True)
def test_each_change_leaves_an_audit_row_and_a_line(
    kind: JobType, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("django_jobs"), "propagate", True)
    caplog.set_level("INFO", "django_jobs")
    root = make_system_admin("root")
    schedule_job("nightly", kind, cron="0 2 * * *", user=root)
    verbs.change_schedule("nightly", {"cron": "0 3 * * *"}, user=root)
    verbs.pause_schedule("nightly", user=root)
    unschedule("nightly", user=root)
    said = [record.getMessage().strip() for record in caplog.records]
    lines = [text for text in said if text.startswith("event=schedule_")]
    assert [text.partition(" count=1 schedule=nightly by=root")[:2] for text in lines] == [
        (f"event=schedule_{done}", " count=1 schedule=nightly by=root")
        for done in ("added", "changed", "changed", "deleted")
    ]
    changes = [json.loads(entry.change_message or "[]") for entry in LogEntry.objects.order_by("pk")]
    assert changes == [
        [{"added": {}}],
        [{"changed": {"fields": [titled("cron")]}}],
        [{"changed": {"fields": [titled("is_enabled")]}}],
        [],
    ]
