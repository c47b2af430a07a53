"""Schedules in the admin: who sees and does what, what a form accepts, and what a page tells of a fault."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from django_jobs import schedule_job
from django_jobs.models import Job, JobType, Membership, Organization, Schedule, ScheduleFiring
from tests.support import admin, verbs
from tests.support.admin import asked, codes_said, form_codes, said, text, url
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.schedule_pages import LIST, form, page
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def local_admin(mine: Organization) -> Client:
    """Staff who are an admin of one organization."""
    return admin.staff_of(mine, role="admin", permissions=["django_jobs.view_schedule"])


def add(client: Client, kind: JobType, **changed: Any) -> Any:
    return client.post(f"{url('schedule', 'add')}?job_type={kind.pk}", form(**changed), follow=True)


def filled_in(client: Client, schedule: Schedule) -> dict[str, Any]:
    """What a browser sends of a page on which nothing was typed."""
    answer = client.get(page(schedule))
    shown = answer.context["form"]
    values = {name: "" if (value := shown[name].value()) is None else value for name in shown.fields}
    initial = {shown[name].html_initial_name: value for name, value in values.items()}
    assert all(f'name="{name}"' in answer.content.decode() for name in initial)
    return values | initial


def listed(client: Client, **query: str) -> list[str]:
    return [row.name for row in asked(client, query, "schedule").result_list]


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
    (told,) = root.get(url("schedule", "delete", made.pk)).context["deleted_objects"]
    assert str(made) in told
    root.post(url("schedule", "delete", made.pk), {"post": "yes"})
    assert not Schedule.objects.exists()
    assert notes() == [1, 2, 3]


def test_who_gets_a_schedule_is_not_told_what_others_did_to_it(
    root: Client, local_admin: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    made = schedule_job("n", kind, theirs, every=60, user=make_user("stranger", admin_of=[theirs]))
    history = url("schedule", "history", made.pk)
    movers = [make_system_admin("earlier"), make_system_admin("mover")]
    for organization, mover in ((mine, movers[0]), (theirs, movers[0]), (mine, movers[1])):
        verbs.change_schedule(made, {"organization": organization}, user=mover)
    verbs.change_schedule(made, {"every": 90}, user=User.objects.get(username="admin"))
    response = local_admin.get(history)
    assert {entry.user.get_username() for entry in response.context["action_list"]} == {"mover", "admin"}
    assert "stranger" not in response.content.decode()
    assert "stranger" in text(root, history)


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


def test_two_who_change_different_parameters_lose_neither(root: Client, mine: Organization) -> None:
    told = {"orders": 3, "seconds": 0.5, "run": "a"}
    made = schedule_job("n", "invoice_run", mine, told, every=60)
    opened = filled_in(root, made)
    for changed in ({"p-run": "b"}, {"p-orders": "7"}):
        assert root.post(page(made), {**opened, **changed}).status_code == 302
    made.refresh_from_db()
    assert made.parameters == {**told, "run": "b", "orders": 7}
    root.post(page(made), {**filled_in(root, made), "p-orders": ""})
    made.refresh_from_db()
    assert made.parameters == {"run": "b", "seconds": 0.5}


def test_hidden_values_stay_only_where_nothing_else_is_changed(kind: JobType, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("token", "fax_number")}
    manager = admin.system_admin()
    made = schedule_job("n", kind, None, {"token": "s3cret", "n": 1}, every=60)
    assert "s3cret" not in text(manager, page(made))
    manager.post(page(made), form(cron="", every="50", parameters='{"token": "********", "n": 1}'))
    made.refresh_from_db()
    assert (made.every, made.parameters["token"]) == (50, "s3cret")
    fax = {"fax_number": "+15551234567", "document": "a.pdf"}
    other = schedule_job("fax", "fax_send", None, fax, every=60)
    shown = text(manager, page(other))
    assert ("+15551234567" in shown, "a.pdf" in shown) == (False, True)
    answer = manager.post(page(other), {**filled_in(manager, other), "p-document": "b.pdf"})
    assert form_codes(answer) == {"p-fax_number": ["hidden_value"]}
    manager.post(page(other), {**filled_in(manager, other), "every": "50"})
    other.refresh_from_db()
    assert (other.every, other.parameters) == (50, fax)
    answer = manager.post(page(made), form(cron="", every="60", parameters='{"token": "********", "n": 2}'))
    assert form_codes(answer) == {"parameters": ["hidden_value"]}
    made.refresh_from_db()
    assert made.every == 50


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
    assert form_codes(add(local_admin, kind, organization=theirs.name)) == {"organization": ["unknown_organization"]}
    assert form_codes(add(local_admin, kind)) == {"organization": ["required"]}
    assert form_codes(add(member, kind, organization=mine.name)) == {"__all__": ["not_manager"]}
    add(local_admin, kind, organization=mine.name)
    assert Schedule.objects.get(name="nightly").owner_name == "admin"


def test_nobody_is_offered_or_told_what_is_of_other_organizations(
    root: Client, local_admin: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    made = schedule_job("theirs", make_job_type(type_name="secret_type"), theirs, every=3600)
    Schedule.objects.update(created_at=made.created_at - dt.timedelta(minutes=30))
    shown = text(local_admin, LIST) + text(local_admin, f"{url('schedule', 'add')}?job_type={kind.pk}")
    assert ("ORG-MINE" in shown, "ORG-THEIRS" in shown, "secret_type" in shown) == (True, False, False)
    offers, inputs = (re.findall(rf'<{tag}="([^"]+_offered)"', shown) for tag in ("datalist id", "input [^>]*list"))
    assert offers == inputs != []
    rule = {"every": "1 h", "schedule": str(made.pk)}
    first, other = (client.get(url("schedule", "preview"), rule).json()["runs"][0] for client in (root, local_admin))
    assert first["moment"] != other["moment"], "It tells nobody else when that one was made."


def test_whoever_was_an_admin_stops_what_submits_in_their_name_and_does_no_more_with_it(
    local_admin: Client, kind: JobType, mine: Organization
) -> None:
    made = schedule_job("n", kind, mine, every=60, user=User.objects.get(username="admin"))
    Membership.objects.update(role="member")
    chosen = {"_selected_action": [made.pk]}
    local_admin.post(LIST, {**chosen, "action": "fire_schedules", "confirmed": "yes"})
    for verb in ("fire", "take-over"):
        assert codes_said(local_admin.post(url("schedule", verb, made.pk), follow=True))[-1] == "not_manager"
    assert form_codes(local_admin.post(page(made), form(cron="", every="5", organization=mine.name))) == {
        "__all__": ["not_manager"]
    }
    assert codes_said(local_admin.post(url("schedule", "pause", made.pk), follow=True)) == ["paused"]
    assert codes_said(local_admin.post(url("schedule", "resume", made.pk), follow=True)) == ["not_manager"]
    made.refresh_from_db()
    assert (made.every, made.is_enabled, ScheduleFiring.objects.exists()) == (60, False, False)
    local_admin.post(url("schedule", "delete", made.pk), {"post": "yes"})
    assert not Schedule.objects.exists()


def test_of_one_of_another_organization_the_list_neither_fires_nor_tells_anything(
    local_admin: Client, kind: JobType, theirs: Organization
) -> None:
    made = schedule_job("theirs", kind, theirs, every=60)
    chosen = {"_selected_action": [made.pk], "action": "fire_schedules", "confirmed": "yes"}
    assert said(local_admin.post(LIST, chosen, follow=True)) == []
    assert not ScheduleFiring.objects.exists()


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
    assert codes_said(root.post(url("schedule", "pause", made.pk), follow=True)) == ["paused"]
    assert listed(root, state="paused") == ["n"]
    fired = root.post(url("schedule", "fire", made.pk), {"confirmed": "yes"}, follow=True)
    job = Job.objects.get()
    assert codes_said(fired) == ["submitted"]
    assert ScheduleFiring.objects.get().actor == "root"
    assert url("job", "change", job.pk) in said(fired)[0]
    assert codes_said(root.post(url("schedule", "fire", made.pk), follow=True)) == ["skipped"]
    root.post(url("schedule", "resume", made.pk))
    assert listed(root, state="on") == ["n"]
    assert notes() == [2, 2]
    shown = root.get(page(made))
    assert [firing.submitted for firing in shown.context["history"]["firings"]] == [0, 1]
    assert job.name in shown.content.decode()
    assert ScheduleFiring.objects.latest("pk").note in shown.content.decode()


def test_many_are_paused_resumed_and_fired_from_the_list(root: Client, kind: JobType, mine: Organization) -> None:
    rows = [schedule_job("n", kind, tenant, every=60) for tenant in (mine, make_organization())]
    chosen = {"_selected_action": [row.pk for row in rows]}
    root.post(LIST, {**chosen, "action": "pause_schedules"})
    assert not Schedule.objects.filter(is_enabled=True).exists()
    root.post(LIST, {**chosen, "action": "resume_schedules"})
    assert not Schedule.objects.filter(is_enabled=False).exists()
    asked = root.post(LIST, {**chosen, "action": "fire_schedules"})
    assert len(asked.context["rows"]) == 2
    assert all(f"n #{row.pk}" in asked.content.decode() for row in rows), "Equal names are told apart."
    assert not Job.objects.exists()
    root.post(LIST, {**chosen, "action": "fire_schedules", "confirmed": "yes"})
    assert Job.objects.count() == 2
    (told,) = root.post(LIST, {**chosen, "action": "delete_selected"}).context["deletable_objects"]
    assert len(told) == 2, "A line for each, and none for its firings."
    root.post(LIST, {**chosen, "action": "delete_selected", "post": "yes"})
    assert not Schedule.objects.exists()
    assert notes() == [2, 2, 2, 2, 3, 3]


def test_the_list_is_filtered_and_searched(root: Client, kind: JobType, mine: Organization) -> None:
    schedule_job("a", kind, mine, every=60)
    schedule_job("b", make_job_type(type_name="letters"), every=60)
    Schedule.objects.filter(name="b").update(fault="x")
    assert (
        listed(root, state="faulty") == listed(root, organization="each") == listed(root, job_type="letters") == ["b"]
    )
    assert listed(root, organization=mine.name) == ["a"]
    assert listed(root, q="LETT") == ["b"]
    assert "Asia/Kolkata" not in text(root, LIST)
    schedule_job("c", kind, mine, cron="0 2 * * *", timezone="Asia/Kolkata")
    assert "Asia/Kolkata" in text(root, LIST)
    JobType.objects.filter(pk="letters").delete()
    assert listed(root, q="lett") == ["b"]


def test_a_manager_who_is_no_superuser_may_do_all(kind: JobType) -> None:
    add(admin.system_admin(), kind)
    assert Schedule.objects.get().owner_name == "sysadmin"
    assert make_system_admin() != Schedule.objects.get().owner


def test_a_type_beyond_those_that_are_offered_is_found_by_its_address(
    root: Client, kind: JobType, tuning: Tuning
) -> None:
    tuning.set(types_of_a_filter=1)
    for name in ("letters", "mails"):
        schedule_job(name, make_job_type(type_name=name), every=60)
    assert listed(root, job_type="mails") == ["mails"]
    assert listed(root, job_type="faxes") == []


def test_chosen_rows_that_can_be_none_are_told_as_gone(root: Client, kind: JobType) -> None:
    for model, action in (("schedule", "fire_schedules"), ("jobtype", "delete_selected"), ("membership", "x")):
        for strange in ("x", "9" * 30, "\x00"):
            data = {"action": action, "_selected_action": strange}
            response = root.post(url(model, "changelist"), data)
            assert response.status_code in {200, 302}
    assert not Job.objects.exists()
