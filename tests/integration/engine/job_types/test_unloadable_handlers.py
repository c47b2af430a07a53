"""Jobs whose handler the workers cannot load say so, wherever somebody asks why they wait."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client

from django_jobs import get_job_status, list_jobs, retry_job
from django_jobs.models import ExecutionLog, Job, JobType, Organization
from tests.support import verbs
from tests.support.admin import codes_on, fact_on, page_of, staff_of, text, url
from tests.support.api import client_of, url_of
from tests.support.brokers import WORKER, job_in, pending_job, queue_up, reread, ticket_of
from tests.support.factories import make_system_admin, make_user
from tests.support.families import Submitter, complete

pytestmark = pytest.mark.usefixtures("broker")

GONE = "tests.support.handlers.of_the_next_release"


def put_back(job: Job, path: str = GONE) -> Job:
    """The job, after a worker tried in vain to load its handler."""
    JobType.objects.filter(pk=job.job_type_id).update(handler_method=path)
    verbs.forget_claim_verdicts()
    assert verbs.claim([ticket_of(queue_up(reread(job)))], WORKER) == []
    return reread(job)


def assert_names_the_handler(found: dict[int, str], job: Job) -> None:
    ((pk, text),) = found.items()
    assert (pk, GONE in text, "AttributeError" in text) == (job.pk, True, True)


def test_it_says_that_it_waits_for_its_handler() -> None:
    job = put_back(job_in("Pending"))
    assert job.ready_at is not None
    assert job.ready_at > verbs.now()
    assert (job.status, get_job_status(job).waiting_for) == ("Pending", "handler")
    assert_names_the_handler(verbs.unloadable_reasons([job]), job)


def test_it_says_so_too_when_it_may_be_tried_again_and_nobody_takes_it(broker: Any) -> None:
    job = put_back(job_in("Pending"))
    broker.is_down = True
    Job.objects.filter(pk=job.pk).update(ready_at=verbs.now())
    assert get_job_status(job).waiting_for == "handler"


@pytest.mark.parametrize(
    ("fields", "reason"), [({"is_enabled": False}, "type_disabled"), ({"is_paused": True}, "type_paused")]
)
def test_what_an_administrator_holds_back_comes_first(fields: dict[str, bool], reason: str) -> None:
    job = put_back(job_in("Pending"))
    JobType.objects.update(**fields)
    assert get_job_status(job).waiting_for == reason


def test_with_a_ticket_it_waits_for_the_broker_again() -> None:
    assert get_job_status(queue_up(put_back(job_in("Pending")))).waiting_for == "broker"


def test_a_retry_whose_handler_is_gone_waits_for_the_handler() -> None:
    assert get_job_status(put_back(job_in("Failed"))).waiting_for == "handler"


def test_a_child_whose_handler_is_gone_waits_for_it_after_its_parents(submit: Submitter) -> None:
    parent = submit()
    child = submit(parent)
    complete(parent)
    verbs.follow_up()
    assert get_job_status(put_back(child)).waiting_for == "handler"


def test_another_reason_to_be_put_back_is_not_taken_for_it(broker: Any) -> None:
    job = job_in("Queued")
    verbs.unqueue([job.pk], "The broker could not take it", delay=60)
    assert get_job_status(job).waiting_for == "run_at"


def test_one_that_was_retried_by_hand_since_waits_for_no_handler() -> None:
    job = job_in("Failed")
    put_back(job)
    Job.objects.filter(pk=job.pk).update(status="Dead Letter", ready_at=None)
    retry_job(job)
    assert get_job_status(job).waiting_for != "handler"


def test_jobs_that_were_never_put_back_wait_for_no_handler(kind: JobType, organization: Organization) -> None:
    jobs = [pending_job(kind, organization, run_at=at) for at in (None, verbs.now().replace(year=2100, day=1))]
    jobs = [reread(job) for job in jobs]
    assert verbs.unloadable_reasons(jobs) == {}


def test_many_that_were_put_back_wait_for_their_handler(kind: JobType, organization: Organization) -> None:
    jobs = [put_back(pending_job(kind, organization)) for _ in range(5)]
    assert [status.waiting_for for status in verbs.describe_jobs(jobs)] == ["handler"] * 5
    assert [status.waiting_for for status in list_jobs(organization)] == ["handler"] * 5


def test_the_jobs_page_says_it_in_words_and_names_the_handler(root: Client) -> None:
    waits = fact_on(page_of(root, put_back(job_in("Pending"))), "waits_because")
    assert (codes_on(waits), GONE in waits, "AttributeError" in waits) == (["handler"], True, True)


def test_rest_says_it() -> None:
    job = put_back(job_in("Pending"))
    answer = client_of(make_system_admin()).get(url_of(job))
    assert answer.json()["waiting_for"] == "handler"


def test_a_tenants_people_learn_no_path_of_a_handler(root: Client, mine: Organization) -> None:
    job, staff, rest = put_back(pending_job(organization=mine)), staff_of(mine), client_of(make_user(member_of=[mine]))
    page, told = url("job", "change", job.pk), ""
    for status in ("Pending", "Dead Letter"):
        assert reread(job).status == status
        told += text(staff, page) + text(rest, url_of(job)) + text(rest, url_of(job, "history"))
        assert GONE in text(root, page)
        if status == "Pending":
            ExecutionLog.objects.filter(job=job).update(timestamp=verbs.now() - dt.timedelta(minutes=11))
            put_back(job)
    assert (reread(job).error_message in told, GONE in told) == (True, False)


def test_those_that_wait_now_are_found_by_one_pass_over_the_backlog() -> None:
    job = put_back(job_in("Pending"))
    job_in("Pending")
    pending_job(run_at=verbs.now().replace(year=2100, day=1))
    assert_names_the_handler(verbs.find_unloadable(), job)
