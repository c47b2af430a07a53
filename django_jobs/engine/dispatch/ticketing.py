"""Giving jobs that were moved to Queued their tickets, and taking those back to Pending that cannot have one."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.db import Error

from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.dispatch import held_jobs, pools
from django_jobs.engine.dispatch.short_way import BUDGET_SECONDS
from django_jobs.engine.dispatch.time_budget import TimeBudget
from django_jobs.engine.ports import NO_WEIGHTS, Queue, Ticket, get_broker
from django_jobs.engine.store.head_starts import place_in_lane
from django_jobs.engine.transitions import After, Move, Moved, move
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.models import Job
from django_jobs.statuses import Status
from django_jobs.texts import say

logger = logging.getLogger("django_jobs")

#: For so long a job whose row is in use counts as held: its ticket may lie behind many.
HELD_SECONDS: Final = 30.0
#: Why a job that was queued waits again.
CALLED_BACK: Final = say(
    "Called back: those before it take longer than expected, and others wait for their turn", code="called_back"
)


class Queued(NamedTuple):
    """What a pass queued, in the order of turns.

    The jobs with the keys ``first`` go before what the broker holds. ``first_weights`` are, by queue, the least weights
    with which an organization goes first. The tickets of queues that are ``overfull`` are to be called back, where
    more than so many wait.
    """

    moved: list[Moved]
    first: Collection[int]
    first_weights: Mapping[Queue, float]
    overfull: Mapping[Queue, int]


def push_new(moved: Sequence[Moved]) -> str:
    """Give jobs that were stored as Queued their tickets. Return why the broker did not take them; empty if it did."""
    try:
        TimeBudget(BUDGET_SECONDS).spend(lambda: _push(moved))
    except BrokerUnavailable as error:
        return _not_taken(error)
    return ""


def take_back(moved: Iterable[Moved], message: str) -> None:
    """Put jobs that were stored as Queued, and have no ticket, back to Pending. Raises no database error."""
    try:
        withdraw([item.pk for item in moved], message)
    except Error as error:
        logger.warning("event=withdrawal_failed error=%r", error)


def push_queued(queued: Queued) -> None:
    """Give what a pass queued its tickets; if the broker cannot take them, put the jobs back to Pending."""
    for front in (True, False):
        items = [item for item in queued.moved if (item.pk in queued.first) is front]
        if items:
            push(items, front=front, first_weights=queued.first_weights)


def push(moved: Iterable[Moved], *, front: bool = False, first_weights: Mapping[Queue, float] = NO_WEIGHTS) -> None:
    """Give Queued jobs their tickets; if the broker cannot take them, put the jobs back to Pending."""
    items = list(moved)
    try:
        _push(items, front=front, first_weights=first_weights)
    except BrokerUnavailable as error:
        withdraw([item.pk for item in items], _not_taken(error))


def _push(moved: Sequence[Moved], *, front: bool = False, first_weights: Mapping[Queue, float] = NO_WEIGHTS) -> None:
    tickets = [
        Ticket(item.pk, item.year, item.attempt + 1, item.priority, pools.pool_of(item.job_type)) for item in moved
    ]
    get_broker().push(tickets, front=front, first_weights=first_weights)


def _not_taken(error: BrokerUnavailable) -> str:
    return say("The broker could not take it: %(error)s", code="not_taken", error=error)


def call_back(overfull: Mapping[Queue, int]) -> list[Ticket]:
    """Put jobs whose tickets wait in these queues, among more than so many, back to Pending, to their places in lanes.

    Return the tickets of those whose rows others hold, which is noted: push them again.
    """
    tickets = list(itertools.chain.from_iterable(itertools.starmap(get_broker().call_back, overfull.items())))
    rows = Job.primary.filter(pk__in=[ticket.pk for ticket in tickets], status=Status.QUEUED)
    found = rows.values_list("pk", "attempt", "queued_at", "run_at", "created_at", "head_start")
    # Since when a job waited for its turn is known of its first attempt. A later one was queued after it had waited.
    places = {
        pk: place_in_lane((queued_at if attempt else run_at) or created_at, head_start)
        for pk, attempt, queued_at, run_at, created_at, head_start in found
    }
    held = places.keys() - {item.pk for item in _withdraw(places, CALLED_BACK)}
    held_jobs.note(held, HELD_SECONDS)
    return [ticket for ticket in tickets if ticket.pk in held]


def withdraw(pks: Iterable[int], message: str, delay: float = 0.0) -> list[Moved]:
    """Put Queued jobs back to Pending, to be dispatched ``delay`` seconds from now or later; return those that moved.

    Jobs whose rows are in use stay Queued: the scheduler misses their tickets and issues them again.
    """
    return _withdraw(dict.fromkeys(pks, After(delay)), message)


def _withdraw(places: Mapping[int, Any], message: str) -> list[Moved]:
    values = {pk: {"ready_at": places[pk], "queued_at": None} for pk in sorted(places)}
    moves = [Move(pk=pk, to_status=Status.PENDING, message=message, values=of) for pk, of in values.items()]
    return move(moves, sources=[Status.QUEUED], actor=SYSTEM, skip_locked=True)
