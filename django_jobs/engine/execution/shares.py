"""Dispatch and claim in one: a worker that comes back while a backlog waits takes its share of it, without tickets.

It picks under the dispatcher's lock, by the same rule of turns, and what it picked goes from the backlog to Running in
one statement that writes both rows of the Execution Log. What may not start at once goes the usual way, to the broker
as far as that has room: jobs for which the policy has to be asked, since it must not hold up everybody; those whose
handler is not loaded or may not be; those that expired; and more than the worker will start soon.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine import timing
from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.claimed_job import Claimed, Handler
from django_jobs.engine.dispatch import backlog, tenant_shares, tickets, turns
from django_jobs.engine.execution import breaker, claim, leases
from django_jobs.engine.execution.claim import ahead_name, claimed_job
from django_jobs.engine.ports import Queue, Ticket
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import Candidate, JobRow, Waypoint
from django_jobs.statuses import DISPATCHABLE, Priority, Status

#: A smaller share costs more than the dispatcher's sets, and keeps its lock from others for too little.
MIN_SHARE: Final = 16


@dataclass(frozen=True, slots=True)
class Taker:
    """The worker that takes a share.

    ``fits`` gets job types and says how many of the first it will start soon, if any. ``about_to_start`` gets the
    tickets that the jobs would have, before they are moved; again if a lost race makes it necessary to begin anew.
    """

    worker_name: str
    fits: Callable[[Sequence[str]], int]
    about_to_start: Callable[[Sequence[Ticket]], object]


def are_possible() -> bool:
    """Return whether this database can move a job over two statuses in one statement."""
    return store().passes_waypoints


def take_share(queues: Collection[Queue], count: int, taker: Taker) -> list[Claimed] | None:
    """Start up to ``count`` jobs for these queues, and return those that run, in the order of their turns.

    Return None if another process has the dispatcher's lock.
    """
    until = time.monotonic() + timing.SHARE_POLICY_SECONDS
    claim.ask_again(lambda: time.monotonic() > until)  # here, since under the lock nobody is asked
    start = functools.partial(_start, taker=taker, in_pools={queue.pool for queue in queues})
    share = turns.take_share(queues, count, start)
    if tenant_shares.ask() and share == ([], []):
        share = turns.take_share(queues, count, start)
    if share is None:
        return None
    claimed, queued = share
    tickets.push_tickets(queued)
    return claimed


def _start(picked: Sequence[Candidate], taker: Taker, in_pools: Collection[str]) -> tuple[list[Claimed], set[int]]:
    """Move what may start now to Running; return what runs, and the keys of the rest.

    Rows are locked before they are read, since a later submission may replace a waiting job's values. What came into
    another lane since it was picked is in neither: it was counted for the concurrency key of before, and waits for its
    turn there.
    """
    if not picked:
        return [], set()
    rows = {row.pk: row for row in store().claim_rows([item.pk for item in picked], locks=True)}
    picked = [item for item in picked if item.pk not in rows or rows[item.pk].lane_key == item.lane.key]
    accepted = _accepted([rows[item.pk] for item in picked if item.pk in rows], taker, in_pools)
    taker.about_to_start([item.ticket for item in accepted])
    attempts = [(item.pk, item.attempt) for item in accepted]
    moved = leases.start_unbegun(attempts, taker.worker_name, sources=DISPATCHABLE, via=Waypoint(Status.QUEUED, SYSTEM))
    backlog.note_taken(moved)
    started = {item.pk for item in moved}
    left = {item.pk for item in picked} - {item.pk for item in accepted}
    return [item for item in accepted if item.pk in started], left


def _accepted(found: Sequence[JobRow], taker: Taker, in_pools: Collection[str]) -> list[Claimed]:
    """Return the first of these jobs that the worker starts soon, as far as they are known to be allowed to.

    None goes before a more urgent one that is not known to be.
    """
    held = breaker.not_startable(found)  # one may have opened since this pass began
    waiting = [row for row in found if row.pk not in held]
    count = max(0, taker.fits([ahead_name(row) for row in waiting]))
    accepted: list[Claimed] = []
    handlers: dict[tuple[Any, ...], Handler | None] = {}
    least_urgent = int(Priority.LOW)
    for row in waiting[:count]:
        if row.priority < least_urgent:
            break
        kind = claim.question(row)  # jobs of a kind are judged once
        if kind not in handlers:
            handlers[kind] = claim.known_handler(row)
        handler = None if _is_expired(row) or row.pool not in in_pools else handlers[kind]
        if handler is None:
            least_urgent = max(least_urgent, row.priority)
        else:
            ticket = Ticket(row.pk, row.created_at.year, row.attempt + 1, row.priority, row.pool or DEFAULT_POOL)
            accepted.append(claimed_job(row, ticket, handler, taker.worker_name))
    return accepted


def _is_expired(row: JobRow) -> bool:
    return row.seconds_left is not None and row.seconds_left <= 0
