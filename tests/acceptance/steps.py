"""What the acceptance tests do again and again: submit, look, wait for other processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest
from django.db import transaction

from django_jobs import JobStatus, get_job_history, get_job_status, submit_job
from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import Status
from tests.support.factories import make_organization
from tests.support.waiting import wait_until
from tests.support.workers import ManagedProcess

#: Patience, not an expectation: the machine may be busy.
PATIENCE = 30.0


class Stage:
    """One organization whose jobs a test runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.organization: Organization = make_organization()

    def submit(self, kind: JobType, **parameters: Any) -> Job:
        return submit_job(kind, self.organization, parameters)

    def submit_recorded(self, kind: JobType, name: str = "job", **parameters: Any) -> RecordedJob:
        """A job of the handler ``record_and_wait``, or of one that notes and waits like it, with its own files."""
        log, gate = self.directory / f"{name}.log", self.directory / f"{name}.gate"
        return RecordedJob(self.submit(kind, log=str(log), path=str(gate), **parameters), log, gate)


class RecordedJob:
    """A job that notes its starts and ends, and ends when it is let go."""

    def __init__(self, job: Job, log: Path, gate: Path) -> None:
        self.job = job
        self._log = log
        self._gate = gate

    def lines(self) -> list[tuple[str, int]]:
        """(word, attempt) of every line noted until now."""
        return [(word, attempt) for word, attempt, _ in self._noted()]

    def pid(self, attempt: int) -> int:
        """The process that started this attempt, once it has."""
        wait_until(lambda: ("start", attempt) in self.lines(), PATIENCE, f"the start of attempt {attempt}")
        return next(pid for word, number, pid in self._noted() if (word, number) == ("start", attempt))

    def wait_for(self, word: str, attempt: int) -> None:
        wait_until(lambda: (word, attempt) in self.lines(), PATIENCE, f"{word!r} of attempt {attempt}")

    def wait_until_noted(self, attempt: int = 1) -> None:
        """Wait until the database knows that this attempt has begun."""
        rows = Job.objects.filter(pk=self.job.pk, begun_attempt=attempt)
        wait_until(rows.exists, PATIENCE, f"the note that attempt {attempt} has begun")

    def let_go(self, attempt: int | None = None) -> None:
        """Let this attempt go on, or all of them."""
        Path(f"{self._gate}.{attempt}" if attempt else self._gate).touch()

    def _noted(self) -> list[tuple[str, int, int]]:
        if not self._log.exists():
            return []
        rows = [line.split() for line in self._log.read_text().splitlines()]
        return [(word, int(attempt), int(pid)) for word, attempt, pid in rows]


def status_of(job: Job) -> str:
    return Job.objects.values_list("status", flat=True).get(pk=job.pk)


def wait_for_status(job: Job, *statuses: str, timeout: float = PATIENCE) -> JobStatus:
    """The job's status once it is one of these."""
    wait_until(
        lambda: status_of(job) in statuses,
        timeout,
        f"{job.name} to be {' or '.join(statuses)}; it is {get_job_status(job.name)}",
    )
    return get_job_status(job.name)


def wait_for_all(jobs: list[Job], status: str = Status.COMPLETED, timeout: float = 2 * PATIENCE) -> None:
    """Until all of these jobs have this status."""
    others = Job.objects.filter(pk__in=[job.pk for job in jobs]).exclude(status=status)
    wait_until(lambda: not others.exists(), timeout, f"{len(jobs)} jobs to be {status}")


def wait_for_message(job: Job, message: str) -> None:
    """Until the running handler has said this as its progress."""
    said = Job.objects.filter(pk=job.pk, status=Status.RUNNING, progress_message=message)
    wait_until(said.exists, PATIENCE, f"{message!r} of {job.name}")


def assert_stays(job: Job, statuses: set[str], seconds: float) -> None:
    """The job leaves these statuses at no time within so many seconds."""
    with pytest.raises(AssertionError, match="the job to leave"):
        wait_until(lambda: status_of(job) not in statuses, seconds, "the job to leave")


def path_of(job: Job) -> list[str]:
    """The statuses that the job went through, the first one included."""
    return [row["to_status"] for row in get_job_history(job.name)]


def messages_of(job: Job, to_status: str) -> list[str]:
    return [row["message"] for row in get_job_history(job.name) if row["to_status"] == to_status]


def reasons_of(job: Job, to_status: str) -> list[str]:
    return [row.reason for row in job.history.order_by("id") if row.to_status == to_status]


def wait_for_idle_workers(process: ManagedProcess, count: int) -> list[psutil.Process]:
    """The worker's child processes, once so many run."""
    wait_until(lambda: len(process.children()) >= count, PATIENCE, f"{count} children of {process}")
    return process.children()


def freeze(*processes: psutil.Process) -> None:
    """Stop them at a moment at which none of them holds SQLite's one lock, for ever."""
    with transaction.atomic():
        for process in processes:
            process.suspend()
        # Where the machine is busy, their other threads go on for a moment, and one could take the lock after us.
        wait_until(lambda: all(map(_stands_still, processes)), PATIENCE, f"{processes} to stand still")


def _stands_still(process: psutil.Process) -> bool:
    """Whether all its threads are stopped; where the system does not show them, whether it is."""
    facts = [path.read_text() for path in Path(f"/proc/{process.pid}/task").glob("*/stat")]
    states = {text.rpartition(")")[2].split()[0] for text in facts}
    return states <= {"T", "Z"} if states else process.status() == psutil.STATUS_STOPPED


def has_ended(process: psutil.Process) -> bool:
    """Whether it is gone, or only waits for a parent that will never ask."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def freeze_all_of(worker: ManagedProcess) -> list[psutil.Process]:
    """Stop the supervisor first, so that it sees no frozen child, and then all that it started."""
    tree = [psutil.Process(worker.pid), *worker.children()]
    freeze(*tree)
    return tree
