"""What failed, in the admin: its groups, tracebacks and costs, and who may what."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django.utils.html import strip_tags

from django_jobs.models import Job, JobType, Membership, Operation, Organization
from django_jobs.statuses import Status
from tests.support import admin
from tests.support.admin import codes_on, codes_said, text, url
from tests.support.brokers import end, job_in, pending_job, raised, reread
from tests.support.brokers import start as claim
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.failures import die, group, order, press
from tests.support.operations import start
from tests.support.tuning import Tuning
from tests.support.verbs import JobFilter

pytestmark = pytest.mark.usefixtures("broker")

HOSTILE = "<script>alert(1)</script> \u202egnp.exe"
TRACE = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\nValueError: hunter2\n'
VIEW = ["django_jobs.view_job"]
NO_BUTTONS = dict.fromkeys(("retry", "cancel", "delete", "pause"), False)


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


def rows(client: Client, **query: Any) -> list[tuple[str, int]]:
    """The listed groups: their errors, and how many jobs they have."""
    context = client.get(url("failure", "changelist"), query).context
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
    last = reread(die(kind, mine)).completed_at
    assert last is not None
    row = root.get(url("failure", "changelist")).context["rows"][0]
    assert long_ago.isoformat()[:10] in row["first"]
    assert last.isoformat()[:10] in row["last"]


def test_the_last_failure_is_not_taken_for_that_of_the_newest_job(
    root: Client, kind: JobType, mine: Organization
) -> None:
    old, newest = die(kind, mine), die(kind, mine)
    Job.objects.filter(pk=newest.pk).update(completed_at=timezone.now() - dt.timedelta(hours=2))
    row, last = root.get(group(old)).context["row"], reread(old).completed_at
    assert last is not None
    assert last.isoformat() in row["last"]
    assert "<dd>{}</dd>".format(row["last"]) in text(root, group(old))


def test_the_groups_of_one_type_can_be_seen_alone(root: Client, kind: JobType, mine: Organization) -> None:
    die(kind, mine)
    die(make_job_type(), mine, "other")
    assert rows(root, job_type="mails") == [("<bdi>it failed</bdi>", 1)]


def test_more_dead_letters_than_are_looked_at_are_told(
    root: Client, kind: JobType, mine: Organization, tuning: Tuning
) -> None:
    tuning.set(failed_jobs_read=2)
    for _ in range(3):
        die(kind, mine)
    context = root.get(url("failure", "changelist")).context
    assert (context["is_cut"], [str(row["count"]) for row in context["rows"]]) == (True, ["2+"])


def test_without_failures_it_says_so(root: Client) -> None:
    assert codes_on(text(root, url("failure", "changelist"))) == ["no_failure"]


def test_a_group_shows_the_newest_traceback_to_system_admins(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine, "ValueError", TRACE)
    assert "ValueError: hunter2" in text(root, group(job))


def test_where_retries_were_exhausted_the_last_failure_tells_why(
    root: Client, kind: JobType, mine: Organization
) -> None:
    JobType.objects.filter(pk=kind.pk).update(max_retries=0)
    job = end(raised(claim(pending_job(kind.pk, mine)), text="ValueError", traceback=TRACE))
    assert job.status == Status.DEAD_LETTER
    assert "ValueError: hunter2" in text(root, group(job))


def test_nobody_else_reads_a_traceback(boss: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine, "ValueError", TRACE)
    assert "hunter2" not in text(boss, group(job))
    assert "ValueError" in text(boss, group(job))


def test_a_group_lists_its_newest_jobs(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    assert url("job", "change", job.pk) in text(root, group(job))


def test_the_list_shows_system_admins_the_exception_and_the_frame_that_raised_it(
    root: Client, kind: JobType, mine: Organization
) -> None:
    die(kind, mine, "ValueError", TRACE)
    (row,) = root.get(url("failure", "changelist")).context["rows"]
    assert (row["error_class"], row["error"]) == ("<bdi>ValueError</bdi>", "<bdi>hunter2</bdi>")
    assert re.findall(r"x\.py|\b1\b|\bf\b", row["frame"]) == ["x.py", "1", "f"]


def test_the_list_shows_others_what_tenants_may_read(boss: Client, kind: JobType, mine: Organization) -> None:
    die(kind, mine, "ValueError", TRACE)
    (row,) = boss.get(url("failure", "changelist")).context["rows"]
    assert (row["error_class"], row["error"], row["frame"]) == ("", "<bdi>ValueError</bdi>", "")
    assert boss.get(url("failure", "changelist")).context["log_url"] == "", "nor may they see the log"


def test_a_group_tells_its_statuses_and_when_it_is_tried_again(root: Client, mine: Organization, kind: JobType) -> None:
    job = job_in("Failed", job_type=kind, organization=mine)
    die(kind, mine)
    (row,) = root.get(url("failure", "changelist")).context["rows"]
    assert [("Dead Letter" in badge, str(count)) for badge, count in row["statuses"]] == [(True, "1"), (False, "1")]
    assert job.next_retry_at
    assert job.next_retry_at.isoformat() in row["next_retry"]
    assert "retried_by_itself" in codes_on(text(root, group(job)))


def test_the_organizations_of_a_group_are_named_and_the_others_counted(root: Client, kind: JobType) -> None:
    for number in range(5):
        for _ in range(number + 1):
            die(kind, make_organization(title=f"Tenant {number}"))
    # Each job is of an organization of its own.
    (row,) = root.get(url("failure", "changelist")).context["rows"]
    assert (len(row["tenants"]), row["more_tenants"]) == (3, 12)
    assert re.search(r" · [^<]*\b12\b", text(root, url("failure", "changelist")))


def test_an_organization_that_is_gone_is_told_as_gone(root: Client, kind: JobType) -> None:
    organization = make_organization()
    job = die(kind, organization)
    organization.delete()
    for address in (url("failure", "changelist"), group(job)):
        context = root.get(address).context
        ((name, _),) = (context["rows"][0] if "rows" in context else context["row"])["tenants"]
        assert str(job.organization_id) in strip_tags(name)
        assert "href" not in name


def test_a_type_that_is_gone_is_told_as_deleted(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    JobType.objects.filter(pk=kind.pk)._raw_delete("default")
    (row,) = root.get(url("failure", "changelist")).context["rows"]
    assert (row["is_gone"], row["kind_url"], row["buttons"]["pause"]) == (True, "", False)
    assert "deleted" in codes_on(text(root, group(job)))


def test_an_error_without_a_text_and_a_fingerprint_is_a_group_too(
    root: Client, kind: JobType, mine: Organization
) -> None:
    job = die(kind, mine)
    Job.objects.filter(pk=job.pk).update(error_message="", error_fingerprint="")
    job.refresh_from_db()
    ((error, number),) = rows(root)
    assert (error != "", number) == (True, 1)
    assert job.name in text(root, group(job))


def test_the_links_of_errors_without_a_text_lead_to_them_alone(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    Job.objects.filter(pk=job.pk).update(error_message="", error_fingerprint="")
    die(kind, mine, "other error")
    pending_job(kind, mine)
    (row,) = root.get(url("failure", "changelist"), {"job_type": kind.pk, "error_fingerprint": ""}).context["rows"]
    response = root.get(row["jobs_url"])
    assert list(response.context["cl"].result_list) == [job]


def test_groups_come_page_by_page(root: Client, mine: Organization, tuning: Tuning) -> None:
    tuning.set(failures_page_rows=2)
    for number in range(3):
        die(make_job_type(type_name=f"type-{number}"), mine, f"error of {'abc'[number]}")
    assert [error for error, _ in rows(root, p="1")] == ["<bdi>error of c</bdi>", "<bdi>error of b</bdi>"]
    assert [error for error, _ in rows(root, p="2")] == ["<bdi>error of a</bdi>"]
    response = root.get(url("failure", "changelist"), {"p": "many"})
    page = response.context["page"]
    assert (page.number, page.paginator.num_pages) == (1, 2)
    assert '<p class="paginator">' in response.content.decode()


def test_the_groups_of_a_status_and_an_organization_can_be_seen_alone(
    root: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    job_in("Failed", job_type=kind, organization=mine)
    die(kind, theirs)
    assert rows(root, status="Failed") == rows(root, organization=mine.name) == [("<bdi>it failed</bdi>", 1)]
    assert rows(root, status=["Failed", "Timed Out"], organization=mine.name) == [("<bdi>it failed</bdi>", 1)]
    assert rows(root, status="Dead Letter", organization=mine.name) == []
    shown = root.get(url("failure", "changelist"), {"status": "Timed Out", "organization": mine.name})
    assert codes_on(shown) == ["no_match"]
    status, organization = shown.context["narrowed"]
    assert (mine.name in organization, "Timed Out" in status) == (True, True)
    assert status in shown.content.decode()


@pytest.mark.parametrize("query", [{"status": "Completed"}, {"organization": "nobody"}, {"organization": "9" * 30}])
def test_an_unknown_status_or_organization_finds_nothing_and_says_so(
    query: dict[str, str], root: Client, kind: JobType, mine: Organization
) -> None:
    die(kind, mine)
    assert rows(root, **query) == []
    assert codes_on(text(root, url("failure", "changelist"), **query)) == ["unknown_choice"]


def test_a_foreign_organization_is_as_unknown_as_none(
    boss: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    die(kind, theirs)
    for name in (theirs.name, "ORG-NOWHERE"):
        page = boss.get(url("failure", "changelist"), {"organization": name})
        assert (codes_on(page), page.context["rows"]) == (["unknown_choice"], [])
        assert page.context["narrowed"][0].endswith(f": {name}")


def test_what_is_under_way_is_linked_from_the_list_and_from_its_group(
    root: Client, kind: JobType, mine: Organization
) -> None:
    job, other = die(kind, mine), die(kind, mine, "other error")
    order(root, job, per_minute=1)
    address = url("operation", "change", Operation.objects.get().pk)
    assert address in text(root, url("failure", "changelist"))
    assert address in text(root, group(job))
    assert address not in text(root, group(other))


def test_the_list_of_one_type_links_what_is_under_way_on_it_alone(
    root: Client, kind: JobType, mine: Organization
) -> None:
    order(root, die(kind, mine), per_minute=1)
    address = url("operation", "change", Operation.objects.get().pk)
    assert address in text(root, url("failure", "changelist"), job_type=kind.pk)
    assert address not in text(root, url("failure", "changelist"), job_type=make_job_type().pk)


def test_what_was_done_about_a_group_stays_on_its_page(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    order(root, job, per_minute=1)
    Operation.objects.update(state="done", ended_at=timezone.now(), changed=7, outcome={"Completed": 7})
    address = url("operation", "change", Operation.objects.get().pk)
    assert address in text(root, group(job))
    (done,) = root.get(group(job)).context["operations"]
    assert re.findall(r"\d+", str(done[2])) == ["7", "7"]
    assert address not in text(root, url("failure", "changelist"))


def test_operations_on_other_jobs_are_not_linked(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    boss = make_user("ada", is_superuser=True)
    running = start(JobFilter(status=("Pending", "Dead Letter")), boss, "delete")
    elsewhere = start(JobFilter(job_type=(make_job_type().pk, kind.pk), status=("Dead Letter",)), boss)
    shown = text(root, group(job))
    assert url("operation", "change", running.pk) not in shown
    assert url("operation", "change", elsewhere.pk) in shown


def test_all_jobs_of_a_group_are_a_click_away(root: Client, kind: JobType, mine: Organization) -> None:
    jobs = [die(kind, mine), job_in("Failed", job_type=kind, organization=mine)]
    die(kind, mine, "other error")
    die(make_job_type(), mine)
    (row,) = root.get(url("failure", "changelist"), {"job_type": kind.pk}).context["rows"][:1]
    assert set(root.get(row["jobs_url"]).context["cl"].result_list) == set(jobs)


def test_all_jobs_that_a_page_tells_of_are_retried_or_listed_from_there(
    root: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    own = [die(kind, mine), job_in("Timed Out", job_type=make_job_type(), organization=mine)]
    die(kind, theirs)
    address = url("failure", "changelist")
    context = root.get(address, {"organization": mine.name}).context
    assert set(root.get(context["list_url"]).context["cl"].result_list) == set(own)
    assert root.get(context["retry_url"]).context["number"] == 2
    narrowed = root.get(
        address, {"organization": mine.name, "status": ["Failed", "Timed Out"], "job_type": kind.pk}
    ).context
    assert narrowed["list_url"].partition("?")[2] == (
        f"status=Failed&status=Timed+Out&job_type={kind.pk}&organization={mine.name}"
    )


def test_a_long_error_is_cut_and_a_link_shows_all_of_it(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine)
    Job.objects.filter(pk=job.pk).update(error_message="x" * 1_000_000)
    shown = text(root, group(job))
    assert "x" * 5_001 not in shown
    whole = f"?job_type=mails&amp;error_fingerprint={job.error_fingerprint}&amp;all=1"
    assert re.search(rf'<a href="{re.escape(whole)}">[^<]*\b1,000,000\b', shown)
    assert "x" * 1_000_000 in text(root, f"{group(job)}&all=1")


def test_an_empty_group_leads_back_and_says_why(root: Client, kind: JobType, mine: Organization) -> None:
    response = root.get(f"{url('failure', 'group')}?job_type=mails&error_fingerprint=nothing", follow=True)
    assert codes_said(response) == ["empty_group"]


def test_staff_see_groups_of_their_own_organizations_alone(
    boss: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    die(kind, mine)
    foreign = [die(kind, theirs), die(make_job_type(), theirs, "private to them")]
    assert rows(boss) == [("<bdi>it failed</bdi>", 1)]
    assert "ORG-THEIRS" not in text(boss, group(foreign[0]))
    assert boss.get(group(foreign[1])).status_code == 302


def test_each_group_has_the_buttons_that_its_reader_has_in_its_organization(
    boss: Client, kind: JobType, mine: Organization, theirs: Organization
) -> None:
    Membership.objects.create(user=User.objects.get(), organization=theirs)
    die(kind, mine)
    die(kind, theirs, "another error")
    shown = boss.get(url("failure", "changelist")).context["rows"]
    assert {row["newest"].organization_id: row["buttons"]["retry"] for row in shown} == {
        mine.pk: True,
        theirs.pk: False,
    }


def test_what_the_policy_forbids_is_neither_offered_nor_done(
    member: Client, boss: Client, kind: JobType, mine: Organization
) -> None:
    job = die(kind, mine)
    assert member.get(group(job)).context["row"]["buttons"] == NO_BUTTONS
    assert boss.get(group(job)).context["row"]["buttons"] == NO_BUTTONS | {"retry": True, "cancel": True}
    assert press(member, job, "retry_all").status_code == 403
    assert order(boss, job, verb="delete").status_code == 403


@pytest.mark.parametrize(
    ("model", "page"), [("failure", "changelist"), ("failure", "group"), ("operation", "changelist")]
)
def test_staff_without_the_permission_are_refused(model: str, page: str, mine: Organization) -> None:
    assert admin.staff_of(mine, permissions=[]).get(url(model, page)).status_code == 403


def test_hostile_texts_are_escaped_and_cut(root: Client, kind: JobType, mine: Organization) -> None:
    job = die(kind, mine, HOSTILE + "x" * 60_000, TRACE.replace("hunter2", HOSTILE + "y" * 60_000))
    order(root, job, per_minute=1)
    pages = [
        text(root, address)
        for address in (
            url("failure", "changelist"),
            group(job),
            url("operation", "changelist"),
            url("operation", "change", Operation.objects.get().pk),
        )
    ]
    assert not any("<script>alert" in page for page in pages)
    assert max(map(len, pages)) < 60_000


@pytest.mark.parametrize(
    "query", [{"job_type": "\0"}, {"job_type": "x" * 5000}, {"job_type": "mails", "error_fingerprint": "\0'\""}]
)
def test_addresses_of_nothing_find_nothing(query: dict[str, str], root: Client) -> None:
    assert root.get(url("failure", "changelist"), query).status_code == 200
    assert root.get(url("failure", "group"), query).status_code == 302


def test_what_is_read_out_tells_the_newest_failure_and_changes_with_the_groups(
    root: Client, kind: JobType, mine: Organization
) -> None:
    page = url("failure", "changelist")
    states = [admin.news(root, page)[1]]
    for kinds, error, numbers in (
        (kind, "No route\nto the printer", ["1", "1"]),
        (kind, "No route\nto the printer", ["2", "1"]),
        (make_job_type(type_name="faxes"), "it is engaged", ["3", "2"]),
    ):
        die(kinds, mine, error)
        told, state = admin.news(root, page)
        assert re.findall(r"\d+", told) == numbers
        assert f"{kinds.pk}. {' '.join(error.split())}." in told
        states.append(state)
    none, one, same, other = states
    assert one == same
    assert len({none, one, other}) == 3


def test_what_is_read_out_of_a_group_tells_its_error_and_whether_it_is_paused(
    root: Client, kind: JobType, mine: Organization
) -> None:
    job = die(kind, mine, "ValueError", TRACE)
    told, state = admin.news(root, group(job))
    assert (told.startswith("mails: "), re.findall(r"\d+\b", told)) == (True, ["1", "2"])
    assert told.endswith(" ValueError: hunter2.")
    JobType.objects.update(is_paused=True)
    of_paused, other = admin.news(root, group(job))
    assert of_paused.startswith(f"{told} ")
    assert other != state
    assert "hunter2" not in admin.news(admin.staff_of(mine, permissions=VIEW), group(job))[0]
