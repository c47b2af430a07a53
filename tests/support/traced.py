"""Spans of tests: an observer whose spans stay in memory, and handlers that look at their own."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import sync_to_async
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer
from sentry_sdk import logger as sentry_logs

from django_jobs import exceptions
from django_jobs.exceptions import PermanentError
from tests.support import verbs
from tests.support.verbs import Tracing

if TYPE_CHECKING:
    from django_jobs import JobContext

#: The setting under which these handlers may run.
MODULES: Final = {"HANDLER_MODULES": ("tests.support.traced", "tests.support.handlers")}


def tell_span(context: JobContext) -> dict[str, Any]:
    """Returns the ids of the span in which it runs, its baggage and its metadata."""
    return {**current(), "color": baggage.get_baggage("color"), "metadata": context.metadata}


def fail_with(context: JobContext) -> None:
    """Fails for good, with a text that quotes a parameter."""
    raise PermanentError(f"It was {context.parameters['text']}.")


class Unspeakable(Exception):
    """Cannot be turned into a text."""

    def __str__(self) -> str:
        raise ValueError("There are no words for it.")


def fail_unspeakably(context: JobContext) -> None:
    """Fails with an exception whose text raises."""
    raise Unspeakable(context.job_id)


def be_ended(context: JobContext) -> None:
    """Is ended from outside, by the interruption of this name."""
    raise getattr(exceptions, context.parameters["by"])


def tell_sentry(context: JobContext) -> None:
    """Tells Sentry something, with a crumb and a local variable."""
    text = context.parameters.get("text", "")
    logging.getLogger("shop").warning("crumb of %s", context.job_id)
    logging.getLogger("shop").error("told %s", text, stack_info=True)


class Letter:
    """Shows its text when it is shown."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Letter({self.text!r})"


def tell_sentry_in_many_ways(context: JobContext) -> None:
    """Tells Sentry two parameters as texts, numbers and objects, and what Python and JSON make of them; then fails."""
    text, number = context.parameters["text"], context.parameters["number"]
    given = {"number": number, "letter": Letter(text), "octets": text.encode(), text: [{"deep": (number, text)}]}
    given["given"] = given
    logging.getLogger("shop").error("told %s, %s and %r", number, text, Letter(text), extra=given)
    sentry_logs.warning("{number} of {text}", number=number, text=text)
    quoted = [json.dumps(text), repr([f"it's {text}"]), repr({"of": Letter(text)}), repr(text.encode())]
    raise PermanentError(f"No letter of {number}: {quoted!r}.")


def submit_another(context: JobContext) -> None:
    """Submits a job of the type that is named."""
    context.submit_job(context.parameters["job_type"])


async def tell_span_async(context: JobContext) -> dict[str, Any]:
    """Returns the ids of its span as its other tasks and threads see it."""
    await asyncio.sleep(0.01)  # neighbors run meanwhile
    in_task = await asyncio.create_task(_current_later())
    in_thread = await sync_to_async(current)()
    return {**current(), "others": [in_task["span_id"], in_thread["span_id"]]}


async def _current_later() -> dict[str, Any]:
    return current()


def current() -> dict[str, Any]:
    """The ids of the current span."""
    found = trace.get_current_span().get_span_context()
    return {"trace_id": found.trace_id, "span_id": found.span_id}


class Spans:
    """The spans that have ended since the observer was added; ``tracer`` makes those of the host."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = self.provider.get_tracer("tests")

    def named(self, beginning: str) -> list[ReadableSpan]:
        """Those whose names begin so, in the order in which they ended."""
        return [span for span in self._exporter.get_finished_spans() if span.name.startswith(beginning)]

    def the(self, beginning: str) -> ReadableSpan:
        """The one whose name begins so."""
        (span,) = self.named(beginning)
        return span


@contextmanager
def observed() -> Iterator[Spans]:
    """Have submissions and attempts traced inside the block."""
    spans = Spans()
    tracing = Tracing(spans.provider)
    verbs.add_observer(tracing)
    try:
        yield spans
    finally:
        verbs.remove_observer(tracing)
