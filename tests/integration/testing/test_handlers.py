"""Handlers in a host's tests: what they may do in the test's own process, also in a transaction that never commits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import connection, transaction

from django_jobs import cancel_job, submit_job
from django_jobs.exceptions import InvalidStep, PermanentError, RetryLater, TransientError
from django_jobs.models import JobType, Organization
from django_jobs.testing import run_jobs
from tests.support import handlers
from tests.support.brokers import pending_job, reread
from tests.support.factories import make_job_type, make_organization
from tests.support.refusals import refused

pytestmark = pytest.mark.usefixtures("without_redis")


@pytest.fixture
def does(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], JobType]:
    """A job type whose handler is the given function."""

    def make(function: Callable[[Any], Any], **fields: Any) -> JobType:
        function.__module__ = "tests.support.handlers"
        name = f"temporary_{function.__name__.strip('<>')}_{id(function)}"
        monkeypatch.setattr(handlers, name, function, raising=False)
        return make_job_type(name, **fields)

    return make


def statuses(**options: Any) -> list[str]:
    """How the jobs that run now end."""
    return [status.status for status in run_jobs(**options)]


def test_what_a_handler_submits_runs_too(both_ways: str, does: Any) -> None:
    kind, organization = make_job_type("echo"), make_organization()
    outer = does(lambda _: {"child": submit_job(kind.pk, organization.name, {"a": 1}).name})
    pending_job(outer, organization)
    parent, child = run_jobs()
    assert (parent.result, child.status) == ({"child": child.job_id}, "Completed")


def test_what_a_handler_left_for_its_commit_is_done(both_ways: str, does: Any) -> None:
    done: list[str] = []

    def leave(context: Any) -> None:
        transaction.on_commit(lambda: 1 / 0, robust=True)
        transaction.on_commit(lambda: done.append("mail"))

    pending_job(does(leave))
    assert (statuses(), done) == (["Completed"], ["mail"])


def test_what_the_test_itself_left_for_a_commit_is_not_done() -> None:
    done: list[str] = []
    transaction.on_commit(lambda: done.append("mail"))
    pending_job()
    run_jobs()
    assert done == []


def test_an_error_is_raised_when_asked_for(both_ways: str) -> None:
    job = pending_job(make_job_type("fail_unexpectedly"))
    with pytest.raises(ZeroDivisionError, match="secret text"):
        run_jobs(raise_errors=True)
    assert reread(job).status == "Failed"


def test_a_result_that_cannot_be_stored_is_raised_when_asked_for() -> None:
    pending_job(make_job_type("return_a_set"))
    with refused(PermanentError, "not_json"):
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


def test_a_statement_that_failed_outside_of_a_block_leaves_the_tests_transaction_usable(
    both_ways: str, does: Any
) -> None:
    def ask_nonsense(context: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")

    job = pending_job(does(ask_nonsense))
    run_jobs()
    assert reread(job).status == "Failed"


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


def test_progress_is_written(both_ways: str, does: Any) -> None:
    async def report(context: Any) -> None:
        context.update_progress(40, "at 40")
        raise TransientError("later")

    pending_job(make_job_type("report_progress"))
    pending_job(does(report))
    assert [status.progress_message for status in run_jobs()] == ["at 100", "at 40"]


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


def test_a_handler_that_was_canceled_does_no_further_step(both_ways: str, does: Any) -> None:
    done: list[int] = []

    def cancel_itself(context: Any) -> None:
        context.step("first", done.append, 1)
        cancel_job(context.job_id)
        context.step("second", done.append, 2)

    pending_job(does(cancel_itself))
    assert (statuses(), done) == (["Canceled"], [1])


def test_steps_that_are_done_are_not_done_again(both_ways: str, does: Any) -> None:
    done: list[str] = []

    def in_steps(context: Any) -> dict[str, Any]:
        context.step("charge", done.append, "charge")
        context.checkpoint["charged"] = context.attempt
        context.save_checkpoint()
        if context.attempt == 1:
            raise TransientError("again")
        context.step("book", transaction.atomic(done.append), "book")
        return dict(context.checkpoint)

    async def in_async_steps(context: Any) -> dict[str, Any]:
        await context.astep("charge", done.append, "charge")
        if context.attempt == 1:
            context.checkpoint["later"] = True
            raise RetryLater(0)
        return dict(context.checkpoint)

    for handler in (in_steps, in_async_steps):
        pending_job(does(handler))
    found = run_jobs(retries=True)
    assert [status.result for status in found] == [{"charged": 2}, {"later": True}]
    assert sorted(done) == ["book", "charge", "charge"]


def test_a_step_inside_the_handlers_own_transaction_is_refused(both_ways: str, does: Any) -> None:
    codes: list[str] = []

    def handler(context: Any) -> None:
        try:
            with transaction.atomic():
                context.step("charge", dict)
        except InvalidStep as error:
            codes.append(error.code)
            raise

    pending_job(does(handler))
    (status,) = run_jobs()
    assert codes == ["in_transaction"]
    assert (status.status, status.error_type) == ("Dead Letter", "Permanent")
