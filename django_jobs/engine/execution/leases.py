"""Which attempt owns a job, and for how long: leases, their renewal, and the ends of attempts whose worker died."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from django.db.models import F, Q

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.actors import SCHEDULER, Actor
from django_jobs.engine.claimed_job import Claimed, uptime_seconds
from django_jobs.engine.dispatch import dispatcher, in_flight, window
from django_jobs.engine.execution import claim, settle
from django_jobs.engine.ports import Ticket, get_broker
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import AttemptKey, Moved
from django_jobs.models import ExecutionLog, Job, Worker
from django_jobs.statuses import LogReason, Status
from django_jobs.texts import say


def is_owned(pk: int, attempt: int, worker_name: str) -> bool:
    """Return whether this worker's attempt runs the job by a lease that lasts.

    A lease that ran out gives no right any more, also while nobody has taken the job yet. No two claims of a job have
    the same attempt, except where a fail-over lost the first: then another worker has the second.
    """
    rows = Job.primary.filter(pk=pk, attempt=attempt, worker_name=worker_name, status=Status.RUNNING)
    return rows.extra(where=[f"lease_expires_at > {store().sql_now()}"]).exists()  # noqa: S610  (no value is in it)


def has_lease_run_out(claimed: Claimed, renewed: float) -> bool:
    """Return whether an attempt's lease is over, as far as its worker can know without asking the database.

    ``renewed`` is a moment before the last renewal that succeeded, on the clock of ``engine.claimed_job``; 0: none did.
    """
    return uptime_seconds() - max(claimed.claimed_at, renewed) > float(jobs_settings.LEASE_SECONDS)


logger = logging.getLogger("django_jobs")

# The jobs of workers of this machine that were killed together with their supervisors: nobody else reports these.
#
# Workers of other machines, and of other containers, cannot be judged from here; their leases run out.


class Neighbors:
    """Looks at once, and then every few seconds, which workers of this machine are gone."""

    def __init__(self) -> None:
        self._next = 0.0

    def end_what_is_gone(self) -> int:
        """End the attempts that such workers have left; return how many there were.

        An orphan that outlived its supervisor works on, and is left alone.
        """
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + timing.LEASE_LOOK_SECONDS
        count = sum(map(_end, window.workers_gone_from_here()))
        if count:
            dispatcher.dispatch_patiently()  # for the first loss they run again at once; nobody may lead now
        return count


def _end(worker: Worker) -> int:
    held = left_by(worker.name)
    moved = end_vanished(sorted(held), f"process {worker.pid} and its supervisor are gone", worker.name, SCHEDULER)
    ended = {item.pk for item in moved}
    if ended or not held:  # else another neighbor was quicker
        logger.warning("event=neighbor_gone worker=%s pid=%s jobs=%s", worker.name, worker.pid, len(ended))
    if ended >= {pk for pk, _ in held}:  # else rows are in use, and the next look finds it again
        window.withdraw_worker(worker.name)
    return len(ended)


# Attempts that a worker had in hand when it died, and whose handlers had not begun.
#
# Mostly such a job is a bystander, so that it is requeued. But the import of its handler, or what the policy does
# about it, may be what kills workers, and then that would go on for ever. So a job that a worker examined when it died,
# or that was alone in its hands, is charged from the second time on as a handler that kills its process.


def _end_unbegun(attempts: Sequence[AttemptKey], suspect: AttemptKey | None, loss: Loss) -> list[Moved]:
    """Requeue attempts that had not begun; charge the suspect, if there is one, if it was that before."""
    others = [pair for pair in attempts if pair != suspect]
    text = say("Requeued before it began: %(reason)s", code="unbegun", reason=loss.reason)
    moved = settle.requeue(others, text, loss.worker_name)
    if suspect is None:
        return moved
    if ExecutionLog.primary.filter(job_id=suspect[0], reason=LogReason.DIED_ALONE).exists():
        return moved + settle.settle_lost([suspect], f"{loss.reason}, before its handler began", loss.worker_name)
    text = say("Requeued: its worker died before it began: %(reason)s", code="died_alone", reason=loss.reason)
    return moved + settle.requeue([suspect], text, loss.worker_name, LogReason.DIED_ALONE)


# The end of attempts that vanished together with whoever knew whether their handlers had begun.
#
# Of those that ran for a moment, the database knows it (``leases.note_begun``). The others either had not begun, and
# owe nothing; or they began in the last moment. Which it was cannot be told, so that the first time costs nothing. A
# job that vanishes like that again may be what takes its machines down in that moment, and pays from then on.


def end_vanished(attempts: Collection[AttemptKey], reason: str, worker_name: str, actor: Actor) -> list[Moved]:
    """End attempts of which nobody can report; return what moved.

    What had begun, and what vanished unseen before, is lost; the others are requeued and pay nothing.
    """

    def store() -> list[Moved]:
        guilty = _begun_or_returned(attempts)
        lost = [pair for pair in attempts if pair[0] in guilty]
        others = [pair for pair in attempts if pair[0] not in guilty]
        moved = settle.settle_lost(lost, reason, worker_name, actor=actor)
        text = say("Requeued: its handler was not seen to begin; %(reason)s", code="unseen", reason=reason)
        return moved + settle.requeue(others, text, worker_name, LogReason.UNSEEN, actor=actor)

    return database.in_transaction(store) if attempts else []


def _begun_or_returned(attempts: Collection[AttemptKey]) -> set[int]:
    pks = [pk for pk, _ in attempts]
    begun = Job.primary.filter(pk__in=pks, begun_attempt=F("attempt")).values_list("pk", flat=True)
    logs = ExecutionLog.primary.filter(job_id__in=pks, reason=LogReason.UNSEEN)
    return {*begun, *logs.values_list("job_id", flat=True)}


# Leases: a worker's right to its running jobs, which it renews while it lives and loses when it falls silent.


BATCH = 500
UNSTORED: Final = "its handler had ended, and how was not stored"
LEASE_OVER: Final = "its lease ran out"


#: Why jobs are requeued that waited behind one.
HELD_UP: Final = say("Requeued before it began: it waited behind a handler that let nothing else run", code="held_up")


@dataclass(frozen=True, slots=True)
class LeasedJob:
    """A job that a worker runs. ``cancel_seconds`` have passed since its cancel was requested; None: it was not.

    ``is_renewed`` is false where its row was in use, so that its lease must be renewed later.
    """

    pk: int
    attempt: int
    worker_name: str
    cancel_seconds: float | None
    is_renewed: bool = True


def renew_leases(worker_names: Collection[str]) -> list[LeasedJob]:
    """Renew the leases of these workers' running jobs, and return all these jobs, rows in use included."""
    if not worker_names:
        return []

    def store() -> list[LeasedJob]:
        now = database.now()
        rows = Job.primary.filter(status=Status.RUNNING, worker_name__in=sorted(worker_names))
        renewed = set(in_flight.read_in_flight(database.locked(rows, skip=True).values_list("pk", flat=True)))
        expires = now + dt.timedelta(seconds=float(jobs_settings.LEASE_SECONDS))
        Job.primary.filter(pk__in=renewed).update(lease_expires_at=expires)
        # Read again without locks: a row that somebody holds, as a handler may its own, still is this worker's job.
        return [
            LeasedJob(
                job.pk,
                job.attempt,
                job.worker_name,
                (now - job.cancel_requested_at).total_seconds() if job.cancel_requested_at else None,
                job.pk in renewed,
            )
            for job in in_flight.read_in_flight(rows.only("id", "attempt", "worker_name", "cancel_requested_at"))
        ]

    return database.in_transaction(store)


def note_begun(attempts: Collection[AttemptKey], worker_names: Collection[str]) -> set[AttemptKey]:
    """Note of these attempts that their handlers have begun; return those that are done with.

    Those that do not run in one of these names are not noted.

    The others' rows are in use: note them again later. The claim does not write this, since most handlers end at once;
    whoever watches over handlers calls it for those that run for :data:`NOTED_BEGUN_SECONDS`.
    """
    wanted = set(attempts)
    if not wanted:
        return set()

    def store() -> set[AttemptKey]:
        rows = Job.primary.filter(pk__in=[pk for pk, _ in wanted])
        found = list(database.locked(rows, skip=True).values_list("pk", "attempt", "status", "worker_name"))
        begun = [
            pk
            for pk, attempt, status, name in found
            if status == Status.RUNNING and (pk, attempt) in wanted and name in worker_names
        ]
        Job.primary.filter(pk__in=begun).update(begun_attempt=F("attempt"))
        seen = {pk for pk, *_ in found}
        unseen = settle.still_running([pair for pair in wanted if pair[0] not in seen])
        return wanted - unseen

    return database.in_transaction(store)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A worker that is gone.

    ``started`` are the attempts whose handlers had begun; ``ended`` some whose handlers had ended, stored
    or not. ``how`` is ``lost`` (the worker died), ``timed_out`` (it was killed because a handler ran too long) or
    ``interrupted`` (it ended in order, which costs no retry). ``culprit`` is the pair for which it was killed, if it
    was; the others had no part in that. ``tracebacks`` has the stacks that it left, by the pairs that ran.
    ``in_hand`` are those that it was about to claim, and ``examined`` the one of them whose handler it was about to
    load; ``gave_up``: it ended by itself, in order.
    """

    worker_name: str
    started: frozenset[AttemptKey]
    reason: str
    how: str = "lost"
    culprit: AttemptKey | None = None
    ended: frozenset[AttemptKey] = frozenset()
    in_hand: frozenset[AttemptKey] = frozenset()
    examined: AttemptKey | None = None
    gave_up: bool = False
    tracebacks: Mapping[AttemptKey, str] = field(default_factory=dict)


def end_lost_worker(loss: Loss) -> bool:
    """End the attempts that a worker had started as its loss says, and requeue the others.

    What it was about to claim is claimed in its name, so that these jobs' histories tell of it.
    Return whether nothing is left. Rows in use are left; call this again for them.
    """
    if loss.in_hand:
        claim.move_to_running(sorted(loss.in_hand), loss.worker_name)
    held = sorted(left_by(loss.worker_name))
    begun = [pair for pair in held if pair in loss.started]
    guilty = [pair for pair in begun if loss.culprit in {None, pair}]
    innocent = [pair for pair in begun if pair not in guilty]
    ended = [pair for pair in held if pair in loss.ended - loss.started]
    waiting = [pair for pair in held if pair not in loss.started | loss.ended]
    moved = _end_unbegun(waiting, _suspect(waiting, ended, loss), loss)
    text = say("Requeued: %(reason)s (another job)", code="bystander", reason=loss.reason)
    moved += settle.requeue(innocent, text, loss.worker_name)
    moved += _end_unstored(ended, loss)
    moved += _end_guilty(guilty, loss)
    return {item.pk for item in moved} >= {pk for pk, _ in held}


def _suspect(waiting: Sequence[AttemptKey], ended: Collection[AttemptKey], loss: Loss) -> AttemptKey | None:
    """Return the one of those that had not begun which may be what the worker died of, if there is one."""
    if loss.how != "lost":
        return None
    if loss.examined in waiting:
        return loss.examined
    is_explained = loss.gave_up or loss.started or ended or len(loss.in_hand) > 1
    return waiting[0] if len(waiting) == 1 and not is_explained else None


def _end_unstored(ended: list[AttemptKey], loss: Loss) -> list[Moved]:
    """Let attempts run again whose handlers had ended, while their outcomes were not stored yet.

    Where another handler ran when the process died, another thread was claiming, or the process was killed or gave up,
    this costs them nothing. Else the storing of one of them may be what killed the process. So it counts as a failure:
    that job might kill workers for ever.
    """
    if loss.how == "lost" and not (loss.started or loss.in_hand or loss.gave_up):
        return settle.settle_lost(ended, f"{loss.reason}; {UNSTORED}", loss.worker_name)
    text = say(f"Requeued: {UNSTORED}: %(reason)s", code="unstored", reason=loss.reason)
    return settle.requeue(ended, text, loss.worker_name)


def _end_guilty(guilty: list[AttemptKey], loss: Loss) -> list[Moved]:
    match loss.how:
        case "lost":
            return settle.settle_lost(guilty, loss.reason, loss.worker_name, tracebacks=loss.tracebacks)
        case "timed_out":
            return settle.settle_timed_out(guilty, loss.worker_name, tracebacks=loss.tracebacks)
        case _:
            return settle.requeue(guilty, loss.reason, loss.worker_name, tracebacks=loss.tracebacks)


def requeue_attempts(attempts: Collection[AttemptKey], reason: str, worker_name: str) -> list[AttemptKey]:
    """Requeue a worker's attempts; return those whose rows are in use.

    Requeue those again later: nobody else takes them from a worker that lives and renews their leases.
    """
    moved = {item.pk for item in settle.requeue(attempts, reason, worker_name)}
    return sorted(settle.still_running([pair for pair in attempts if pair[0] not in moved], worker_name))


def give_up_claim(tickets: Sequence[Ticket], worker_name: str) -> list[Ticket]:
    """Give up a claim whose answer was lost, so that nobody knows whether it was committed; no job of it runs here.

    Jobs that were claimed are requeued: else they would wait for as long as the worker lives. Jobs that are
    still queued get their tickets back. Return the tickets that cannot be given up now, for another try.
    """
    held = settle.still_running([(ticket.pk, ticket.attempt) for ticket in tickets], worker_name)
    text = say("Requeued: the answer to its claim was lost", code="claim_lost")
    stuck = requeue_attempts(held, text, worker_name)
    if left := claim.still_queued(tickets):
        get_broker().push(left, front=True)
    return [ticket for ticket in tickets if (ticket.pk, ticket.attempt) in stuck]


def rescue_expired() -> int:
    """End the attempts whose leases ran out, since their workers count as lost; return how many there were.

    Those that were not seen to begin are requeued.
    """
    over = Q(lease_expires_at__lt=database.now()) | Q(lease_expires_at__isnull=True)
    expired = Job.primary.filter(over, status=Status.RUNNING).order_by("pk")
    found = in_flight.read_in_flight(expired.values_list("pk", flat=True), BATCH)

    def store() -> int:
        now = database.now()
        lost: dict[str, list[AttemptKey]] = defaultdict(list)
        for job in database.locked(Job.primary.filter(pk__in=found), skip=True):
            # Judged again under the lock: the worker may have renewed the lease meanwhile.
            if job.status == Status.RUNNING and (job.lease_expires_at is None or job.lease_expires_at < now):
                lost[job.worker_name].append((job.pk, job.attempt))
        moved = [end_vanished(lost[name], LEASE_OVER, name, SCHEDULER) for name in sorted(lost)]
        return len({item.pk for items in moved for item in items})

    return database.in_transaction(store) if found else 0


def held_by(worker_name: str) -> set[AttemptKey]:
    """Return the attempts that run in this worker's name."""
    rows = Job.primary.filter(status=Status.RUNNING, worker_name=worker_name)
    return set(in_flight.read_in_flight(rows.values_list("pk", "attempt")))


def canceled_of(pks: Collection[int]) -> set[int]:
    """Return those of these jobs whose running attempt somebody asked to stop."""
    rows = Job.primary.filter(pk__in=pks, status=Status.RUNNING, cancel_requested_at__isnull=False)
    return set(rows.values_list("pk", flat=True)) if pks else set()


def left_by(worker_name: str) -> set[AttemptKey]:
    """Return the attempts of a worker that is gone, also what a walk from a mark on overlooks."""
    in_flight.forget_in_flight()
    return held_by(worker_name)
