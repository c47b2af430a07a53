"""From whom a host's ``can_view`` hides the jobs whose events a room tells.

The built-in policy hides no job of an organization whose room one may listen to. It is not asked, so that an event
costs no more there.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from django.db import Error

from django_jobs.engine.access import AccessPolicy, complain, get_policy, may_hide_jobs
from django_jobs.models import Job
from django_jobs.realtime.messages import Event
from django_jobs.realtime.replay import chunks

#: A user's key and a job's.
Pair = tuple[Any, int]
#: An answer of the policy holds so long: a job may tell of its progress twice a second.
ANSWER_SECONDS: Final = 5.0
MAX_REMEMBERED: Final = 50_000
#: Columns that may be large; a policy that looks at them reads them by itself.
LARGE: Final = ("input_parameters", "metadata", "result", "output_reference", "error_message")


def visible(events: list[Event], user: Any) -> list[Event]:
    """Return those of the events that this user may hear of."""
    hidden = hidden_jobs({event.job_pk for event in events}, user)
    return [event for event in events if event.job_pk not in hidden]


def hidden_jobs(pks: Collection[int], user: Any) -> set[int]:
    """Return those of the jobs that the policy does not show this user."""
    if not pks or not may_hide_jobs():
        return set()
    return {pk for (_, pk), is_shown in _ask({(user.pk, pk): user for pk in pks}).items() if not is_shown}


def _ask(wanted: Mapping[Pair, Any]) -> dict[Pair, bool]:
    """Ask the policy whether it shows each of these users a job. Where it fails, it does not."""
    jobs: dict[int, Job] = {}
    for chunk in chunks({pk for _, pk in wanted}):
        jobs |= Job.primary.defer(*LARGE).in_bulk(chunk)
    policy = get_policy()
    return {(key, pk): pk in jobs and _shows(policy, user, jobs[pk]) for (key, pk), user in wanted.items()}


def _shows(policy: AccessPolicy, user: Any, job: Job) -> bool:
    try:
        return bool(policy.can_view(user, job))
    except Error:
        raise
    except Exception as error:  # noqa: BLE001  (the host's policy)
        complain(error)
        return False


class Sight:
    """The answers of the last seconds. ``read`` calls a function that reads the database in another thread."""

    def __init__(self, read: Callable[..., Awaitable[dict[Pair, bool]]]) -> None:
        self._read = read
        self._answers: dict[Pair, tuple[float, bool]] = {}

    async def hidden(self, wanted: Callable[[], Mapping[Pair, Any]]) -> Collection[Pair]:
        """Return those of the wanted pairs that are not to be told; nothing is awaited after the last look at them.

        ``wanted`` is asked until every pair has its answer, since sockets come while the policy is asked.
        """
        if not may_hide_jobs():
            return ()
        found: dict[Pair, bool] = {}
        while missing := {pair: user for pair, user in wanted().items() if pair not in found}:
            known = self._recall(missing)
            new = {pair: user for pair, user in missing.items() if pair not in known}
            answers = await self._read(_ask, new) if new else {}
            self._remember(answers)
            found |= known | answers
        return {pair for pair, is_shown in found.items() if not is_shown}

    def _recall(self, pairs: Collection[Pair]) -> dict[Pair, bool]:
        now = time.monotonic()
        known = {pair: self._answers[pair] for pair in pairs if pair in self._answers}
        return {pair: is_shown for pair, (expires, is_shown) in known.items() if expires > now}

    def _remember(self, answers: Mapping[Pair, bool]) -> None:
        if len(self._answers) + len(answers) > MAX_REMEMBERED:
            self._answers.clear()
        expires = time.monotonic() + ANSWER_SECONDS
        self._answers |= {pair: (expires, is_shown) for pair, is_shown in answers.items()}
