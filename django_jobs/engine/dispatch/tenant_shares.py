"""Whether an organization's jobs may start, and what share of the work it is due, as the access policy says.

A host's policy may be slow or hang, so nobody asks it under the dispatcher's lock. A pass goes by what is remembered.
The one that made it asks afterwards about the organizations that it met. A wrong answer about a share holds up no job:
a default takes its place. The log says so once a minute, and ``jobs_check`` asks the policy itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import Error

from django_jobs.conf import jobs_settings
from django_jobs.engine import access, timing
from django_jobs.engine.access import AccessPolicy
from django_jobs.engine.deadlines import Late
from django_jobs.engine.memory import Memory, forgets
from django_jobs.engine.organizations import id_of
from django_jobs.engine.store import database
from django_jobs.engine.store.database import fresh_reads
from django_jobs.models import Job, get_organization_model
from django_jobs.texts import code_of, said, say

ASKED_AT_ONCE: Final = 1_000
DEFAULT_WEIGHT: Final = 1.0
#: The questions, and the least and the most that their answers count for. No database counts more jobs than that.
START: Final = "is_active"
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


#: By database, policy, organization and question.
_answers: Final[Memory[tuple[Any, ...], float]] = Memory(10_000)
#: The questions about which the log has complained lately.
_complaints: Final[Memory[str, bool]] = Memory(100)
#: The keys of organizations that passes met whose answers are missing or too old, in that order.
_met: Final[dict[Any, None]] = {}
forgets(_met.clear)


def known_shares(organizations: Iterable[Any]) -> dict[Any, Share]:
    """Return the shares of those organizations whose jobs may start, as far as that is known. Asks nobody.

    :func:`ask` asks afterwards about those of which nothing is known, or too long ago.
    """
    policy, now, shares = _policy(), time.monotonic(), {}
    asked = _overridden(policy, START, *BOUNDS)
    for organization in organizations:
        found = {name: _answers.get(_key(policy, name, organization.pk)) for name in asked}
        answers = {
            name: answer.value
            for name, answer in found.items()
            if answer and now < answer.expires + timing.OLD_SHARE_ANSWER_SECONDS
        }
        if any(answer is None or answer.expires <= now for answer in found.values()):
            _met[organization.pk] = None
        if len(answers) == len(asked) and (answers[START] if START in answers else access.may_start(organization)):
            shares[organization.pk] = _share(answers)
    return shares


def _share(answers: Mapping[str, float]) -> Share:
    limit = int(answers[LIMIT]) if LIMIT in answers else default_limit()
    return Share(answers.get(WEIGHT, DEFAULT_WEIGHT), limit)


def ask(seconds: float = timing.SHARE_ASK_SECONDS) -> bool:
    """Ask for so long about organizations that passes have met; return whether another pass may find more to do.

    Those come first of which nothing is known. Nobody may hold the dispatcher's lock for this.
    """
    if not _met or (policy := _policy()) is None:
        return False
    until, asked = time.monotonic() + seconds, _overridden(policy, START, *BOUNDS)
    keys = {pk: [_key(policy, question, pk) for question in asked] for pk in _met}
    _met.clear()
    pks = sorted(keys, key=lambda pk: keys[pk][0] in _answers)[:ASKED_AT_ONCE]
    organizations, has_news = database.rows(get_organization_model()).in_bulk(pks), False
    for pk in pks:
        if pk not in organizations or time.monotonic() >= until:
            continue
        before = [_answers[key].value for key in keys[pk] if key in _answers]
        _ask_about(policy, organizations[pk], asked)
        has_news |= before != [_answers[key].value for key in keys[pk] if key in _answers]
    return has_news


def _ask_about(policy: AccessPolicy, organization: Any, asked: Sequence[str]) -> None:
    """Ask what is not known. Until a late answer comes, a default counts where nothing is known."""

    def ask_all() -> None:
        for question in asked:
            _remembered(policy, question, organization)

    try:
        access.ask_beside(organization.pk, ask_all)
    except Late:
        for question in asked:
            key = _key(policy, question, organization.pk)
            if key not in _answers:
                _answers.put(key, _default(question), timing.START_ANSWER_SECONDS)


def share_of(organization: Any) -> Share:
    """Return the share of one organization, a model instance."""
    return shares_of([organization])[organization.pk]


def shares_of(organizations: Sequence[Any]) -> dict[Any, Share]:
    """Return the shares of organizations, which are model instances, by their primary keys.

    A question that the policy's class does not override is not asked.
    """
    policy = _policy()
    asked = _overridden(policy, *BOUNDS)
    return {
        organization.pk: _share({question: _remembered(policy, question, organization) for question in asked})
        for organization in organizations
    }


def default_limit() -> int:
    """Return how many jobs of an organization may be in flight of which the policy says nothing else."""
    return max(1, int(jobs_settings.MAX_IN_FLIGHT_PER_ORGANIZATION))


def limit_for(job: Job) -> int:
    """Return how many jobs of a new job's organization may be in flight."""
    return share_of(job.organization).limit if _are_limits_asked() else default_limit()


def full_organizations(in_flight: Mapping[Any, int], unseen: int = 0) -> list[Any]:
    """Return the organizations that have as many jobs in flight as they may, by a limit that is the same for all.

    ``unseen`` is how many more each may have. Where the policy tells the limits, there is no such one.
    """
    limit = default_limit() - unseen
    return [] if _are_limits_asked() else [pk for pk, count in in_flight.items() if count >= limit]


def _are_limits_asked() -> bool:
    """Return whether the policy is asked how much may be in flight."""
    return bool(_overridden(_policy(), LIMIT))


def are_asked() -> bool:
    """Return whether the policy is asked at all. Raises what the policy raises when it is made."""
    return bool(_overridden(access.get_policy(), *BOUNDS))


def bad_answers(organizations: Sequence[Any]) -> Iterator[BadAnswer]:
    """Ask the policy about organizations, whatever is remembered, and yield what does not count.

    Raises what the policy raises when it is made.
    """
    policy = access.get_policy()
    asked = _overridden(policy, *BOUNDS)
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


def _overridden(policy: AccessPolicy | None, *questions: str) -> list[str]:
    """Return the questions that a policy's class answers in its own way; none where there is no policy."""
    if policy is None:
        return []
    return [name for name in questions if getattr(type(policy), name, None) is not getattr(AccessPolicy, name)]


def _key(policy: AccessPolicy | None, question: str, organization_pk: Any) -> tuple[Any, ...]:
    return database.alias(), type(policy), organization_pk, question


def _default(question: str) -> float:
    """Return what counts where there is no answer. What may not be known to be active does not start."""
    return {START: 0.0, WEIGHT: DEFAULT_WEIGHT, LIMIT: default_limit()}[question]


def _remembered(policy: AccessPolicy | None, question: str, organization: Any) -> float:
    key = _key(policy, question, organization.pk)
    answer = _answers.fresh(key)
    if answer is not None:
        return answer
    value, bad = _ask(policy, question, organization)
    if bad is not None:
        _complain(bad)
    holds = timing.START_ANSWER_SECONDS if question == START else timing.SHARE_ANSWER_SECONDS
    return _answers.put(key, value, holds)


def _ask(policy: AccessPolicy | None, question: str, organization: Any) -> tuple[float, BadAnswer | None]:
    """Return what counts, and the policy's answer if that is something else."""
    if question == START:
        return float(access.may_start(organization)), None
    least, most = BOUNDS[question]
    try:
        with fresh_reads(), database.savepoint():
            answer = getattr(policy, question)(organization)
    except Exception as failure:
        if isinstance(failure, Error) and not database.goes_on_after(failure):
            raise  # the database is away, which is no fault of the policy's
        value, cause = _default(question), access.cause_of(failure)
        raises = say("it raised %(error)r", code="raised", error=cause)
        problem = said(cause) if isinstance(cause, TypeError | ValueError) else raises
        return value, BadAnswer(question, id_of(organization), problem, value, cause)
    value = min(max(answer, least), most)
    if value == answer:
        return value, None
    shown = min(max(answer, -sys.float_info.max), sys.float_info.max)  # an integer may be larger than any float
    problem = say("it answered %(answer)s", code="out_of_range", answer=f"{shown:g}")
    return value, BadAnswer(question, id_of(organization), problem, value)


def _complain(bad: BadAnswer) -> None:
    """Log an answer that does not count, at most once a minute for each question, since it is asked again and again."""
    if not _complaints.fresh(bad.question):
        _complaints.put(bad.question, True, timing.POLICY_COMPLAINT_SECONDS)
        access.logger.error(
            "event=access_policy_failed question=%s organization=%s taken=%g: %s",
            bad.question,
            bad.organization,
            bad.taken,
            bad,
            exc_info=bad.error,
            extra={"code": code_of(bad.problem, "")},
        )
