"""Cancel, retry and delete: who may, what is asked first, and what is told afterwards."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.test import Client
from django.utils.html import strip_tags

from django_jobs.conf import output_storage
from django_jobs.models import ExecutionLog, Job, Organization
from tests.support import admin, verbs
from tests.support.admin import VIEWS, actors, chosen, codes_on, codes_said, remembered, said, text, url
from tests.support.brokers import job_in, pending_job, reread, running_job
from tests.support.factories import make_organization
from tests.support.tuning import Tuning
from tests.support.verbs import Deletion, Interpose

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
    from tests.support.verbs import JobAdmin

    acts: list[Any] = [getattr(JobAdmin, item) if isinstance(item, str) else item for item in JobAdmin.actions]
    assert all(item.allowed_permissions for item in acts)


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
    page = root.post(LIST, chosen("cancel", waiting, ended))
    assert codes_on(page) == ["consequence", "left_out"]
    assert re.findall(r"\d+", page.context["title"]) == ["2"]
    assert re.findall(r"\b\d+\b", strip_tags(page.context["left_out"])) == ["1", "2", "1"]
    assert reread(waiting).status == "Pending"


def test_an_action_that_nothing_fits_offers_no_button(root: Client) -> None:
    page = root.post(LIST, chosen("retry", job_in("Completed"))).content.decode()
    assert codes_on(page) == ["nothing_to_do"]
    assert "confirmed" not in page


def test_cancel_tells_what_changed_and_why_others_did_not(root: Client) -> None:
    waiting, ended, (running, _), gone = pending_job(), job_in("Completed"), running_job(), job_in("Canceled")
    form = chosen("cancel", waiting, ended, running, gone, confirmed="yes")
    Job.objects.filter(pk=gone.pk).delete()
    answer = root.post(LIST, form, follow=True)
    assert codes_said(answer) == ["done", "asked_to_stop", "invalid_transition", "not_found"]
    assert [re.findall(r"JOB-[\d-]+", message) for message in said(answer)] == [
        [waiting.name],
        [running.name],
        [ended.name],
        [],
    ]
    assert "Completed" in said(answer)[2]
    assert reread(waiting).status == "Canceled"
    assert reread(running).cancel_requested_at is not None
    assert [actors(job) for job in (waiting, running, ended)] == [["root"], ["root"], []]
    page = text(root, url("job", "change", running.pk))
    assert url("job", "cancel", running.pk) not in page, "it stops already"


def test_an_act_is_in_both_histories(root: Client) -> None:
    job = pending_job()
    root.post(LIST, chosen("cancel", job, confirmed="yes"))
    assert ExecutionLog.objects.filter(job=job, to_status="Canceled").get().actor == "root"
    ((who, what),) = remembered(job)
    assert who == "root"
    assert what in text(root, url("job", "history", job.pk))


def test_retry_gives_a_new_life(root: Client) -> None:
    job = job_in("Dead Letter")
    answer = root.post(LIST, chosen("retry", job, confirmed="yes"), follow=True)
    assert codes_said(answer) == ["done"]
    assert job.name in said(answer)[0]
    assert (reread(job).status, reread(job).error_message) == ("Pending", "")


def test_delete_takes_ended_jobs_alone(root: Client, django_capture_on_commit_callbacks: Any) -> None:
    jobs = {status: job_in(status) for status in (*ENDED, "Failed", "Pending")}
    reference = verbs.save_output(jobs["Completed"].organization_id, jobs["Completed"].name, "a.txt", "x")
    with django_capture_on_commit_callbacks(execute=True):
        answer = root.post(LIST, chosen("delete", *jobs.values(), confirmed="yes"), follow=True)
    assert set(Job.objects.all()) == {jobs["Failed"], jobs["Pending"]}
    assert codes_said(answer) == ["done", "invalid_transition", "invalid_transition"]
    assert "3" in re.findall(r"\b\d+\b", said(answer)[0])
    assert actors(jobs["Canceled"]) == ["root"]
    assert {entry.action_flag for entry in LogEntry.objects.all()} == {DELETION}
    assert not output_storage().exists(reference)


def test_an_unfinished_child_keeps_no_parent_that_a_system_admin_deletes(root: Client) -> None:
    parent = pending_job()
    child = pending_job(parent.job_type, parent.organization, depends_on=[parent])
    Job.objects.filter(pk=parent.pk).update(status="Completed", ready_at=None)
    assert codes_said(root.post(LIST, chosen("delete", parent, confirmed="yes"), follow=True)) == ["done"]
    assert list(Job.objects.all()) == [child]


def test_what_the_database_keeps_is_not_told_as_deleted(root: Client, interpose: Interpose) -> None:
    job = job_in("Completed")
    interpose("delete_job_rows", lambda *_, **__: Deletion([], []))
    assert codes_said(root.post(LIST, chosen("delete", job, confirmed="yes"), follow=True)) == ["in_use"]
    assert actors(job) == []


def test_of_many_jobs_some_are_named(root: Client) -> None:
    waiting, ended = [pending_job() for _ in range(6)], [job_in("Completed") for _ in range(6)]
    done, refused = said(root.post(LIST, chosen("cancel", *waiting, *ended, confirmed="yes"), follow=True))
    assert [re.findall(r"JOB-[\d-]+", told) for told in (done, refused)] == [[], [job.name for job in ended[:0:-1]]]
    assert [re.findall(r"\d+", told)[0] for told in (done, refused)] == ["6", "6"]
    running = [running_job()[0] for _ in range(5)]
    (told,) = said(root.post(LIST, chosen("cancel", *running, confirmed="yes"), follow=True))
    assert set(re.findall(r"JOB-[\d-]+", told)) == {job.name for job in running}


def test_staff_with_the_model_permission_are_still_asked_the_policy(mine: Organization) -> None:
    client = admin.staff_of(mine, role="admin", permissions=[*VIEWS, "django_jobs.delete_job"])
    job = job_in("Completed", organization=mine)
    answer = client.post(LIST, chosen("delete", job, confirmed="yes"), follow=True)
    assert codes_said(answer) == ["permission_denied"]
    assert job.name in said(answer)[0]
    assert Job.objects.filter(pk=job.pk).exists()


def test_members_cancel_their_own_and_admins_any(member: Client, manager: Client, mine: Organization) -> None:
    own = pending_job(organization=mine, user=make_user_named("member"))
    others = pending_job(organization=mine)
    answer = member.post(LIST, chosen("cancel", own, others, confirmed="yes"), follow=True)
    assert codes_said(answer) == ["done", "permission_denied"]
    assert [job.name in message for job, message in zip((own, others), said(answer), strict=True)] == [True, True]
    assert [reread(own).status, reread(others).status] == ["Canceled", "Pending"]
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
    answer = root.post(f"{LIST}?status=Failed", chosen("cancel", job, confirmed="yes"), follow=True)
    assert codes_said(answer) == ["done"]
    assert reread(job).status == "Canceled"


def test_all_that_matches_up_to_a_bound_is_done_at_once_and_more_become_an_operation(
    root: Client, tuning: Tuning
) -> None:
    tuning.set(bulk_action_jobs=2)
    jobs = [pending_job() for _ in range(2)]
    form = {"action": "cancel_jobs", "select_across": "1", "_selected_action": [jobs[0].pk]}
    assert {job.pk for job in root.post(LIST, form).context["jobs"]} == {job.pk for job in jobs}
    pending_job()
    assert root.post(f"{LIST}?status=Pending", form)["Location"] == f"{LIST}all/cancel/?status=Pending"


def test_no_more_than_the_bound_are_changed_by_one_form(root: Client, tuning: Tuning) -> None:
    tuning.set(bulk_action_jobs=2)
    jobs = [pending_job() for _ in range(3)]
    root.post(LIST, chosen("cancel", *jobs, confirmed="yes"))
    assert [reread(job).status for job in jobs] == ["Canceled", "Canceled", "Pending"]


@pytest.mark.parametrize(
    ("verb", "before", "after"), [("cancel", "Pending", "Canceled"), ("retry", "Failed", "Pending")]
)
def test_a_jobs_page_has_the_same_acts(root: Client, verb: str, before: str, after: str) -> None:
    job = job_in(before)
    assert url("job", verb, job.pk) in text(root, url("job", "change", job.pk))
    asking = root.get(url("job", verb, job.pk))
    assert codes_on(asking) == ["consequence"]
    assert job.name in asking.context["title"]
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
        answer = root.get(address, follow=True)
        assert codes_said(answer) == ["gone"]
        assert str(job.pk) in said(answer)[0]


def test_an_act_by_hand_made_request_asks_the_policy(member: Client, mine: Organization) -> None:
    job = job_in("Failed", organization=mine)
    answer = member.post(url("job", "retry", job.pk), follow=True)
    assert codes_said(answer) == ["permission_denied"]
    assert job.name in said(answer)[0]
    assert member.post(url("job", "retry", job_in("Failed").pk)).status_code == 302
    assert not Job.objects.exclude(status="Failed").exists()


def test_strange_keys_do_no_harm(subtests: pytest.Subtests, root: Client) -> None:
    keys: list[str] = ["x", "9" * 30, "-1", "1 OR 1=1", "\x00"]
    for key in keys:
        for confirmed in ("", "yes"):
            with subtests.test(key=key, confirmed=confirmed):
                form = {"action": "cancel_jobs", "_selected_action": [key], "confirmed": confirmed}
                assert codes_said(root.post(LIST, form, follow=True)) == ["gone"]
