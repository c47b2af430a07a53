"""Judging whether a queued job may run now: by its type, its organization, its owner and its handler."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.contrib.auth import get_user_model
from django.db import Error
from django.db.models import Q

from django_jobs.engine import access
from django_jobs.engine.claimed_job import Handler
from django_jobs.engine.job_types import handlers
from django_jobs.engine.store import database
from django_jobs.engine.store.claim_rows import Row
from django_jobs.engine.store.fresh_reads import fresh_reads
from django_jobs.engine.submission.rights import may_own, may_submit
from django_jobs.engine.transitions import NOW, After, Move
from django_jobs.engine.transitions.error_fingerprints import fingerprint
from django_jobs.engine.tries import Tries
from django_jobs.models import ExecutionLog, JobType, get_organization_model
from django_jobs.statuses import Status, SubmitBy

#: Seconds for which an answer of organization and policy holds.
POLICY_CACHE_SECONDS: Final = 1.0
#: Seconds after which a job is tried again whose policy failed.
POLICY_FAILED_DELAY: Final = 5.0
#: Answers that hold for no longer are asked for again before the next share of a backlog is taken.
ASK_AGAIN_SECONDS: Final = 0.3
#: Answers that are remembered.
MAX_VERDICTS: Final = 10_000
#: Of these so many, the newest, may let a job start in the statement that reads it.
MAX_KNOWN: Final = 50
#: Seconds after which a job ends whose handler no worker could load.
NOT_LOADABLE_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a queued job does not run now, and where it goes."""

    to_status: str
    message: str
    delay: float = 0.0
    is_not_loadable: bool = False


def refuse(job: Row, refusal: Refusal) -> Move:
    """Return the move of a job that may not run."""
    # This is judged for each job, since each has waited for its own time.
    if refusal.is_not_loadable and _not_loadable_since(job) > NOT_LOADABLE_SECONDS:
        refusal = Refusal(Status.DEAD_LETTER, f"{refusal.message} No worker could load it for 10 minutes.")
    values: dict[str, Any] = {"queued_at": None, "ready_at": After(refusal.delay)}
    if refusal.to_status == Status.DEAD_LETTER:
        values = {"error_message": refusal.message, "error_type": "Permanent", "completed_at": NOW}
        values["error_fingerprint"] = fingerprint(refusal.message)
    return Move(pk=job.pk, to_status=refusal.to_status, attempt=job.attempt, message=refusal.message, values=values)


def examine(job: Row) -> Handler | Refusal:
    """Return the handler to run, or why the job may not run."""
    if job.handler_method is None:
        return Refusal(Status.DEAD_LETTER, "Job type not found")
    if not job.is_enabled or job.is_paused:
        return Refusal(Status.PENDING, f"The job type is {'paused' if job.is_enabled else 'disabled'}")
    problem = _permission_problem(job)
    if problem is not None:
        return problem
    try:
        return handlers.resolve(job.handler_method)
    except handlers.HandlerNotAllowed as error:
        return Refusal(Status.DEAD_LETTER, str(error))
    except handlers.HandlerNotLoadable as error:
        return Refusal(Status.PENDING, str(error), handlers.NOT_LOADABLE_DELAY, is_not_loadable=True)


def known_handler(job: Row) -> Handler | None:
    """Return the handler to run if it is loaded and known to be allowed; None otherwise, or if the job may not run.

    Nobody is asked and nothing imported: both may take seconds, and an import may end the process.
    """
    if job.handler_method is None or not job.is_enabled or job.is_paused:
        return None
    answer = _answer(job)
    if answer is None or answer.refusal is not None:
        return None
    return handlers.loaded(job.handler_method)


def known() -> list[Row]:
    """Return one of each kind of jobs that may run and whose handlers are loaded, as far as that is known.

    They have no parameters and no metadata.
    """
    now, alias = time.monotonic(), database.alias()
    with _writing:
        newest = list(itertools.islice(reversed(_answers.items()), MAX_KNOWN))
    return [
        answer.job
        for key, answer in newest
        if answer.refusal is None and now < answer.expires and key[0] == alias and _is_loaded(answer.job)
    ]


def _is_loaded(job: Row) -> bool:
    return job.handler_method is not None and handlers.loaded(job.handler_method) is not None


def handler_of(job: Row) -> Handler:
    """Return the handler of a job that is like one of :func:`known`."""
    _used[_key(job)] = _kind(job)
    return handlers.resolve(job.handler_method or "")


def ask_again(is_called_away: Callable[[], bool] = lambda: False) -> None:
    """Ask anew what was wanted since the last call, where the answer is nearly too old.

    So that those who go on wanting it need not wait for it. Who is called away still asks one question at most; what
    is left then is asked by those who want it.
    """
    soon = time.monotonic() + ASK_AGAIN_SECONDS
    with contextlib.suppress(KeyError):  # another thread has taken out the last
        while _used:  # emptied also where there is no answer: what still waits is wanted again
            key, job = _used.popitem()
            answer = _answers.get(key)
            if answer is None or answer.expires < soon:
                _ask_now(key, job)
                if is_called_away():
                    _used.clear()


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
    return (*asked, job.submitted_by_id is not None)


class _Answer(NamedTuple):
    """What the policy said of jobs like this one, when it was asked that, and when that expires."""

    asked: float
    expires: float
    refusal: Refusal | None
    job: Row


#: The main loop and the refiller ask at the same time. Held by who writes answers, or walks through them.
_writing: Final = threading.Lock()
#: The newest last.
_answers: dict[tuple[Any, ...], _Answer] = {}
#: One job of each kind for which an answer was wanted since they were last asked for again.
_used: dict[tuple[Any, ...], Row] = {}
#: Whether jobs are like those that were claimed before, as one after the other is claimed: with many owners few are.
likeness: Final = Tries(63)


def forget() -> None:
    """Forget all answers, so that organization and policy are asked anew."""
    with _writing:
        _answers.clear()
    _used.clear()
    likeness.forget()


def _permission_problem(job: Row) -> Refusal | None:
    """Ask organization and policy, or take their answer of less than POLICY_CACHE_SECONDS ago."""
    answer = _answer(job)
    return _ask_now(_key(job), job) if answer is None else answer.refusal


def _answer(job: Row) -> _Answer | None:
    """Return the answer for a job that has not expired, and note that it was wanted."""
    if len(_used) > MAX_VERDICTS:
        _used.clear()
    key = _key(job)
    _used[key] = _kind(job)
    answer = _answers.get(key)
    return answer if answer is not None and time.monotonic() < answer.expires else None


def _ask_now(key: tuple[Any, ...], job: Row) -> Refusal | None:
    asked = time.monotonic()
    refusal = _ask_quietly(job)
    _remember(key, _Answer(asked, time.monotonic() + POLICY_CACHE_SECONDS, refusal, _kind(job)))
    return refusal


def _remember(key: tuple[Any, ...], answer: _Answer) -> None:
    """Remember an answer, but for one to a question that another thread has asked later and has got answered."""
    with _writing:
        if len(_answers) > MAX_VERDICTS:
            _answers.clear()
        if key in _answers and _answers[key].asked > answer.asked:
            return
        _answers.pop(key, None)
        _answers[key] = answer


def _kind(job: Row) -> Row:
    """Return the job without what no question is about, which may be large."""
    return job._replace(input_parameters=None, metadata=None)


def _key(job: Row) -> tuple[Any, ...]:
    return (
        database.alias(),
        job.organization_id,
        # A tenant that was renamed or deleted since is asked about anew.
        job.organization,
        job.owner_id,
        job.owner_name,
        job.job_type_id,
        job.requires_permission,
        job.submit_by,
        job.submitted_by_id is not None,
    )


def _ask_quietly(job: Row) -> Refusal | None:
    """Ask the policy. One that fails decides nothing: the job waits and is judged again."""
    try:
        with fresh_reads():  # a job does not die of what a replica does not know yet
            return _ask_policy(job)
    except Error:
        raise
    except Exception as error:  # noqa: BLE001  (the host's code)
        access.complain(error)
        return Refusal(
            Status.PENDING, f"The access policy failed ({type(access.cause_of(error)).__name__})", POLICY_FAILED_DELAY
        )


def _ask_policy(job: Row) -> Refusal | None:
    tenants = database.rows(get_organization_model())
    organization = tenants.filter(pk=job.organization_id).first()
    if organization is None:
        return Refusal(Status.DEAD_LETTER, "Organization not found")
    policy = access.get_policy()
    if not policy.is_active(organization):
        return Refusal(Status.PENDING, "The organization is not active")
    if not job.owner_name and job.owner_id is None:
        return None
    owner = get_user_model()._default_manager.filter(pk=job.owner_id).first() if job.owner_id else None
    if owner is None:
        return Refusal(Status.DEAD_LETTER, "The owner no longer exists")
    kind = JobType.primary.get(pk=job.job_type_id)
    # A job that was accepted while its type was open to users runs also after the type was closed to them.
    by_code = job.submitted_by_id is not None or kind.submit_by == SubmitBy.CODE
    may = may_own if by_code else may_submit
    if not may(owner, organization, kind):
        return Refusal(Status.DEAD_LETTER, "The owner may no longer submit this")
    return None
