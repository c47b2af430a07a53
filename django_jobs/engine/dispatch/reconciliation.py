"""Keeps broker and database in step: notices an emptied broker, lost tickets, and another installation's broker."""

from __future__ import annotations

from collections import defaultdict

from django.db.models import OuterRef, Subquery

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.dispatch import in_flight, ticketing
from django_jobs.engine.ports import Ticket, get_broker
from django_jobs.exceptions import BrokerUnavailable, ForeignBroker
from django_jobs.models import Installation, Job, JobType
from django_jobs.statuses import Status

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
            f"The broker belongs to installation {theirs}, this database to {mine}. "
            "Give each installation a Redis database of its own."
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
        lost = [ticket for ticket in missing.values() if emptied or ticket.id in self._missing]
        self._missing = set(missing) - {ticket.id for ticket in lost}
        if lost:
            broker.push(lost)
        return len(lost)

    @staticmethod
    def _wanted() -> list[Ticket]:
        """Return the tickets of the queued jobs, and put back the jobs whose pool is not configured: it has no queues.

        The pool is that of the type now, which may have changed since the job was queued.
        """
        kinds = JobType.primary.filter(pk=OuterRef("job_type_id"))
        rows = Job.primary.filter(status=Status.QUEUED).order_by("pk").annotate(pool=Subquery(kinds.values("pool")[:1]))
        queued = in_flight.read(rows.values_list("pk", "created_at", "attempt", "priority", "pool"), BATCH)
        known, unknown, tickets = pools.names(), defaultdict(list), []
        for pk, moment, attempt, priority, pool in queued:
            if pool is None or pool in known:
                tickets.append(Ticket(pk, moment.year, attempt + 1, priority, pool or DEFAULT_POOL))
            else:
                unknown[pool].append(pk)
        for pool, pks in unknown.items():
            ticketing.withdraw(pks, pools.not_configured(pool))
        return tickets
