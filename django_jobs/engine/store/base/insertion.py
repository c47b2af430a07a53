"""New jobs with all that is stored beside their rows: the first log row, the duplicate key, links to their parents."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final

from django.core.serializers.json import DjangoJSONEncoder

from django_jobs.engine.store.base.duplicates import Duplicates
from django_jobs.engine.store.head_starts import place_in_lane
from django_jobs.engine.store.insertion_values import LostRace, NewJob, TargetRows, Versions
from django_jobs.models import DependencyTask, ExecutionLog, Job, JobDependency
from django_jobs.statuses import Status

MAX_ROWS: Final = 2_000
#: Databases take a statement of some 16 MB without being told otherwise.
MAX_BYTES: Final = 4_000_000


class Insertion(Duplicates):
    """Writing new jobs, one or many."""

    #: Whether a new job may be stored as Queued.
    queues_new_jobs: ClassVar[bool] = False

    def keeps_new_jobs_out(self) -> bool:
        """Have no new job stored as Queued until the open transaction ends; False where one may be at this moment."""
        return True

    def insert(self, new: NewJob) -> bool:
        """Insert one job, and fill in its key, its times and its ``log_id``.

        Return False, with nothing written, where the same work is there, or its ``versions`` are no longer valid.
        """
        with contextlib.suppress(LostRace):
            return self.in_transaction(lambda: self._insert(new))
        return False

    def _insert(self, new: NewJob) -> bool:
        if new.window:
            self.lock_keys([new.job.job_hash])
            if self.same_work([new.job.job_hash]):
                return False
        self.insert_many([new])
        return True

    def insert_many(self, news: Sequence[NewJob]) -> None:
        """Insert these jobs inside the open transaction, and fill in what the database gave.

        The caller has looked for the same work, after :meth:`lock_keys`. Raises LostRace where it came in between.
        """
        now = self.now()
        self._insert_all(news, now)
        guarded = [new for new in news if new.window]
        if guarded and not self.keep_out(guarded, now):
            raise LostRace
        self._link(news)

    def _insert_all(self, news: Sequence[NewJob], now: dt.datetime) -> None:
        """Insert the jobs in their order, and their first log rows in the same."""
        for chunk in chunks(news, now):
            Job.primary.bulk_create([new.job for new in chunk])
        self._log(news, now)

    def _log(self, news: Iterable[NewJob], now: dt.datetime) -> None:
        own, oldest = self.transaction_ids()
        logs = [
            ExecutionLog(
                job_id=new.job.pk,
                to_status=Status.PENDING,
                timestamp=now,
                actor=new.submitter.name,
                actor_kind=new.submitter.kind,
                organization_id=new.job.organization_id,
                transaction_id=own,
                oldest_open_id=oldest,
            )
            for new in news
        ]
        ExecutionLog.primary.bulk_create(logs, batch_size=5 * MAX_ROWS)
        for new, log in zip(news, logs, strict=True):
            new.log_id = log.pk

    def _link(self, news: Iterable[NewJob]) -> None:
        """Note whose parents the jobs wait for, and that they are to be looked at."""
        links = [JobDependency(child_id=new.job.pk, parent_id=parent) for new in news for parent in new.parents]
        JobDependency.primary.bulk_create(links, batch_size=MAX_ROWS)
        tasks = [DependencyTask(job_id=pk) for pk in sorted({link.child_id for link in links})]
        DependencyTask.primary.bulk_create(tasks, batch_size=MAX_ROWS)

    def transaction_ids(self) -> tuple[int | None, int | None]:
        """Return numbers of this transaction and of the oldest open one, for a log row, where there are such."""
        return None, None

    def read_targets(self, kind: str, field: str, tenant: Any) -> TargetRows | None:
        """Return the job type of this name, and the organization whose field has this value, to be remembered.

        None where one of them is missing, and where a database cannot tell whether a row has changed since.
        """
        return None

    def holds(self, versions: Versions | None) -> bool:
        """Return whether these are still the valid ones; of none that can be so."""
        return versions is None


def _make_ready(new: NewJob, now: dt.datetime) -> None:
    job = new.job
    job.id = None
    job.created_at = now
    job.ready_at = None if new.parents else max(now, job.run_at or now)
    job.is_delayed = job.ready_at is not None and job.ready_at > now
    if job.head_start and job.ready_at is not None and not job.is_delayed:
        job.ready_at = place_in_lane(job.ready_at, job.head_start)


def chunks(news: Iterable[NewJob], now: dt.datetime) -> Iterator[list[NewJob]]:
    """Make the jobs ready, and yield sets of them that one statement may hold."""
    chunk: list[NewJob] = []
    size = 0
    for new in news:
        own = _size(new)
        size += own
        if chunk and (size > MAX_BYTES or len(chunk) == MAX_ROWS):
            yield chunk
            chunk, size = [], own
        _make_ready(new, now)
        chunk.append(new)
    if chunk:
        yield chunk


def _size(new: NewJob) -> int:
    """Return about how many bytes of a statement what the caller gave will take."""
    if new.encoded:
        return sum(map(len, new.encoded.values()))
    return len(json.dumps([new.job.input_parameters, new.job.metadata], cls=DjangoJSONEncoder))
