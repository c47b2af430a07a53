"""Dead letters in the admin: their groups, tracebacks and costs, and who may what."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_jobs.engine.insight import dead_letters
from django_jobs.models import Job, JobType, Organization, Replay
from django_jobs.statuses import Status
from tests.support import admin
from tests.support.admin import said, text, url
from tests.support.brokers import end, pending_job, raised, start
from tests.support.dead_letters import die, group, order
from tests.support.factories import make_job_type, make_organization

pytestmark = pytest.mark.usefixtures("broker")

HOSTILE = "<script>alert(1)</script> \u202egnp.exe"
TRACE = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\nValueError: hunter2\n'
VIEW = ["django_jobs.view_job"]


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


def rows(client: Client, **query: str) -> list[tuple[str, int]]:
    """The listed groups: their errors, and how many jobs they have."""
    context = client.get(url("deadletter", "changelist"), query).context
    return [(str(row["error"]), row["count"].count) for row in context["rows"]]


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
    assert (context["is_cut"], [str(row["count"]) for row in context["rows"]]) == (True, ["2+"])


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


def test_staff_see_groups_of_their_own_organizations_alone(
    boss: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    die(kind, mine)
    foreign = [die(kind, theirs), die(make_job_type(), theirs, "private to them")]
    assert rows(boss) == [("<bdi>it failed</bdi>", 1)]
    assert "ORG-THEIRS" not in text(boss, group(foreign[0]))
    assert boss.get(group(foreign[1])).status_code == 302


def test_what_the_policy_forbids_is_neither_offered_nor_done(
    member: Client, boss: Client, kind: JobType, mine: Organization
) -> None:
    job = die(kind, mine)
    assert member.get(group(job)).context["verbs"] == []
    assert boss.get(group(job)).context["verbs"] == ["retry"]
    assert order(member, job).status_code == 403
    assert order(boss, job, verb="delete").status_code == 403


@pytest.mark.parametrize(
    ("model", "page"), [("deadletter", "changelist"), ("deadletter", "group"), ("replay", "changelist")]
)
def test_staff_without_the_permission_are_refused(model: str, page: str, mine: Organization) -> None:
    assert admin.staff_of(mine, permissions=[]).get(url(model, page)).status_code == 403


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
