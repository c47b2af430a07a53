"""Waits for a job's end, in a thread or in an event loop."""

from __future__ import annotations

import time
from typing import Any

from django_jobs.engine.claimed_job import current_job
from django_jobs.engine.insight.status import describe
from django_jobs.engine.lookup import find_job
from django_jobs.engine.submission.writing import is_uncommitted
from django_jobs.exceptions import JobFailed
from django_jobs.models import Job
from django_jobs.statuses import TERMINAL, Status
from django_jobs.texts import say
from django_jobs.values import JobStatus

FIRST_LOOK = 0.01
LONGEST_PAUSE = 0.25


def wait_for_job(job_id: str | Job, timeout: float = 300, *, user: Any = None) -> JobStatus:
    """Wait until the job is Completed and return its status; ``timeout`` is in seconds.

    Raises JobFailed when it ended otherwise, TimeoutError when time ran out, and RuntimeError at once where waiting
    would never end: inside a handler, or in the transaction that submitted the job.
    """
    wait = Wait(job_id, timeout, user)
    while isinstance(seen := wait.look(), float):
        time.sleep(seen)
    return seen


class Wait:
    """One wait. It does not sleep itself; it says for how long to, since threads and event loops differ in that."""

    def __init__(self, job_id: str | Job, timeout: float, user: Any) -> None:
        self._job_id = job_id
        self._timeout = timeout
        self._user = user
        self._deadline = time.monotonic() + timeout
        self._pause = FIRST_LOOK
        self._first = True

    def look(self) -> JobStatus | float:
        """Return the job's status if it is Completed, else the seconds until the next look.

        Raises what :func:`wait_for_job` raises.
        """
        job = find_job(self._job_id, self._user)
        if self._first:
            _refuse_where_endless(job)
            self._first = False
        if job.status in TERMINAL:
            return self._ended(job)
        left = self._deadline - time.monotonic()
        if left <= 0:
            text = "%(job)s did not complete in %(timeout)g s; it is %(status)s."
            raise TimeoutError(
                say(text, code="not_completed", job=job.name, timeout=self._timeout, status=str(job.status))
            )
        pause, self._pause = min(self._pause, left), min(self._pause * 1.5, LONGEST_PAUSE)
        return pause

    def _ended(self, job: Job) -> JobStatus:
        status = describe(job, user=self._user)
        if status.status != Status.COMPLETED:
            raise JobFailed(status)
        return status


def _refuse_where_endless(job: Job) -> None:
    if current_job.get() is not None:
        text = "A handler cannot wait for another job: it would hold a worker. Let the job depend on it."
        raise RuntimeError(say(text, code="in_handler"))
    if is_uncommitted(job.pk):
        text = "%(job)s was submitted in this open transaction; no worker sees it before the commit."
        raise RuntimeError(say(text, code="in_transaction", job=job.name))
