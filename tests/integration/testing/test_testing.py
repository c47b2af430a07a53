"""The helpers for a host's tests: which jobs run in the test's own process, how they end, and which are captured."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import transaction
from django.test import TestCase

from django_jobs import get_job_history, get_job_status, submit_job
from django_jobs.exceptions import InvalidSubmission
from django_jobs.models import Job, JobType, Membership, Organization
from django_jobs.testing import captured_jobs, run_jobs
from tests.support import verbs
from tests.support.brokers import job_in, pending_job, queue_up, reread
from tests.support.factories import make_job_type, make_organization, make_user

pytestmark = pytest.mark.usefixtures("without_redis")


def statuses(**options: Any) -> list[str]:
    """How the jobs that run now end."""
    return [status.status for status in run_jobs(**options)]


def test_a_job_runs_to_its_end(both_ways: str) -> None:
    job = pending_job(make_job_type("echo"), parameters={"a": 1})
    (status,) = run_jobs()
    assert (status.job_id, status.status, status.result) == (job.name, "Completed", {"echo": {"a": 1}})
    assert get_job_status(job) == status


def test_the_history_is_as_in_production() -> None:
    job = pending_job()
    run_jobs()
    steps = [(entry["from_status"], entry["to_status"]) for entry in get_job_history(job)]
    assert steps == [("", "Pending"), ("Pending", "Queued"), ("Queued", "Running"), ("Running", "Completed")]


def test_with_nothing_to_do_nothing_is_done() -> None:
    assert run_jobs() == []


def test_a_job_runs_once() -> None:
    pending_job()
    run_jobs()
    assert run_jobs() == []


def test_more_jobs_than_a_window_holds_all_run(both_ways: str) -> None:
    kind, organization = make_job_type(), make_organization()
    for _ in range(20):
        pending_job(kind, organization)
    assert statuses() == ["Completed"] * 20


def test_urgent_jobs_go_first() -> None:
    kind, organization = make_job_type(), make_organization()
    low, high = pending_job(kind, organization, priority="Low"), pending_job(kind, organization, priority="High")
    assert [status.job_id for status in run_jobs()] == [high.name, low.name]


def test_a_job_that_already_has_a_ticket_elsewhere_runs_too() -> None:
    queue_up(pending_job())
    assert statuses() == ["Completed"]


def test_a_child_runs_when_its_parents_have(both_ways: str) -> None:
    kind, organization = make_job_type(), make_organization()
    parent = pending_job(kind, organization)
    child = pending_job(kind, organization, depends_on=[parent])
    assert [status.job_id for status in run_jobs()] == [parent.name, child.name]
    assert get_job_status(child).status == "Completed"


def test_a_child_of_a_parent_that_died_does_not_run(both_ways: str) -> None:
    organization = make_organization()
    parent = pending_job(make_job_type("fail_for_good"), organization)
    child = pending_job(make_job_type(), organization, depends_on=parent)
    assert [status.job_id for status in run_jobs()] == [parent.name]
    assert get_job_status(child).status == "Dead Letter"


def test_a_failed_job_waits_for_its_retry(both_ways: str) -> None:
    pending_job(make_job_type("fail_for_now"))
    (status,) = run_jobs()
    assert (status.status, status.attempt, status.waiting_for) == ("Failed", 1, "retry")


def test_retries_run_at_once_when_asked_for(both_ways: str) -> None:
    pending_job(make_job_type("fail_until_attempt"), parameters={"succeeds_at": 3})
    (status,) = run_jobs(retries=True)
    assert (status.status, status.attempt) == ("Completed", 3)


def test_retries_come_to_an_end() -> None:
    pending_job(make_job_type("fail_for_now", max_retries=2))
    (status,) = run_jobs(retries=True)
    assert (status.status, status.attempt) == ("Dead Letter", 3)


def test_retries_are_the_retries_of_earlier_runs_too() -> None:
    pending_job(make_job_type("fail_until_attempt"), parameters={"succeeds_at": 2})
    run_jobs()
    assert statuses(retries=True) == ["Completed"]


def test_jobs_of_a_type_whose_breaker_opens_wait_and_say_so() -> None:
    kind = make_job_type("fail_for_now", breaker_failures=3)
    jobs = [pending_job(kind, parameters={"number": number}) for number in range(5)]
    assert statuses(retries=True) == ["Failed"] * 3
    assert [get_job_status(job).waiting_for for job in jobs] == ["breaker"] * 5
    assert statuses() == []
    verbs.close_breaker(kind.pk)
    assert len(run_jobs()) == 3


def test_a_delayed_job_is_not_ready() -> None:
    pending_job(run_at=verbs.now() + dt.timedelta(hours=1))
    assert run_jobs() == []


def test_a_job_that_came_too_late_does_not_run(both_ways: str) -> None:
    job = pending_job(expires_at=verbs.now() + dt.timedelta(hours=1))
    Job.objects.update(expires_at=verbs.now() - dt.timedelta(hours=1))
    assert run_jobs() == []
    assert get_job_status(job).status == "Canceled"


@pytest.mark.parametrize("fields", [{"is_paused": True}, {"is_enabled": False}])
def test_a_closed_type_holds_its_jobs_back(fields: dict[str, bool]) -> None:
    pending_job()
    JobType.objects.update(**fields)
    assert run_jobs() == []


def test_a_job_with_a_ticket_waits_too_once_its_type_is_paused() -> None:
    job = queue_up(pending_job())
    JobType.objects.update(is_paused=True)
    assert run_jobs() == []
    assert reread(job).status == "Pending"


def test_an_inactive_organization_holds_its_jobs_back() -> None:
    pending_job()
    Organization.objects.update(is_active=False)
    assert run_jobs() == []


def test_rights_that_were_taken_away_a_moment_ago_end_a_job() -> None:
    kind, organization = make_job_type(), make_organization()
    user = make_user(member_of=[organization])
    pending_job(kind, organization, user=user)
    allowed = statuses()
    pending_job(kind, organization, user=user)
    Membership.objects.all().delete()
    assert (allowed, statuses()) == (["Completed"], ["Dead Letter"])


def test_an_organizations_limit_holds(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 1}
    organization = make_organization()
    job_in("Running", organization=organization)
    pending_job(organization=organization)
    assert run_jobs() == []


def test_submitting_without_redis_is_no_error(both_ways: str) -> None:
    assert pending_job().status == "Pending"


def test_the_broker_from_before_is_back_after_a_run() -> None:
    before = verbs.get_broker()
    run_jobs()
    assert verbs.get_broker() is before


def test_captured_jobs_are_listed_and_wait(both_ways: str) -> None:
    with captured_jobs() as jobs:
        job = pending_job(parameters={"a": 1})
    assert jobs == [job]
    assert reread(job).status == "Pending"


def test_captured_jobs_are_seen_inside_the_block() -> None:
    with captured_jobs() as jobs:
        first, second = pending_job(), pending_job()
        assert jobs == [first, second]


def test_what_was_rolled_back_was_not_submitted(both_ways: str) -> None:
    with captured_jobs() as jobs, transaction.atomic():
        pending_job()
        transaction.set_rollback(True)
    assert jobs == []


def test_what_was_refused_was_not_submitted() -> None:
    with captured_jobs() as jobs, pytest.raises(InvalidSubmission):
        submit_job("unknown", make_organization())
    assert jobs == []


def test_nothing_is_captured_after_the_block() -> None:
    with captured_jobs() as jobs:
        pass
    pending_job()
    assert jobs == []


def test_captured_jobs_can_be_run(both_ways: str) -> None:
    with captured_jobs() as jobs:
        job = pending_job()
        assert statuses() == ["Completed"]
    assert jobs == [job]


class HostTest(TestCase):
    """The same in the class that most hosts use."""

    kind: JobType
    organization: Organization

    @classmethod
    def setUpTestData(cls) -> None:
        cls.kind = make_job_type("echo")
        cls.organization = make_organization()

    def test_a_job_runs(self) -> None:
        submit_job(self.kind, self.organization, {"a": 1})
        assert statuses() == ["Completed"]

    def test_a_job_runs_inside_a_block_that_captures_commits(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            submit_job(self.kind, self.organization, {"a": 1})
            assert statuses() == ["Completed"]
        assert Job.objects.get().status == "Completed"
