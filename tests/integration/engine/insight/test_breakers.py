"""What is told of breakers that hold jobs, and of the jobs that they hold."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobs import get_job_status
from django_jobs.models import Breaker, Job, JobType, Organization
from django_jobs.statuses import BreakerState
from tests.support import verbs
from tests.support.breakers import FAILURES, breaker_of, claim_try, let_pass, make_fragile_type, open_by_failures
from tests.support.brokers import end, job_in, pending_job, queue_up, raised, returned
from tests.support.factories import make_organization

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def held() -> JobType:
    kind = make_fragile_type()
    open_by_failures(kind)
    return kind


def test_an_open_breaker_tells_its_error_and_its_next_try(held: JobType) -> None:
    pending_job(held)
    row = breaker_of(held)
    (told,) = verbs.open_breakers()
    assert (told.job_type, told.state, told.since, told.next_try_at) == (
        held.pk,
        "Open",
        row.opened_at,
        row.next_try_at,
    )
    assert (told.error_message, told.failures, told.waiting) == ("it failed", FAILURES, FAILURES + 1)


def test_one_that_recovers_is_told_until_it_is_closed(held: JobType) -> None:
    pending_job(held)
    end(returned(claim_try(held)))
    (told,) = verbs.open_breakers()
    assert (told.state, told.next_try_at) == (BreakerState.RECOVERING, None)
    let_pass(held, 10)
    assert verbs.open_breakers() == []


def test_none_is_told_of_a_type_whose_breaker_is_switched_off(held: JobType) -> None:
    JobType.objects.update(breaker_failures=0)
    assert (verbs.open_breakers(), verbs.held_types()) == ([], {})


def test_the_diagnostics_warn_of_it(held: JobType) -> None:
    (finding,) = [item for item in verbs.examine() if item.subject.startswith("breaker ")]
    assert (finding.level, finding.code) == ("WARNING", "breaker_open")
    moment = f"{breaker_of(held).next_try_at:%Y-%m-%d %H:%M:%S}"
    wanted = {"waiting": "3", "next_try": moment, "error": "it failed"}
    assert finding.subject == f"breaker {held.pk}"
    assert {name: finding.facts[name] for name in wanted} == wanted


def test_the_diagnostics_tell_of_none_that_is_closed() -> None:
    Breaker.objects.create(job_type=make_fragile_type(), failures=1)
    assert list(verbs.examine_breakers()) == []


def test_held_jobs_are_not_reported_as_stuck(held: JobType) -> None:
    Job.objects.update(ready_at=verbs.now() - dt.timedelta(hours=1), is_delayed=False)
    (finding,) = [item for item in verbs.examine() if item.subject == "waiting jobs"]
    assert (finding.level, finding.code) == ("OK", "none")


def test_a_waiting_job_of_a_held_type_waits_for_the_breaker(held: JobType) -> None:
    due = job_in("Failed")
    Job.objects.filter(pk=due.pk).update(job_type=held, ready_at=due.created_at, is_delayed=False)
    assert get_job_status(due.name).waiting_for == "breaker"
    assert get_job_status(pending_job(held)).waiting_for == "breaker"
    Breaker.objects.update(state=BreakerState.RECOVERING, recovering_since=due.created_at - dt.timedelta(hours=1))
    assert get_job_status(due.name).waiting_for != "breaker"
    assert breaker_of(held).state == BreakerState.RECOVERING  # who only looks writes nothing


def test_so_does_a_job_that_lets_others_try(held: JobType) -> None:
    jobs = [pending_job(held) for _ in range(2)]
    failed = end(raised(claim_try(held)))
    assert failed.ready_at
    assert failed.ready_at > verbs.now()
    assert [get_job_status(job).waiting_for for job in jobs] == ["breaker", "breaker"]


def test_other_reasons_of_a_held_type_come_first(held: JobType) -> None:
    later = pending_job(held, run_at=verbs.now() + dt.timedelta(hours=1))
    assert get_job_status(later).waiting_for == "run_at"
    failed = Job.objects.filter(job_type=held, status="Failed").first()
    assert failed
    assert get_job_status(failed).waiting_for == "retry"
    assert get_job_status(queue_up(pending_job(held))).waiting_for == "broker"
    JobType.objects.update(is_paused=True)
    assert get_job_status(later).waiting_for == "type_paused"


def test_of_plain_types_no_breaker_is_asked() -> None:
    job = pending_job()
    with CaptureQueriesContext(connection) as queries:
        verbs.describe_job(job)
    assert not any(Breaker._meta.db_table in query["sql"] for query in queries)


def test_of_one_that_holds_one_organization_it_is_told_which(organization: Organization) -> None:
    kind, other = make_fragile_type(), make_organization()
    open_by_failures(kind, organization)
    mine, theirs = pending_job(kind, organization), pending_job(kind, other)
    (told,) = verbs.open_breakers()
    assert (told.organization, told.organization_pk, told.waiting) == (organization.name, organization.pk, FAILURES + 1)
    assert verbs.held_types() == {kind.pk: organization.pk}
    assert [get_job_status(job.name).waiting_for for job in (mine, theirs)] == ["breaker", "window"]
    (finding,) = [item for item in verbs.examine() if item.subject.startswith("breaker ")]
    assert finding.facts["organization"] == organization.name
    organization.delete()
    assert [item.organization for item in verbs.open_breakers()] == [str(told.organization_pk)]
