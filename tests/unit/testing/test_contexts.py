"""A context for calling a handler like any function."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone
from rest_framework import serializers

from django_jobs import JobCanceled, JobContext, ResultReference, job_handler
from django_jobs.exceptions import AttemptLost, InvalidStep, PermanentError
from django_jobs.models import Organization
from django_jobs.statuses import Priority
from django_jobs.testing import make_context
from django_jobs.values import BatchStatus
from tests.support import handlers, verbs
from tests.support.verbs import NotStorable

NOON = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)


def test_a_handler_is_called_like_any_function() -> None:
    assert handlers.echo(make_context({"a": 1})) == {"echo": {"a": 1}}


def test_it_is_the_context_that_handlers_get() -> None:
    assert isinstance(make_context(), JobContext)


def test_parameters_have_the_form_in_which_they_are_stored() -> None:
    assert make_context({"day": dt.date(2026, 1, 2), "pair": (1, 2)}).parameters == {
        "day": "2026-01-02",
        "pair": [1, 2],
    }


def test_without_parameters_there_are_none() -> None:
    context = make_context()
    assert (context.parameters, context.metadata, context.attempt, context.timeout_seconds) == ({}, {}, 1, 300)


def test_parameters_that_no_job_could_have_are_refused() -> None:
    with pytest.raises(NotStorable):
        make_context({"a": {1, 2}})


def test_the_test_says_what_matters_to_it(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, Any]] = [
        ("job_id", "JOB-2027-00007"),
        ("job_type", "report"),
        ("organization", "ACME"),
        ("metadata", {"trace": "1"}),
        ("attempt", 3),
        ("timeout_seconds", 5),
    ]
    for field, value in cases:
        with subtests.test(field=field, value=value):
            assert getattr(make_context(**{field: value}), field) == value


def test_another_field_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="attemt"):
        make_context(attemt=2)


def test_progress_is_recorded() -> None:
    context = make_context()
    handlers.report_progress(context)
    assert context.progress == [(0, "at 0"), (50, "at 50"), (100, "at 100")]


def test_a_saved_file_is_kept_in_memory() -> None:
    context = make_context({"text": "hello"})
    reference = handlers.save_text(context)["output_reference"]
    assert context.outputs == {reference: b"hello"}
    assert verbs.output_belongs_to(reference, context.organization, context.job_id)


@pytest.mark.parametrize("content", [b"abc", "abc", io.BytesIO(b"abc")], ids=["bytes", "text", "file"])
def test_every_kind_of_content_is_kept(content: Any) -> None:
    context = make_context()
    assert context.outputs[context.save_output("a.txt", content)] == b"abc"


def test_what_a_handler_submits_is_kept_as_a_job() -> None:
    context, later = make_context(organization="ACME"), timezone.now() + dt.timedelta(days=1)
    given: dict[str, Any] = {"run_at": later, "expires_at": later + dt.timedelta(days=1), "metadata": {"a": 1}}
    first = context.submit_job("report", {"day": dt.date(2026, 1, 2)}, priority="High", **given)
    second = context.submit_job("mail")
    assert (context.submitted, first.pk != second.pk) == ([first, second], True)
    assert (first.job_type_id, first.organization_name, first.priority) == ("report", "ACME", Priority.HIGH)
    assert first.input_parameters == {"day": "2026-01-02"}
    assert {name: getattr(first, name) for name in given} == given
    with pytest.raises(TypeError, match="prioritty"):
        context.submit_job("report", prioritty="High")  # type: ignore[call-arg]


def test_the_organization_may_be_an_instance() -> None:
    tenant = Organization(pk=7, name="ACME")
    context = make_context(organization=tenant)
    assert (context.organization, context.organization_pk, context.get_organization()) == ("ACME", 7, tenant)


def test_nobody_cancels_it() -> None:
    context = make_context()
    assert not context.is_canceled()
    with context.shielded():
        context.update_progress(1)


def test_a_test_may_cancel_it() -> None:
    context = make_context()
    context.cancel()
    assert context.is_canceled()
    with pytest.raises(JobCanceled):
        context.update_progress(50)


def test_without_a_serializer_the_validated_data_are_the_parameters() -> None:
    assert make_context({"a": 1}).validated_data == {"a": 1}


class Numbers(serializers.Serializer[Any]):
    day = serializers.DateField()


@pytest.fixture
def declared(nothing_declared: object) -> str:
    """A type whose parameters a serializer checks."""
    job_handler("dated", parameters=Numbers)(handlers.do_nothing)
    return "dated"


def test_the_validated_data_are_those_of_the_types_serializer(declared: str) -> None:
    context = make_context({"day": dt.date(2026, 1, 2)}, job_type=declared)
    assert context.validated_data == {"day": dt.date(2026, 1, 2)}


def test_invalid_parameters_have_no_validated_data(declared: str) -> None:
    with pytest.raises(PermanentError, match="day"):
        _ = make_context({"day": "never"}, job_type=declared).validated_data


def test_parents_are_given_as_they_would_be_read() -> None:
    assert make_context().parents == {}
    context = make_context(parents={"JOB-2026-00001": {"day": dt.date(2026, 1, 2)}, "JOB-2026-00002": None})
    assert context.parents == {"JOB-2026-00001": {"day": "2026-01-02"}, "JOB-2026-00002": None}
    with pytest.raises(NotStorable, match="JOB-2026-00001"):
        make_context(parents={"JOB-2026-00001": {1, 2}})


def test_a_reference_to_a_large_result_may_be_given() -> None:
    reference = ResultReference("JOB-2026-00001")
    assert make_context(parents={"JOB-2026-00001": reference}).parents == {"JOB-2026-00001": reference}


def test_the_job_is_owned_until_it_is_lost() -> None:
    context = make_context()
    assert context.still_owned()
    context.lose()
    assert not context.still_owned()


def test_steps_and_checkpoint_are_kept_in_memory() -> None:
    context = make_context()
    assert context.step("mail", lambda: (1, dt.date(2026, 1, 2))) == [1, "2026-01-02"]
    assert context.step("mail", lambda: None) is None
    context.checkpoint["page"] = 3
    assert context.saved_checkpoint == {}
    context.save_checkpoint()
    assert (context.steps, context.saved_checkpoint) == (
        {"mail": [1, "2026-01-02"], "mail #2": None},
        {"page": 3},
    )


def test_what_an_earlier_attempt_left_is_found() -> None:
    context = make_context(steps={"charge": {"id": "ch_1"}}, checkpoint={"page": 3})
    assert context.step("charge", lambda: {"id": "another"}) == {"id": "ch_1"}
    assert context.checkpoint == {"page": 3}
    with pytest.raises(InvalidStep):
        context.step("mail", lambda: {1, 2})


def test_coroutines_take_steps_too() -> None:
    async def fetch() -> str:
        return "page"

    async def handler(context: JobContext) -> None:
        await context.astep("fetch", fetch)
        await context.astep("parse", lambda: 7)
        context.checkpoint["done"] = True
        await context.asave_checkpoint()

    context = make_context()
    async_to_sync(handler)(context)
    assert (context.steps, context.saved_checkpoint) == ({"fetch": "page", "parse": 7}, {"done": True})


def test_an_attempt_that_lost_its_job_stores_nothing() -> None:
    context = make_context()
    context.lose()
    with pytest.raises(AttemptLost):
        context.step("charge", dict)
    with pytest.raises(AttemptLost):
        context.save_checkpoint()
    assert (context.steps, context.saved_checkpoint) == ({}, {})


def test_the_test_says_of_which_batch_a_job_is() -> None:
    assert (make_context().batch_id, make_context().batch) == (None, None)
    status = BatchStatus(
        batch_id="BATCH-2026-00001",
        name="",
        organization="ORG-1",
        owner="",
        state="Completed",
        total=1,
        by_status={"Completed": 1},
        progress=100,
        created_at=NOON,
        started_at=NOON,
        closed_at=NOON,
        completed_at=NOON,
        then_job=None,
        on_failure_job=None,
        fault="",
    )
    context = make_context(batch=status, batch_id="BATCH-2026-00001")
    assert (context.batch_id, context.batch) == ("BATCH-2026-00001", status)
