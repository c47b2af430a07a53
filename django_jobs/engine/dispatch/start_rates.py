"""How many jobs of a type may start in a window of time: what one pass of the dispatcher decides by.

Types with ``max_starts`` or ``max_starts_per_key`` are queued by the dispatcher alone, under its lock, and by no other
way: what starts between two passes without having been seen is not counted. What each pass knows is kept for the next
one in the row of that lock. Nothing here asks the database or the clock. How one limit counts, and why it is exact,
:mod:`.start_windows` says; what keys share, :mod:`.type_rates`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from django_jobs.engine.dispatch.start_windows import SECOND, Attempt
from django_jobs.engine.dispatch.type_rates import NO_LIMIT, StartLimit, TypeRates

#: What is Queued: type, organization's primary key, lane key, job, attempt.
Queued: TypeAlias = tuple[str, Any, int, int, int]
#: Asks when attempts started, in seconds since the epoch: None where one did not, and is queued no more. What is not
#: known is left out.
StartedAt: TypeAlias = Callable[[Collection[Attempt]], Mapping[Attempt, float | None]]
#: Tells what started within the window of its type: type, organization, lane key, seconds since the epoch.
Recent: TypeAlias = Callable[[Mapping[str, StartLimit]], Iterable[tuple[str, Any, int, float]]]

#: In place of what a pass has left, where that was lost; and where none has left anything yet.
LOST: Final = "lost"
NOTHING_KEPT: Final[Mapping[str, Any]] = MappingProxyType({"at": 0, "types": {}})
#: Jobs in hand of all types together: each is kept by its number.
MAX_IN_HAND: Final = 5_000


#: For how long a pass that found too much in hand waits before somebody looks again.
FULL_PAUSE: Final = SECOND // 10


class StartRates:
    """What may start in one pass of the dispatcher. Made by :func:`read`."""

    def __init__(self, types: Mapping[str, TypeRates], now: int) -> None:
        self._types = types
        self._now = now
        self._room = MAX_IN_HAND - sum(len(rates.in_hand()) for rates in types.values())
        self._was_full = False

    def left(self, job_type: str, organization_pk: Any, lane_key: int) -> int:
        """Return how many more jobs of this lane may be queued now; NO_LIMIT for a type without limits of starts."""
        rates = self._types.get(job_type)
        if rates is None:
            return NO_LIMIT
        left = rates.left(_key(organization_pk, lane_key))
        self._was_full |= left > self._room
        return max(0, min(left, self._room))

    def counted(self, job_type: str) -> int | None:
        """Return how many count against the limit of a type now; None for one without a limit of its own."""
        rates = self._types.get(job_type)
        return None if rates is None else rates.counted()

    def left_of_type(self, job_type: str) -> int:
        """Return how many more jobs of a type may be queued now, whatever their keys; NO_LIMIT without such a limit."""
        rates = self._types.get(job_type)
        return NO_LIMIT if rates is None else rates.left_of_all()

    def take(self, job_type: str, organization_pk: Any, lane_key: int, pk: int, attempt: int) -> None:
        """Count a job that is queued now. ``attempt`` is how many attempts it had before."""
        if job_type in self._types:
            self._types[job_type].take(_key(organization_pk, lane_key), (pk, attempt))
            self._room -= 1

    def put_back(self, job_type: str, organization_pk: Any, lane_key: int, pk: int, attempt: int) -> None:
        """Count a job no more that was taken in this pass, and then was not queued since its row was in use."""
        if job_type in self._types:
            self._types[job_type].put_back(_key(organization_pk, lane_key), (pk, attempt))
            self._room += 1

    def count_start(self, job_type: str, organization_pk: Any, lane_key: int, moment: float) -> None:
        """Count a job that started at a moment, in seconds since the epoch."""
        if job_type in self._types:
            self._types[job_type].count_start(
                _key(organization_pk, lane_key), min(self._now, math.ceil(moment * SECOND))
            )

    def next_at(self) -> float | None:
        """Return when to look again, in seconds since the epoch; None if nothing was found at its rate."""
        found = [moment for rates in self._types.values() for moment in rates.next_moments()]
        found += [self._now + FULL_PAUSE] if self._was_full else []
        return min(found) / SECOND if found else None

    def to_keep(self) -> dict[str, Any]:
        """Return what the next pass has to know, as JSON; empty if that is nothing."""
        types = {name: rates.to_keep() for name, rates in self._types.items() if not rates.is_empty()}
        return {"at": self._now, "types": types} if types else {}


def read(
    kept: Any,
    limits: Mapping[str, StartLimit],
    queued: Iterable[Queued],
    now: float,
    started_at: StartedAt | None = None,
    recent: Recent | None = None,
) -> StartRates:
    """Return what may start in a pass that begins now.

    ``kept`` is what the last pass left; ``queued`` all that is Queued of the types that have ``limits``; ``now`` the
    database's clock in seconds since the epoch, read no earlier than ``queued``. What was in hand and is queued no more
    counts as ``started_at`` says, if that is given and knows it, and else as started now, which is never too early; see
    :func:`.start_records.started_at`. Where ``kept`` is LOST, or nothing that a pass has left, what started lately
    counts as ``recent`` tells.
    """
    queued = [*queued]
    try:
        return _read(kept or NOTHING_KEPT, limits, queued, now, started_at)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        found = _read(NOTHING_KEPT, limits, queued, now, None)
        for name, organization_pk, lane_key, moment in recent(limits) if recent else ():
            found.count_start(name, organization_pk, lane_key, moment)
        return found


def _read(
    kept: Mapping[str, Any],
    limits: Mapping[str, StartLimit],
    queued: Collection[Queued],
    now: float,
    started_at: StartedAt | None,
) -> StartRates:
    last: int = kept["at"]
    moment = round(now * SECOND)
    types = {name: TypeRates(limit, moment) for name, limit in limits.items() if limit[:2] != (None, None)}
    for name in types.keys() & kept["types"].keys():
        types[name].load(kept["types"][name], last)
    lanes: dict[str, dict[Attempt, str]] = {name: {} for name in types}
    for name, organization_pk, lane_key, pk, attempt in queued:
        if name in types:
            lanes[name][pk, attempt] = _key(organization_pk, lane_key)
    gone = {attempt for name, rates in types.items() for attempt in rates.in_hand() if attempt not in lanes[name]}
    known = started_at(gone) if started_at and gone else {}

    def start_of(attempt: Attempt) -> int | None:
        told = known.get(attempt, now)
        return None if told is None else min(moment, max(last, math.ceil(told * SECOND)))

    for name, rates in types.items():
        rates.advance(lanes[name], start_of)
    return StartRates(types, moment)


def _key(organization_pk: Any, lane_key: int) -> str:
    return f"{organization_pk}|{lane_key}"
