"""Submitting, one or many, and replaying Dead Letters: the commands that make jobs, or start many over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.models import User

from django_jobs.models import Operation
from django_jobs.statuses import UNSUCCESSFUL, RunAfter, Status
from lab.faults.model.commands import Command, Seen
from lab.faults.model.engine import KINDS, Engine
from lab.faults.model.job import ModelJob, Refused
from lab.faults.model.table import Table
from tests.support import ticks, verbs
from tests.support.verbs import JobFilter, OperationRequest

#: Before all moments of the model.
NEVER: Final = -1_000_000
#: The key of a job that should be there, and is not.
MISSING: Final = -1


@dataclass(frozen=True, kw_only=True)
class Submit(Command):
    """One submission; moments are seconds from now."""

    kind: str
    organization: str
    number: int = 0
    priority: int = 1
    parents: tuple[int, ...] = ()
    run_after: str = RunAfter.COMPLETED
    run_at: int | None = None
    expires_at: int | None = None
    max_retries: int = 1
    unique_key: str | None = None
    on_duplicate: str = "raise"

    @property
    def window(self) -> int:
        return 500 if self.unique_key else KINDS[self.kind]

    @property
    def work(self) -> str:
        return f"{self.kind} {self.organization} {self.unique_key or self.number}"

    def fields(self) -> dict[str, Any]:
        """The keywords of ``submit_job``."""
        given = {
            "job_type": self.kind,
            "organization": self.organization,
            "parameters": {"number": self.number},
            "priority": self.priority,
            "depends_on": self.parents,
            "run_after": self.run_after,
            "run_at": self.run_at,
            "expires_at": self.expires_at,
            "max_retries": self.max_retries,
            "on_duplicate": self.on_duplicate,
        }
        own = {"unique_key": self.unique_key, "deduplication_window": self.window} if self.unique_key else {}
        return {**given, **own}

    def judge(self, table: Table) -> None:
        """Raise Refused where the submission is not valid."""
        parents = [table.jobs[pk].status for pk in self.parents]
        in_vain = self.run_after == RunAfter.COMPLETED and any(status in UNSUCCESSFUL for status in parents)
        if in_vain or self.organization in table.suspended:
            raise Refused("InvalidSubmission")

    def accept(self, table: Table, new: Iterator[int]) -> None:
        """Become a job, whose key is the next new one, or do to the same work what is asked for."""
        existing = table.same_work(self.work) if self.window else None
        if existing is not None and self.on_duplicate == "raise":
            raise Refused("DuplicateJob")
        if existing is None or (self.on_duplicate == "replace" and not table.is_replaceable(existing)):
            self._insert(table, next(new, MISSING))
        elif self.on_duplicate == "replace":
            self._replace(table, existing)

    def _insert(self, table: Table, pk: int) -> None:
        table.jobs[pk] = ModelJob(
            pk=pk,
            kind=self.kind,
            organization=self.organization,
            priority=self.priority,
            work=self.work,
            max_retries=self.max_retries,
            ready=None if self.parents else self._ready(table),
            run_at=self._run_at(table),
            expires=self._expires(table),
            parents=sorted(self.parents),
            run_after=self.run_after,
            created=table.now,
        )
        if self.window:
            table.keys[self.work] = (pk, table.now + self.window)

    def _replace(self, table: Table, job: ModelJob) -> None:
        job.priority, job.max_retries, job.expires = self.priority, self.max_retries, self._expires(table)
        job.run_at = self._run_at(table)
        if job.status == Status.QUEUED or job.ready is not None:
            job.status, job.ready = Status.PENDING, self._ready(table)
        table.keys[self.work] = (job.pk, table.now + self.window)

    def _ready(self, table: Table) -> int:
        return table.now + (self.run_at or 0)

    def _run_at(self, table: Table) -> int:
        """The moment before which it does not run; without one, it may at any time, also once the clock went back."""
        return NEVER if self.run_at is None else table.now + self.run_at

    def _expires(self, table: Table) -> int | None:
        return None if self.expires_at is None else table.now + self.expires_at

    def model(self, table: Table, seen: Seen) -> None:
        self.judge(table)
        self.accept(table, iter(sorted(seen.keys() - table.jobs.keys())))

    def engine(self, engine: Engine) -> None:
        engine.submit(self.fields())


@dataclass(frozen=True)
class SubmitMany(Command):
    """All or nothing."""

    items: tuple[Submit, ...]

    def model(self, table: Table, seen: Seen) -> None:
        new = iter(sorted(seen.keys() - table.jobs.keys()))
        for item in self.items:
            item.judge(table)
        self._judge_twins()
        for item in self.items:
            item.accept(table, new)

    def _judge_twins(self) -> None:
        works: set[str] = set()
        for item in self.items:
            if item.window and item.work in works and item.on_duplicate == "raise":
                raise Refused("InvalidSubmission")
            works.add(item.work)

    def engine(self, engine: Engine) -> None:
        engine.submit_many([item.fields() for item in self.items])


@dataclass(frozen=True)
class Replay(Command):
    """A system admin starts the Dead Letters of a kind with like errors over; ``pks`` are all there are."""

    kind: str
    fingerprint: str
    pks: tuple[int, ...]

    def model(self, table: Table, seen: Seen) -> None:
        free = [pk for pk in self.pks if not table.failed_parents(table.jobs[pk])]
        for pk in free:
            table.start_over(table.jobs[pk])

    def engine(self, engine: Engine) -> None:
        user, _ = User.objects.get_or_create(username="root", is_superuser=True)
        filters = JobFilter(status=("Dead Letter",), job_type=(self.kind,), error_fingerprint=self.fingerprint)
        verbs.start_operation(OperationRequest(action="retry", filters=filters), user=user)
        ticks.work_off(verbs.OperationWork().step)
        assert not Operation.objects.filter(state=Operation.State.RUNNING).exists()
