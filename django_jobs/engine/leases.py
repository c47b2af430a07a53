"""The right to a running job until a moment: renewed while the worker lives, taken away when it falls silent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.db.models import Q

from django_jobs.conf import jobs_settings
from django_jobs.engine import database, settle
from django_jobs.engine.ports import Ticket, get_broker
from django_jobs.engine.transitions.moves import Moved
from django_jobs.models import Job
from django_jobs.models.job import format_job_id
from django_jobs.statuses import Status

BATCH = 500


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that a worker holds; ``cancel_seconds`` since its cancel was requested, None if it was not."""

    pk: int
    job_id: str
    attempt: int
    worker_name: str
    cancel_seconds: float | None


def renew(worker_names: Collection[str]) -> list[Held]:
    """Renew the leases of these workers' running jobs and return them. Rows in use are renewed next time."""
    if not worker_names:
        return []

    def store() -> list[Held]:
        now = database.now()
        rows = Job.objects.using(database.alias()).filter(status=Status.RUNNING, worker_name__in=sorted(worker_names))
        jobs = list(
            database.locked(rows, skip=True).only("id", "created_at", "attempt", "worker_name", "cancel_requested_at")
        )
        expires = now + dt.timedelta(seconds=float(jobs_settings.LEASE_SECONDS))
        Job.objects.using(database.alias()).filter(pk__in=[job.pk for job in jobs]).update(lease_expires_at=expires)
        return [
            Held(
                job.pk,
                format_job_id(job.pk, job.created_at.year),
                job.attempt,
                job.worker_name,
                (now - job.cancel_requested_at).total_seconds() if job.cancel_requested_at else None,
            )
            for job in jobs
        ]

    return database.in_transaction(store)


def release_worker(
    worker_name: str, started: Collection[tuple[int, int]], reason: str, how: str = "lost"
) -> list[Moved]:
    """A worker is gone: end the attempts it had started as ``how`` says, and hand the others back.

    ``started`` are its (job, attempt) pairs whose handlers had begun. ``how`` is ``lost`` (it died), ``timed_out``
    (it was killed because its handler ran too long) or ``interrupted`` (an orderly end, which costs no retry).
    """
    rows = Job.objects.using(database.alias()).filter(status=Status.RUNNING, worker_name=worker_name)
    held = list(rows.values_list("pk", "attempt"))
    begun = [pair for pair in held if pair in set(started)]
    waiting = [pair for pair in held if pair not in set(started)]
    moved = settle.return_to_queue(waiting, f"Handed back before it began: {reason}", worker_name)
    if how == "lost":
        return moved + settle.settle_lost(begun, reason, worker_name)
    if how == "timed_out":
        return moved + settle.settle_timed_out(begun, worker_name)
    return moved + settle.return_to_queue(begun, reason, worker_name)


def hand_back(attempts: Collection[tuple[int, int]], reason: str, worker_name: str) -> list[tuple[int, int]]:
    """Return a worker's attempts (job, attempt) to the queue; those that it still holds, since their rows are in use.

    They are to be handed back again: nobody else takes them from a worker that lives and renews them.
    """
    moved = {item.pk for item in settle.return_to_queue(list(attempts), reason, worker_name)}
    return _held([pair for pair in attempts if pair[0] not in moved], worker_name)


def _held(attempts: Collection[tuple[int, int]], worker_name: str) -> list[tuple[int, int]]:
    """Those of the attempts that run in this worker's name."""
    if not attempts:
        return []
    rows = Job.objects.using(database.alias()).filter(pk__in=[pk for pk, _ in attempts])
    mine = set(rows.filter(status=Status.RUNNING, worker_name=worker_name).values_list("pk", "attempt"))
    return [pair for pair in attempts if pair in mine]


def give_up_claim(tickets: Sequence[Ticket], worker_name: str) -> list[Ticket]:
    """Give up a claim of which no answer came, whether it was committed or not: the worker runs none of these jobs.

    Those that it holds unknowingly, and would hold for as long as it lives, go back to the queue; those that still
    wait get their tickets back. What cannot be given up now is returned, for another try.
    """
    held = _held([(ticket.pk, ticket.attempt) for ticket in tickets], worker_name)
    stuck = hand_back(held, "Handed back: the answer to its claim was lost", worker_name)
    rows = Job.objects.using(database.alias()).filter(pk__in=[ticket.pk for ticket in tickets], status=Status.QUEUED)
    queued = dict(rows.values_list("pk", "attempt"))
    left = [ticket for ticket in tickets if queued.get(ticket.pk) == ticket.attempt - 1]
    if left:
        get_broker().push(left, front=True)
    return [ticket for ticket in tickets if (ticket.pk, ticket.attempt) in stuck]


def rescue_expired() -> int:
    """Jobs whose lease ran out: their worker is lost, whatever became of it; how many there were."""
    rows = Job.objects.using(database.alias()).filter(status=Status.RUNNING)
    expired = rows.filter(Q(lease_expires_at__lt=database.now()) | Q(lease_expires_at__isnull=True))
    lost = list(expired.order_by("pk").values_list("pk", "attempt", "worker_name")[:BATCH])
    count = 0
    for name in sorted({worker_name for _, _, worker_name in lost}):
        pairs = [(pk, attempt) for pk, attempt, worker_name in lost if worker_name == name]
        count += len(settle.settle_lost(pairs, "its lease ran out", name, actor="scheduler"))
    return count
