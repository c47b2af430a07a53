"""Cancel, retry and delete: who may, what is asked first, and what is told afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from django_jobs.conf import output_storage
from django_jobs.engine.execution import outputs
from django_jobs.models import ExecutionLog, Job, Organization
from tests.support import admin
from tests.support.admin import VIEWS, chosen, remembered, said, text, url
from tests.support.brokers import job_in, pending_job, reread, running_job
from tests.support.factories import make_organization

pytestmark = pytest.mark.usefixtures("broker")

LIST = "/admin/django_jobs/job/"
ENDED = ("Completed", "Canceled", "Dead Letter")


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine)


@pytest.fixture
def manager(mine: Organization) -> Client:
    return admin.staff_of(mine, role="admin")


def actions_of(client: Client) -> set[str]:
    model_admin = client.get(LIST).context["cl"].model_admin
    return set(model_admin.get_actions(client.get(LIST).wsgi_request))


def test_every_action_names_its_permission() -> None:
    from django_jobs.admin import JobAdmin

    assert all(getattr(JobAdmin, name).allowed_permissions for name in JobAdmin.actions)


def test_actions_are_offered_to_those_who_may_use_them(root: Client, member: Client, mine: Organization) -> None:
    pending_job(organization=mine)
    usual = {"cancel_jobs", "retry_jobs", "set_priority_jobs", "run_now_jobs", "export_jobs"}
    assert actions_of(root) == usual | {"delete_jobs"}
    assert actions_of(member) == usual


@pytest.mark.parametrize("verb", ["cancel", "retry", "delete", "export"])
def test_staff_without_the_view_permission_reach_no_action(mine: Organization, verb: str) -> None:
    job = job_in("Dead Letter", organization=mine)
    stranger = admin.staff_of(mine, permissions=[])
    assert stranger.post(LIST, chosen(verb, job, confirmed="yes")).status_code == 403
    assert reread(job).status == "Dead Letter"


def test_an_action_asks_before_it_acts(root: Client) -> None:
    waiting, ended = pending_job(), job_in("Completed")
    page = root.post(LIST, chosen("cancel", waiting, ended)).content.decode()
    assert "Cancel 2 jobs?" in page
    assert "1 of 2 can be canceled" in page
    assert reread(waiting).status == "Pending"


def test_an_action_that_nothing_fits_offers_no_button(root: Client) -> None:
    page = root.post(LIST, chosen("retry", job_in("Completed"))).content.decode()
    assert "Nothing can be done" in page
    assert "confirmed" not in page


def test_cancel_tells_what_changed_and_why_others_did_not(root: Client) -> None:
    waiting, ended, (running, _), gone = pending_job(), job_in("Completed"), running_job(), job_in("Canceled")
    form = chosen("cancel", waiting, ended, running, gone, confirmed="yes")
    Job.objects.filter(pk=gone.pk).delete()
    messages = said(root.post(LIST, form, follow=True))
    assert messages == [
        f"1 job canceled ({waiting.name}).",
        f"1 job ({running.name}) is asked to stop.",
        f"1 job not canceled ({ended.name}): it is Completed.",
        "1 job not canceled: deleted meanwhile.",
    ]
    assert reread(waiting).status == "Canceled"
    assert reread(running).cancel_requested_at is not None


def test_an_act_is_in_both_histories(root: Client) -> None:
    job = pending_job()
    root.post(LIST, chosen("cancel", job, confirmed="yes"))
    assert ExecutionLog.objects.filter(job=job, to_status="Canceled").get().actor == "root"
    assert remembered(job) == [("root", "Canceled.")]
    assert "Canceled." in text(root, url("job", "history", job.pk))


def test_retry_gives_a_new_life(root: Client) -> None:
    job = job_in("Dead Letter")
    assert said(root.post(LIST, chosen("retry", job, confirmed="yes"), follow=True)) == [f"1 job retried ({job.name})."]
    assert (reread(job).status, reread(job).error_message) == ("Pending", "")


def test_delete_takes_ended_jobs_alone(root: Client, django_capture_on_commit_callbacks: Any) -> None:
    jobs = {status: job_in(status) for status in (*ENDED, "Failed", "Pending")}
    reference = outputs.save(jobs["Completed"].organization_id, jobs["Completed"].name, "a.txt", "x")
    with django_capture_on_commit_callbacks(execute=True):
        messages = said(root.post(LIST, chosen("delete", *jobs.values(), confirmed="yes"), follow=True))
    assert set(Job.objects.all()) == {jobs["Failed"], jobs["Pending"]}
    assert any("3 jobs deleted" in message for message in messages)
    assert sum("only ended jobs can be deleted" in message for message in messages) == 2
    assert remembered(jobs["Canceled"]) == [("root", "Deleted.")]
    assert not output_storage().exists(reference)


def test_an_unfinished_child_keeps_no_parent_that_a_system_admin_deletes(root: Client) -> None:
    parent = pending_job()
    child = pending_job(parent.job_type, parent.organization, depends_on=[parent])
    Job.objects.filter(pk=parent.pk).update(status="Completed", ready_at=None)
    messages = said(root.post(LIST, chosen("delete", parent, confirmed="yes"), follow=True))
    assert messages == [f"1 job deleted ({parent.name})."]
    assert list(Job.objects.all()) == [child]


def test_staff_with_the_model_permission_are_still_asked_the_policy(mine: Organization) -> None:
    client = admin.staff_of(mine, role="admin", permissions=[*VIEWS, "django_jobs.delete_job"])
    job = job_in("Completed", organization=mine)
    assert said(client.post(LIST, chosen("delete", job, confirmed="yes"), follow=True)) == [
        f"1 job not deleted ({job.name}): you may not."
    ]


def test_members_cancel_their_own_and_admins_any(member: Client, manager: Client, mine: Organization) -> None:
    own = pending_job(organization=mine, user=make_user_named("member"))
    others = pending_job(organization=mine)
    messages = said(member.post(LIST, chosen("cancel", own, others, confirmed="yes"), follow=True))
    assert messages == [f"1 job canceled ({own.name}).", f"1 job not canceled ({others.name}): you may not."]
    manager.post(LIST, chosen("cancel", others, confirmed="yes"))
    assert reread(others).status == "Canceled"


def make_user_named(name: str) -> object:
    from django.contrib.auth.models import User

    return User.objects.get(username=name)


@pytest.mark.parametrize("verb", ["cancel", "retry", "delete"])
def test_nobody_acts_on_another_organizations_jobs(manager: Client, verb: str) -> None:
    foreign = job_in("Failed", organization=make_organization(name="ORG-THEIRS"))
    response = manager.post(LIST, chosen(verb, foreign, confirmed="yes"), follow=True)
    assert foreign.name not in response.content.decode()
    assert reread(foreign).status == "Failed"
    page = manager.post(LIST, chosen(verb, foreign), follow=True)
    assert foreign.name not in page.content.decode()


def test_what_was_confirmed_is_done_though_it_left_the_filter(root: Client) -> None:
    job = pending_job()
    assert listed_after(root, job) == [f"1 job canceled ({job.name})."]


def listed_after(client: Client, job: Job) -> list[str]:
    return said(client.post(f"{LIST}?status=Failed", chosen("cancel", job, confirmed="yes"), follow=True))


def test_all_that_matches_up_to_a_bound_is_done_at_once_and_more_become_an_operation(
    root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_jobs.admin.job_actions.MAX_AT_ONCE", 2)
    jobs = [pending_job() for _ in range(2)]
    form = {"action": "cancel_jobs", "select_across": "1", "_selected_action": [jobs[0].pk]}
    assert {job.pk for job in root.post(LIST, form).context["jobs"]} == {job.pk for job in jobs}
    pending_job()
    assert root.post(f"{LIST}?status=Pending", form)["Location"] == f"{LIST}all/cancel/?status=Pending"


def test_no_more_than_the_bound_are_changed_by_one_form(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_jobs.admin.job_actions.MAX_AT_ONCE", 2)
    jobs = [pending_job() for _ in range(3)]
    root.post(LIST, chosen("cancel", *jobs, confirmed="yes"))
    assert [reread(job).status for job in jobs] == ["Canceled", "Canceled", "Pending"]


@pytest.mark.parametrize(
    ("verb", "before", "after"), [("cancel", "Pending", "Canceled"), ("retry", "Failed", "Pending")]
)
def test_a_jobs_page_has_the_same_acts(root: Client, verb: str, before: str, after: str) -> None:
    job = job_in(before)
    assert url("job", verb, job.pk) in text(root, url("job", "change", job.pk))
    assert f"{verb.capitalize()} {job.name}?" in text(root, url("job", verb, job.pk))
    assert reread(job).status == before
    response = root.post(url("job", verb, job.pk), follow=True)
    assert response.redirect_chain[0][0] == url("job", "change", job.pk)
    assert reread(job).status == after


def test_a_jobs_page_offers_only_what_can_be_done(root: Client, member: Client, mine: Organization) -> None:
    ended, foreign_made = job_in("Completed", organization=mine), job_in("Failed", organization=mine)
    assert url("job", "cancel", ended.pk) not in text(root, url("job", "change", ended.pk))
    page = text(member, url("job", "change", foreign_made.pk))
    assert url("job", "cancel", foreign_made.pk) not in page
    assert url("job", "retry", foreign_made.pk) not in page


def test_a_job_that_is_deleted_while_its_page_is_open_is_said_to_be_gone(root: Client) -> None:
    job = pending_job()
    Job.objects.filter(pk=job.pk).delete()
    for address in (url("job", "cancel", job.pk), url("job", "run_again", job.pk), url("job", "output", job.pk)):
        assert said(root.get(address, follow=True)) == [f"job {job.pk} is not there any more."]


def test_an_act_by_hand_made_request_asks_the_policy(member: Client, mine: Organization) -> None:
    job = job_in("Failed", organization=mine)
    assert said(member.post(url("job", "retry", job.pk), follow=True)) == [
        f"1 job not retried ({job.name}): you may not."
    ]
    assert member.post(url("job", "retry", job_in("Failed").pk)).status_code == 302
    assert not Job.objects.exclude(status="Failed").exists()


def test_strange_keys_do_no_harm(subtests: pytest.Subtests, root: Client) -> None:
    keys: list[str] = ["x", "9" * 30, "-1", "1 OR 1=1", "\x00"]
    for key in keys:
        for confirmed in ("", "yes"):
            with subtests.test(key=key, confirmed=confirmed):
                form = {"action": "cancel_jobs", "_selected_action": [key], "confirmed": confirmed}
                assert said(root.post(LIST, form, follow=True)) == ["There is no such job."]
