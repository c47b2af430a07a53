"""Leases: a worker's right to its running jobs, which it renews while it lives and loses when it falls silent."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from django.db.models import Q

from django_jobs.conf import jobs_settings
from django_jobs.engine.actors import SCHEDULER
from django_jobs.engine.execution import settle
from django_jobs.engine.ports import Ticket, get_broker
from django_jobs.engine.store import database
from django_jobs.engine.transitions import Moved
from django_jobs.models import Job
from django_jobs.models.job import format_job_id
from django_jobs.statuses import Status

BATCH = 500
UNSTORED: Final = "its handler had ended, and how was not stored"


@dataclass(frozen=True, slots=True)
class Held:
    """A job that a worker runs. ``cancel_seconds`` have passed since its cancel was requested; None: it was not.

    ``is_renewed`` is false where its row was in use, so that its lease must be renewed later.
    """

    pk: int
    job_id: str
    attempt: int
    worker_name: str
    cancel_seconds: float | None
    is_renewed: bool = True


def renew(worker_names: Collection[str]) -> list[Held]:
    """Renew the leases of these workers' running jobs, and return all these jobs, rows in use included."""
    if not worker_names:
        return []

    def store() -> list[Held]:
        now = database.now()
        rows = Job.primary.filter(status=Status.RUNNING, worker_name__in=sorted(worker_names))
        renewed = set(database.locked(rows, skip=True).values_list("pk", flat=True))
        expires = now + dt.timedelta(seconds=float(jobs_settings.LEASE_SECONDS))
        Job.primary.filter(pk__in=renewed).update(lease_expires_at=expires)
        # Read again without locks: a row that somebody holds, as a handler may its own, still is this worker's job.
        return [
            Held(
                job.pk,
                format_job_id(job.pk, job.created_at.year),
                job.attempt,
                job.worker_name,
                (now - job.cancel_requested_at).total_seconds() if job.cancel_requested_at else None,
                job.pk in renewed,
            )
            for job in rows.only("id", "created_at", "attempt", "worker_name", "cancel_requested_at")
        ]

    return database.in_transaction(store)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A worker that is gone.

    ``started`` are the (job, attempt) pairs whose handlers had begun; ``ended`` some whose handlers had ended, stored
    or not. ``how`` is ``lost`` (the worker died), ``timed_out`` (it was killed because a handler ran too long) or
    ``interrupted`` (it ended in order, which costs no retry). ``culprit`` is the pair for which it was killed, if it
    was; the others had no part in that. ``tracebacks`` has the stacks that it left, by the pairs that ran.
    """

    worker_name: str
    started: frozenset[tuple[int, int]]
    reason: str
    how: str = "lost"
    culprit: tuple[int, int] | None = None
    ended: frozenset[tuple[int, int]] = frozenset()
    tracebacks: Mapping[tuple[int, int], str] = field(default_factory=dict)


def release_worker(loss: Loss) -> bool:
    """End the attempts that a worker had started as its loss says, and hand the others back.

    Return whether nothing is left. Rows in use are left; call this again for them.
    """
    held = sorted(held_by(loss.worker_name))
    begun = [pair for pair in held if pair in loss.started]
    guilty = [pair for pair in begun if loss.culprit in {None, pair}]
    innocent = [pair for pair in begun if pair not in guilty]
    ended = [pair for pair in held if pair in loss.ended - loss.started]
    waiting = [pair for pair in held if pair not in loss.started | loss.ended]
    moved = _return(waiting, f"Handed back before it began: {loss.reason}", loss)
    moved += _return(innocent, f"Handed back: {loss.reason} (another job)", loss)
    moved += _end_unstored(ended, loss)
    moved += _end_guilty(guilty, loss)
    return {item.pk for item in moved} >= {pk for pk, _ in held}


def _end_unstored(ended: list[tuple[int, int]], loss: Loss) -> list[Moved]:
    """Let attempts run again whose handlers had ended, while their outcomes were not stored yet.

    Where another handler ran when the process died, or the process was killed, this costs them nothing. Where none ran,
    the storing of one of them may be what killed the process. So it counts as a failure: else that job might kill
    workers for ever.
    """
    if loss.how == "lost" and not loss.started:
        return settle.settle_lost(ended, f"{loss.reason}; {UNSTORED}", loss.worker_name)
    return _return(ended, f"Handed back: {UNSTORED}: {loss.reason}", loss)


def _end_guilty(guilty: list[tuple[int, int]], loss: Loss) -> list[Moved]:
    match loss.how:
        case "lost":
            return settle.settle_lost(guilty, loss.reason, loss.worker_name, tracebacks=loss.tracebacks)
        case "timed_out":
            return settle.settle_timed_out(guilty, loss.worker_name, tracebacks=loss.tracebacks)
        case _:
            return settle.return_to_queue(guilty, loss.reason, loss.worker_name, tracebacks=loss.tracebacks)


def _return(pairs: list[tuple[int, int]], text: str, loss: Loss) -> list[Moved]:
    return settle.return_to_queue(pairs, text, loss.worker_name)


def hand_back(attempts: Collection[tuple[int, int]], reason: str, worker_name: str) -> list[tuple[int, int]]:
    """Hand a worker's attempts (job, attempt) back to the queue; return those whose rows are in use.

    Hand those back again later: nobody else takes them from a worker that lives and renews their leases.
    """
    moved = {item.pk for item in settle.return_to_queue(list(attempts), reason, worker_name)}
    return _held([pair for pair in attempts if pair[0] not in moved], worker_name)


def _held(attempts: Collection[tuple[int, int]], worker_name: str) -> list[tuple[int, int]]:
    """Return those of the attempts that run in this worker's name."""
    if not attempts:
        return []
    rows = Job.primary.filter(pk__in=[pk for pk, _ in attempts])
    mine = set(rows.filter(status=Status.RUNNING, worker_name=worker_name).values_list("pk", "attempt"))
    return [pair for pair in attempts if pair in mine]


def give_up_claim(tickets: Sequence[Ticket], worker_name: str) -> list[Ticket]:
    """Give up a claim whose answer was lost, so that nobody knows whether it was committed; no job of it runs here.

    Jobs that were claimed go back to the queue: else they would wait for as long as the worker lives. Jobs that are
    still queued get their tickets back. Return the tickets that cannot be given up now, for another try.
    """
    held = _held([(ticket.pk, ticket.attempt) for ticket in tickets], worker_name)
    stuck = hand_back(held, "Handed back: the answer to its claim was lost", worker_name)
    rows = Job.primary.filter(pk__in=[ticket.pk for ticket in tickets], status=Status.QUEUED)
    queued = dict(rows.values_list("pk", "attempt"))
    left = [ticket for ticket in tickets if queued.get(ticket.pk) == ticket.attempt - 1]
    if left:
        get_broker().push(left, front=True)
    return [ticket for ticket in tickets if (ticket.pk, ticket.attempt) in stuck]


def rescue_expired() -> int:
    """End the attempts whose leases ran out, since their workers count as lost; return how many there were."""
    rows = Job.primary.filter(status=Status.RUNNING)
    expired = rows.filter(Q(lease_expires_at__lt=database.now()) | Q(lease_expires_at__isnull=True))
    found = list(expired.order_by("pk").values_list("pk", flat=True)[:BATCH])

    def store() -> int:
        now = database.now()
        lost: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for job in database.locked(Job.primary.filter(pk__in=found), skip=True):
            # Judged again under the lock: the worker may have renewed the lease meanwhile.
            if job.status == Status.RUNNING and (job.lease_expires_at is None or job.lease_expires_at < now):
                lost[job.worker_name].append((job.pk, job.attempt))
        moved = [settle.settle_lost(lost[name], "its lease ran out", name, actor=SCHEDULER) for name in sorted(lost)]
        return sum(map(len, moved))

    return database.in_transaction(store) if found else 0


def held_by(worker_name: str) -> set[tuple[int, int]]:
    """Return the attempts (job, attempt) that run in this worker's name."""
    rows = Job.primary.filter(status=Status.RUNNING, worker_name=worker_name)
    return set(rows.values_list("pk", "attempt"))


def is_owned(pk: int, attempt: int) -> bool:
    """Return whether this attempt runs the job now. No two claims of a job have the same attempt number."""
    rows = Job.primary.filter(pk=pk, attempt=attempt, status=Status.RUNNING)
    return rows.exists()
