"""Tickets at the broker: given to queued jobs, called back, and kept in step with the database."""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.db import Error
from django.db.models import OuterRef, Q, Subquery

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine import timing
from django_jobs.engine.actors import SYSTEM
from django_jobs.engine.dispatch import in_flight, window
from django_jobs.engine.ports import Queue, Ticket, get_broker
from django_jobs.engine.store.values import After, Move, Moved, Terms, place_in_lane
from django_jobs.engine.transitions import move
from django_jobs.exceptions import BrokerUnavailable, ForeignBroker
from django_jobs.models import Installation, Job, JobType
from django_jobs.statuses import Status
from django_jobs.texts import say

# Giving jobs that were moved to Queued their tickets, and unqueueing those that cannot have one: back to Pending.


logger = logging.getLogger("django_jobs")

#: Why a job that was queued waits again.
CALLED_BACK: Final = say(
    "Called back: those before it take longer than expected, and others wait for their turn", code="called_back"
)


class Queued(NamedTuple):
    """What a pass queued, in the order of turns.

    The tickets of queues that are ``overfull`` are to be called back, where more than so many wait.
    """

    moved: list[Moved]
    overfull: Mapping[Queue, int]


def push_new(moved: Sequence[Moved]) -> str:
    """Give jobs that were stored as Queued their tickets. Return why the broker did not take them; empty if it did."""
    try:
        _push(moved)
    except BrokerUnavailable as error:
        return _not_taken(error)
    return ""


def unqueue_unpushed(moved: Iterable[Moved], message: str) -> None:
    """Put jobs that were stored as Queued, and have no ticket, back to Pending. Raises no database error."""
    try:
        unqueue([item.pk for item in moved], message)
    except Error as error:
        logger.warning("event=unqueue_failed error=%r", error)


def push_tickets(moved: Sequence[Moved], *, front: bool = False) -> None:
    """Give Queued jobs their tickets; if the broker cannot take them, put the jobs back to Pending."""
    try:
        if moved:
            _push(moved, front=front)
    except BrokerUnavailable as error:
        unqueue([item.pk for item in moved], _not_taken(error))


def _push(moved: Sequence[Moved], *, front: bool = False) -> None:
    tickets = [
        Ticket(item.pk, item.year, item.attempt + 1, item.priority, window.pool_of(item.job_type)) for item in moved
    ]
    get_broker().push(tickets, front=front)


def _not_taken(error: BrokerUnavailable) -> str:
    return say("The broker could not take it: %(error)s", code="not_taken", error=error)


def unqueue_overfull(overfull: Mapping[Queue, int]) -> list[Ticket]:
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
    held = places.keys() - {item.pk for item in _unqueue(places, CALLED_BACK)}
    in_flight.note_held(held, timing.HELD_TICKET_SECONDS)
    return [ticket for ticket in tickets if ticket.pk in held]


def unqueue(pks: Iterable[int], message: str, delay: float = 0.0) -> list[Moved]:
    """Put Queued jobs back to Pending, to be dispatched ``delay`` seconds from now or later; return those that moved.

    Jobs whose rows are in use stay Queued: the scheduler misses their tickets and issues them again.
    """
    return _unqueue(dict.fromkeys(pks, After(delay)), message)


def _unqueue(places: Mapping[int, Any], message: str) -> list[Moved]:
    values = {pk: {"ready_at": places[pk], "queued_at": None} for pk in sorted(places)}
    moves = [Move(pk=pk, to_status=Status.PENDING, message=message, values=of) for pk, of in values.items()]
    return move(moves, Terms(sources=[Status.QUEUED], actor=SYSTEM, skip_locked=True))


# Keeps broker and database in step: notices an emptied broker, lost tickets, and another installation's broker.


BATCH = 5000


def installation_id() -> str:
    """Return the id of this database's installation; the first call makes it."""
    rows = Installation.primary.all()
    found = rows.filter(pk=1).first()
    if found is None:
        rows.bulk_create([Installation(pk=1)], ignore_conflicts=True)
        found = rows.get(pk=1)
    return str(found.installation_id)


def check_broker() -> None:
    """Mark a new broker as ours. Raises ForeignBroker if it is another installation's."""
    mine = installation_id()
    if not get_broker().mark(mine):
        theirs = get_broker().installation()
        raise ForeignBroker(
            say(
                f"The broker belongs to installation %(theirs)s, this database to %(mine)s. {ForeignBroker.advice}",
                code="foreign_broker",
                theirs=theirs,
                mine=mine,
            )
        )


class TicketWatch:
    """Finds Queued jobs whose tickets are lost: missing twice in a row, or at a broker that has lost its mark.

    A ticket is missing that waits in no queue of its own pool: elsewhere it is void.
    """

    def __init__(self) -> None:
        self._missing: set[str] = set()
        self._mine = ""
        #: Whether the broker was another installation's at the last look: then nothing belongs there.
        self.is_foreign = False

    def reissue_lost(self) -> int:
        """Push lost tickets again and return how many. The status of the jobs does not change."""
        try:
            return self._reissue_lost()
        except BrokerUnavailable:
            return 0

    def _was_emptied(self) -> bool:
        """Return whether the broker had no mark; mark it then. Raises ForeignBroker for another installation's."""
        owner = get_broker().installation()
        if owner is None or owner != self._mine:
            self._mine = installation_id()
        self.is_foreign = owner not in {None, self._mine}
        if owner != self._mine:
            check_broker()
        return owner is None

    def _reissue_lost(self) -> int:
        broker = get_broker()
        emptied = self._was_emptied()
        tickets = self._wanted()
        # Read after the rows, so that it holds every ticket that was pushed before the rows were read.
        waiting = broker.waiting_ids() if tickets else {}
        missing = {ticket.id: ticket for ticket in tickets if ticket.id not in waiting.get(ticket.pool, ())}
        if missing and (lease := in_flight.look_at_lock()):  # workers keep the tickets of what is held for a while
            held = in_flight.known_held(lease.state)
            missing = {ticket_id: ticket for ticket_id, ticket in missing.items() if emptied or ticket.pk not in held}
        lost = [ticket for ticket in missing.values() if emptied or ticket.id in self._missing]
        self._missing = set(missing) - {ticket.id for ticket in lost}
        if lost:
            broker.push(lost)
        return len(lost)

    @staticmethod
    def _wanted() -> list[Ticket]:
        """Return the tickets of the queued jobs, and put back those that no worker will: see :func:`_reasons`.

        The pool is that of the type now, which may have changed since the job was queued.
        """
        kinds = JobType.primary.filter(pk=OuterRef("job_type_id"))
        rows = Job.primary.filter(status=Status.QUEUED).order_by("pk").annotate(pool=Subquery(kinds.values("pool")[:1]))
        fields = ("pk", "created_at", "attempt", "priority", "pool", "job_type_id")
        tickets, types = [], {}
        for pk, moment, attempt, priority, pool, job_type in in_flight.read_in_flight(rows.values_list(*fields), BATCH):
            tickets.append(Ticket(pk, moment.year, attempt + 1, priority, pool or DEFAULT_POOL))
            types[tickets[-1]] = job_type
        reasons = _reasons(types) if types else {}  # an idle tick asks no more
        back = defaultdict(list)
        for ticket, reason in reasons.items():
            back[reason].append(ticket.pk)
        for reason, pks in back.items():
            unqueue(pks, reason)
        return [ticket for ticket in tickets if ticket not in reasons]


def _reasons(types: Mapping[Ticket, str]) -> dict[Ticket, str]:
    """Return why some of these queued jobs, each with its type, are to wait in the backlog.

    A pool that is not configured has no queues. What is queued of a type that is paused or disabled is put back by the
    worker that takes it; where none does, it would hold the places of its organization for as long.
    """
    known, served = pools.names(), window.read_window().served
    reasons = {ticket: pools.not_configured(ticket.pool) for ticket in types if ticket.pool not in known}
    left = {ticket: name for ticket, name in types.items() if ticket not in reasons}
    unserved = {ticket: name for ticket, name in left.items() if ticket.queue not in served}
    if unserved:
        held = JobType.primary.filter(Q(is_paused=True) | Q(is_enabled=False), pk__in=set(unserved.values()))
        words = {pk: "paused" if is_enabled else "disabled" for pk, is_enabled in held.values_list("pk", "is_enabled")}
        told = {pk: say(f"The job type is {word}", code=f"type_{word}") for pk, word in words.items()}
        reasons |= {ticket: told[name] for ticket, name in unserved.items() if name in told}
    return reasons
