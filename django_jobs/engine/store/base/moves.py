"""Moving a set of jobs to other statuses: lock and read, judge, update by id, log."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

from django_jobs.engine.store.base.transactions import Transactions
from django_jobs.engine.store.head_starts import place_in_lane
from django_jobs.engine.store.transition_values import INCREMENT, After, Move, Moved, Terms
from django_jobs.models import BatchChange, DependencyTask, ExecutionLog, Job
from django_jobs.models.batch import COUNTED
from django_jobs.statuses import TERMINAL, Status


class Moves(Transactions):
    """Guarded changes of status."""

    #: Whether a move may pass a status on its way.
    passes_waypoints: ClassVar[bool] = False
    #: By how much a job may be found due before :meth:`now` says so, where the two clocks differ in their steps.
    clock_step: ClassVar[dt.timedelta] = dt.timedelta(0)

    def move(self, moves: Sequence[Move], terms: Terms) -> list[Moved]:
        """Move these jobs, each of them once in the set, and return those that moved. All of it or nothing.

        Rows are locked in ascending id before they are written, so that sets neither deadlock nor log a wrong source.
        """
        return self.in_transaction(lambda: self._move(moves, terms))

    def _move(self, moves: Sequence[Move], terms: Terms) -> list[Moved]:
        only_if = terms.only_if
        if only_if.sql and not self.fetch(f"SELECT {only_if.sql}", only_if.params)[0][0]:
            return []
        wanted = {item.pk: item for item in moves}
        now = self.now()
        # No filter on status here: on MariaDB it would lock ranges of that index, in another order than by id.
        rows = self.locked(Job.primary.filter(pk__in=list(wanted)), skip=terms.skip_locked)
        latest = now + self.clock_step
        changes = [_Change(job, wanted[job.pk], now) for job in rows if _may(job, wanted[job.pk], terms, latest)]
        _write(changes)
        logs = ExecutionLog.primary.bulk_create([change.log(terms, now) for change in changes])
        DependencyTask.primary.bulk_create([DependencyTask(job_id=change.job.pk) for change in changes if change.ends])
        _note_batches([change for change in changes if change.job.batch_id is not None], now)
        return [change.moved(terms, log.pk) for change, log in zip(changes, logs, strict=True)]


def _may(job: Job, item: Move, terms: Terms, latest: dt.datetime) -> bool:
    """Return whether the job is where the caller thinks."""
    if job.status not in terms.sources or item.attempt not in {None, job.attempt}:
        return False
    if terms.only_own and job.worker_name != terms.worker_name:
        return False
    return not terms.only_due or (job.ready_at is not None and job.ready_at <= latest)


class _Change:
    """One job on its way: the row as it is to be, and where it came from."""

    def __init__(self, job: Job, item: Move, now: dt.datetime) -> None:
        self.job, self.item, self.from_status = job, item, job.status
        job.status = item.to_status
        for name, value in item.values.items():
            setattr(job, name, _resolved(job, name, value, now))
        self.written = ("status", *item.values)
        self.ends = job.has_children and job.status in TERMINAL

    def log(self, terms: Terms, now: dt.datetime) -> ExecutionLog:
        return ExecutionLog(
            job_id=self.job.pk,
            from_status=self.from_status,
            to_status=self.job.status,
            timestamp=now,
            actor=terms.actor.name,
            actor_kind=terms.actor.kind,
            message=self.item.message,
            attempt=self.job.attempt,
            worker_name=terms.worker_name,
            traceback=self.item.traceback,
            organization_id=self.job.organization_id,
        )

    def moved(self, terms: Terms, log_id: int) -> Moved:
        return Moved(
            pk=self.job.pk,
            from_status=self.from_status,
            to_status=self.job.status,
            attempt=self.job.attempt,
            job_type=self.job.job_type_id,
            organization_name=self.job.organization_name,
            priority=self.job.priority,
            year=self.job.created_at.year,
            message=self.item.message,
            actor=terms.actor,
            worker_name=terms.worker_name,
            has_children=self.job.has_children,
            log_id=log_id,
            organization_id=self.job.organization_id,
            lane_key=self.job.lane_key,
            queued_at=self.job.queued_at,
            batch_id=self.job.batch_id,
            error=self.item.error,
        )


def _note_batches(changes: Iterable[_Change], now: dt.datetime) -> None:
    """Note by how much each batch's counts changed."""
    noted: dict[int, BatchChange] = {}
    for change in changes:
        if COUNTED.keys().isdisjoint({change.from_status, change.job.status}):
            continue
        pk = change.job.batch_id or 0
        own = noted.setdefault(pk, BatchChange(batch_id=pk, changed_at=now))
        for status, by in ((Status(change.from_status), -1), (Status(change.job.status), 1)):
            if status in COUNTED:
                setattr(own, COUNTED[status], getattr(own, COUNTED[status]) + by)
        own.started_at = min(filter(None, (own.started_at, change.job.started_at)), default=None)
    BatchChange.primary.bulk_create(noted.values())


def _resolved(job: Job, name: str, value: Any, now: dt.datetime) -> Any:
    if value is INCREMENT:
        return getattr(job, name) + 1
    if isinstance(value, After):
        moment = now + dt.timedelta(seconds=value.seconds)
        return place_in_lane(moment, job.head_start) if name == "ready_at" and value.seconds <= 0 else moment
    return value


def _write(changes: Iterable[_Change]) -> None:
    """Update the rows, together those of which the same fields are written."""
    shapes: dict[tuple[str, ...], list[Job]] = defaultdict(list)
    for change in changes:
        shapes[change.written].append(change.job)
    for names, jobs in shapes.items():
        _write_shape(jobs, names)


#: A constraint compares these, so that one statement must write both.
_CHECKED_TOGETHER: Final = frozenset({"status", "ready_at"})


def _write_shape(jobs: list[Job], names: tuple[str, ...]) -> None:
    """Write fields that all share in one plain UPDATE, the rest by CASE."""
    shared: dict[str, Any] = {}
    varying: list[str] = []
    for name in names:
        first = getattr(jobs[0], name)
        if all(getattr(job, name) == first for job in jobs) and not isinstance(first, dict | list):
            shared[name] = first
        else:
            varying.append(name)
    rows = Job.primary.all()
    if not _CHECKED_TOGETHER.isdisjoint(varying):
        varying += [name for name in shared if name in _CHECKED_TOGETHER]
        shared = {name: value for name, value in shared.items() if name not in _CHECKED_TOGETHER}
    if varying:
        rows.bulk_update(jobs, varying)
    if shared:
        rows.filter(pk__in=[job.pk for job in jobs]).update(**shared)
