"""Judging whether a queued job may run now: by its type, its organization, its owner and its handler."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Q

from django_jobs import pools
from django_jobs.engine.claimed_job import Handler
from django_jobs.engine.execution import policy_memory
from django_jobs.engine.execution.policy_memory import Refusal
from django_jobs.engine.job_types import handlers
from django_jobs.engine.store import database
from django_jobs.engine.store.claim_rows import Row
from django_jobs.engine.transitions import NOW, After, Move
from django_jobs.engine.transitions.error_fingerprints import fingerprint
from django_jobs.engine.tries import Tries
from django_jobs.models import ExecutionLog
from django_jobs.statuses import Status
from django_jobs.texts import say

#: So many answers of the policy, the newest, may let a job start in the statement that reads it.
MAX_KNOWN: Final = 50
#: Seconds after which a job ends whose handler no worker could load.
NOT_LOADABLE_SECONDS: Final = 600
#: Whether jobs are like those that were claimed before, as one after the other is claimed: with many owners few are.
likeness: Final = Tries(63)


def refuse(job: Row, refusal: Refusal) -> Move:
    """Return the move of a job that may not run."""
    # This is judged for each job, since each has waited for its own time.
    if refusal.is_not_loadable and _not_loadable_since(job) > NOT_LOADABLE_SECONDS:
        text = say(
            "%(text)s No worker could load it for 10 minutes.", code="handler_not_loadable", text=refusal.message
        )
        refusal = Refusal(Status.DEAD_LETTER, text, detail=refusal.detail)
    values: dict[str, Any] = {"queued_at": None, "ready_at": After(refusal.delay)}
    if refusal.to_status == Status.DEAD_LETTER:
        values = {"error_message": refusal.message, "error_type": "Permanent", "completed_at": NOW}
        values["error_fingerprint"] = fingerprint(refusal.message)
    return Move(
        pk=job.pk,
        to_status=refusal.to_status,
        attempt=job.attempt,
        message=refusal.message,
        traceback=refusal.detail,
        values=values,
    )


def examine(job: Row) -> Handler | Refusal:
    """Return the handler to run, or why the job may not run."""
    if job.handler_method is None:
        return Refusal(Status.DEAD_LETTER, say("Job type not found", code="unknown_job_type"))
    if not job.is_enabled or job.is_paused:
        word = "paused" if job.is_enabled else "disabled"
        return Refusal(Status.PENDING, say(f"The job type is {word}", code=f"type_{word}"))
    if job.pool not in pools.names():
        return Refusal(Status.PENDING, pools.not_configured(job.pool or ""))
    problem = policy_memory.refusal_of(job)
    if problem is not None:
        return problem
    try:
        return handlers.resolve(job.handler_method)
    except handlers.HandlerNotAllowed as error:
        return Refusal(Status.DEAD_LETTER, say("Handler not allowed.", code="handler_not_allowed"), detail=str(error))
    except handlers.HandlerNotLoadable as error:
        text = say(f"{handlers.NOT_LOADABLE}.", code="handler_not_loadable")
        return Refusal(Status.PENDING, text, handlers.NOT_LOADABLE_DELAY, is_not_loadable=True, detail=str(error))


def known_handler(job: Row) -> Handler | None:
    """Return the handler to run if it is loaded and known to be allowed; None otherwise, or if the job may not run.

    Nobody is asked and nothing imported: both may take seconds, and an import may end the process.
    """
    if job.handler_method is None or not job.is_enabled or job.is_paused:
        return None
    answer = policy_memory.answer_to(job)
    if answer is None or answer.refusal is not None:
        return None
    return handlers.loaded(job.handler_method)


def known() -> list[Row]:
    """Return one of each kind of jobs that may run and whose handlers are loaded, as far as that is known.

    They have no parameters and no metadata.
    """
    return [job for job in policy_memory.allowed(MAX_KNOWN) if is_loaded(job)]


def is_loaded(job: Row) -> bool:
    """Return whether this process has loaded the handler of a job."""
    return job.handler_method is not None and handlers.loaded(job.handler_method) is not None


def handler_of(job: Row) -> Handler:
    """Return the handler of a job that is like one of :func:`known`."""
    policy_memory.want(job)
    return handlers.resolve(job.handler_method or "")


def _not_loadable_since(job: Row) -> float:
    """Return for how many seconds workers have not been able to load the handler; a retry begins anew."""
    logs = ExecutionLog.primary.filter(job_id=job.pk).order_by("id")
    not_loadable = Q(to_status=Status.PENDING, message__startswith=handlers.NOT_LOADABLE)
    other = logs.exclude(Q(to_status=Status.QUEUED) | not_loadable).last()
    first = logs.filter(not_loadable, id__gt=0 if other is None else other.pk).first()
    return 0.0 if first is None else (database.now() - first.timestamp).total_seconds()


def question(job: Row) -> tuple[Any, ...]:
    """Return what the answer depends on: jobs for which this is equal are judged once in a claim."""
    asked = (job.job_type_id, job.organization_id, job.organization, job.owner_id, job.owner_name)
    return (*asked, job.submitted_by_id is not None, job.pool)


def forget() -> None:
    """Forget all that is known, so that organization and policy are asked anew."""
    policy_memory.forget()
    likeness.forget()
