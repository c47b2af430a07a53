"""Running a handler: whatever it does, an outcome."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import translation
from rest_framework import serializers

from django_jobs import job_handler
from django_jobs.exceptions import JobCanceled, PermanentError
from django_jobs.models import Job, JobType
from tests.support import handlers, verbs
from tests.support.attempts import FreeRunner, outcome_of, raising, returning
from tests.support.brokers import WORKER, pending_job, reread, running_job
from tests.support.factories import make_job_type
from tests.support.verbs import Interpose, ProgressBuffer, outcomes

# Real transactions, since the engine closes a connection whose transaction a handler left open.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


def test_a_handler_that_returns_nothing_has_no_result() -> None:
    outcome = outcome_of(returning(None))
    assert isinstance(outcome, outcomes.Returned)
    assert (outcome.result, outcome.output_reference) == (None, "")


def test_a_returned_dict_is_the_result_and_names_the_output() -> None:
    outcome = outcome_of(returning({"output_reference": "a/b.pdf", "rows": 3}))
    assert (outcome.result, outcome.output_reference) == ({"output_reference": "a/b.pdf", "rows": 3}, "a/b.pdf")


def test_what_is_submitted_after_it_is_of_no_handler() -> None:
    outcome_of(returning(None))
    assert reread(pending_job()).submitted_by_id is None


def test_an_async_handler_is_awaited() -> None:
    assert outcome_of(handlers.echo_async, parameters={"a": 1}).result == {"echo": {"a": 1}}


def test_the_time_it_took_is_measured() -> None:
    outcome = outcome_of(returning(None))
    assert 0 <= outcome.seconds < 60
    assert outcome.started > 0


def test_a_result_that_cannot_be_stored_is_a_permanent_failure(subtests: pytest.Subtests) -> None:
    cases: list[Any] = [{"a": {1}}, {"a": b"1"}, {"a": float("nan")}, {"a": "\x00"}, {"a": "\ud800"}, [1], 7, "text"]
    for value in cases:
        with subtests.test(value=value):
            outcome = outcome_of(returning(value))
            assert isinstance(outcome, outcomes.Raised)
            assert outcome.kind == "Permanent"
            assert outcome.text


def test_a_result_that_is_too_large_is_a_permanent_failure(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_RESULT_BYTES": 10}
    outcome = outcome_of(returning({"a": "x" * 20}))
    assert (outcome.kind, outcome.error.code) == ("Permanent", "too_large")


def test_the_handler_gets_its_job_in_the_context() -> None:
    seen: list[Any] = []
    outcome = outcome_of(seen.append, parameters={"a": 1}, metadata={"b": 2})
    (context,) = seen
    assert (context.parameters, context.metadata, context.attempt) == ({"a": 1}, {"b": 2}, 1)
    assert (context.job_id, context.job_type) == (outcome.claimed.job_id, outcome.claimed.job_type)
    assert (context.organization, context.timeout_seconds) == (outcome.claimed.organization, 300)


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
    outcome = outcome_of(lambda _: seen.append(verbs.current_job.get()))
    assert seen == [outcome.claimed]
    assert verbs.current_job.get() is None


def test_a_language_that_a_handler_activates_is_not_the_next_jobs() -> None:
    before = translation.get_language()
    outcome_of(lambda _: translation.activate("de"))
    assert translation.get_language() == before


def test_the_precision_that_a_handler_sets_for_decimals_is_not_the_next_jobs() -> None:
    """All copies of a thread's context share the object that keeps it, once the thread has computed with decimals."""
    before = decimal.getcontext().prec
    seen: list[int] = []

    def handler(context: Any) -> None:
        decimal.getcontext().prec = 3
        seen.append(decimal.getcontext().prec)

    outcome_of(handler)
    assert seen == [3]
    assert decimal.getcontext().prec == before


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
    assert (runner.reports, seen[0].still_owned()) == ([], False)


def test_a_cancel_among_other_errors_of_a_handler_counts() -> None:
    errors = BaseExceptionGroup("both", [ValueError("its task"), BaseExceptionGroup("inner", [JobCanceled()])])
    assert isinstance(outcome_of(raising(errors)), outcomes.Canceled)


class Loaves(serializers.Serializer[Any]):
    count = serializers.IntegerField()

    def validate_count(self, value: int) -> float:
        return 1 / value


@pytest.fixture
def declared(nothing_declared: object) -> JobType:
    """A type whose parameters code declares."""
    job_handler("bake", parameters=Loaves)(handlers.do_nothing)
    return make_job_type(type_name="bake")


def outcome_of_reading(kind: JobType, values: Any) -> Any:
    """How a handler ends that reads its data, of a job whose parameters were stored by an older release."""
    _, claimed = running_job(job_type=kind, parameters={"count": 2})
    claimed.parameters = values
    claimed.handler = lambda context: {"data": context.validated_data}
    return verbs.run(claimed, verbs.context_for(claimed, FreeRunner()))


def test_a_handler_gets_what_the_serializer_makes_of_its_parameters(declared: JobType) -> None:
    assert outcome_of_reading(declared, {"count": "2"}).result == {"data": {"count": 0.5}}


def test_parameters_that_are_no_longer_valid_are_a_permanent_failure(declared: JobType) -> None:
    outcome = outcome_of_reading(declared, {"count": "many"})
    assert (outcome.kind, type(outcome.error)) == ("Permanent", PermanentError)
    assert outcome.text.startswith("parameters.count: ")


def test_a_serializer_that_breaks_is_a_failure_of_the_handler(declared: JobType) -> None:
    outcome = outcome_of_reading(declared, {"count": 0})
    assert (outcome.kind, outcome.text) == ("Transient", "ZeroDivisionError")


def test_a_stale_attempts_progress_is_refused_and_told() -> None:
    job, claimed = running_job()
    buffer = ProgressBuffer(WORKER)
    buffer.report((claimed.pk, claimed.attempt - 1), 50, "stale")
    buffer.report((claimed.pk, claimed.attempt), 70, "mine")
    assert buffer.flush() == {(claimed.pk, claimed.attempt - 1)}
    assert (reread(job).progress, reread(job).progress_message) == (70, "mine")


def test_progress_of_a_job_that_another_worker_runs_under_the_same_number_is_refused_and_told() -> None:
    job, claimed = running_job()
    Job.objects.filter(pk=job.pk).update(worker_name="another worker")
    buffer = ProgressBuffer(WORKER)
    buffer.report((claimed.pk, claimed.attempt), 70, "not mine")
    assert buffer.flush() == {(claimed.pk, claimed.attempt)}
    assert (reread(job).progress, reread(job).progress_message) == (0, "")


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([(80, "eighty")], (80, "eighty")),
        ([(80, "eighty"), (90, None)], (90, "eighty")),
        ([(80, "a"), (9, "b")], (9, "b")),
    ],
)
def test_what_is_being_written_when_the_attempt_ends_is_stored_with_its_end(
    interpose: Interpose, reports: list[tuple[int, str | None]], expected: tuple[int, str]
) -> None:
    _, claimed = running_job()
    key, buffer = (claimed.pk, claimed.attempt), ProgressBuffer(WORKER)
    found: list[object] = []

    def write(*arguments: Any) -> None:
        for percent, message in reports[1:]:
            buffer.report(key, percent, message)
        found.append(buffer.drop(key))  # the end holds the row

    buffer.report(key, *reports[0])
    interpose("write_progress", write)
    buffer.flush()
    assert found == [expected]


def test_progress_that_could_not_be_written_is_written_the_next_time_or_what_is_newer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (first, one), (second, two) = running_job(), running_job()
    buffer = ProgressBuffer(WORKER)
    buffer.report((one.pk, one.attempt), 30, "thirty")
    buffer.report((two.pk, two.attempt), 40, "forty")

    def write(*arguments: Any) -> bool:
        buffer.report((two.pk, two.attempt), 50, "fifty")
        raise OperationalError("gone")

    with monkeypatch.context() as patch:
        Interpose(patch)("write_progress", write)
        with pytest.raises(OperationalError):
            buffer.flush()

    assert buffer.flush() == set()
    assert (reread(first).progress_message, reread(second).progress_message) == ("thirty", "fifty")
