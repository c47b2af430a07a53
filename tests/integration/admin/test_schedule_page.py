"""The page of a schedule in the admin: its history and faults, its preview, and what leads to it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from django_jobs import schedule_job, submit_job
from django_jobs.engine.job_types import declarations
from django_jobs.engine.schedules.declared_schedules import sync_declared_schedules
from django_jobs.engine.schedules.firing import fire_now
from django_jobs.models import Job, JobType, Organization, Schedule
from tests.support import admin
from tests.support.admin import page_of, said, text, url
from tests.support.factories import make_job_type, make_user
from tests.support.schedule_pages import LIST, form, page

pytestmark = pytest.mark.usefixtures("broker")


def test_a_page_of_long_history_is_cut(root: Client, kind: JobType) -> None:
    made = schedule_job("n", kind, every=60)
    for _ in range(25):
        fire_now("n")
    assert text(root, page(made)).count(">system</bdi>") == 20
    assert text(root, page(made), all="1").count(">system</bdi>") == 25


def test_a_history_without_links_is_scrolled_by_keyboard(root: Client, kind: JobType) -> None:
    made = schedule_job("n", kind, every=60)
    fire_now("n")
    assert 'tabindex="0" role="region" aria-label="Firings"' in text(root, page(made))


def test_a_schedule_that_fires_for_nobody_says_so(root: Client, kind: JobType) -> None:
    Organization.objects.all().delete()
    made = schedule_job("n", kind, every=60)
    fire_now(made)
    assert "There is no organization to fire for" in text(root, page(made))


def test_a_fault_says_what_to_do(subtests: pytest.Subtests, root: Client, mine: Organization) -> None:
    owner = make_user("ann", admin_of=[mine])
    cases: dict[str, Any] = {
        "There is no job type": lambda kind: JobType.objects.filter(pk=kind.pk).delete(),
        "is disabled": lambda kind: JobType.objects.filter(pk=kind.pk).update(is_enabled=False),
        "Reactivate it": lambda _: Organization.objects.filter(pk=mine.pk).update(is_active=False),
        "is deactivated": lambda _: type(owner).objects.filter(pk=owner.pk).update(is_active=False),
        "may not submit": lambda _: owner.job_memberships.all().delete(),
        "usual causes": lambda _: Schedule.objects.update(fault="It was full."),
    }
    for words, harm in cases.items():
        kind = make_job_type()
        made = schedule_job(kind.pk, kind, mine, every=60, user=owner)
        harm(kind)
        if words != "usual causes":
            fire_now(made)
        with subtests.test(words=words):
            shown = text(root, page(made))
            assert "It cannot fire" in shown
            assert words in shown
        Organization.objects.filter(pk=mine.pk).update(is_active=True)
        type(owner).objects.filter(pk=owner.pk).update(is_active=True)
        owner.job_memberships.update_or_create(organization=mine, defaults={"role": "admin"})


def test_whose_owner_is_gone_is_taken_over_and_fires(root: Client, kind: JobType, mine: Organization) -> None:
    owner = make_user("ann", admin_of=[mine])
    made = schedule_job("n", kind, mine, every=60, user=owner)
    owner.delete()
    assert "no longer exists" in said(root.post(url("schedule", "fire", made.pk), follow=True))[0]
    assert url("schedule", "take-over", made.pk) in text(root, page(made))
    root.post(url("schedule", "take-over", made.pk))
    root.post(url("schedule", "fire", made.pk))
    made.refresh_from_db()
    assert (made.owner_name, made.fault, Job.objects.get().owner_name) == ("root", "", "root")


def test_a_page_opens_whatever_is_gone(root: Client, kind: JobType, mine: Organization) -> None:
    made = schedule_job("n", kind, mine, every=60)
    JobType.objects.filter(pk=kind.pk).delete()
    Schedule.objects.update(organization_id=mine.pk + 1000)
    shown = text(root, page(made))
    assert "Its next firing will fail" in shown
    assert "(deleted: key" in shown
    text(root, LIST)


@pytest.mark.parametrize("lost", [{"timezone": "Mars/Phobos"}, {"cron": "99 * * * *"}])
def test_a_page_opens_whose_rule_can_no_longer_be_read(root: Client, kind: JobType, lost: dict[str, str]) -> None:
    made = schedule_job("n", kind, cron="0 2 * * *")
    Schedule.objects.update(**lost)
    text(root, page(made))
    text(root, LIST)


def test_a_declared_one_says_what_was_changed_here(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = make_job_type()
    declaration = declarations.Declaration(
        type_name=kind.pk, function=print, serializer=None, fields={}, path="p", place="p", schedules=("0 2 * * *",)
    )
    monkeypatch.setitem(declarations._declared, kind.pk, {"p": declaration})
    sync_declared_schedules(using="default")
    made = Schedule.objects.get(name=kind.pk)
    assert "All fields follow the code" in text(root, page(made))
    root.post(page(made), form(cron="0 3 * * *"))
    shown = root.get(page(made)).context["declared"]
    assert [(title, here) for title, here, _ in shown.changed] == [("cron", "<bdi>0 3 * * *</bdi>")]
    assert "timezone" in shown.follows


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"cron": "0 9 * * MON-FRI", "timezone": "Europe/Berlin"}, "At 09:00, Monday to Friday"),
        ({"every": "5 min"}, "Every 5 minutes"),
    ],
)
def test_a_rule_is_previewed(root: Client, query: dict[str, str], words: str) -> None:
    told = root.get(url("schedule", "preview"), query).json()
    assert (told["words"], len(told["runs"])) == (words, 5)


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
    fire_now("nightly")
    assert f'the schedule <a href="{page(made)}">' in page_of(root, Job.objects.get())
    viewer = admin.client_of(make_user(admin_of=[mine], is_staff=True, permissions=["django_jobs.view_job"]))
    assert "the schedule <a" not in page_of(viewer, Job.objects.get())


def test_of_two_schedules_of_one_name_a_job_is_said_to_be_the_tenants(
    root: Client, kind: JobType, mine: Organization
) -> None:
    _, made = (schedule_job("nightly", kind, owner, every=60) for owner in (None, mine))
    fire_now(made)
    assert f'the schedule <a href="{page(made)}">' in page_of(root, Job.objects.get())


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
            assert "the schedule <a" not in page_of(root, submit_job(job_type, tenant, metadata=metadata))


def test_the_monitor_tells_system_admins_what_cannot_fire(root: Client, kind: JobType, mine: Organization) -> None:
    monitor = "/admin/django_jobs/monitor/"
    made = schedule_job("nightly", kind, mine, every=60)
    assert "cannot fire" not in text(root, monitor)
    Schedule.objects.update(fault="The type is gone.")
    shown = text(root, monitor)
    assert f"Schedules that cannot fire: nightly #{made.pk} (The type is gone)." in shown
    assert f"{LIST}?state=faulty" in shown
    viewer = admin.staff_of(mine, permissions=["django_jobs.view_job"])
    assert "cannot fire" not in text(viewer, monitor)
