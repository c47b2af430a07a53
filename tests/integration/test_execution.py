"""Running a handler: whatever it does, an outcome, and a connection that the next job can use."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import translation
from rest_framework import serializers

from django_jobs import get_job_history, get_job_status, job_handler, submit_job
from django_jobs.engine import database, declarations, outcomes
from django_jobs.engine.execution import context_for, current_job, run
from django_jobs.engine.progress import ProgressBoard
from django_jobs.engine.settle import settle
from django_jobs.exceptions import JobCanceled, JobTimedOut, PermanentError, RetryLater, TransientError, WorkerStopping
from django_jobs.models import ExecutionLog, Job, JobType
from tests.support import handlers
from tests.support.brokers import WORKER, reread, running_job
from tests.support.factories import make_job_type, make_organization

# Real transactions, since the engine closes a connection whose transaction a handler left open.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


class FreeRunner:
    """Lets the handler run to its end."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, str | None]] = []

    def report(self, percent: int, message: str | None) -> None:
        self.reports.append((percent, message))

    def is_canceled(self) -> bool:
        return False

    def check(self) -> None:
        pass

    def interruptible(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    shielded = interruptible


def outcome_of(handler: Callable[[Any], Any], runner: Any = None, **fields: Any) -> Any:
    """How an attempt ends that runs ``handler``."""
    _, claimed = running_job(**fields)
    claimed.handler = handler
    return run(claimed, context_for(claimed, runner or FreeRunner()))


def raising(error: BaseException) -> Callable[[Any], Any]:
    def handler(context: Any) -> None:
        raise error

    return handler


def returning(value: Any) -> Callable[[Any], Any]:
    return lambda _: value


def test_a_handler_that_returns_nothing_has_no_result() -> None:
    outcome = outcome_of(returning(None))
    assert isinstance(outcome, outcomes.Returned)
    assert (outcome.result, outcome.output_reference) == (None, "")


def test_a_returned_dict_is_the_result_and_names_the_output() -> None:
    outcome = outcome_of(returning({"output_reference": "a/b.pdf", "rows": 3}))
    assert (outcome.result, outcome.output_reference) == ({"output_reference": "a/b.pdf", "rows": 3}, "a/b.pdf")


def test_an_async_handler_is_awaited() -> None:
    assert outcome_of(handlers.echo_async, parameters={"a": 1}).result == {"echo": {"a": 1}}


def test_the_time_it_took_is_measured() -> None:
    outcome = outcome_of(returning(None))
    assert 0 <= outcome.seconds < 60
    assert outcome.started > 0


@pytest.mark.parametrize(
    "value", [{"a": {1}}, {"a": b"1"}, {"a": float("nan")}, {"a": "\x00"}, {"a": "\ud800"}, [1], 7, "text"]
)
def test_a_result_that_cannot_be_stored_is_a_permanent_failure(value: Any) -> None:
    outcome = outcome_of(returning(value))
    assert isinstance(outcome, outcomes.Raised)
    assert outcome.kind == "Permanent"
    assert outcome.text


def test_a_result_that_is_too_large_is_a_permanent_failure(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_RESULT_BYTES": 10}
    assert "at most 10" in outcome_of(returning({"a": "x" * 20})).text


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (TransientError("later"), "Transient", "later"),
        (PermanentError("never"), "Permanent", "never"),
        (ValueError("secret"), "Transient", "ValueError"),
        (SystemExit(3), "Transient", "SystemExit"),
        (MemoryError(), "Transient", "MemoryError"),
    ],
    ids=repr,
)
def test_what_a_handler_raises_is_classified(error: BaseException, kind: str, text: str) -> None:
    outcome = outcome_of(raising(error))
    assert isinstance(outcome, outcomes.Raised)
    assert (outcome.kind, outcome.text) == (kind, text)
    assert type(error).__name__ in outcome.traceback


class Booby(Exception):
    """Whoever looks at it is in for it."""

    @property
    def response(self) -> Any:
        raise RuntimeError("no answer was read")


class Endless(RetryLater):
    def __init__(self) -> None:
        """Forgets to say when."""


@pytest.mark.parametrize("error", [Booby(), Endless()], ids=repr)
def test_an_error_that_fails_when_it_is_looked_at_is_a_failure_of_the_handler(error: Exception) -> None:
    outcome = outcome_of(raising(error))
    assert isinstance(outcome, outcomes.Raised)
    assert (outcome.kind, outcome.text) == ("Transient", type(error).__name__)
    assert type(error).__name__ in outcome.traceback


class Fatal(BaseException):
    """Of nobody's making but the handler's."""


@pytest.mark.parametrize("error", [Fatal("secret"), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_what_is_no_exception_is_an_unknown_error_too(error: BaseException) -> None:
    outcome = outcome_of(raising(error))
    assert isinstance(outcome, outcomes.Raised)
    assert (outcome.kind, outcome.text) == ("Transient", type(error).__name__)


def test_retry_later_postpones() -> None:
    outcome = outcome_of(raising(RetryLater(90, "closed")))
    assert isinstance(outcome, outcomes.Postponed)
    assert (outcome.delay, outcome.text) == (90, "closed")


@pytest.mark.parametrize(
    ("error", "kind"),
    [(JobCanceled(), outcomes.Canceled), (JobTimedOut(), outcomes.TimedOut), (WorkerStopping(), outcomes.Interrupted)],
    ids=repr,
)
def test_an_interruption_has_an_outcome_of_its_own(error: BaseException, kind: type) -> None:
    assert isinstance(outcome_of(raising(error)), kind)


def test_the_handler_gets_its_job_in_the_context() -> None:
    seen: list[Any] = []
    outcome = outcome_of(seen.append, parameters={"a": 1}, metadata={"b": 2})
    (context,) = seen
    assert (context.parameters, context.metadata, context.attempt) == ({"a": 1}, {"b": 2}, 1)
    assert (context.job_id, context.job_type) == (outcome.claimed.job_id, outcome.claimed.job_type)
    assert (context.organization, context.timeout_seconds) == (outcome.claimed.organization_name, 300)


def test_progress_is_kept_within_a_hundred_per_cent() -> None:
    def handler(context: Any) -> None:
        context.update_progress(-5)
        context.update_progress(49.9, "half\x00")
        context.update_progress(500, "x" * 300)

    runner = FreeRunner()
    outcome_of(handler, runner)
    assert runner.reports[:2] == [(0, None), (49, "half\ufffd")]
    assert (runner.reports[2][0], len(runner.reports[2][1] or "")) == (100, 255)


def test_a_job_knows_that_it_runs_only_while_it_runs() -> None:
    seen: list[Any] = []
    outcome = outcome_of(lambda _: seen.append(current_job.get()))
    assert seen == [outcome.claimed]
    assert current_job.get() is None


def test_a_transaction_that_a_handler_left_open_is_undone() -> None:
    def handler(context: Any) -> None:
        transaction.atomic().__enter__()

    outcome_of(handler)
    assert not connection.in_atomic_block
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_switched_off_autocommit_is_switched_on_again() -> None:
    def handler(context: Any) -> None:
        transaction.set_autocommit(False)

    outcome_of(handler)
    assert transaction.get_autocommit()


def test_a_closed_connection_is_no_trouble() -> None:
    assert isinstance(outcome_of(lambda _: connection.close()), outcomes.Returned)
    assert running_job()


def test_a_connection_that_was_closed_behind_djangos_back_is_dropped_and_made_anew() -> None:
    connection.ensure_connection()
    connection.connection.close()
    database.drop_connections()
    assert running_job()


def test_a_language_that_a_handler_activates_is_not_the_next_jobs() -> None:
    before = translation.get_language()
    outcome_of(lambda _: translation.activate("de"))
    assert translation.get_language() == before


def test_a_group_with_an_interruption_is_that_interruption() -> None:
    group = BaseExceptionGroup("all", [ValueError("secret"), BaseExceptionGroup("some", [JobTimedOut()])])
    assert isinstance(outcome_of(raising(group)), outcomes.TimedOut)


@pytest.mark.parametrize(
    "late",
    [lambda context: context.update_progress(50), lambda context: context.save_output("late.txt", "nobody's")],
    ids=["update_progress", "save_output"],
)
def test_what_a_handler_left_behind_is_told_that_the_attempt_has_ended(late: Callable[[Any], Any]) -> None:
    seen: list[Any] = []
    runner = FreeRunner()
    outcome_of(seen.append, runner)
    assert seen[0].is_canceled()
    with pytest.raises(JobCanceled):
        late(seen[0])
    assert runner.reports == []


class Loaves(serializers.Serializer[Any]):
    count = serializers.IntegerField()

    def validate_count(self, value: int) -> float:
        return 1 / value


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> JobType:
    """A type whose parameters code declares."""
    monkeypatch.setattr(declarations, "_declared", {})
    job_handler("bake", parameters=Loaves)(handlers.do_nothing)
    return make_job_type(type_name="bake")


def outcome_of_reading(kind: JobType, values: Any) -> Any:
    """How a handler ends that reads its data, of a job whose parameters were stored by an older release."""
    _, claimed = running_job(job_type=kind, parameters={"count": 2})
    claimed.parameters = values
    claimed.handler = lambda context: {"data": context.validated_data}
    return run(claimed, context_for(claimed, FreeRunner()))


def test_a_handler_gets_what_the_serializer_makes_of_its_parameters(declared: JobType) -> None:
    assert outcome_of_reading(declared, {"count": "2"}).result == {"data": {"count": 0.5}}


def test_parameters_that_are_no_longer_valid_are_a_permanent_failure(declared: JobType) -> None:
    outcome = outcome_of_reading(declared, {"count": "many"})
    assert (outcome.kind, outcome.text) == ("Permanent", "parameters.count: A valid integer is required.")


def test_a_serializer_that_breaks_is_a_failure_of_the_handler(declared: JobType) -> None:
    outcome = outcome_of_reading(declared, {"count": 0})
    assert (outcome.kind, outcome.text) == ("Transient", "ZeroDivisionError")


def test_a_stale_attempts_progress_is_refused_and_told() -> None:
    job, claimed = running_job()
    board = ProgressBoard()
    board.report((claimed.pk, claimed.attempt - 1), 50, "stale")
    board.report((claimed.pk, claimed.attempt), 70, "mine")
    assert board.flush() == {(claimed.pk, claimed.attempt - 1)}
    assert (reread(job).progress, reread(job).progress_message) == (70, "mine")


def settled(outcome: Any) -> Job:
    """The row of an attempt that ended so."""
    settle([outcome], WORKER)
    return Job.objects.get(pk=outcome.claimed.pk)


def told_to_tenants(job: Job) -> str:
    return f"{get_job_status(job).as_dict()} {get_job_history(job)}"


def test_what_an_unknown_error_says_is_for_system_admins_alone() -> None:
    job = settled(outcome_of(raising(ValueError("postgres://user:secret@db"))))
    assert job.error_message == "ValueError"
    assert "secret" not in told_to_tenants(job)
    assert "secret" in ExecutionLog.objects.get(job=job, to_status="Failed").traceback


def test_what_an_unknown_error_says_is_told_when_the_host_says_so(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SHOW_ERROR_TEXT": True}
    job = settled(outcome_of(raising(ValueError("no such month"))))
    assert job.error_message == "no such month"
    assert get_job_history(job)[-1]["message"] == "no such month"


@pytest.mark.parametrize(
    "error", [TransientError("the provider is away"), PermanentError("no such month"), ValidationError("no such month")]
)
def test_what_was_meant_for_tenants_stands_in_status_and_history(error: Exception) -> None:
    job = settled(outcome_of(raising(error), job_type=make_job_type(max_retries=0)))
    text = job.error_message
    assert text in {"the provider is away", "no such month"}
    assert text in [row["message"] for row in get_job_history(job)]


def asking(**fields: Any) -> Any:
    """How a handler ends that submits another job."""
    return outcome_of(handlers.ask_for_more, parameters=fields)


def test_a_handler_may_submit_jobs() -> None:
    outcome = asking(job_type=make_job_type().pk, organization=make_organization().name)
    assert Job.objects.by_id(outcome.result["job_id"]).status == "Queued"


def test_a_rate_limit_met_inside_a_handler_is_waited_for() -> None:
    kind, organization = make_job_type(rate_limit=1, rate_limit_window=50), make_organization()
    submit_job(kind, organization)
    outcome = asking(job_type=kind.pk, organization=organization.name)
    assert outcome.kind == "Transient"
    assert 40 < outcome.retry_after <= 50
    row = settled(outcome)
    assert (row.status, row.error_message[:17]) == ("Failed", "This organization")
    assert row.next_retry_at
    assert row.next_retry_at - database.now() <= dt.timedelta(seconds=50)


def test_a_full_backlog_met_inside_a_handler_is_waited_for(settings: Any) -> None:
    organization = make_organization()
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_BACKLOG_PER_ORGANIZATION": 1}
    submit_job(make_job_type(), organization, run_at=database.now() + dt.timedelta(hours=1))
    outcome = asking(job_type=make_job_type().pk, organization=organization.name)
    assert (outcome.kind, outcome.retry_after) == ("Transient", 10.0)


def test_the_same_work_submitted_again_inside_a_handler_fails_for_good() -> None:
    kind, organization = make_job_type(deduplication_window=60), make_organization()
    first = submit_job(kind, organization)
    row = settled(asking(job_type=kind.pk, organization=organization.name))
    assert (row.status, row.error_type) == ("Dead Letter", "Permanent")
    assert first.name in row.error_message


def test_what_is_refused_for_other_reasons_inside_a_handler_fails_for_good() -> None:
    row = settled(asking(job_type="no such type", organization=make_organization().name))
    assert (row.status, row.error_type) == ("Dead Letter", "Permanent")
    assert "no such type" in row.error_message
