"""Leases: a worker's right to its running jobs, which it renews while it lives and loses when it falls silent."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from django.db.models import F, Q

from django_jobs.conf import jobs_settings
from django_jobs.engine.actors import SCHEDULER
from django_jobs.engine.dispatch import in_flight
from django_jobs.engine.execution import settle, unbegun, vanished
from django_jobs.engine.ports import Ticket, get_broker
from django_jobs.engine.store import database
from django_jobs.engine.transitions import Moved
from django_jobs.models import Job
from django_jobs.models.job import format_job_id
from django_jobs.statuses import Status
from django_jobs.texts import say

BATCH = 500
#: A handler that has run for so many seconds is noted as begun.
BEGUN_SECONDS: Final = 1.0
UNSTORED: Final = "its handler had ended, and how was not stored"
LEASE_OVER: Final = "its lease ran out"


#: Why jobs go back that waited behind one.
HELD_UP: Final = say(
    "Handed back before it began: it waited behind a handler that let nothing else run", code="held_up"
)


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
        renewed = set(in_flight.read(database.locked(rows, skip=True).values_list("pk", flat=True)))
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
            for job in in_flight.read(rows.only("id", "created_at", "attempt", "worker_name", "cancel_requested_at"))
        ]

    return database.in_transaction(store)


def note_begun(attempts: Collection[tuple[int, int]], worker_names: Collection[str]) -> set[tuple[int, int]]:
    """Note of these attempts (job, attempt) that their handlers have begun; return those that are done with.

    Those that do not run in one of these names are not noted.

    The others' rows are in use: note them again later. The claim does not write this, since most handlers end at once;
    whoever watches over handlers calls it for those that run for :data:`BEGUN_SECONDS`.
    """
    wanted = set(attempts)
    if not wanted:
        return set()

    def store() -> set[tuple[int, int]]:
        rows = Job.primary.filter(pk__in=[pk for pk, _ in wanted])
        found = list(database.locked(rows, skip=True).values_list("pk", "attempt", "status", "worker_name"))
        begun = [
            pk
            for pk, attempt, status, name in found
            if status == Status.RUNNING and (pk, attempt) in wanted and name in worker_names
        ]
        Job.primary.filter(pk__in=begun).update(begun_attempt=F("attempt"))
        seen = {pk for pk, *_ in found}
        unseen = _running([pair for pair in wanted if pair[0] not in seen])
        return wanted - unseen

    return database.in_transaction(store)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A worker that is gone.

    ``started`` are the (job, attempt) pairs whose handlers had begun; ``ended`` some whose handlers had ended, stored
    or not. ``how`` is ``lost`` (the worker died), ``timed_out`` (it was killed because a handler ran too long) or
    ``interrupted`` (it ended in order, which costs no retry). ``culprit`` is the pair for which it was killed, if it
    was; the others had no part in that. ``tracebacks`` has the stacks that it left, by the pairs that ran.
    ``in_hand`` are those that it was about to claim; ``gave_up``: it ended by itself, in order.
    """

    worker_name: str
    started: frozenset[tuple[int, int]]
    reason: str
    how: str = "lost"
    culprit: tuple[int, int] | None = None
    ended: frozenset[tuple[int, int]] = frozenset()
    in_hand: frozenset[tuple[int, int]] = frozenset()
    gave_up: bool = False
    tracebacks: Mapping[tuple[int, int], str] = field(default_factory=dict)


def release_worker(loss: Loss) -> bool:
    """End the attempts that a worker had started as its loss says, and hand the others back.

    What it was about to claim is claimed in its name, so that these jobs' histories tell of it.
    Return whether nothing is left. Rows in use are left; call this again for them.
    """
    if loss.in_hand:
        unbegun.start(sorted(loss.in_hand), loss.worker_name)
    held = sorted(left_by(loss.worker_name))
    begun = [pair for pair in held if pair in loss.started]
    guilty = [pair for pair in begun if loss.culprit in {None, pair}]
    innocent = [pair for pair in begun if pair not in guilty]
    ended = [pair for pair in held if pair in loss.ended - loss.started]
    waiting = [pair for pair in held if pair not in loss.started | loss.ended]
    is_explained = loss.gave_up or loss.started or ended or len(loss.in_hand) > 1
    is_suspect = loss.how == "lost" and not is_explained
    moved = unbegun.end(waiting, loss.reason, loss.worker_name, is_suspect=is_suspect)
    text = say("Handed back: %(reason)s (another job)", code="bystander", reason=loss.reason)
    moved += _return(innocent, text, loss)
    moved += _end_unstored(ended, loss)
    moved += _end_guilty(guilty, loss)
    return {item.pk for item in moved} >= {pk for pk, _ in held}


def _end_unstored(ended: list[tuple[int, int]], loss: Loss) -> list[Moved]:
    """Let attempts run again whose handlers had ended, while their outcomes were not stored yet.

    Where another handler ran when the process died, another thread was claiming, or the process was killed or gave up,
    this costs them nothing. Else the storing of one of them may be what killed the process. So it counts as a failure:
    that job might kill workers for ever.
    """
    if loss.how == "lost" and not (loss.started or loss.in_hand or loss.gave_up):
        return settle.settle_lost(ended, f"{loss.reason}; {UNSTORED}", loss.worker_name)
    return _return(ended, say(f"Handed back: {UNSTORED}: %(reason)s", code="unstored", reason=loss.reason), loss)


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
    mine = _running(attempts, worker_name=worker_name)
    return [pair for pair in attempts if pair in mine]


def _running(attempts: Collection[tuple[int, int]], **of: str) -> set[tuple[int, int]]:
    """Return those of the attempts that run, whoever holds their rows."""
    if not attempts:
        return set()
    rows = Job.primary.filter(pk__in=[pk for pk, _ in attempts], status=Status.RUNNING, **of)
    return set(rows.values_list("pk", "attempt")) & set(attempts)


def give_up_claim(tickets: Sequence[Ticket], worker_name: str) -> list[Ticket]:
    """Give up a claim whose answer was lost, so that nobody knows whether it was committed; no job of it runs here.

    Jobs that were claimed go back to the queue: else they would wait for as long as the worker lives. Jobs that are
    still queued get their tickets back. Return the tickets that cannot be given up now, for another try.
    """
    held = _held([(ticket.pk, ticket.attempt) for ticket in tickets], worker_name)
    text = say("Handed back: the answer to its claim was lost", code="claim_lost")
    stuck = hand_back(held, text, worker_name)
    rows = Job.primary.filter(pk__in=[ticket.pk for ticket in tickets], status=Status.QUEUED)
    queued = dict(rows.values_list("pk", "attempt"))
    left = [ticket for ticket in tickets if queued.get(ticket.pk) == ticket.attempt - 1]
    if left:
        get_broker().push(left, front=True)
    return [ticket for ticket in tickets if (ticket.pk, ticket.attempt) in stuck]


def rescue_expired(*, also_overlong: bool = False) -> int:
    """End the attempts whose leases ran out, since their workers count as lost; return how many there were.

    Those that were not seen to begin go back to the queue (:mod:`.vanished`). ``also_overlong`` ends those too whose
    leases last for longer than any that is given now, as after the database's clock was set back. Call it so only when
    every living worker could renew since then.
    """
    now = database.now()
    longest = dt.timedelta(seconds=float(jobs_settings.LEASE_SECONDS)) + database.SET_BACK
    over = Q(lease_expires_at__lt=now) | Q(lease_expires_at__isnull=True)
    rows = Job.primary.filter(over | Q(lease_expires_at__gt=now + longest) if also_overlong else over)
    expired = rows.filter(status=Status.RUNNING).order_by("pk")
    found = in_flight.read(expired.values_list("pk", flat=True), BATCH)

    def is_over(job: Job, now: dt.datetime) -> bool:
        expires = job.lease_expires_at
        return expires is None or expires < now or (also_overlong and expires > now + longest)

    def store() -> int:
        now = database.now()
        lost: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for job in database.locked(Job.primary.filter(pk__in=found), skip=True):
            # Judged again under the lock: the worker may have renewed the lease meanwhile.
            if job.status == Status.RUNNING and is_over(job, now):
                lost[job.worker_name].append((job.pk, job.attempt))
        moved = [vanished.end(lost[name], LEASE_OVER, name, SCHEDULER) for name in sorted(lost)]
        return len({item.pk for items in moved for item in items})

    return database.in_transaction(store) if found else 0


def held_by(worker_name: str) -> set[tuple[int, int]]:
    """Return the attempts (job, attempt) that run in this worker's name."""
    rows = Job.primary.filter(status=Status.RUNNING, worker_name=worker_name)
    return set(in_flight.read(rows.values_list("pk", "attempt")))


def left_by(worker_name: str) -> set[tuple[int, int]]:
    """Return the attempts (job, attempt) of a worker that is gone, also what a walk from a mark on overlooks."""
    in_flight.forget()
    return held_by(worker_name)
