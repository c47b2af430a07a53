"""The model: jobs as plain values, and what each verb does to them by the contract's table of transitions.

Time is a number of seconds that only the command ``Clock`` moves. Where the contract leaves open what happens, as when
a waiting job is dispatched, the model follows what is seen in the database, if it may be.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from django_jobs.statuses import (
    AWAITING_TURN,
    DISPATCHABLE,
    RETRYABLE_BY_HAND,
    TERMINAL,
    UNSUCCESSFUL,
    WAITING,
    RunAfter,
    Status,
)
from lab.faults.model.job import ModelJob, Refused

LEASE: Final = 300
#: Seconds before the first retry; doubled with each.
RETRY_DELAY: Final = 50
RETENTION: Final = 30 * 24 * 3600


@dataclass(slots=True, kw_only=True)
class Table:
    """All jobs, the clock, and what stops jobs from starting."""

    jobs: dict[int, ModelJob] = field(default_factory=dict)
    now: int = 0
    paused: set[str] = field(default_factory=set)
    suspended: set[str] = field(default_factory=set)
    #: By the work: the job that was accepted last, and until when it keeps the same work out.
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    moments: int = 0

    def become(self, other: Table) -> None:
        """Be as that one is."""
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))

    # What holds now.

    def same_work(self, work: str) -> ModelJob | None:
        """The job that keeps this work out."""
        pk, expires = self.keys.get(work, (0, 0))
        job = self.jobs.get(pk)
        return job if job is not None and expires > self.now and job.status not in UNSUCCESSFUL else None

    def may_be_dispatched(self, job: ModelJob) -> bool:
        is_due = job.status in DISPATCHABLE and job.ready is not None and job.ready <= self.now
        return is_due and job.kind not in self.paused and job.organization not in self.suspended

    def failed_parents(self, job: ModelJob) -> list[ModelJob]:
        """The parents that had to complete and ended otherwise, the first that ended first."""
        if job.run_after == RunAfter.ENDED:
            return []
        dead = [parent for parent in self._parents(job) if parent.status in UNSUCCESSFUL]
        return sorted(dead, key=lambda parent: (parent.ended, parent.pk))

    def _parents(self, job: ModelJob) -> list[ModelJob]:
        return [self.jobs[pk] for pk in job.parents]

    # Moves.

    def tick(self) -> None:
        """A new moment, after all that happened before."""
        self.moments += 1

    def end(self, job: ModelJob, status: str) -> None:
        self._leave(job, status)
        self.tick()
        job.ended = (self.now, self.moments, 0)

    def _leave(self, job: ModelJob, status: str) -> None:
        job.status, job.ready, job.lease = status, None, None

    def queue(self, job: ModelJob) -> None:
        job.status, job.ready = Status.QUEUED, None

    def requeue(self, job: ModelJob) -> None:
        """The attempt does not count."""
        self._leave(job, Status.QUEUED)
        job.worker, job.started = "", False

    def wait(self, job: ModelJob, delay: int = 0) -> None:
        self._leave(job, Status.PENDING)
        job.ready = self.now + delay

    def run(self, job: ModelJob, worker: str) -> None:
        job.status, job.worker, job.lease = Status.RUNNING, worker, self.now + LEASE
        job.attempt += 1
        job.started, job.cancel = True, False

    def fail(self, job: ModelJob, status: str, delay: int | None = None) -> None:
        """The attempt failed, and is tried again if a retry is left."""
        if job.retry_count >= job.max_retries:
            self.end(job, Status.DEAD_LETTER)
            return
        self._leave(job, status)
        job.retry_count += 1
        job.ready = self.now + (RETRY_DELAY * 2 ** (job.retry_count - 1) if delay is None else delay)

    def lose(self, job: ModelJob) -> None:
        """Its worker is gone: tried again at once the first time."""
        if job.cancel:
            self.end(job, Status.CANCELED)
            return
        is_first = not (job.retry_count and job.losses)
        job.losses += 1
        self.fail(job, Status.FAILED, 0 if is_first else None)

    def rescue(self, job: ModelJob) -> None:
        """Its lease ran out: what was not seen to begin pays nothing the first time."""
        if job.begun == job.attempt or job.vanished:
            self.lose(job)
        elif job.cancel:
            self.end(job, Status.CANCELED)
        else:
            job.vanished = True
            self.requeue(job)

    def return_unbegun(self, job: ModelJob, *, is_alone: bool) -> None:
        """Its worker died before its handler began: a job of which that happens again may be what kills workers."""
        if is_alone and job.died_alone:
            self.lose(job)
        elif job.cancel:
            self.end(job, Status.CANCELED)
        else:
            job.died_alone = job.died_alone or is_alone
            self.requeue(job)

    def start_over(self, job: ModelJob) -> None:
        job.status, job.retry_count, job.cancel, job.orphaned = Status.PENDING, 0, False, False
        job.worker, job.expires, job.started = "", None, False
        job.ready = None if job.parents else self.now

    # Families.

    def follow_up(self) -> None:
        """Decide every child anew, until nothing changes."""
        while sum(self._decide(self.jobs[pk]) for pk in sorted(self.jobs)):
            self.tick()

    def _decide(self, job: ModelJob) -> bool:
        failed = self.failed_parents(job)
        if job.status == Status.DEAD_LETTER and job.orphaned and job.parents and not failed:
            self.start_over(job)
            job.ready = None
            return True
        if job.status != Status.PENDING or job.ready is not None:
            return False
        if failed:
            is_canceled = failed[0].status == Status.CANCELED
            self.end(job, Status.CANCELED if is_canceled else Status.DEAD_LETTER)
            job.orphaned = not is_canceled
            return True
        wanted = TERMINAL if job.run_after == RunAfter.ENDED else {Status.COMPLETED}
        if any(parent.status not in wanted for parent in self._parents(job)):
            return False
        job.ready = max(self.now, job.run_at)
        return True

    # Verbs that need no more than this.

    def cancel(self, job: ModelJob) -> None:
        if job.status in WAITING:
            self.end(job, Status.CANCELED)
        elif job.status == Status.RUNNING:
            job.cancel = True
        elif job.status != Status.CANCELED:
            raise Refused("InvalidTransition")

    def retry(self, job: ModelJob) -> None:
        if job.status not in RETRYABLE_BY_HAND or self.failed_parents(job):
            raise Refused("InvalidTransition")
        self.start_over(job)

    def expire(self) -> None:
        for job in self.jobs.values():
            if job.status in WAITING and job.expires is not None and job.expires <= self.now:
                self.end(job, Status.CANCELED)

    def is_replaceable(self, job: ModelJob) -> bool:
        return job.status in AWAITING_TURN and not job.started and not job.begun

    # Deleting.

    def is_needed(self, pk: int) -> bool:
        """Whether an unfinished child holds it."""
        return any(pk in job.parents and job.status not in TERMINAL for job in self.jobs.values())

    def delete(self, pks: Collection[int]) -> None:
        for job in self.jobs.values():
            dead = {parent.pk for parent in self.failed_parents(job)}
            # Who died with a parent that is gone stays dead: nobody can retry that parent.
            job.orphaned = job.orphaned and not dead & {*pks}
        for pk in pks:
            job = self.jobs.pop(pk)
            if self.keys.get(job.work, (0, 0))[0] == pk:
                del self.keys[job.work]
        for job in self.jobs.values():
            job.parents = [pk for pk in job.parents if pk not in pks]

    def old(self) -> Iterable[int]:
        """The jobs that retention deletes."""
        cutoff = self.now - RETENTION
        for job in self.jobs.values():
            is_old = job.status in TERMINAL and job.ended[0] < cutoff
            if is_old and not self.is_needed(job.pk):
                yield job.pk
