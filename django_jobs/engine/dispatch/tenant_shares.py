"""What share of the work each organization is due, and how much of it may be in flight, as the access policy says.

The dispatcher asks under its lock and a host's policy may be slow, so answers are remembered for some seconds. An
answer that is none holds up no job: a default takes its place, the log says so once a minute, and ``jobs_check`` asks
the policy itself. A statement of the policy's that fails is no answer either, and the dispatcher's transaction goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import Error

from django_jobs.conf import jobs_settings
from django_jobs.engine import access
from django_jobs.engine.access import COMPLAINT_PAUSE, AccessPolicy
from django_jobs.engine.store import database
from django_jobs.engine.store.fresh_reads import fresh_reads
from django_jobs.engine.store.organization_ids import id_of
from django_jobs.models import Job

#: Seconds for which an answer holds, and how many are remembered.
ANSWER_SECONDS: Final = 5.0
MAX_ANSWERS: Final = 10_000
DEFAULT_WEIGHT: Final = 1.0
#: The questions, and the least and the most that their answers count for. No database counts more jobs than that.
WEIGHT: Final = "weight"
LIMIT: Final = "in_flight_limit"
BOUNDS: Final[dict[str, tuple[float, float]]] = {WEIGHT: (0.01, 100.0), LIMIT: (1, 2**31 - 1)}
ADVICE: Final = {
    WEIGHT: "Answer with a number from 0.01 to 100.",
    LIMIT: "Answer with a whole number, 1 or more; to stop an organization, let is_active() say False.",
}


class Share(NamedTuple):
    """How much of the work an organization gets beside others, and how many of its jobs may be in flight."""

    weight: float
    limit: int


@dataclass(frozen=True, slots=True)
class BadAnswer:
    """An answer that does not count. ``taken`` is what counts in its place; ``problem`` is a sentence."""

    question: str
    organization: str
    problem: str
    taken: float
    error: BaseException | None = None

    def __str__(self) -> str:
        text = f"{self.question} of {self.organization}: {self.problem.rstrip('.')}. It counts as {self.taken:g}."
        return f"{text} {ADVICE[self.question]}"


class _Answer(NamedTuple):
    expires: float
    value: float


#: By database, policy, organization and question.
_answers: Final[dict[tuple[Any, ...], _Answer]] = {}
_last_complaints: Final[dict[str, float]] = {}


def forget() -> None:
    """Forget all answers and complaints, as a process that has just started."""
    _answers.clear()
    _last_complaints.clear()


def share_of(organization: Any) -> Share:
    """Return the share of one organization, a model instance."""
    return shares_of([organization])[organization.pk]


def shares_of(organizations: Sequence[Any]) -> dict[Any, Share]:
    """Return the shares of organizations, which are model instances, by their primary keys.

    A question that the policy's class does not override is not asked.
    """
    policy, usual = _policy(), Share(DEFAULT_WEIGHT, default_limit())
    asked = _overridden(policy)
    if policy is None or not asked:
        return {organization.pk: usual for organization in organizations}
    shares = {}
    for organization in organizations:
        weight = _remembered(policy, WEIGHT, organization) if WEIGHT in asked else usual.weight
        limit = int(_remembered(policy, LIMIT, organization)) if LIMIT in asked else usual.limit
        shares[organization.pk] = Share(weight, limit)
    return shares


def default_limit() -> int:
    """Return how many jobs of an organization may be in flight of which the policy says nothing else."""
    return max(1, int(jobs_settings.MAX_IN_FLIGHT_PER_ORGANIZATION))


def limit_for(job: Job) -> int:
    """Return how many jobs of a new job's organization may be in flight."""
    return share_of(job.organization).limit if are_limits_asked() else default_limit()


def weight_for(job: Job) -> float:
    """Return what a new job's organization weighs."""
    return share_of(job.organization).weight if WEIGHT in _overridden(_policy()) else DEFAULT_WEIGHT


def are_limits_asked() -> bool:
    """Return whether the policy is asked how much may be in flight."""
    return LIMIT in _overridden(_policy())


def are_asked() -> bool:
    """Return whether the policy is asked at all. Raises what the policy raises when it is made."""
    return bool(_overridden(access.get_policy()))


def bad_answers(organizations: Sequence[Any]) -> Iterator[BadAnswer]:
    """Ask the policy about organizations, whatever is remembered, and yield what does not count.

    Raises what the policy raises when it is made.
    """
    policy = access.get_policy()
    asked = _overridden(policy)
    for organization in organizations:
        for question in asked:
            _, bad = _ask(policy, question, organization)
            if bad is not None:
                yield bad


def _policy() -> AccessPolicy | None:
    """Return the policy; None if it cannot be made, which the log says."""
    try:
        return access.get_policy()
    except Error:
        raise
    except Exception as error:  # noqa: BLE001  (the host's code)
        access.complain(error)
        return None


def _overridden(policy: AccessPolicy | None) -> list[str]:
    return [name for name in BOUNDS if getattr(type(policy), name, None) is not getattr(AccessPolicy, name)]


def _remembered(policy: AccessPolicy, question: str, organization: Any) -> float:
    key = database.alias(), type(policy), organization.pk, question
    known = _answers.get(key)
    if known is not None and time.monotonic() < known.expires:
        return known.value
    value, bad = _ask(policy, question, organization)
    if bad is not None:
        _complain(bad)
    if len(_answers) >= MAX_ANSWERS:
        _answers.clear()
    _answers[key] = _Answer(time.monotonic() + ANSWER_SECONDS, value)
    return value


def _ask(policy: AccessPolicy, question: str, organization: Any) -> tuple[float, BadAnswer | None]:
    """Return what counts, and the policy's answer if that is something else."""
    least, most = BOUNDS[question]
    try:
        with fresh_reads(), database.savepoint():
            answer = getattr(policy, question)(organization)
    except Exception as failure:
        if isinstance(failure, Error) and not database.goes_on_after(failure):
            raise  # the database is away, which is no fault of the policy's
        value, cause = DEFAULT_WEIGHT if question == WEIGHT else default_limit(), access.cause_of(failure)
        problem = str(cause) if isinstance(cause, TypeError | ValueError) else f"it raised {cause!r}"
        return value, BadAnswer(question, id_of(organization), problem, value, cause)
    value = min(max(answer, least), most)
    if value == answer:
        return value, None
    return value, BadAnswer(question, id_of(organization), f"it answered {_shown(answer)}", value)


def _shown(answer: float) -> str:
    """Return a number in few characters."""
    try:
        return f"{answer:g}"
    except OverflowError:
        return "a number that no float can hold"


def _complain(bad: BadAnswer) -> None:
    """Log an answer that does not count, at most once a minute for each question, since it is asked again and again."""
    if time.monotonic() - _last_complaints.get(bad.question, -math.inf) >= COMPLAINT_PAUSE:
        _last_complaints[bad.question] = time.monotonic()
        access.logger.error(
            "event=access_policy_failed question=%s organization=%s taken=%g: %s",
            bad.question,
            bad.organization,
            bad.taken,
            bad,
            exc_info=bad.error,
        )
