"""What a plain ``rqworker`` calls for a ticket: claim, run, settle, one job at a time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from rq import get_current_job

from django_jobs.conf import jobs_settings
from django_jobs.engine import courier, dispatch, leases, progress
from django_jobs.engine.claim import Claimed, claim
from django_jobs.engine.execution import context_for, run
from django_jobs.engine.ports import Ticket, drain_broadcasts
from django_jobs.engine.settle import settle
from django_jobs.exceptions import JobCanceled, JobTimedOut
from django_jobs.statuses import Priority


class CheckpointRunner:
    """Stops a handler only when it calls the context: nobody else is here to do it."""

    def __init__(self, claimed: Claimed, worker_name: str) -> None:
        self.key = (claimed.pk, claimed.attempt)
        self.worker_name = worker_name
        self.board = progress.ProgressBoard()
        self.deadline = time.monotonic() + claimed.timeout_seconds
        self.stopped = threading.Event()
        self.done = threading.Event()
        self._shields = 0

    def report(self, percent: int, message: str | None) -> None:
        self.board.report(self.key, percent, message)

    def is_canceled(self) -> bool:
        return self.stopped.is_set()

    def check(self) -> None:
        if self._shields:
            return
        if self.stopped.is_set():
            raise JobCanceled
        if time.monotonic() > self.deadline:
            raise JobTimedOut

    remind = check

    def interruptible(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        self.check()

    def attend(self) -> None:
        """Renew the lease, write progress and look for a cancel, until the handler is done; in a thread."""
        from django.db import connections

        renewal = 0.0
        while not self.done.wait(float(jobs_settings.PROGRESS_INTERVAL)):
            if self.board.flush():
                self.stopped.set()
            if time.monotonic() > renewal:
                renewal = time.monotonic() + float(jobs_settings.LEASE_SECONDS) / 6
                held = {(item.pk, item.attempt): item for item in leases.renew([self.worker_name])}
                if self.key in held and held[self.key].cancel_seconds is not None:
                    self.stopped.set()
        self.board.flush()
        connections.close_all()

    @contextlib.contextmanager
    def attended(self) -> Iterator[None]:
        thread = threading.Thread(target=self.attend, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.done.set()
            thread.join()


def run_ticket() -> None:
    """Run the ticket that the surrounding RQ job is."""
    rq_job = get_current_job()
    ticket = Ticket.parse(rq_job.id, Priority.NORMAL) if rq_job is not None else None
    if rq_job is None or ticket is None:
        return
    worker_name = f"rqworker-{rq_job.worker_name or 'unknown'}"[:100]
    courier.work_in_background()  # between claim and run nobody renews the lease
    for claimed in claim([ticket], worker_name):
        runner = CheckpointRunner(claimed, worker_name)
        with runner.attended():
            ended = run(claimed, context_for(claimed, runner))
        settle([ended], worker_name)
    dispatch.tend()
    courier.stop()
    drain_broadcasts()
