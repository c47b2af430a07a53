"""What organization and access policy say of queued jobs, remembered for a second.

A share of the backlog is taken under the dispatcher's lock, where nobody can be asked: it goes by what is known here.
"""

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

from django_jobs.engine import access
from django_jobs.engine.deadlines import Late
from django_jobs.engine.store import database
from django_jobs.engine.store.claim_rows import Row
from django_jobs.engine.store.fresh_reads import fresh_reads
from django_jobs.engine.submission.rights import may_own, may_submit
from django_jobs.models import JobType, get_organization_model
from django_jobs.statuses import Status, SubmitBy
from django_jobs.texts import say

#: Seconds for which an answer holds.
POLICY_CACHE_SECONDS: Final = 1.0
UNANSWERED: Final = say("The access policy has not answered yet", code="policy_silent")
#: Seconds after which a job is tried again whose policy failed.
POLICY_FAILED_DELAY: Final = 5.0
#: Answers that hold for no longer are asked for again before the next share of a backlog is taken.
ASK_AGAIN_SECONDS: Final = 0.3
#: Answers that are remembered.
MAX_ANSWERS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a queued job does not run now, and where it goes. ``detail`` is for system admins."""

    to_status: str
    message: str
    delay: float = 0.0
    is_not_loadable: bool = False
    detail: str = ""


class Answer(NamedTuple):
    """What the policy said of jobs like this one, when it was asked that, and when that expires."""

    asked: float
    expires: float
    refusal: Refusal | None
    job: Row


#: The main loop and the refiller ask at the same time. Held by who writes answers, or walks through them.
_writing: Final = threading.Lock()
#: The newest last.
_answers: dict[tuple[Any, ...], Answer] = {}
#: One job of each kind for which an answer was wanted since they were last asked for again.
_used: dict[tuple[Any, ...], Row] = {}


def forget() -> None:
    """Forget all answers, so that organization and policy are asked anew."""
    with _writing:
        _answers.clear()
    _used.clear()


def refusal_of(job: Row) -> Refusal | None:
    """Ask organization and policy, or take their answer of less than POLICY_CACHE_SECONDS ago."""
    answer = answer_to(job)
    return _ask_now(_key(job), job) if answer is None else answer.refusal


def answer_to(job: Row) -> Answer | None:
    """Return the answer for a job that has not expired, and note that it was wanted."""
    if len(_used) > MAX_ANSWERS:
        _used.clear()
    answer = _answers.get(want(job))
    return answer if answer is not None and time.monotonic() < answer.expires else None


def want(job: Row) -> tuple[Any, ...]:
    """Note that an answer for this job was wanted; return its key."""
    key = _key(job)
    _used[key] = _kind(job)
    return key


def allowed(count: int) -> list[Row]:
    """Return one of each kind of jobs that may run, of so many answers at most, the newest.

    They have no parameters and no metadata.
    """
    now, alias = time.monotonic(), database.alias()
    with _writing:
        newest = list(itertools.islice(reversed(_answers.items()), count))
    return [answer.job for key, answer in newest if answer.refusal is None and now < answer.expires and key[0] == alias]


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


def _ask_now(key: tuple[Any, ...], job: Row) -> Refusal | None:
    asked = time.monotonic()

    def ask() -> Refusal | None:
        refusal = _ask_quietly(job)
        _remember(key, Answer(asked, time.monotonic() + POLICY_CACHE_SECONDS, refusal, _kind(job)))
        return refusal

    try:
        return access.ask_beside(job.organization_id, ask)
    except Late:
        return Refusal(Status.PENDING, UNANSWERED, POLICY_CACHE_SECONDS)


def _remember(key: tuple[Any, ...], answer: Answer) -> None:
    """Remember an answer, but for one to a question that another thread has asked later and has got answered."""
    with _writing:
        if len(_answers) > MAX_ANSWERS:
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
        name = type(access.cause_of(error)).__name__
        text = say("The access policy failed (%(error)s)", code="policy_failed", error=name)
        return Refusal(Status.PENDING, text, POLICY_FAILED_DELAY)


def _ask_policy(job: Row) -> Refusal | None:
    tenants = database.rows(get_organization_model())
    organization = tenants.filter(pk=job.organization_id).first()
    if organization is None:
        return Refusal(Status.DEAD_LETTER, say("Organization not found", code="organization_gone"))
    policy = access.get_policy()
    if not policy.is_active(organization):
        return Refusal(Status.PENDING, say("The organization is not active", code="organization_inactive"))
    if not job.owner_name and job.owner_id is None:
        return None
    owner = get_user_model()._default_manager.filter(pk=job.owner_id).first() if job.owner_id else None
    if owner is None:
        return Refusal(Status.DEAD_LETTER, say("The owner no longer exists", code="owner_gone"))
    kind = JobType.primary.get(pk=job.job_type_id)
    # A job that was accepted while its type was open to users runs also after the type was closed to them.
    by_code = job.submitted_by_id is not None or kind.submit_by == SubmitBy.CODE
    may = may_own if by_code else may_submit
    if not may(owner, organization, kind):
        return Refusal(Status.DEAD_LETTER, say("The owner may no longer submit this", code="may_not_submit"))
    return None
