"""Schedules that code declares: rows as for the types, and what an administrator changed stays."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
from io import StringIO
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection

from django_jobs import every, job_handler, schedule_job
from django_jobs.exceptions import InvalidSchedule
from django_jobs.models import JobType, Schedule
from tests.support import handlers, verbs
from tests.support.checks import checked
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.refusals import refused


@pytest.fixture(autouse=True)
def one_type(db: None, nothing_declared: object) -> None:
    JobType.objects.all().delete()
    make_job_type(type_name="bake")


def declare(schedule: Any) -> None:
    """What the code declares from now on."""
    job_handler("bake", schedule=schedule)(handlers.do_nothing)


def synced(schedule: Any) -> dict[str, Schedule]:
    declare(schedule)
    verbs.sync_declared_schedules(using="default")
    return {row.name: row for row in Schedule.objects.all()}


def test_a_list_makes_a_row_for_each_item_named_after_the_type() -> None:
    starts_at = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    rows = synced(
        [
            "0 2 * * *",
            every(minutes=5),
            {"cron": "0 3 * * *", "timezone": "Asia/Tokyo", "name": "dawn", "starts_at": starts_at, "priority": "High"},
        ]
    )
    assert sorted(rows) == ["bake", "bake-2", "dawn"]
    assert (rows["bake"].cron, rows["bake-2"].every, rows["dawn"].timezone) == ("0 2 * * *", 300, "Asia/Tokyo")
    assert (rows["dawn"].starts_at, rows["dawn"].priority) == (starts_at, 2)
    assert {row.job_type_id for row in rows.values()} == {"bake"}
    assert all(row.next_run_at for row in rows.values())
    assert all(row.organization_id is None and row.owner_id is None for row in rows.values())


def test_migrating_brings_them_into_the_database() -> None:
    declare("0 2 * * *")
    call_command("migrate", verbosity=0)
    assert Schedule.objects.get().cron == "0 2 * * *"


def test_what_the_code_changes_is_changed_and_the_next_moment_with_it() -> None:
    before = synced("0 2 * * *")["bake"]
    after = synced(every(hours=48))["bake"]  # later than the next two o'clock, whatever time it is
    assert (after.cron, after.every) == ("", 48 * 3600)
    assert after.next_run_at != before.next_run_at


def test_what_an_administrator_changed_stays() -> None:
    synced({"cron": "0 2 * * *", "jitter": 10})
    verbs.change_schedule("bake", {"cron": "0 4 * * *"})
    row = synced({"cron": "0 3 * * *", "jitter": 20})["bake"]
    assert (row.cron, row.jitter) == ("0 4 * * *", 20)


def test_what_an_administrator_paused_stays_paused() -> None:
    synced("0 2 * * *")
    verbs.pause_schedule("bake")
    row = synced("0 3 * * *")["bake"]
    assert (row.is_enabled, row.cron, row.next_run_at) == (False, "0 3 * * *", None)


def test_what_code_declares_no_more_is_disabled_and_comes_back_with_the_code() -> None:
    synced("0 2 * * *")
    row = synced(None)["bake"]
    assert (row.is_enabled, row.next_run_at) == (False, None)
    row = synced("0 2 * * *")["bake"]
    assert row.is_enabled
    assert row.next_run_at is not None


def test_what_code_declares_no_more_goes_on_where_an_administrator_changed_it() -> None:
    synced("0 2 * * *")
    verbs.change_schedule("bake", {"cron": "0 4 * * *"})
    assert synced(None)["bake"].is_enabled


def test_a_schedule_made_by_hand_is_not_taken_over() -> None:
    schedule_job("bake", "bake", every=60)
    row = synced("0 2 * * *")["bake"]
    assert (row.every, row.cron) == (60, "")
    schedule_job("mine", "bake", every=60)
    assert synced(None)["mine"].is_enabled


def test_a_tenants_schedule_keeps_no_declared_one_away() -> None:
    tenant = make_organization()
    theirs = schedule_job("bake", "bake", tenant, every=60, user=make_user(admin_of=[tenant]))
    synced("0 2 * * *")
    theirs.refresh_from_db()
    assert (theirs.every, theirs.declared, theirs.is_enabled) == (60, None, True)
    assert Schedule.objects.get(organization=None).cron == "0 2 * * *"
    synced(None)
    assert Schedule.objects.get(organization=tenant).is_enabled


def test_a_declared_name_that_a_persons_has_is_an_error_of_check_and_sync() -> None:
    root = make_system_admin("root")
    persons = schedule_job("bake", "bake", every=60, user=root)
    declare(["0 2 * * *", "0 3 * * *"])
    assert run_checks(tags=["django_jobs"], databases=[]) == []  # a check without a database tells nothing of it
    [found] = checked("E046")
    assert found.id == "django_jobs.E046"
    for told in ("'bake'", verbs.declared_handlers()[0].place, "root", str(persons.pk)):
        assert told in found.msg
    for arguments in ((), ("--check",)):
        with pytest.raises(CommandError, match="'bake'"):
            call_command("jobs_sync", *arguments, stdout=StringIO())
    persons.refresh_from_db()
    assert (persons.every, persons.declared, persons.owner) == (60, None, root)
    assert Schedule.objects.get(name="bake-2").cron == "0 3 * * *"
    verbs.change_schedule(persons, {"name": "mine"}, user=root)
    assert synced(["0 2 * * *", "0 3 * * *"])["bake"].cron == "0 2 * * *"
    assert checked("E046") == []


@pytest.mark.skipif(connection.vendor != "mysql", reason="Elsewhere these are two names.")
def test_a_declared_name_that_is_equal_to_a_persons_is_an_error_too() -> None:
    schedule_job("Bake", "bake", every=60, user=make_system_admin("root"))
    assert list(synced("0 2 * * *")) == ["Bake"]
    [found] = checked("E046")
    assert "'Bake'" in found.msg


def test_a_declared_schedule_gets_no_organization() -> None:
    """It would be no declared one any more, and the code would make another one."""
    row = synced("0 2 * * *")["bake"]
    with pytest.raises(InvalidSchedule) as caught:
        verbs.change_schedule(row, {"organization": make_organization()}, user=make_system_admin())
    assert list(caught.value.errors) == ["organization"]


@pytest.mark.parametrize(
    ("schedule", "code", "named"),
    [
        ("0 2 * *", "number_of_fields", "'bake': cron:"),
        ("0 0 30 2 *", "never_fires", "'0 0 30 2 *'"),
        (5, "not_a_schedule", "5"),
        ({"cron": "0 2 * * *", "timezone": "Mars"}, "unknown_zone", "'Mars'"),
        ({"cron": "0 2 * * *", "organization": "ORG"}, "unknown_field", "organization"),
        (["0 2 * * *", {"name": "bake", "every": 60}], "taken", "'bake'"),
    ],
)
def test_a_wrong_declaration_is_found_by_the_checks_and_refused_by_migrate(
    schedule: Any, code: str, named: str
) -> None:
    declare(schedule)
    [found] = checked("E022")
    assert (found.msg.code, named in found.msg) == (code, True)  # type: ignore[attr-defined]
    assert found.id == "django_jobs.E022"
    with pytest.raises(ImproperlyConfigured, match=re.escape(named)):
        verbs.sync_declared_schedules(using="default")
    assert not Schedule.objects.exists()


def test_jobs_sync_tells_what_it_does_and_with_check_what_it_would_do() -> None:
    def told(*arguments: str) -> list[Any]:
        """What the command did, or would do, to the schedule."""
        out = StringIO()
        with contextlib.suppress(SystemExit, CommandError):
            call_command("jobs_sync", "--json", *arguments, stdout=out)
        [facts] = json.loads(out.getvalue())["schedules"]
        return [facts["name"], facts["change"], facts["fields"], facts["kept"]]

    declare("0 2 * * *")
    with refused(CommandError, "not_up_to_date"):
        call_command("jobs_sync", "--check", stdout=StringIO())
    assert told("--check") == ["bake", "created", [], []]
    assert not Schedule.objects.exists()
    assert told() == ["bake", "created", [], []]
    assert Schedule.objects.exists()
    verbs.change_schedule("bake", {"cron": "0 4 * * *"})
    declare({"cron": "0 3 * * *", "jitter": 5})
    assert told() == ["bake", "updated", ["jitter"], ["cron"]]
    declare(None)
    assert told() == ["bake", "unchanged", [], ["cron"]]
    assert Schedule.objects.get().is_enabled
