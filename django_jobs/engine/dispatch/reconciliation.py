"""Keeps broker and database in step: notices an emptied broker, lost tickets, and another installation's broker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from django.db.models import OuterRef, Q, Subquery

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.dispatch import dispatch_lock, held_jobs, in_flight, kept_state, ticketing, window
from django_jobs.engine.ports import Ticket, get_broker
from django_jobs.exceptions import BrokerUnavailable, ForeignBroker
from django_jobs.models import Installation, Job, JobType
from django_jobs.statuses import Status
from django_jobs.texts import say

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
        if missing and (lease := dispatch_lock.look()):  # workers keep the tickets of what is held for a while
            held = held_jobs.known(kept_state.checked(lease.state))
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
        for pk, moment, attempt, priority, pool, job_type in in_flight.read(rows.values_list(*fields), BATCH):
            tickets.append(Ticket(pk, moment.year, attempt + 1, priority, pool or DEFAULT_POOL))
            types[tickets[-1]] = job_type
        reasons = _reasons(types) if types else {}  # an idle tick asks no more
        back = defaultdict(list)
        for ticket, reason in reasons.items():
            back[reason].append(ticket.pk)
        for reason, pks in back.items():
            ticketing.withdraw(pks, reason)
        return [ticket for ticket in tickets if ticket not in reasons]


def _reasons(types: Mapping[Ticket, str]) -> dict[Ticket, str]:
    """Return why some of these queued jobs, each with its type, are to wait in the backlog.

    A pool that is not configured has no queues. What is queued of a type that is paused or disabled is put back by the
    worker that takes it; where none does, it would hold the places of its organization for as long.
    """
    known, slots = pools.names(), window.read_window().slots
    reasons = {ticket: pools.not_configured(ticket.pool) for ticket in types if ticket.pool not in known}
    left = {ticket: name for ticket, name in types.items() if ticket not in reasons}
    unserved = {ticket: name for ticket, name in left.items() if not slots.get(ticket.queue)}
    if unserved:
        held = JobType.primary.filter(Q(is_paused=True) | Q(is_enabled=False), pk__in=set(unserved.values()))
        words = {pk: "paused" if is_enabled else "disabled" for pk, is_enabled in held.values_list("pk", "is_enabled")}
        told = {pk: say(f"The job type is {word}", code=f"type_{word}") for pk, word in words.items()}
        reasons |= {ticket: told[name] for ticket, name in unserved.items() if name in told}
    return reasons
