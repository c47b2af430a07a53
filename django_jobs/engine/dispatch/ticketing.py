"""Giving jobs that were moved to Queued their tickets, and taking those back to Pending that cannot have one."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from django.db import Error

from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.dispatch import pools
from django_jobs.engine.dispatch.short_way import BUDGET_SECONDS
from django_jobs.engine.dispatch.time_budget import TimeBudget
from django_jobs.engine.ports import NO_WEIGHTS, Queue, Ticket, get_broker
from django_jobs.engine.transitions import After, Move, Moved, move
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.statuses import Status

logger = logging.getLogger("django_jobs")


class Queued(NamedTuple):
    """What a pass queued, in the order of turns.

    The jobs with the keys ``first`` go before what the broker holds. ``first_weights`` are, by queue, the least weights
    with which an organization goes first.
    """

    moved: list[Moved]
    first: Collection[int]
    first_weights: Mapping[Queue, float]


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
    return f"The broker could not take it: {error}"


def withdraw(pks: Iterable[int], message: str, delay: float = 0.0) -> list[Moved]:
    """Put Queued jobs back to Pending, to be dispatched ``delay`` seconds from now or later; return those that moved.

    Jobs whose rows are in use stay Queued: the scheduler misses their tickets and issues them again.
    """
    values = {"ready_at": After(delay), "queued_at": None}
    moves = [Move(pk=pk, to_status=Status.PENDING, message=message, values=values) for pk in sorted(pks)]
    return move(moves, sources=[Status.QUEUED], actor=SYSTEM, skip_locked=True)
