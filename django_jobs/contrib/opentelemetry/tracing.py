"""Spans of submissions and attempts, by OpenTelemetry's semantic conventions for messaging.

A submission is a span of kind PRODUCER. Its context travels in the job's metadata. Each attempt is a span of kind
CONSUMER that begins a trace of its own and is linked to that of the submission: a job may run days later, and more than
once. The attempt's span is the current one in the handler.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider

from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.observers import Ending, Submission, carried_by
from django_jobs.exceptions import InvalidSubmission

SYSTEM: Final = "django_jobs"
#: How attempts end that are failures.
FAILURES: Final = frozenset({"failed", "timed_out"})


class Tracing:
    """The observer that makes spans, with whatever tracer provider and propagator the host has set by then."""

    carries = True

    def __init__(self, provider: TracerProvider | None = None) -> None:
        """Make spans with this provider; without one, with the host's global one, also where that is set later."""
        self._tracer = trace.get_tracer("django_jobs", tracer_provider=provider)

    def submitting(self, submission: Submission) -> Callable[[BaseException | None], None]:
        """Begin the span of a submission, and make it the current one."""
        attributes = _facts("submit", "send", submission.job_type)
        if submission.count is not None:
            attributes["messaging.batch.message_count"] = submission.count
        name = f"submit {submission.job_type}".rstrip()
        span = self._tracer.start_span(name, kind=SpanKind.PRODUCER, attributes=attributes)
        token = otel_context.attach(trace.set_span_in_context(span))

        def end(error: BaseException | None) -> None:
            otel_context.detach(token)
            with _ending(span):
                if error is not None:
                    if isinstance(error, InvalidSubmission) and "job_type" in error.errors:
                        span.update_name("submit")  # there is no such type: anybody may ask for any name
                    _fail(span, error, "")
                elif span.is_recording():
                    _tell_jobs(span, submission)

        return end

    def carried(self) -> Mapping[str, str]:
        """Return the current context as the host's propagator writes it."""
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return carrier

    def begin(self, claimed: Claimed) -> Callable[[Ending], None]:
        """Begin the span of an attempt, and make it the current one of the handler. Baggage comes from the submission.

        The context in which this is called ends with the handler, so nothing is detached.
        """
        brought = propagate.extract(carried_by(claimed.metadata), context=Context())
        source = trace.get_current_span(brought).get_span_context()
        root = trace.set_span_in_context(trace.INVALID_SPAN, brought)
        span = self._tracer.start_span(
            f"run {claimed.job_type}",
            context=root,
            kind=SpanKind.CONSUMER,
            attributes=_facts("run", "process", claimed.job_type) | _facts_of_attempt(claimed),
            links=[Link(source)] if source.is_valid else [],
        )
        otel_context.attach(trace.set_span_in_context(span, root))

        def end(ending: Ending) -> None:
            with _ending(span):
                span.set_attribute("django_jobs.outcome", ending.outcome)
                if ending.outcome in FAILURES:
                    _fail(span, ending.error, ending.text)
                    if ending.error is not None and span.is_recording():
                        _record(span, ending.error, claimed.mask)

        return end

    def drain(self, timeout: float) -> None:
        """Have the provider export what it holds, for at most ``timeout`` seconds: its own flush may take longer."""
        flush = getattr(trace.get_tracer_provider(), "force_flush", None)
        if flush is None:
            return
        thread = threading.Thread(target=flush, args=[int(timeout * 1000)], daemon=True)
        thread.start()
        thread.join(timeout)


@contextlib.contextmanager
def _ending(span: Span) -> Iterator[None]:
    """End the span after the block, also where that raises: a span that does not end is sent to nobody."""
    try:
        yield
    finally:
        span.end()


def _facts(operation: str, kind: str, job_type: str) -> dict[str, Any]:
    facts = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
    }
    return facts | ({"messaging.destination.name": job_type} if job_type else {})


def _facts_of_attempt(claimed: Claimed) -> dict[str, Any]:
    return {
        "messaging.message.id": claimed.job_id,
        "messaging.client.id": claimed.worker_name,
        "django_jobs.organization": claimed.organization,
        "django_jobs.attempt": claimed.attempt,
    }


def _tell_jobs(span: Span, submission: Submission) -> None:
    """Tell the id of the job, and what all the jobs of a call for many have in common."""
    names = {job.job_type_id for job in submission.jobs}
    if len(names) == 1:
        span.set_attribute("messaging.destination.name", str(next(iter(names))))
    organizations = {job.organization_name for job in submission.jobs}
    if len(organizations) == 1:
        span.set_attribute("django_jobs.organization", next(iter(organizations)))
    if submission.count is None and submission.jobs:
        span.set_attribute("messaging.message.id", submission.jobs[0].name)


def _fail(span: Span, error: BaseException | None, text: str) -> None:
    span.set_status(Status(StatusCode.ERROR, text or None))
    span.set_attribute("error.type", "_OTHER" if error is None else _name_of(type(error)))


def _name_of(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _record(span: Span, error: BaseException, mask: Callable[[str], str]) -> None:
    """Record the exception. The values of SENSITIVE_PARAMETERS are masked where its texts quote them."""
    trace_text = "".join(traceback.format_exception(error))
    told = {"exception.message": mask(str(error)), "exception.stacktrace": mask(trace_text)}
    span.record_exception(error, attributes=told)


TRACER: Final = Tracing()
