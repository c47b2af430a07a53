"""Traces: the submission is a span, each attempt another one that is linked to it and current in the handler."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import baggage, context
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from django_jobs import submit_for_each, submit_job, submit_jobs
from django_jobs.exceptions import DuplicateJob, JobTypeNotFound
from django_jobs.models import Job, JobType, Organization
from django_jobs.testing import run_jobs
from tests.support import verbs
from tests.support.brokers import reread
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.traced import MODULES, Spans, observed
from tests.support.verbs import CARRIED, MAX_METADATA_BYTES

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture(autouse=True)
def spans(settings: Any) -> Iterator[Spans]:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **MODULES}
    with observed() as found:
        yield found


def traced_type(handler: str = "tell_span", **fields: Any) -> JobType:
    return make_job_type(handler_method=f"tests.support.traced.{handler}", **fields)


def result_of(job: Job) -> dict[str, Any]:
    result = reread(job).result
    assert isinstance(result, dict)
    return result


def test_a_submission_is_a_span_of_the_submitters_trace(spans: Spans, organization: Organization) -> None:
    with spans.tracer.start_as_current_span("request") as request:
        job = submit_job(traced_type(), organization)
        assert get_current_span() is request
    span = spans.the("submit")
    assert (span.name, span.kind) == (f"submit {job.job_type_id}", SpanKind.PRODUCER)
    assert span.parent is not None
    assert span.parent.span_id == request.get_span_context().span_id
    assert dict(span.attributes or {}) == {
        "messaging.system": "django_jobs",
        "messaging.operation.name": "submit",
        "messaging.operation.type": "send",
        "messaging.destination.name": job.job_type_id,
        "messaging.message.id": job.name,
        "django_jobs.organization": organization.name,
    }


def test_an_attempt_is_the_root_of_another_trace_that_is_linked_to_the_submission(
    spans: Spans, organization: Organization
) -> None:
    with spans.tracer.start_as_current_span("request"):
        job = submit_job(traced_type(), organization)
    run_jobs()
    span, submitted = spans.the("run"), spans.the("submit").context
    assert (span.name, span.kind, span.parent) == (f"run {job.job_type_id}", SpanKind.CONSUMER, None)
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [
        (submitted.trace_id, submitted.span_id)
    ]
    assert span.context.trace_id != submitted.trace_id
    assert span.status.status_code == StatusCode.UNSET
    assert dict(span.attributes or {}) == {
        "messaging.system": "django_jobs",
        "messaging.operation.name": "run",
        "messaging.operation.type": "process",
        "messaging.destination.name": job.job_type_id,
        "messaging.message.id": job.name,
        "messaging.client.id": reread(job).worker_name,
        "django_jobs.organization": organization.name,
        "django_jobs.attempt": 1,
        "django_jobs.outcome": "completed",
    }


@pytest.mark.parametrize("handler", ["tell_span", "tell_span_async"])
def test_the_span_is_current_in_the_handler_and_in_what_it_starts(
    handler: str, spans: Spans, organization: Organization
) -> None:
    job = submit_job(traced_type(handler), organization)
    run_jobs()
    result, span = result_of(job), spans.the("run").context
    assert result["span_id"] == span.span_id
    assert set(result.get("others", [])) <= {span.span_id}


def test_baggage_reaches_the_handler(organization: Organization) -> None:
    token = context.attach(baggage.set_baggage("color", "green"))
    job = submit_job(traced_type(), organization)
    context.detach(token)
    run_jobs()
    assert result_of(job)["color"] == "green"


def test_each_attempt_is_a_span_and_a_failure_its_status(spans: Spans, organization: Organization) -> None:
    submit_job(make_job_type("fail_until_attempt", max_retries=2), organization, {"succeeds_at": 2})
    run_jobs(retries=True)
    failed, completed = spans.named("run")
    assert [span.attributes and span.attributes["django_jobs.attempt"] for span in (failed, completed)] == [1, 2]
    assert [span.status.status_code for span in (failed, completed)] == [StatusCode.ERROR, StatusCode.UNSET]
    assert [link.context for link in failed.links] == [link.context for link in completed.links]
    (event,) = failed.events
    assert event.attributes is not None
    assert failed.attributes is not None
    assert event.attributes["exception.type"] == failed.attributes["error.type"]
    assert "fail_until_attempt" in str(event.attributes["exception.stacktrace"])


@pytest.mark.parametrize(("by", "code"), [("JobTimedOut", StatusCode.ERROR), ("JobCanceled", StatusCode.UNSET)])
def test_a_timeout_is_a_failure_and_a_cancel_is_none(
    by: str, code: StatusCode, spans: Spans, organization: Organization
) -> None:
    submit_job(traced_type("be_ended"), organization, {"by": by})
    run_jobs()
    assert spans.the("run").status.status_code == code


def test_sensitive_values_are_masked_in_what_is_recorded(
    spans: Spans, organization: Organization, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("text",)}
    submit_job(traced_type("fail_with"), organization, {"text": "hunter22"})
    run_jobs()
    (event,) = spans.the("run").events
    assert "exception.message" in (event.attributes or {})
    assert "hunter22" not in json.dumps(dict(event.attributes or {}), default=str)


def test_all_jobs_of_one_call_are_linked_to_its_span(spans: Spans) -> None:
    kind = traced_type()
    names = [make_organization().name for _ in range(3)]
    submit_jobs([{"job_type": kind.pk, "organization": name} for name in names])
    submit_for_each(kind, names)
    run_jobs()
    many, each = spans.named("submit")
    assert [span.attributes and span.attributes["messaging.batch.message_count"] for span in (many, each)] == [3, 3]
    assert many.attributes is not None
    assert many.attributes["messaging.destination.name"] == kind.pk
    assert "django_jobs.organization" not in many.attributes
    linked = [link.context.span_id for span in spans.named("run") for link in span.links]
    assert sorted(linked) == sorted([many.context.span_id, each.context.span_id] * 3)


def test_what_a_handler_submits_belongs_to_the_trace_of_its_attempt(spans: Spans, organization: Organization) -> None:
    child = traced_type()
    submit_job(traced_type("submit_another"), organization, {"job_type": child.pk})
    run_jobs()
    parent, inner = spans.named("run")[0], spans.named("submit")[-1]
    assert inner.parent is not None
    assert (inner.parent.trace_id, inner.parent.span_id) == (parent.context.trace_id, parent.context.span_id)


def test_a_refused_submission_is_a_failed_span(spans: Spans, organization: Organization) -> None:
    kind = traced_type(deduplication_window=300)
    submit_job(kind, organization)
    with pytest.raises(DuplicateJob):
        submit_job(kind, organization)
    refused = spans.named("submit")[-1]
    assert refused.status.status_code == StatusCode.ERROR
    assert refused.attributes is not None
    assert refused.attributes["error.type"] == "django_jobs.exceptions.DuplicateJob"


def test_a_type_that_does_not_exist_names_no_span(spans: Spans, organization: Organization) -> None:
    with pytest.raises(JobTypeNotFound):
        submit_job("whatever somebody thinks of", organization)
    assert spans.the("submit").name == "submit"


def test_what_is_carried_counts_for_no_limit_and_no_handler_sees_it(organization: Organization) -> None:
    largest = {"text": "x" * (MAX_METADATA_BYTES - len('{"text": ""}'))}
    job = submit_job(traced_type(), organization, metadata=largest)
    run_jobs()
    job = reread(job)
    assert set(job.metadata) == {"text", CARRIED}
    assert set(job.metadata[CARRIED]) == {"traceparent"}
    assert result_of(job)["metadata"] == largest


def test_a_users_own_trace_context_reaches_no_handler(spans: Spans, organization: Organization) -> None:
    own = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "baggage": "color=blue"}
    job = submit_job(traced_type(), organization, metadata={CARRIED: own}, user=make_user(member_of=[organization]))
    run_jobs()
    (link,) = spans.the("run").links
    assert link.context.span_id == spans.the("submit").context.span_id
    assert result_of(job)["color"] is None


def test_a_trace_context_that_code_gave_stays(spans: Spans, organization: Organization) -> None:
    own = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    submit_job(traced_type(), organization, metadata={CARRIED: own})
    run_jobs()
    (link,) = spans.the("run").links
    assert f"{link.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("nonsense", ["text", {"traceparent": 7}, {"traceparent": "zz"}, ["traceparent"], None])
def test_nonsense_in_its_place_harms_no_job(nonsense: Any, spans: Spans, organization: Organization) -> None:
    job = submit_job(traced_type(), organization, metadata={CARRIED: nonsense})
    run_jobs()
    assert reread(job).status == "Completed"
    assert list(spans.the("run").links) == []


def test_an_observer_that_raises_harms_nobody(
    spans: Spans, organization: Organization, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (observer,) = verbs.all_observers()
    for name in ("submitting", "carried", "begin", "drain"):
        monkeypatch.setattr(observer, name, lambda *arguments: 1 / 0)
    job = submit_job(traced_type(), organization)
    run_jobs()
    verbs.drain_observers()
    assert reread(job).status == "Completed"
    assert "event=observer_failed" in caplog.text


def test_a_provider_that_exports_for_ever_is_waited_for_no_longer_than_is_said(
    spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    (observer,) = verbs.all_observers()
    given, may_end = [], threading.Event()

    def flush(milliseconds: int) -> None:
        given.append(milliseconds)
        may_end.wait(60)

    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: SimpleNamespace(force_flush=flush))
    started = time.monotonic()
    observer.drain(0.2)
    may_end.set()
    assert (given, time.monotonic() - started < 30) == ([200], True)


@pytest.mark.parametrize("odd", [{"key": 7}, {7: "key"}, {"key": None}, {"key": "a\x00b\ud800"}, 7])
def test_whatever_an_observer_wants_carried_a_job_is_submitted(
    odd: Any, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    (observer,) = verbs.all_observers()
    monkeypatch.setattr(observer, "carried", lambda: odd)
    job = submit_job(traced_type(), organization)
    run_jobs()
    assert reread(job).status == "Completed"


def test_an_exception_without_a_text_ends_its_attempts_span(spans: Spans, organization: Organization) -> None:
    submit_job(traced_type("fail_unspeakably", max_retries=0), organization)
    run_jobs()
    span = spans.the("run")
    assert span.status.status_code == StatusCode.ERROR
    assert str((span.attributes or {})["error.type"]).endswith("Unspeakable")


def test_without_a_tracer_nothing_is_carried(organization: Organization) -> None:
    verbs.remove_observer(verbs.all_observers()[0])
    assert submit_job(traced_type(), organization).metadata == {}


def test_without_a_tracer_the_key_is_the_hosts_own(organization: Organization) -> None:
    verbs.remove_observer(verbs.all_observers()[0])
    own = {CARRIED: {"request": "7"}}
    job = submit_job(traced_type(), organization, metadata=own)
    run_jobs()
    assert result_of(job)["metadata"] == own
