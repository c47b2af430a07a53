"""What a job's page begins with when the job failed."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.test import Client
from django.utils import timezone

from django_jobs import cancel_job, retry_job
from django_jobs.models import ExecutionLog, Job, Organization
from tests.support import admin, verbs
from tests.support.admin import codes_on, page_of, url
from tests.support.brokers import end, job_in, pending_job, raised, start
from tests.support.factories import make_job_type

pytestmark = pytest.mark.usefixtures("broker")

TRACE = 'Traceback (most recent call last):\n  File "mails.py", line 12, in send\n    smtp.send(x)\nOSError: no route\n'


@pytest.fixture
def member(mine: Organization) -> Client:
    return admin.staff_of(mine)


def failed(organization: Organization, kind: str = "Transient", text: str = "OSError", **fields: object) -> Job:
    job = pending_job(organization=organization, **fields)
    return end(raised(start(job), kind, text=text, traceback=TRACE))


def test_a_failed_jobs_page_begins_with_the_error_and_its_buttons(root: Client, mine: Organization) -> None:
    page = page_of(root, failed(mine))
    panel = page.partition("djobs-error-first")[2].partition("</section>")[0]
    assert page.index("djobs-error-first") < page.index("field-type_name")
    assert panel.index("OSError: no route") < panel.index("mails.py") < panel.index("<details")
    assert "smtp.send(x)" in panel
    assert "/retry/" in panel
    assert page.count("/retry/") == 1


def test_who_may_read_no_traceback_reads_the_error_and_what_happens_next(member: Client, mine: Organization) -> None:
    page = page_of(member, failed(mine))
    assert "mails.py" not in page
    assert "no route" not in page
    assert "OSError" in page
    assert "retry" in codes_on(page)
    told = page.partition('data-code="retry">')[2].partition("</p>")[0]
    assert re.findall(r"\d+", told)[-2:] == ["2", "6"]


def test_an_error_is_told_once_where_both_texts_say_the_same(root: Client, mine: Organization) -> None:
    panel = page_of(root, failed(mine, text="no route")).partition("djobs-error-first")[2].partition("<details")[0]
    assert panel.count("no route") == 1


def test_a_long_error_is_whole_below_its_first_line(root: Client, mine: Organization) -> None:
    job = end(raised(start(pending_job(organization=mine)), "Permanent", text="first line\nsecond line"))
    panel = page_of(root, job).partition("djobs-error-first")[2].partition("</section>")[0]
    assert "<h2" in panel.partition("first line")[0]
    assert "second line" in panel


@pytest.mark.parametrize(
    ("fields", "code", "numbers"),
    [
        ({"status": "Failed", "retry_count": 2, "next_retry_at": 120}, "retry", ["2", "3", "6"]),
        ({"status": "Timed Out", "retry_count": 5, "next_retry_at": -1}, "retry_due", ["6", "6"]),
        ({"status": "Dead Letter", "error_type": "Permanent"}, "permanent", []),
        ({"status": "Dead Letter", "error_type": "Transient"}, "retries_spent", []),
        ({"status": "Dead Letter", "max_retries": 0}, "no_retries", []),
        ({"status": "Dead Letter", "is_orphaned": True}, "parent_failed", []),
    ],
)
def test_what_happens_next_is_said(fields: dict[str, object], code: str, numbers: list[str]) -> None:
    now = timezone.now()
    seconds = fields.pop("next_retry_at", None)
    at = now + dt.timedelta(seconds=seconds) if isinstance(seconds, int) else None
    found, words = verbs.next_of(Job(next_retry_at=at, **fields), now)
    assert (found, re.findall(r"\d+", words)) == (code, numbers)


def test_dead_letters_lead_to_their_group(root: Client, mine: Organization) -> None:
    job = failed(mine, "Permanent")
    group = f"{url('failure', 'group')}?job_type={job.job_type_id}&amp;error_fingerprint={job.error_fingerprint}"
    assert f'<a href="{group}">' in page_of(root, job)


def test_an_ended_or_new_attempt_takes_the_error_away(root: Client, mine: Organization) -> None:
    job = failed(mine)
    retry_job(job)
    assert "djobs-error-first" not in page_of(root, job)
    assert "djobs-error-first" not in page_of(root, job_in("Completed"))


def test_the_error_of_an_attempt_before_is_told_as_such_and_not_read_out(root: Client, mine: Organization) -> None:
    job = failed(mine)
    for tried_again in (False, True):
        if tried_again:
            start(Job.primary.get(pk=job.pk))
        shown = root.get(url("job", "change", job.pk)).context
        assert (shown["error"]["is_earlier"], shown["error"]["next_code"] == "") == (tried_again, tried_again)
        assert ("no route" in shown["error"]["title"], "no route" in shown["news"]) == (True, not tried_again)
    canceled = cancel_job(failed(mine))
    error = root.get(url("job", "change", canceled.pk)).context["error"]
    assert ("no route" in error["title"], error["is_earlier"]) == (True, False), "It is that of its last attempt."


def test_of_a_job_that_timed_out_it_is_told_and_not_where_it_was_stopped(root: Client, mine: Organization) -> None:
    job = job_in("Timed Out", organization=mine)
    ExecutionLog.objects.filter(job=job, to_status="Timed Out").update(traceback=TRACE)
    error = root.get(url("job", "change", job.pk)).context["error"]
    assert (error["title"], "mails.py" in error["traceback"]) == (job.error_message, True)


def test_a_job_of_many_attempts_shows_the_newest_and_counts_the_rest(root: Client, mine: Organization) -> None:
    kind = make_job_type(max_retries=30, retry_delay=0)
    job = pending_job(kind, mine)
    for _ in range(22):
        end(raised(start(Job.primary.get(pk=job.pk))))
    page = root.get(url("job", "change", job.pk))
    history = page.context["history"]
    assert [item["number"] for item in history["attempts"]] == list(range(22, 2, -1))
    assert history["hidden"] == 2
    assert "earlier_attempts" in codes_on(page)
    assert len(root.get(url("job", "change", job.pk), {"all": "1"}).context["history"]["attempts"]) == 22
