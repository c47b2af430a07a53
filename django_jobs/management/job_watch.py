"""Waiting at a shell for the end of a job: telling how it goes, and with which exit code the command ends."""

from __future__ import annotations

import time
from typing import Any, Final

from django.db import InterfaceError, OperationalError

from django_jobs.engine.access import find_job
from django_jobs.engine.dispatch.window import live_workers
from django_jobs.engine.insight.status import describe
from django_jobs.engine.store import database
from django_jobs.exceptions import JobNotFound
from django_jobs.management import exit_codes
from django_jobs.management.json_answers import JsonAnswers
from django_jobs.management.refusals import Refused
from django_jobs.statuses import TERMINAL, Status
from django_jobs.values import JobStatus

FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.5
#: After so many seconds it is said that no worker is alive.
PATIENCE: Final = 3.0
#: How a job is called at the end of which it has ended otherwise than it should.
ENDS: Final = {Status.DEAD_LETTER: ("failed", exit_codes.REFUSED), Status.CANCELED: ("canceled", exit_codes.CANCELED)}


class JobWatch:
    """One wait for one job, whose status is told as ``user`` reads it. The database may be away meanwhile."""

    def __init__(self, command: JsonAnswers, status: JobStatus, timeout: float | None, user: Any = None) -> None:
        self._command = command
        self._status = status
        self._started = time.monotonic()
        self._timeout = timeout
        self._user = user
        self._told = ""
        self._has_warned = False
        self._is_away = False

    def wait(self) -> tuple[JobStatus, Refused | None]:
        """Return the job's last status, and why the command does not end well; None where the job completed."""
        pause = FIRST_PAUSE
        try:
            while self._status.status not in TERMINAL:
                left = self._left()
                if left <= 0:
                    return self._status, self._goes_on(f"did not end in {self._timeout:g} s", "timed_out")
                time.sleep(min(pause, left))
                pause = min(pause * 1.5, LONGEST_PAUSE)
                self._look()
        except KeyboardInterrupt:
            return self._status, self._goes_on("goes on without being watched", "interrupted")
        except JobNotFound:
            return self._status, self._gone()
        return self._status, self._fault()

    def _left(self) -> float:
        return LONGEST_PAUSE if self._timeout is None else self._started + self._timeout - time.monotonic()

    def _goes_on(self, what: str, code: str) -> Refused:
        text = f"{self._status.job_id} {what}; it is {self._status.status}."
        return Refused(text, code=code, returncode=exit_codes.NOT_AWAITED, job_id=self._status.job_id)

    def _gone(self) -> Refused:
        text = f"{self._status.job_id} was deleted while it was waited for."
        return Refused(text, code="deleted", job_id=self._status.job_id)

    def _fault(self) -> Refused | None:
        ended = self._status
        if ended.status == Status.COMPLETED:
            return None
        code, returncode = ENDS[Status(ended.status)]
        text = f"{ended.job_id} ended as {ended.status}: {ended.error_message or 'no reason given'}"
        return Refused(text, code=code, returncode=returncode, job_id=ended.job_id)

    def _look(self) -> None:
        try:
            self._status = describe(find_job(self._status.job_id, None), user=self._user)
            self._warn()
        except (InterfaceError, OperationalError) as error:
            if not self._is_away:
                self._command.note(f"The database cannot be used ({type(error).__name__}); waiting for it.")
            self._is_away = True
            database.mend_connections()
            return
        self._is_away = False
        text = _in_a_line(self._status)
        if text != self._told:
            self._command.note(text)
            self._told = text

    def _warn(self) -> None:
        """Say once that nobody is there to run the job."""
        if self._has_warned or time.monotonic() - self._started < PATIENCE:
            return
        self._has_warned = True
        if not live_workers():
            self._command.note("No worker is alive: the job waits until one is (manage.py jobs_worker).")


def _in_a_line(status: JobStatus) -> str:
    if status.status in TERMINAL or status.status != Status.RUNNING:
        waits = f", it waits: {status.waiting_for}" if status.waiting_for else ""
        return f"{status.job_id} {status.status}{waits}"
    return f"{status.job_id} {status.status} {status.progress} % {status.progress_message}".rstrip()
