"""The function that a plain ``rqworker`` calls for a ticket: it claims, runs and settles one job.

Tickets name it by its path, so that module and function keep their names.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from django.db import Error
from rq import get_current_job
from rq.job import Job as RQJob

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL, jobs_settings
from django_jobs.engine import logs, observers, uptime
from django_jobs.engine.broadcaster import drain_broadcasts
from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.dispatch import dispatcher, held_jobs, ticketing
from django_jobs.engine.execution import leases, ownership, progress
from django_jobs.engine.execution.claim import claim
from django_jobs.engine.execution.handler_run import context_for, run
from django_jobs.engine.execution.settle import settle_all
from django_jobs.engine.insight import signal_delivery
from django_jobs.engine.ports import Queue, Ticket, get_broker
from django_jobs.engine.store import database
from django_jobs.exceptions import AttemptLost, BrokerUnavailable, JobCanceled, JobTimedOut
from django_jobs.statuses import Priority

logger = logging.getLogger("django_jobs")


class CheckpointRunner:
    """Stops a handler only when it calls its context: no other process watches it."""

    def __init__(self, claimed: Claimed, worker_name: str) -> None:
        self.key = (claimed.pk, claimed.attempt)
        self.claimed = claimed
        self.worker_name = worker_name
        self.progress = progress.ProgressBuffer(worker_name)
        self.deadline = time.monotonic() + claimed.timeout_seconds
        self.stopped = threading.Event()
        self.done = threading.Event()
        self._is_noted = False
        #: One item for each block that is shielded now. Threads add and remove items without losing count.
        self._shields: list[None] = []
        self._renewed = self._renewal_due = 0.0
        self._has_complained = False

    def report(self, percent: int, message: str | None) -> None:
        """Keep the progress until it is written."""
        self.progress.report(self.key, percent, message)

    def is_canceled(self) -> bool:
        """Return whether the handler is to stop because its job was canceled or belongs to another attempt."""
        return self.stopped.is_set() or self.is_lost()

    def is_lost(self) -> bool:
        """Return whether its lease ran out, since the database could not be reached."""
        return ownership.has_run_out(self.claimed, self._renewed)

    def check(self) -> None:
        """Raise JobCanceled, AttemptLost or JobTimedOut where that is due, but not inside a shield."""
        if self._shields:
            return
        if self.is_lost():
            raise AttemptLost
        if self.stopped.is_set():
            raise JobCanceled
        if time.monotonic() > self.deadline:
            raise JobTimedOut

    remind = check

    def interruptible(self) -> contextlib.AbstractContextManager[None]:
        """Return a block in which nothing interrupts the handler: here nobody else could."""
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        """Put interruptions off until the end of the block."""
        self._shields.append(None)
        try:
            yield
        finally:
            self._shields.pop()
        self.check()

    def keep_alive(self) -> None:
        """Renew the lease, write progress and look for a cancel until the handler is done."""
        while not self.done.wait(float(jobs_settings.PROGRESS_INTERVAL)):
            self._tried(self._write_progress)
            if time.monotonic() > self._renewal_due:
                self._tried(self._renew)
        self._tried(self._write_progress)
        database.drop_connections()

    def _tried(self, duty: Callable[[], None]) -> None:
        """Call the duty. If it fails it is tried again the next time: nobody else renews this handler's lease."""
        try:
            duty()
        except Exception as error:  # noqa: BLE001  (whatever failed, the lease must be renewed)
            if not self._has_complained:
                logger.warning("event=attend_failed worker=%s error=%r", self.worker_name, error)
            self._has_complained = True
            database.drop_connections()

    def _write_progress(self) -> None:
        if self.progress.flush():
            self.stopped.set()

    def _renew(self) -> None:
        if not self._is_noted:
            self._is_noted = self.key in leases.note_begun([self.key], [self.worker_name])
        began = uptime.seconds()
        held = {(item.pk, item.attempt): item for item in leases.renew([self.worker_name])}
        self._renewed = began
        self._renewal_due = time.monotonic() + float(jobs_settings.LEASE_SECONDS) / 6
        if self.key in held and held[self.key].cancel_seconds is not None:
            self.stopped.set()

    @contextlib.contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Keep the lease alive inside the block, from a thread."""
        thread = threading.Thread(target=self.keep_alive, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.done.set()
            thread.join()


def run_ticket() -> None:
    """Run the job whose ticket is the RQ job that RQ executes now."""
    rq_job = get_current_job()
    ticket = _ticket_of(rq_job) if rq_job is not None else None
    if rq_job is None or ticket is None:
        return
    worker_name = f"rqworker-{rq_job.worker_name or 'unknown'}"[:100]
    logs.install()
    signal_delivery.work_in_background()  # between claim and run nobody renews the lease
    for claimed in claim([ticket], worker_name, set_aside=_put_behind_others):
        runner = CheckpointRunner(claimed, worker_name)
        with runner.kept_alive():
            ended = run(claimed, context_for(claimed, runner))
        settle_all([ended], worker_name)
    dispatcher.dispatch_without_budget()
    signal_delivery.stop()
    drain_broadcasts()
    observers.drain()


def _put_behind_others(held: Sequence[Ticket]) -> None:
    """Put tickets back whose rows other transactions hold, and have a pass know that they take no room.

    This process ends before anybody else would write its notes down. Whatever fails is left to the scheduler.
    """
    held_jobs.note([ticket.pk for ticket in held], ticketing.HELD_SECONDS)
    with contextlib.suppress(BrokerUnavailable, Error):
        get_broker().push(held)
        dispatcher.dispatch()


def _ticket_of(rq_job: RQJob) -> Ticket | None:
    """Return the ticket, with the queue that it was taken from: the worker's guard has written that into its hash."""
    queue = pools.by_queue_name().get(rq_job.origin, Queue(DEFAULT_POOL, int(Priority.NORMAL)))
    return Ticket.parse(rq_job.id, queue.priority, queue.pool)
