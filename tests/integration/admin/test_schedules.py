"""Schedules in the admin: who sees and does what, what a form accepts, and what a page tells of a fault."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from django_jobs import schedule_job, submit_job
from django_jobs.engine.schedules.declared_schedules import sync_declared_schedules
from django_jobs.engine.schedules.firing import fire_now
from django_jobs.models import Job, JobType, Organization, Schedule, ScheduleFiring
from tests.support import admin
from tests.support.admin import page_of, said, text, url
from tests.support.factories import make_job_type, make_system_admin, make_user
from tests.support.statements import statements_of

pytestmark = pytest.mark.usefixtures("broker")

LIST = "/admin/django_jobs/schedule/"


@pytest.fixture
def local_admin(mine: Organization) -> Client:
    """Staff who are an admin of one organization."""
    return admin.staff_of(mine, role="admin", permissions=["django_jobs.view_schedule"])


def form(**changed: Any) -> dict[str, Any]:
    values = {"name": "nightly", "cron": "0 2 * * *", "timezone": "UTC", "jitter": "0 s", "parameters": "{}"}
    return {**values, "catch_up": "once", "overlap": "skip", "organization": "", **changed}


def add(client: Client, kind: JobType, **changed: Any) -> Any:
    return client.post(f"{url('schedule', 'add')}?job_type={kind.pk}", form(**changed), follow=True)


def page(schedule: Schedule) -> str:
    return url("schedule", "change", schedule.pk)


def filled_in(client: Client, schedule: Schedule) -> dict[str, Any]:
    """What a browser sends of a page on which nothing was typed."""
    answer = client.get(page(schedule))
    shown = answer.context["form"]
    values = {name: "" if (value := shown[name].value()) is None else value for name in shown.fields}
    initial = {shown[name].html_initial_name: value for name, value in values.items()}
    assert all(f'name="{name}"' in answer.content.decode() for name in initial)
    return values | initial


def listed(client: Client, **query: str) -> list[str]:
    return [row.name for row in client.get(LIST, query).context["cl"].result_list]


def notes() -> list[int]:
    return [entry.action_flag for entry in LogEntry.objects.order_by("pk")]


def test_one_is_added_changed_and_deleted_with_a_row_of_history_each(
    root: Client, kind: JobType, mine: Organization
) -> None:
    assert kind.pk in text(root, url("schedule", "add"))
    add(root, kind, jitter="10 min", priority="2", organization=mine.name, parameters='{"n": 1}')
    made = Schedule.objects.get()
    assert (made.jitter, made.priority, made.organization, made.parameters) == (600, 2, mine, {"n": 1})
    assert made.owner_name == "root"
    root.post(page(made), form(cron="", every="1 h 30 min", jitter="10 min", organization=mine.name))
    made.refresh_from_db()
    assert (made.cron, made.every) == ("", 5400)
    assert "with the history of its firings" in text(root, url("schedule", "delete", made.pk))
    root.post(url("schedule", "delete", made.pk), {"post": "yes"})
    assert not Schedule.objects.exists()
    assert notes() == [1, 2, 3]


def test_what_is_wrong_stands_at_its_field_all_at_once(root: Client) -> None:
    values = {"cron": "0 25 * * *", "timezone": "Mars", "name": "", "p-fax_number": "5", "p-document": "a.pdf"}
    answer = root.post(f"{url('schedule', 'add')}?job_type=fax_send", form(**values))
    assert sorted(answer.context["form"].errors) == ["cron", "name", "timezone"]
    answer = root.post(f"{url('schedule', 'add')}?job_type=fax_send", form(**{**values, "cron": "* * * * *"}))
    values |= {"cron": "* * * * *", "timezone": "", "name": "n", "organization": "ORG-NONE"}
    answer = root.post(f"{url('schedule', 'add')}?job_type=fax_send", form(**values))
    assert list(answer.context["form"].errors) == ["organization"]
    answer = root.post(f"{url('schedule', 'add')}?job_type=fax_send", form(**{**values, "organization": ""}))
    assert list(answer.context["form"].errors) == ["p-fax_number"]
    assert not Schedule.objects.exists()


def test_parameters_that_nobody_touched_stay_as_they_are(root: Client) -> None:
    made = schedule_job("n", "pdf_generation", None, {"date_range": ["2026-01-01", "2026-01-31"]}, every=60)
    root.post(page(made), {**filled_in(root, made), "every": "5 min"})
    made.refresh_from_db()
    assert (made.every, made.owner_name) == (300, "")
    assert made.parameters == {"date_range": ["2026-01-01", "2026-01-31"]}


def test_a_page_that_is_old_does_not_undo_what_others_changed(root: Client, mine: Organization) -> None:
    made = schedule_job("n", "fax_send", mine, {"fax_number": "+15551234567", "document": "a.pdf"}, every=60)
    opened = filled_in(root, made)
    later = {"fax_number": "+15557654321", "document": "a.pdf"}
    Schedule.objects.update(jitter=600, cron="0 4 * * *", every=None, parameters=later)
    answer = root.post(page(made), {**opened, "overlap": "allow"})
    assert answer.status_code == 302
    made.refresh_from_db()
    assert (made.overlap, made.jitter, made.cron, made.every, made.parameters) == (
        "allow",
        600,
        "0 4 * * *",
        None,
        later,
    )
    assert made.owner_name == ""


def test_hidden_values_stay_only_where_nothing_else_is_changed(kind: JobType, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("token",)}
    manager = admin.system_admin()
    made = schedule_job("n", kind, None, {"token": "s3cret", "n": 1}, every=60)
    assert "s3cret" not in text(manager, page(made))
    manager.post(page(made), form(cron="", every="5", parameters='{"token": "********", "n": 1}'))
    made.refresh_from_db()
    assert (made.every, made.parameters["token"]) == (5, "s3cret")
    answer = manager.post(page(made), form(cron="", every="6", parameters='{"token": "********", "n": 2}'))
    assert "hidden from you" in answer.content.decode()
    made.refresh_from_db()
    assert made.every == 5


def test_each_sees_and_changes_those_that_they_manage(
    root: Client, local_admin: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    rows = {
        "all": schedule_job("all", kind, every=60),
        "mine": schedule_job("mine", kind, mine, every=60),
        "theirs": schedule_job("theirs", kind, theirs, every=60),
    }
    assert listed(root) == ["all", "mine", "theirs"]
    assert listed(local_admin) == ["mine"]
    member = admin.staff_of(mine, permissions=["django_jobs.view_schedule"])
    assert listed(member) == []
    for client, name in ((local_admin, "theirs"), (local_admin, "all"), (member, "mine")):
        for verb in ("pause", "resume", "fire", "take-over", "change", "delete"):
            client.post(url("schedule", verb, rows[name].pk), {**form(every="5", cron=""), "post": "yes"})
    assert not ScheduleFiring.objects.exists()
    assert set(Schedule.objects.values_list("every", "is_enabled")) == {(60, True)}
    assert "There is no such organization" in add(local_admin, kind, organization=theirs.name).content.decode()
    assert "This field is required" in add(local_admin, kind).content.decode()
    assert "may not" in add(member, kind, organization=mine.name).content.decode()
    add(local_admin, kind, organization=mine.name)
    assert Schedule.objects.get(name="nightly").owner_name == "admin"


def test_staff_without_the_permission_see_nothing(mine: Organization, kind: JobType) -> None:
    made = schedule_job("mine", kind, mine, every=60)
    client = admin.staff_of(mine, role="admin", permissions=[])
    for where in (LIST, page(made), url("schedule", "add"), url("schedule", "preview")):
        assert client.get(where).status_code == 403
    assert client.post(url("schedule", "pause", made.pk)).status_code == 403


def test_nothing_is_changed_by_get(root: Client, kind: JobType) -> None:
    made = schedule_job("n", kind, every=60)
    for verb in ("pause", "resume", "take-over"):
        assert root.get(url("schedule", verb, made.pk)).status_code == 405
    text(root, url("schedule", "fire", made.pk))
    assert not ScheduleFiring.objects.exists()


def test_it_is_paused_resumed_and_fired_with_what_came_of_it(root: Client, kind: JobType, mine: Organization) -> None:
    made = schedule_job("n", kind, mine, every=3600)
    assert said(root.post(url("schedule", "pause", made.pk), follow=True)) == ["n is paused: it fires only by hand."]
    assert listed(root, state="paused") == ["n"]
    fired = root.post(url("schedule", "fire", made.pk), {"confirmed": "yes"}, follow=True)
    job = Job.objects.get()
    assert url("job", "change", job.pk) in said(fired)[0]
    assert said(root.post(url("schedule", "fire", made.pk), follow=True)) == [
        "n: the firing was skipped. The last job is unfinished."
    ]
    root.post(url("schedule", "resume", made.pk))
    assert listed(root, state="on") == ["n"]
    assert notes() == [2, 2]
    history = text(root, page(made))
    assert "1 submitted" in history
    assert job.name in history
    assert "The last job is unfinished." in history


def test_many_are_paused_resumed_and_fired_from_the_list(root: Client, kind: JobType, mine: Organization) -> None:
    rows = [schedule_job(name, kind, mine, every=60) for name in ("a", "b")]
    chosen = {"_selected_action": [row.pk for row in rows]}
    root.post(LIST, {**chosen, "action": "pause_schedules"})
    assert not Schedule.objects.filter(is_enabled=True).exists()
    root.post(LIST, {**chosen, "action": "resume_schedules"})
    assert not Schedule.objects.filter(is_enabled=False).exists()
    asked = root.post(LIST, {**chosen, "action": "fire_schedules"})
    assert "Fire 2 schedules now?" in asked.content.decode()
    assert not Job.objects.exists()
    root.post(LIST, {**chosen, "action": "fire_schedules", "confirmed": "yes"})
    assert Job.objects.count() == 2
    root.post(LIST, {**chosen, "action": "delete_selected", "post": "yes"})
    assert not Schedule.objects.exists()
    assert notes() == [2, 2, 2, 2, 3, 3]


def test_the_list_is_filtered_and_searched(root: Client, kind: JobType, mine: Organization) -> None:
    schedule_job("a", kind, mine, every=60)
    schedule_job("b", make_job_type(type_name="letters"), every=60)
    Schedule.objects.filter(name="b").update(fault="x")
    assert listed(root, state="faulty") == listed(root, organization="each") == listed(root, type="letters") == ["b"]
    assert listed(root, organization=str(mine.pk)) == ["a"]
    assert listed(root, q="LETT") == ["b"]
    JobType.objects.filter(pk="letters").delete()
    assert listed(root, q="lett") == ["b"]


def test_a_list_takes_as_many_statements_for_many(root: Client, kind: JobType, mine: Organization) -> None:
    def make(name: str) -> None:
        schedule_job(name, kind, mine, every=60)
        fire_now(name)

    make("a")
    few = statements_of(lambda: text(root, LIST))
    for name in "bcdef":
        make(name)
    assert statements_of(lambda: text(root, LIST)) == few


def test_a_page_of_long_history_is_cut(root: Client, kind: JobType) -> None:
    made = schedule_job("n", kind, every=60)
    for _ in range(25):
        fire_now("n")
    assert text(root, page(made)).count(">system</bdi>") == 20
    assert text(root, page(made), all="1").count(">system</bdi>") == 25


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


def test_a_declared_one_says_what_was_changed_here(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from django_jobs.engine.job_types import declarations

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


def test_a_job_says_which_schedule_submitted_it(
    root: Client, local_admin: Client, kind: JobType, mine: Organization
) -> None:
    made = schedule_job("nightly", kind, every=60)
    fire_now("nightly")
    assert f'the schedule <a href="{page(made)}">' in page_of(root, Job.objects.get())
    viewer = admin.client_of(make_user(admin_of=[mine], is_staff=True, permissions=["django_jobs.view_job"]))
    assert "the schedule <a" not in page_of(viewer, Job.objects.get())


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
    schedule_job("nightly", kind, mine, every=60)
    assert "cannot fire" not in text(root, monitor)
    Schedule.objects.update(fault="The type is gone.")
    shown = text(root, monitor)
    assert "Schedules that cannot fire: nightly (The type is gone)." in shown
    assert f"{LIST}?state=faulty" in shown
    viewer = admin.staff_of(mine, permissions=["django_jobs.view_job"])
    assert "cannot fire" not in text(viewer, monitor)


def test_a_manager_who_is_no_superuser_may_do_all(kind: JobType) -> None:
    add(admin.system_admin(), kind)
    assert Schedule.objects.get().owner_name == "sysadmin"
    assert make_system_admin() != Schedule.objects.get().owner
