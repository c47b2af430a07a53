"""Running a claimed job's handler and saying how it ended. Writes nothing but what the handler itself writes."""

from __future__ import annotations

import asyncio
import inspect
import time
import traceback
from contextvars import ContextVar
from typing import Any

from django.db import connections

from django_jobs.conf import jobs_settings
from django_jobs.engine import database, outcomes, retry
from django_jobs.engine.claim import Claimed
from django_jobs.engine.context import JobContext, Runner
from django_jobs.engine.payloads import NotStorable, clean_text, storable
from django_jobs.exceptions import JobCanceled, JobTimedOut, RetryLater, WorkerStopping

current_job: ContextVar[Claimed | None] = ContextVar("django_jobs_current_job", default=None)

MAX_TRACEBACK = 60_000


def run(claimed: Claimed, context: JobContext) -> outcomes.Outcome:
    """Run the handler to its end, whatever it does, and return how that was."""
    started = time.monotonic()
    token = current_job.set(claimed)
    try:
        with context.interruptible():
            value = _call(claimed, context)
        ended = _returned(claimed, value)
    except JobCanceled:
        ended = outcomes.Canceled(claimed=claimed)
    except JobTimedOut:
        ended = outcomes.TimedOut(claimed=claimed, traceback=_traceback())
    except WorkerStopping:
        ended = outcomes.Interrupted(claimed=claimed, text="The worker was shut down")
    except RetryLater as error:
        ended = outcomes.Postponed(claimed=claimed, delay=error.seconds, text=retry.readable(error))
    except BaseException as error:  # noqa: BLE001  (no worker dies of a handler, not even of its SystemExit)
        ended = _raised(claimed, error)
    finally:
        current_job.reset(token)
    _restore_connections(interrupted=isinstance(ended, outcomes.Canceled | outcomes.TimedOut | outcomes.Interrupted))
    seconds = time.monotonic() - started
    object.__setattr__(ended, "seconds", seconds)
    object.__setattr__(ended, "started", started)
    return ended


def context_for(claimed: Claimed, runner: Runner) -> JobContext:
    """The context that the handler of this attempt gets."""
    return JobContext(
        job_id=claimed.job_id,
        job_type=claimed.job_type,
        organization=claimed.organization_name,
        organization_pk=claimed.organization_pk,
        parameters=claimed.parameters,
        metadata=claimed.metadata,
        attempt=claimed.attempt,
        timeout_seconds=claimed.timeout_seconds,
        runner=runner,
    )


def _call(claimed: Claimed, context: JobContext) -> Any:
    value = claimed.handler(context)
    if inspect.iscoroutine(value):
        return asyncio.run(value)
    return value


def _returned(claimed: Claimed, value: Any) -> outcomes.Outcome:
    """What the handler returned, if it can be stored; Dead Letter with the reason if not."""
    if value is None:
        return outcomes.Returned(claimed=claimed)
    if not isinstance(value, dict):
        text = f"The handler returned {type(value).__name__}; it must return a dict or None."
        return outcomes.Raised(claimed=claimed, kind=retry.PERMANENT, text=text)
    try:
        result = storable(value, "The result", int(jobs_settings.MAX_RESULT_BYTES))
    except NotStorable as error:
        return outcomes.Raised(claimed=claimed, kind=retry.PERMANENT, text=str(error))
    reference = result.get("output_reference") or ""
    return outcomes.Returned(claimed=claimed, result=result, output_reference=clean_text(reference))


def _raised(claimed: Claimed, error: BaseException) -> outcomes.Raised:
    verdict = retry.classify(error)
    return outcomes.Raised(
        claimed=claimed,
        kind=verdict.kind,
        text=verdict.text,
        traceback=_traceback(),
        retry_after=verdict.retry_after,
    )


def _traceback() -> str:
    text = clean_text(traceback.format_exc())
    return text if len(text) <= MAX_TRACEBACK else "…" + text[-MAX_TRACEBACK:]


def _restore_connections(*, interrupted: bool) -> None:
    """A handler may leave a transaction open or a connection broken; the next job must not inherit that.

    An interruption may have come in the middle of a query, after which a connection's state is unknown.
    """
    for connection in connections.all(initialized_only=True):
        if interrupted or connection.in_atomic_block or not connection.get_autocommit():
            # Closing inside an atomic block only marks it; forget the block first.
            connection.in_atomic_block = False
            connection.savepoint_ids = []
            connection.needs_rollback = False
            connection.run_on_commit = []
            connection.close()
    database.mend_connections()
