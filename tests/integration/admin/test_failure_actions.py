"""The buttons of failures: what each does, what it says, where it leads, and who may press it."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client

from django_jobs.models import ExecutionLog, Job, JobType, Operation, Organization
from django_jobs.statuses import Status
from tests.support import admin, verbs
from tests.support.admin import codes_said, said, url
from tests.support.brokers import end, job_in, pending_job, raised, reread, running_job
from tests.support.factories import make_job_type
from tests.support.failures import all_of, die, group, order, press
from tests.support.operations import finish, work_off
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")

VIEW = ["django_jobs.view_job"]
RETRIES = ["retry_one", "retry_all"]


@pytest.fixture
def kind() -> JobType:
    return make_job_type(type_name="mails")


@pytest.fixture
def boss(mine: Organization) -> Client:
    """Staff who manages one organization."""
    return admin.staff_of(mine, role="admin", permissions=VIEW)


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine, permissions=VIEW)


@pytest.mark.parametrize("status", ["Failed", "Timed Out", "Dead Letter"])
def test_one_is_retried_and_its_page_follows(status: str, root: Client, kind: JobType, mine: Organization) -> None:
    old, new = (job_in(status, job_type=kind, organization=mine) for _ in range(2))
    response = press(root, new, "retry_one")
    assert [reread(job).status for job in (old, new)] == [status, Status.PENDING]
    assert response.redirect_chain[-1][0] == url("job", "change", new.pk)
    assert ExecutionLog.objects.filter(job=new).latest("pk").actor == "root"


def test_without_a_fingerprint_the_newest_of_the_type_is_retried(
    root: Client, kind: JobType, mine: Organization
) -> None:
    die(kind, mine, "old error")
    new = die(kind, mine, "new error")
    root.post(url("failure", "act"), {"action": "retry_one", "job_type": kind.pk})
    assert reread(new).status == Status.PENDING


def test_of_what_is_chosen_alone_one_is_retried(
    root: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    chosen, newer = die(kind, mine), die(kind, theirs)
    press(root, chosen, "retry_one", organization=mine.name)
    assert [reread(job).status for job in (chosen, newer)] == [Status.PENDING, Status.DEAD_LETTER]


def test_whoever_presses_second_is_told_that_none_is_left(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    press(root, job, "retry_one")
    assert codes_said(press(root, job, "retry_one")) == ["none_left"]


def test_one_whose_parent_died_stays_and_it_is_said_why(root: Client, kind: JobType, mine: Organization) -> None:
    parent, claimed = running_job(job_type=kind, organization=mine)
    child = pending_job(kind, mine, depends_on=parent)
    end(raised(claimed, "Permanent"))
    verbs.follow_up()
    answer = press(root, reread(child), "retry_one")
    assert codes_said(answer) == ["parent_failed"]
    assert child.name in said(answer)[0]
    assert reread(child).status == Status.DEAD_LETTER


def test_all_of_a_group_are_retried_whatever_their_status(root: Client, kind: JobType, mine: Organization) -> None:
    jobs = [job_in(status, job_type=kind, organization=mine) for status in ("Failed", "Dead Letter")]
    late = job_in("Timed Out", job_type=kind, organization=mine)
    response = press(root, jobs[0], "retry_all")
    assert response.redirect_chain[-1][0] == url("operation", "change", Operation.objects.get().pk)
    work_off()
    assert [reread(job).status for job in (*jobs, late)] == ["Pending", "Pending", "Timed Out"]


def test_without_a_fingerprint_all_of_the_type_are_retried(root: Client, kind: JobType, mine: Organization) -> None:
    jobs = [job_in(status, job_type=kind, organization=mine) for status in ("Failed", "Timed Out", "Dead Letter")]
    root.post(url("failure", "act"), {"action": "retry_all", "job_type": kind.pk})
    work_off()
    assert {reread(job).status for job in jobs} == {"Pending"}


def test_all_that_are_chosen_alone_are_acted_on(
    root: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    own, foreign = (job_in("Failed", job_type=kind, organization=tenant) for tenant in (mine, theirs))
    dead = die(kind, mine)
    press(root, own, "retry_all", organization=mine.name, status="Failed")
    work_off()
    assert [reread(job).status for job in (own, foreign, dead)] == ["Pending", "Failed", "Dead Letter"]


def test_a_group_of_one_has_one_button_that_retries_it(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    for address in (url("failure", "changelist"), group(job)):
        shown = root.get(address).content.decode()
        assert [f'value="{action}"' in shown for action in RETRIES] == [True, False]
    die(kind, mine)
    for address in (url("failure", "changelist"), group(job)):
        shown = root.get(address).content.decode()
        assert [f'value="{action}"' in shown for action in RETRIES] == [True, True]


def test_one_of_which_older_ones_were_not_counted_may_be_several(
    root: Client, kind: JobType, mine: Organization, tuning: Tuning
) -> None:
    die(kind, mine)
    job = die(kind, mine)
    tuning.set(failed_jobs_read=1)
    assert re.search(r'value="retry_all"[^>]*>[^<]*\b1\+</button>', root.get(group(job)).content.decode())


def test_there_is_no_more_without_anything_in_it(
    root: Client, kind: JobType, mine: Organization, settings: Any
) -> None:
    job = die(kind, mine)
    JobType.objects.filter(pk=kind.pk).update(is_paused=True)
    assert "<details" in root.get(group(job)).content.decode()
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.NobodyDeletes"}
    assert "<details" not in root.get(group(job)).content.decode()
    JobType.objects.filter(pk=kind.pk).update(is_paused=False)
    assert "<details" in root.get(group(job)).content.decode(), "it can be paused"


def test_what_waits_for_its_retry_is_canceled_and_dead_letters_are_not(
    root: Client, kind: JobType, mine: Organization
) -> None:
    jobs = [job_in(status, job_type=kind, organization=mine) for status in ("Failed", "Dead Letter")]
    order(root, jobs[0], "cancel")
    work_off()
    assert [reread(job).status for job in jobs] == ["Canceled", "Dead Letter"]


def test_of_dead_letters_alone_nothing_can_be_canceled(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    assert "all/cancel/" not in root.get(group(job)).content.decode()
    assert codes_said(order(root, job, "cancel")) == ["nothing_matches"]
    assert not Operation.objects.exists()


def test_dead_letters_are_deleted_and_what_waits_for_its_retry_is_not(
    root: Client, kind: JobType, mine: Organization
) -> None:
    jobs = [job_in(status, job_type=kind, organization=mine) for status in ("Failed", "Dead Letter")]
    order(root, jobs[0], "delete")
    work_off()
    assert [job.pk for job in Job.objects.all()] == [jobs[0].pk]


def test_what_cannot_be_taken_back_is_asked_first(root: Client, kind: JobType, mine: Organization) -> None:
    for number in (1, 2):
        jobs = [job_in(status, job_type=kind, organization=mine) for status in ("Failed", "Dead Letter")]
        shown = root.get(f"{group(jobs[0])}&organization={mine.name}").content.decode()
        for verb in ("retry", "cancel", "delete"):
            (address,) = re.findall(rf'href="([^"]*/all/{verb}/[^"]*)"', shown)
            assert unescape(address) == all_of(jobs[0], verb, organization=mine.name)
            page = root.get(unescape(address))
            assert page.context["number"] == (2 * number if verb == "retry" else number)
    assert not Operation.objects.exists()


def test_the_same_is_started_twice_and_done_once(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    press(root, job, "retry_all")
    assert codes_said(press(admin.system_admin(), job, "retry_all")) == ["started"]
    for operation in Operation.objects.order_by("pk"):
        finish(operation)
    assert sorted(Operation.objects.values_list("changed", flat=True)) == [0, 1]


def test_a_button_leads_back_to_an_address_of_this_site_alone(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    own = url("jobtype", "change", kind.pk)
    for address, found in (
        (group(job), group(job)),
        ("/admin/", "/admin/"),
        ("https://evil.example.com/", own),
        ("//evil.example.com/", own),
        ("javascript:alert(1)", own),
        ("", own),
    ):
        response = root.post(url("jobtype", "pause", kind.pk), {"next": address})
        assert response["Location"] == found


def test_what_is_no_button_of_ours_does_nothing_and_says_so(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    unknown = root.post(url("failure", "act"), {"action": "explode", "job_type": kind.pk}, follow=True)
    nameless = root.post(url("failure", "act"), {"action": "retry_all"}, follow=True)
    elsewhere = press(root, job, "retry_all", organization="nobody")
    assert codes_said(unknown) == ["unknown_button"]
    assert codes_said(nameless) == ["needs_job_type"]
    assert codes_said(elsewhere) == ["unknown_choice"]
    assert reread(job).status == Status.DEAD_LETTER


def test_a_look_does_nothing(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    fields = {"action": "retry_one", "job_type": kind.pk, "error_fingerprint": job.error_fingerprint}
    assert root.get(url("failure", "act"), fields).status_code == 405
    assert reread(job).status == Status.DEAD_LETTER


@pytest.mark.parametrize("action", ["retry_one", "retry_all"])
def test_what_the_policy_forbids_is_refused(action: str, member: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    assert press(member, job, action).status_code == 403
    assert reread(job).status == Status.DEAD_LETTER


def test_an_organizations_admin_retries_and_does_not_pause(boss: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    assert url("jobtype", "pause", kind.pk) not in boss.get(group(job)).content.decode()
    assert boss.post(url("jobtype", "pause", kind.pk)).status_code == 403
    press(boss, job, "retry_one")
    assert reread(job).status == Status.PENDING


def test_what_a_user_does_not_see_is_not_acted_on(
    boss: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    foreign = die(kind, theirs)
    assert codes_said(press(boss, foreign, "retry_one")) == ["none_left"]
    assert reread(foreign).status == Status.DEAD_LETTER


def test_staff_without_the_permission_are_refused(kind: JobType, mine: Organization) -> None:
    stranger = admin.staff_of(mine, permissions=[])
    assert press(stranger, die(kind, mine), "retry_one").status_code == 403
