"""Running a claimed job's handler and returning how it ended. Only the handler itself writes to the database."""

from __future__ import annotations

import contextvars
import decimal
import inspect
import logging
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

from django.db import connections

from django_jobs.conf import jobs_settings
from django_jobs.engine import observers
from django_jobs.engine.claimed_job import Claimed, current_job
from django_jobs.engine.execution import coroutines, handler_logs, outcomes
from django_jobs.engine.execution.context import MAX_REFERENCE, JobContext
from django_jobs.engine.job_types.masking import mask_of
from django_jobs.engine.json_storage import NotStorable, clean_text, storable
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store_of
from django_jobs.exceptions import AttemptLost, Interruption, JobCanceled, JobTimedOut, RetryLater, WorkerStopping
from django_jobs.texts import say

logger = logging.getLogger("django_jobs")

# The connections that a handler leaves behind: fit for the next job, or closed.


def restore_connections(*, interrupted: bool) -> None:
    """Close connections that a handler left in a transaction or broken, so that the next job gets fit ones.

    An interruption may have come in the middle of a query: then the state of a connection is unknown. Nothing here
    opens a connection, and no error here replaces the handler's outcome: the database may be away.
    """
    for connection in connections.all(initialized_only=True):
        try:
            if interrupted or not _is_fit(connection):
                _drop(connection)
        except Exception:
            logger.exception("event=connection_abandoned alias=%s", connection.alias)
            connection.connection = None


def _is_fit(connection: Any) -> bool:
    """Return whether the connection is closed, or the next job may use it as it is."""
    if connection.in_atomic_block:
        return False
    if connection.connection is None:
        return True
    if not connection.autocommit:
        return False
    if connection.errors_occurred:
        connection.errors_occurred = not connection.is_usable()
    return not connection.errors_occurred


def _drop(connection: Any) -> None:
    store = store_of(connection.alias)
    if store.knows_activity:
        store.end_statement(connection)  # else the server goes on with it
    # In an atomic block, closing only marks the connection, so the block is forgotten first. A new one resets the rest.
    connection.in_atomic_block = connection.closed_in_transaction = False
    database.drop(connection)


# Running a claimed job's handler and returning how it ended. Only the handler itself writes to the database.


MAX_TRACEBACK = 60_000
ATTEMPT_LOST: Final = say("Requeued: its worker could not be sure to own it", code="attempt_lost")


def run_handler(claimed: Claimed, context: JobContext) -> outcomes.Outcome:
    """Run the handler and return how it ended. Its connections are made fit for the next job."""
    ended = attempt_handler(claimed, context)
    restore_connections(interrupted=type(ended) in {outcomes.Canceled, outcomes.TimedOut, outcomes.Interrupted})
    return ended


def attempt_handler(claimed: Claimed, context: JobContext) -> outcomes.Outcome:
    """Run the handler and return how it ended. Its connections stay as it left them, for a test's transaction."""
    started = time.monotonic()
    if (expired := _expired(claimed, started)) is not None:
        return expired
    claimed.mask = mask_of(claimed.parameters)
    if jobs_settings.HANDLER_LOGS is not None:
        handler_logs.begin(claimed)
    token = current_job.set(claimed)
    try:
        # A copy of the context, so that a language or time zone that a handler activates is not the next one's.
        own = contextvars.copy_context()
        own.run(observers.begin, claimed)
        with context.interruptible():
            value = own.run(_call, claimed, context)
        ended: outcomes.Outcome = _returned(claimed, value)
    except BaseException as error:  # noqa: BLE001  (no worker dies of a handler, not even of its SystemExit)
        ended = ended_by(claimed, error)
    finally:
        current_job.reset(token)
    return _with_facts(ended, context, started)


async def attempt_beside_others(
    claimed: Claimed,
    context: JobContext,
    neighborhood: coroutines.Neighborhood,
    begin: Callable[[], outcomes.Outcome | None],
    end: Callable[[], object],
) -> outcomes.Outcome:
    """Run a coroutine function in the loop that runs already, and return how it ended.

    The calling task is one of its own, whose context nobody else uses. ``begin`` is called right before the handler's
    first line, and returns why it must not run, if so. ``end`` is called right after its last line if nothing of it
    goes on; then the neighbors run, or begin.
    """
    started, refused = time.monotonic(), None

    async def handle() -> Any:
        nonlocal started, refused
        started = time.monotonic()
        refused = begin() or _expired(claimed, started)
        if refused is not None:
            return None
        observers.begin(claimed)
        try:
            return await claimed.handler(context)
        finally:
            if neighborhood.leaves_nothing():
                end()

    claimed.mask = mask_of(claimed.parameters)
    if jobs_settings.HANDLER_LOGS is not None:
        handler_logs.begin(claimed)
    current_job.set(claimed)
    try:
        with context.interruptible():
            value = await coroutines.beside_others(handle(), neighborhood, context.remind)
        ended: outcomes.Outcome = _returned(claimed, value)
    except BaseException as error:  # noqa: BLE001  (no loop ends with a handler, not even with its SystemExit)
        ended = ended_by(claimed, error)
    return refused or _with_facts(ended, context, started)


def _expired(claimed: Claimed, now: float) -> outcomes.NotBegun | None:
    """Return the end of a job that waited behind another one until it expired; its next claim ends it."""
    if claimed.row.starts_before is None or now < claimed.row.starts_before:
        return None
    return outcomes.NotBegun(claimed=claimed, text=say("Requeued before it began: it has expired", code="expired"))


def _with_facts(ended: outcomes.Outcome, context: JobContext, started: float) -> outcomes.Outcome:
    ended.seconds = time.monotonic() - started
    ended.started = started
    if ended.claimed.log_lines is not None:
        ended.log = handler_logs.end(ended.claimed)
    ended.saved_nothing = not context.has_saved
    if isinstance(ended, outcomes.Interrupted | outcomes.Postponed):
        ended.checkpoint = context.unsaved_checkpoint()
    if ended.claimed.observed:
        observers.end(ended.claimed, observers.Ending(ended.word, ended.text, ended.error))
    return ended


def _essence(error: BaseException) -> BaseException:
    """Return the interruption in an exception group, or the only error in it; else the group."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    errors = _leaves(error)
    interruptions = [leaf for leaf in errors if isinstance(leaf, Interruption)]
    return next(iter(interruptions), errors[0] if len(errors) == 1 else error)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    nested = [_leaves(item) if isinstance(item, BaseExceptionGroup) else [item] for item in group.exceptions]
    return [leaf for leaves in nested for leaf in leaves]


def ended_by(claimed: Claimed, error: BaseException) -> outcomes.Outcome:
    """Return the outcome of an attempt that this error ended; to be called while the error is handled."""
    try:
        return _judged(claimed, _essence(error))
    except Exception:  # noqa: BLE001  (an exception whose own attributes raise)
        name = type(error).__name__
        return outcomes.Raised(
            claimed=claimed, kind=outcomes.TRANSIENT, text=name, traceback=_traceback(claimed.mask), error=error
        )


def _judged(claimed: Claimed, error: BaseException) -> outcomes.Outcome:
    match error:
        case AttemptLost():
            return outcomes.Interrupted(claimed=claimed, text=ATTEMPT_LOST)
        case JobCanceled():
            return outcomes.Canceled(claimed=claimed)
        case JobTimedOut():
            return outcomes.TimedOut(claimed=claimed, traceback=_traceback(claimed.mask), error=error)
        case WorkerStopping():
            return outcomes.Interrupted(claimed=claimed, text=say("The worker was shut down", code="worker_stopped"))
        case RetryLater():
            told = outcomes.readable(error, claimed.mask)
            return outcomes.Postponed(claimed=claimed, delay=error.seconds, text=told)
    return _raised(claimed, error)


def _call(claimed: Claimed, context: JobContext) -> Any:
    decimal.setcontext(decimal.getcontext().copy())  # an object that the copies of a context share
    value = claimed.handler(context)
    return coroutines.run(value, context.remind) if inspect.isawaitable(value) else value


def _returned(claimed: Claimed, value: Any) -> outcomes.Outcome:
    """Return the outcome with the handler's result, or a permanent error where that cannot be stored."""
    if value is None:
        return outcomes.Returned(claimed=claimed)
    if not isinstance(value, dict):
        text = "The handler returned %(type)s; it must return a dict or None."
        return _unstorable(claimed, NotStorable(say(text, code="not_a_dict", type=type(value).__name__)))
    try:
        result = storable(value, "The result", int(jobs_settings.MAX_RESULT_BYTES))
    except NotStorable as error:
        return _unstorable(claimed, error)
    reference = clean_text(result.get("output_reference") or "")
    if len(reference) > MAX_REFERENCE:
        text = "output_reference has %(length)d characters; at most %(most)d are accepted."
        values = {"length": len(reference), "most": MAX_REFERENCE}
        return _unstorable(claimed, NotStorable(say(text, code="wrong_length", **values)))
    return outcomes.Returned(claimed=claimed, result=result, output_reference=reference)


def _unstorable(claimed: Claimed, error: NotStorable) -> outcomes.Raised:
    text = say(claimed.mask(str(error)), code=error.code)
    return outcomes.Raised(claimed=claimed, kind=outcomes.PERMANENT, text=text, error=error)


def _raised(claimed: Claimed, error: BaseException) -> outcomes.Raised:
    verdict = outcomes.classify(error)
    return outcomes.Raised(
        claimed=claimed,
        kind=verdict.kind,
        text=outcomes.readable(error, claimed.mask),
        traceback=_traceback(claimed.mask),
        retry_after=verdict.retry_after,
        place="" if outcomes.is_expected(error) else outcomes.place_of(error),
        error=error,
    )


def _traceback(mask: Callable[[str], str]) -> str:
    text = clean_text(mask(traceback.format_exc()))
    return text if len(text) <= MAX_TRACEBACK else "…" + text[-MAX_TRACEBACK:]
