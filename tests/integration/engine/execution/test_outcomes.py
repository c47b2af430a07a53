"""What a handler raises: its outcome, what tenants are told of it, and refusals of jobs that it submits."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from django_jobs import get_job_history, get_job_status, submit_job
from django_jobs.exceptions import (
    AttemptLost,
    JobCanceled,
    JobTimedOut,
    PermanentError,
    RetryLater,
    TransientError,
    WorkerStopping,
)
from django_jobs.models import ExecutionLog, Job
from tests.support import handlers, verbs
from tests.support.attempts import outcome_of, raising
from tests.support.brokers import WORKER
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import outcomes

# Real transactions, since the engine closes a connection whose transaction a handler left open.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


def test_what_a_handler_raises_is_classified(subtests: pytest.Subtests) -> None:
    cases: list[tuple[BaseException, str, str]] = [
        (TransientError("later"), "Transient", "later"),
        (PermanentError("never"), "Permanent", "never"),
        (ValueError("secret"), "Transient", "ValueError"),
        (SystemExit(3), "Transient", "SystemExit"),
        (MemoryError(), "Transient", "MemoryError"),
    ]
    for error, kind, text in cases:
        with subtests.test(error=error, kind=kind, text=text):
            outcome = outcome_of(raising(error))
            assert isinstance(outcome, outcomes.Raised)
            assert (outcome.kind, outcome.text) == (kind, text)
            assert type(error).__name__ in outcome.traceback


def test_an_unexpected_error_tells_its_place_and_one_made_for_readers_does_not() -> None:
    unexpected, expected = (outcome_of(raising(error)) for error in (KeyError("tax"), PermanentError("never")))
    assert isinstance(unexpected, outcomes.Raised)
    assert isinstance(expected, outcomes.Raised)
    assert unexpected.place == "tests.support.attempts.raising.<locals>.handler"
    assert expected.place == ""


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
    [
        (JobCanceled(), outcomes.Canceled),
        (JobTimedOut(), outcomes.TimedOut),
        (WorkerStopping(), outcomes.Interrupted),
        (AttemptLost(), outcomes.Interrupted),
    ],
    ids=repr,
)
def test_an_interruption_has_an_outcome_of_its_own(error: BaseException, kind: type) -> None:
    assert isinstance(outcome_of(raising(error)), kind)


def test_a_group_with_an_interruption_is_that_interruption() -> None:
    group = BaseExceptionGroup("all", [ValueError("secret"), BaseExceptionGroup("some", [JobTimedOut()])])
    assert isinstance(outcome_of(raising(group)), outcomes.TimedOut)


def settled(outcome: Any) -> Job:
    """The row of an attempt that ended so."""
    verbs.settle([outcome], WORKER)
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
    assert outcome.error.code == "rate_limited"
    row = settled(outcome)
    assert (row.status, row.error_message != "") == ("Failed", True)
    assert row.next_retry_at
    assert row.next_retry_at - verbs.now() <= dt.timedelta(seconds=50)


def test_a_full_backlog_met_inside_a_handler_is_waited_for(settings: Any) -> None:
    organization = make_organization()
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_BACKLOG_PER_ORGANIZATION": 1}
    submit_job(make_job_type(), organization, run_at=verbs.now() + dt.timedelta(hours=1))
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
