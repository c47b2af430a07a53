"""Dead letters and their replays in the admin: groups, tracebacks, orders, and who may what."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_jobs.engine import dead_letters, replays
from django_jobs.engine.scheduler import Scheduler
from django_jobs.models import ExecutionLog, Job, JobType, Organization, Replay
from django_jobs.statuses import Status
from tests.support import admin
from tests.support.admin import remembered, said, text, url
from tests.support.brokers import end, pending_job, raised, reread, start
from tests.support.factories import make_job_type, make_organization, make_user

pytestmark = pytest.mark.usefixtures("broker")

HOSTILE = "<script>alert(1)</script> \u202egnp.exe"
TRACE = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\nValueError: hunter2\n'
VIEW = ["django_jobs.view_job"]


@pytest.fixture
def mine() -> Organization:
    return make_organization(name="ORG-MINE")


@pytest.fixture
def theirs() -> Organization:
    return make_organization(name="ORG-THEIRS")


@pytest.fixture
def kind() -> JobType:
    return make_job_type(type_name="mails")


@pytest.fixture
def root() -> Client:
    return admin.superuser()


@pytest.fixture
def boss(mine: Organization) -> Client:
    """Staff who manages one organization."""
    return admin.staff_of(mine, role="admin", permissions=VIEW)


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine, permissions=VIEW)


def die(kind: JobType, organization: Organization, message: str = "it failed", traceback: str = "") -> Job:
    claimed = start(pending_job(kind, organization))
    return end(raised(claimed, "Permanent", text=message, traceback=traceback))


def group(job: Job) -> str:
    """The address of the job's group."""
    return f"{url('deadletter', 'group')}?type={job.job_type_id}&error={job.error_fingerprint}"


def rows(client: Client, **query: str) -> list[tuple[str, int]]:
    """The listed groups: their errors, and how many jobs they have."""
    context = client.get(url("deadletter", "changelist"), query).context
    return [(str(row["error"]), row["count"]) for row in context["rows"]]


def order(client: Client, job: Job, verb: str = "retry", per_minute: Any = replays.MAX_PER_MINUTE) -> Any:
    return client.post(group(job), {"verb": verb, "per_minute": per_minute}, follow=True)


def test_like_errors_are_one_group_the_largest_first(root: Client, kind: JobType, mine: Organization) -> None:
    die(kind, mine, "no address")
    for number in range(3):
        die(kind, mine, f"customer {number} is unknown")
    assert rows(root) == [("<bdi>customer 2 is unknown</bdi>", 3), ("<bdi>no address</bdi>", 1)]


def test_equal_errors_of_two_types_are_two_groups(root: Client, mine: Organization) -> None:
    die(make_job_type(), mine)
    die(make_job_type(), mine)
    assert [count for _, count in rows(root)] == [1, 1]


def test_a_group_tells_when_it_was_first_and_last_seen(root: Client, kind: JobType, mine: Organization) -> None:
    long_ago = timezone.now() - dt.timedelta(days=3)
    Job.objects.filter(pk=die(kind, mine).pk).update(completed_at=long_ago)
    die(kind, mine)
    row = root.get(url("deadletter", "changelist")).context["rows"][0]
    assert long_ago.isoformat()[:10] in row["first"]
    assert timezone.now().isoformat()[:10] in row["last"]


def test_the_groups_of_one_type_can_be_seen_alone(root: Client, kind: JobType, mine: Organization) -> None:
    die(kind, mine)
    die(make_job_type(), mine, "other")
    assert rows(root, type="mails") == [("<bdi>it failed</bdi>", 1)]


def test_more_dead_letters_than_are_looked_at_are_told(
    root: Client, kind: JobType, mine: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "BOUND", 2)
    for _ in range(3):
        die(kind, mine)
    context = root.get(url("deadletter", "changelist")).context
    assert (context["is_cut"], [row["count"] for row in context["rows"]]) == (True, [2])


def test_without_dead_letters_it_says_so(root: Client) -> None:
    assert "No dead letters: whatever failed" in text(root, url("deadletter", "changelist"))


def test_a_group_shows_the_newest_traceback_to_system_admins(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine, "ValueError", TRACE)
    assert "ValueError: hunter2" in text(root, group(job))


def test_where_retries_were_exhausted_the_last_failure_tells_why(
    root: Client, kind: JobType, mine: Organization
) -> None:
    JobType.objects.filter(pk=kind.pk).update(max_retries=0)
    job = end(raised(start(pending_job(kind.pk, mine)), text="ValueError", traceback=TRACE))
    assert job.status == Status.DEAD_LETTER
    assert "ValueError: hunter2" in text(root, group(job))


def test_nobody_else_reads_a_traceback(boss: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine, "ValueError", TRACE)
    assert "hunter2" not in text(boss, group(job))
    assert "ValueError" in text(boss, group(job))


def test_a_group_lists_its_newest_jobs(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    assert url("job", "change", job.pk) in text(root, group(job))


def test_an_empty_group_leads_back_and_says_why(root: Client, kind: JobType, mine: Organization) -> None:
    response = root.get(f"{url('deadletter', 'group')}?type=mails&error=nothing", follow=True)
    assert said(response) == ["This group is empty by now: its jobs were retried or deleted."]


def test_a_click_starts_a_replay_that_the_scheduler_works_off(root: Client, kind: JobType, mine: Organization) -> None:
    jobs = [die(kind, mine) for _ in range(2)]
    response = order(root, jobs[0])
    Scheduler("one").tick()
    assert "of 2 looked at" in response.content.decode()
    assert Status.DEAD_LETTER not in [reread(job).status for job in jobs]


def test_it_is_remembered_who_started_it(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    order(root, job, per_minute=6)
    Scheduler("one").tick()
    assert remembered(Replay.objects.get()) == [("root", "Started, 6 jobs a minute.")]
    assert ExecutionLog.objects.get(job=job, from_status="Dead Letter").actor == "root"


@pytest.mark.parametrize("per_minute", ["0", "6001", "-1", "many", ""])
def test_a_rate_that_cannot_be_is_refused(per_minute: str, root: Client, kind: JobType, mine: Organization) -> None:
    response = order(root, die(kind, mine), per_minute=per_minute)
    assert response.context["form"].errors["per_minute"]
    assert not Replay.objects.exists()


def test_an_unknown_verb_is_refused(root: Client, kind: JobType, mine: Organization) -> None:
    assert order(root, die(kind, mine), verb="cancel").context["form"].errors["verb"]


def test_a_group_can_be_deleted(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    order(root, job, verb="delete")
    Scheduler("one").tick()
    assert not Job.objects.filter(pk=job.pk).exists()


@pytest.mark.parametrize(("verb", "state"), [("pause", "paused"), ("stop", "stopped")])
def test_a_replay_can_be_held(verb: str, state: str, root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    replay = Replay.objects.get()
    response = root.post(url("replay", verb, replay.pk), follow=True)
    assert said(response) == [f"It is {state}."]
    assert Replay.objects.get().state == state
    assert remembered(replay)[-1] == ("root", f"{state.capitalize()}.")


def test_who_comes_second_is_told(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    replay = Replay.objects.get()
    replays.stop(replay)
    response = root.post(url("replay", "pause", replay.pk), follow=True)
    assert said(response) == ["Nothing was changed: it is stopped already."]


def test_a_replay_tells_honestly_what_it_did_not_do(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    Replay.objects.update(refused={replays.DEAD_PARENT: 4}, changed=2, total=6)
    page = text(root, url("replay", "change", Replay.objects.get().pk))
    assert f"<strong>4</strong>: {replays.DEAD_PARENT}." in page
    assert "<strong>2</strong> retried." in page


def test_a_replay_without_scheduler_says_that_it_waits(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    assert "The scheduler, which does this, is silent" in text(root, url("replay", "change", Replay.objects.get().pk))


def test_one_that_is_done_has_no_buttons(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    Replay.objects.update(state="done")
    assert root.get(url("replay", "change", Replay.objects.get().pk)).context["switches"] == []


def test_staff_see_groups_of_their_own_organizations_alone(
    boss: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    die(kind, mine)
    foreign = [die(kind, theirs), die(make_job_type(), theirs, "private to them")]
    assert rows(boss) == [("<bdi>it failed</bdi>", 1)]
    assert "ORG-THEIRS" not in text(boss, group(foreign[0]))
    assert boss.get(group(foreign[1])).status_code == 302


def test_an_organization_admin_replays_the_own_jobs_alone(
    boss: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    own, foreign = die(kind, mine), die(kind, theirs)
    order(boss, own)
    Scheduler("one").tick()
    assert reread(own).status != Status.DEAD_LETTER
    assert reread(foreign).status == Status.DEAD_LETTER


def test_what_the_policy_forbids_is_neither_offered_nor_done(
    member: Client, boss: Client, kind: JobType, mine: Organization
) -> None:
    job = die(kind, mine)
    assert member.get(group(job)).context["verbs"] == []
    assert boss.get(group(job)).context["verbs"] == ["retry"]
    assert order(member, job).status_code == 403
    assert order(boss, job, verb="delete").status_code == 403


def test_staff_see_their_own_replays_alone(boss: Client, root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    order(root, job)
    replay = Replay.objects.get()
    assert boss.get(url("replay", "changelist")).context["cl"].result_count == 0
    assert boss.get(url("replay", "change", replay.pk)).status_code == 302
    boss.post(url("replay", "stop", replay.pk))
    assert Replay.objects.get().state == "running"
    assert boss.get(group(job)).context["replays"] == []


@pytest.mark.parametrize(
    ("model", "page"), [("deadletter", "changelist"), ("deadletter", "group"), ("replay", "changelist")]
)
def test_staff_without_the_permission_are_refused(model: str, page: str, mine: Organization) -> None:
    assert admin.staff_of(mine, permissions=[]).get(url(model, page)).status_code == 403


def test_a_replay_cannot_be_switched_by_a_link(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    assert root.get(url("replay", "stop", Replay.objects.get().pk)).status_code == 405


def test_a_replay_that_is_gone_is_said_to_be(root: Client) -> None:
    assert said(root.post(url("replay", "stop", 999), follow=True)) == ["replay 999 is not there any more."]


def test_replays_are_listed(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    assert "0 of 1 retried" in text(root, url("replay", "changelist"))


def test_hostile_texts_are_escaped_and_cut(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine, HOSTILE + "x" * 60_000, TRACE.replace("hunter2", HOSTILE + "y" * 60_000))
    order(root, job, per_minute=1)
    pages = [
        text(root, address)
        for address in (
            url("deadletter", "changelist"),
            group(job),
            url("replay", "changelist"),
            url("replay", "change", Replay.objects.get().pk),
        )
    ]
    assert not any("<script>alert" in page for page in pages)
    assert max(map(len, pages)) < 60_000


@pytest.mark.parametrize("query", [{"type": "\0"}, {"type": "x" * 5000}, {"type": "mails", "error": "\0'\""}])
def test_addresses_of_nothing_find_nothing(query: dict[str, str], root: Client) -> None:
    assert root.get(url("deadletter", "changelist"), query).status_code == 200
    assert root.get(url("deadletter", "group"), query).status_code == 302


def test_the_list_takes_the_same_statements_however_much_there_is(root: Client, mine: Organization) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            root.get(url("deadletter", "changelist"))
        return len(captured)

    die(make_job_type(), mine)
    few = statements()
    for _ in range(5):
        die(make_job_type(), make_organization())
    assert statements() == few <= 8


def test_a_group_takes_the_same_statements_however_large_it_is(root: Client, kind: JobType, mine: Organization) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            root.get(group(job))
        return len(captured)

    job = die(kind, mine)
    few = statements()
    for _ in range(5):
        die(kind, make_organization())
    assert statements() == few <= 10


def test_whoever_started_a_replay_may_be_deleted(root: Client, kind: JobType, mine: Organization) -> None:
    order(root, die(kind, mine))
    User.objects.get(username="root").delete()
    assert "root" in text(
        admin.client_of(make_user("other", is_staff=True, is_superuser=True)), url("replay", "changelist")
    )
