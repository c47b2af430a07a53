"""The helpers for a host's tests: jobs run in the test's own process, also in a transaction that never commits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.test import TestCase

from django_jobs import cancel_job, get_job_history, get_job_status, submit_job
from django_jobs.engine import database
from django_jobs.engine.ports import get_broker, use_broker
from django_jobs.exceptions import InvalidSubmission, PermanentError, RetryLater, TransientError
from django_jobs.models import Job, JobType, Membership, Organization
from django_jobs.testing import captured_jobs, run_jobs
from tests.support import handlers
from tests.support.brokers import job_in, pending_job, queue_up, reread
from tests.support.commands import DeadBroker
from tests.support.factories import make_job_type, make_organization, make_user


@pytest.fixture
def does(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], JobType]:
    """A job type whose handler is the given function."""

    def make(function: Callable[[Any], Any], **fields: Any) -> JobType:
        function.__module__ = "tests.support.handlers"
        name = f"temporary_{function.__name__.strip('<>')}_{id(function)}"
        monkeypatch.setattr(handlers, name, function, raising=False)
        return make_job_type(name, **fields)

    return make


@pytest.fixture(params=["in a transaction", pytest.param("committed", marks=pytest.mark.django_db(transaction=True))])
def both_ways(request: pytest.FixtureRequest) -> str:
    """The test runs twice: in a transaction that never commits, and with real commits."""
    return str(request.param)


@pytest.fixture(autouse=True)
def without_redis() -> Any:
    """What a host's test would find: no Redis."""
    broker: Any = DeadBroker()
    use_broker(broker)
    yield
    use_broker(None)


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


def test_what_a_handler_submits_runs_too(both_ways: str, does: Any) -> None:
    kind, organization = make_job_type("echo"), make_organization()
    outer = does(lambda _: {"child": submit_job(kind.pk, organization.name, {"a": 1}).name})
    pending_job(outer, organization)
    parent, child = run_jobs()
    assert (parent.result, child.status) == ({"child": child.job_id}, "Completed")


def test_what_a_handler_left_for_its_commit_is_done(both_ways: str, does: Any) -> None:
    done: list[str] = []
    pending_job(does(lambda _: transaction.on_commit(lambda: done.append("mail"))))
    run_jobs()
    assert done == ["mail"]


def test_what_the_test_itself_left_for_a_commit_is_not_done() -> None:
    done: list[str] = []
    transaction.on_commit(lambda: done.append("mail"))
    pending_job()
    run_jobs()
    assert done == []


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


def test_an_error_is_raised_when_asked_for(both_ways: str) -> None:
    job = pending_job(make_job_type("fail_unexpectedly"))
    with pytest.raises(ZeroDivisionError, match="secret text"):
        run_jobs(raise_errors=True)
    assert reread(job).status == "Failed"


def test_a_result_that_cannot_be_stored_is_raised_when_asked_for() -> None:
    pending_job(make_job_type("return_a_set"))
    with pytest.raises(PermanentError, match="The result"):
        run_jobs(raise_errors=True)


def test_asking_for_another_run_is_no_error(does: Any) -> None:
    def later(context: Any) -> None:
        raise RetryLater(60)

    pending_job(does(later))
    (status,) = run_jobs(raise_errors=True, retries=True)
    assert (status.status, status.waiting_for) == ("Pending", "run_at")


def test_an_interrupt_from_the_keyboard_ends_the_run(does: Any) -> None:
    def interrupted(context: Any) -> None:
        raise KeyboardInterrupt

    pending_job(does(interrupted))
    with pytest.raises(KeyboardInterrupt):
        run_jobs()


def test_what_a_failing_handler_wrote_stays_as_it_would(both_ways: str, does: Any) -> None:
    def write_and_fail(context: Any) -> None:
        make_organization(name="WRITTEN")
        raise TransientError("later")

    pending_job(does(write_and_fail))
    run_jobs()
    assert Organization.objects.filter(name="WRITTEN").exists()


def test_an_error_of_the_database_leaves_the_tests_transaction_usable(both_ways: str, does: Any) -> None:
    def clash(context: Any) -> None:
        Organization.objects.create(pk=context.parameters["pk"], name="TWICE")

    organization = make_organization()
    job = pending_job(does(clash), organization, parameters={"pk": organization.pk})
    run_jobs()
    assert (reread(job).status, reread(job).error_message) == ("Failed", "IntegrityError")


def test_a_broken_transaction_of_the_handler_is_not_the_tests(does: Any) -> None:
    def break_it(context: Any) -> None:
        transaction.set_rollback(True)

    pending_job(does(break_it))
    assert statuses() == ["Completed"]


def test_a_transaction_that_the_handler_left_open_is_rolled_back(both_ways: str, does: Any) -> None:
    def leave_open(context: Any) -> None:
        transaction.atomic().__enter__()
        make_organization(name="NEVER")

    pending_job(does(leave_open))
    depth = len(connection.atomic_blocks)
    assert statuses() == ["Completed"]
    assert len(connection.atomic_blocks) == depth
    assert not Organization.objects.filter(name="NEVER").exists()


def test_an_async_handler_runs(both_ways: str) -> None:
    pending_job(make_job_type("echo_async"), parameters={"a": 1})
    assert run_jobs()[0].result == {"echo": {"a": 1}}


def test_an_async_handler_sees_the_tests_rows(both_ways: str, does: Any) -> None:
    async def count(context: Any) -> dict[str, int]:
        return {"count": await Organization.objects.acount()}

    pending_job(does(count))
    assert run_jobs()[0].result == {"count": 1}


def test_progress_is_written() -> None:
    pending_job(make_job_type("report_progress"))
    assert run_jobs()[0].progress_message == "at 100"


def test_a_file_is_saved() -> None:
    pending_job(make_job_type("save_text"), parameters={"text": "hello"})
    reference = run_jobs()[0].output_reference
    assert reference
    with default_storage.open(reference) as file:
        assert file.read() == b"hello"


def test_a_handler_is_told_of_a_cancel_when_it_reports(both_ways: str, does: Any) -> None:
    def cancel_itself(context: Any) -> None:
        cancel_job(context.job_id)
        context.update_progress(50)
        raise AssertionError("it should have been stopped")

    pending_job(does(cancel_itself))
    assert statuses() == ["Canceled"]


def test_a_delayed_job_is_not_ready() -> None:
    pending_job(run_at=database.now() + dt.timedelta(hours=1))
    assert run_jobs() == []


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
    before = get_broker()
    run_jobs()
    assert get_broker() is before


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
