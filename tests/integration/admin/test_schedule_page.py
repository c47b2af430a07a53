"""The page of a schedule in the admin: its history and faults, its preview, and what leads to it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from django_jobs import job_handler, schedule_job, submit_job
from django_jobs.models import Job, JobType, Organization, Schedule
from tests.support import admin, verbs
from tests.support.admin import codes_on, page_of, text, url
from tests.support.alerts import scheduler_ticks
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.handlers import do_nothing
from tests.support.schedule_pages import LIST, form, page

pytestmark = pytest.mark.usefixtures("broker")


def test_a_page_of_long_history_is_cut(root: Client, kind: JobType) -> None:
    made = schedule_job("n", kind, every=60)
    for _ in range(25):
        verbs.fire_now("n")
    assert text(root, page(made)).count(">system</bdi>") == 20
    assert root.get(page(made)).context["history"]["is_cut"]
    assert text(root, page(made), all="1").count(">system</bdi>") == 25


def test_a_history_without_links_is_scrolled_by_keyboard(root: Client, kind: JobType) -> None:
    made = schedule_job("n", kind, every=60)
    verbs.fire_now("n")
    assert 'tabindex="0" role="region" aria-label="' in text(root, page(made))


def test_a_schedule_that_fires_for_nobody_says_so(root: Client, kind: JobType) -> None:
    Organization.objects.all().delete()
    made = schedule_job("n", kind, every=60)
    verbs.fire_now(made)
    assert "no_organization" in codes_on(text(root, page(made)))


def test_a_fault_says_what_to_do(subtests: pytest.Subtests, root: Client, mine: Organization) -> None:
    owner = make_user("ann", admin_of=[mine])
    cases: dict[str, Any] = {
        "unknown_job_type": lambda kind: JobType.objects.filter(pk=kind.pk).delete(),
        "type_disabled": lambda kind: JobType.objects.filter(pk=kind.pk).update(is_enabled=False),
        "organization_inactive": lambda _: Organization.objects.filter(pk=mine.pk).update(is_active=False),
        "owner_gone": lambda _: type(owner).objects.filter(pk=owner.pk).update(is_active=False),
        "permission_denied": lambda _: owner.job_memberships.all().delete(),
        "unclear": lambda _: Schedule.objects.update(fault="It was full."),
    }
    for code, harm in cases.items():
        kind = make_job_type()
        made = schedule_job(kind.pk, kind, mine, every=60, user=owner)
        harm(kind)
        if code != "unclear":
            verbs.fire_now(made)
        with subtests.test(code=code):
            assert codes_on(text(root, page(made)))[:2] == ["cannot_fire", code]
        Organization.objects.filter(pk=mine.pk).update(is_active=True)
        type(owner).objects.filter(pk=owner.pk).update(is_active=True)
        owner.job_memberships.update_or_create(organization=mine, defaults={"role": "admin"})


def test_one_for_all_organizations_whose_owner_runs_the_system_no_longer_says_so(root: Client, kind: JobType) -> None:
    owner = make_system_admin("ann")
    made = schedule_job("n", kind, every=60, user=owner)
    make_organization()
    owner.user_permissions.clear()
    verbs.fire_now(made)
    assert codes_on(text(root, page(made)))[:2] == ["cannot_fire", "permission_denied"]


def test_one_that_is_on_says_why_nothing_comes_of_it(root: Client, mine: Organization) -> None:
    made = schedule_job("n", make_job_type(is_paused=True), mine, every=60)
    assert codes_on(text(root, page(made))) == ["no_scheduler", "type_paused"]
    scheduler_ticks()
    assert codes_on(text(root, page(made))) == ["type_paused"]
    Schedule.objects.update(is_enabled=False, next_run_at=None)
    assert codes_on(text(root, page(made))) == ["schedule_paused"]


def test_whose_owner_is_gone_is_taken_over_and_fires(root: Client, kind: JobType, mine: Organization) -> None:
    owner = make_user("ann", admin_of=[mine])
    made = schedule_job("n", kind, mine, every=60, user=owner)
    owner.delete()
    fired = root.post(url("schedule", "fire", made.pk), follow=True)
    assert codes_on(fired)[:3] == ["failed", "cannot_fire", "owner_gone"]
    assert url("schedule", "take-over", made.pk) in fired.content.decode()
    root.post(url("schedule", "take-over", made.pk))
    root.post(url("schedule", "fire", made.pk))
    made.refresh_from_db()
    assert (made.owner_name, made.fault, Job.objects.get().owner_name) == ("root", "", "root")


def test_a_page_opens_whatever_is_gone(root: Client, kind: JobType, mine: Organization) -> None:
    made = schedule_job("n", kind, mine, every=60)
    JobType.objects.filter(pk=kind.pk).delete()
    Schedule.objects.update(organization_id=mine.pk + 1000)
    shown = text(root, page(made))
    assert codes_on(shown)[:3] == ["will_fail", "unknown_job_type", "organization_gone"]
    assert str(mine.pk + 1000) in shown
    assert f"organization={mine.pk + 1000}" not in shown + text(root, LIST)


@pytest.mark.parametrize("lost", [{"timezone": "Mars/Phobos"}, {"cron": "99 * * * *"}])
def test_a_page_opens_whose_rule_can_no_longer_be_read(root: Client, kind: JobType, lost: dict[str, str]) -> None:
    made = schedule_job("n", kind, cron="0 2 * * *")
    Schedule.objects.update(**lost)
    text(root, page(made))
    text(root, LIST)


@pytest.mark.usefixtures("nothing_declared")
def test_a_value_that_code_declares_is_hidden_from_whom_it_is_hidden_elsewhere(root: Client, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("token",)}
    kind, other = make_job_type(), admin.system_admin()
    job_handler(kind.pk, schedule={"every": 60, "parameters": {"token": "s3cret"}})(do_nothing)
    verbs.sync_declared_schedules(using="default")
    made = Schedule.objects.get(name=kind.pk)
    Schedule.objects.update(parameters={"token": "alt3red"})
    shown = [text(client, page(made)) for client in (root, other)]
    assert [("s3cret" in told, "alt3red" in told) for told in shown] == [(True, True), (False, False)]


@pytest.mark.usefixtures("nothing_declared")
def test_a_declared_one_says_what_was_changed_here(root: Client) -> None:
    kind = make_job_type()
    job_handler(kind.pk, schedule="0 2 * * *")(do_nothing)
    verbs.sync_declared_schedules(using="default")
    made = Schedule.objects.get(name=kind.pk)
    shown = root.get(page(made)).context["declared"]
    assert (shown["changed"], "cron" in shown["follows"]) == ([], True)
    root.post(page(made), form(cron="0 3 * * *"))
    shown = root.get(page(made)).context["declared"]
    assert [(title, here) for title, here, _ in shown["changed"]] == [("cron", "<bdi>0 3 * * *</bdi>")]
    assert "timezone" in shown["follows"]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({"cron": "0 9 * * MON-FRI", "timezone": "Europe/Berlin"}, ["09", "00"]),
        ({"every": "5 min"}, ["5"]),
    ],
)
def test_a_rule_is_previewed(root: Client, query: dict[str, str], numbers: list[str]) -> None:
    told = root.get(url("schedule", "preview"), query).json()
    assert (re.findall(r"\d+", told["words"]), len(told["runs"])) == (numbers, 5)


def test_a_preview_says_all_that_is_wrong(root: Client) -> None:
    told = root.get(url("schedule", "preview"), {"cron": "x", "timezone": "Mars", "starts_at": "soon"}).json()
    assert sorted(told["errors"]) == ["cron", "starts_at", "timezone"]


def test_a_preview_of_a_stored_one_counts_from_when_it_was_made(root: Client, kind: JobType) -> None:
    made = schedule_job("n", kind, every=3600)
    stored = root.get(page(made)).context["next"]["runs"][0]["moment"]
    told = root.get(url("schedule", "preview"), {"every": "1 h", "schedule": str(made.pk)}).json()
    assert told["runs"][0]["moment"] == stored


def test_a_job_says_which_schedule_submitted_it(root: Client, kind: JobType, mine: Organization) -> None:
    made = schedule_job("nightly", kind, every=60)
    verbs.fire_now("nightly")
    assert f'<a href="{page(made)}">' in page_of(root, Job.objects.get())
    viewer = admin.client_of(make_user(admin_of=[mine], is_staff=True, permissions=["django_jobs.view_job"]))
    assert page(made) not in page_of(viewer, Job.objects.get())


def test_of_two_schedules_of_one_name_a_job_is_said_to_be_the_tenants(
    root: Client, kind: JobType, mine: Organization
) -> None:
    _, made = (schedule_job("nightly", kind, owner, every=60) for owner in (None, mine))
    verbs.fire_now(made)
    assert f'<a href="{page(made)}">' in page_of(root, Job.objects.get())


def test_metadata_that_name_a_schedule_of_other_work_are_not_believed(
    subtests: pytest.Subtests, root: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    schedule_job("nightly", kind, theirs, every=60)
    moment = "2026-06-02T12:00:00+00:00"
    cases: list[tuple[JobType, Organization, dict[str, Any]]] = [
        (kind, mine, {"schedule": "nightly", "scheduled_for": moment}),
        (make_job_type(), theirs, {"schedule": "nightly", "scheduled_for": moment}),
        (kind, theirs, {"schedule": "none", "scheduled_for": moment}),
        (kind, theirs, {"schedule": "nightly", "scheduled_for": "2026-13-02T12:00:00+00:00"}),
        (kind, theirs, {"schedule": ["nightly"], "scheduled_for": 7}),
    ]
    for job_type, tenant, metadata in cases:
        with subtests.test(metadata=metadata):
            shown = page_of(root, submit_job(job_type, tenant, metadata=metadata))
            assert not re.search(r"/schedule/\d+/change/", shown)
