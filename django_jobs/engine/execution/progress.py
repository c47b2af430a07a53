"""Keeping the latest progress of running jobs, and writing it in sets, so that handlers do not wait for that."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any, TypeAlias

from django.db.models import QuerySet

from django_jobs.engine.broadcaster import get_broadcaster
from django_jobs.engine.store import database
from django_jobs.engine.transitions import hooks
from django_jobs.models import Job
from django_jobs.statuses import Status

_Progress: TypeAlias = tuple[int, str | None]


class ProgressBuffer:
    """Keeps the latest progress of each running attempt until it is written.

    Progress is written only while the attempt owns its job in ``worker_name``.
    """

    def __init__(self, worker_name: str) -> None:
        self._worker_name = worker_name
        self._latest: dict[tuple[int, int], _Progress] = {}
        #: What is being written, and so may be too late for an attempt that ends at this moment.
        self._writing: dict[tuple[int, int], _Progress] = {}
        self._lock = threading.Lock()
        self._organizations: dict[int, Any] = {}

    def report(self, key: tuple[int, int], percent: int, message: str | None) -> None:
        """Take the progress of (job, attempt) in percent; a message of None keeps the last one."""
        # The assignment is atomic. Between read and assignment, at most an older message can get lost.
        known = self._latest.get(key)
        self._latest[key] = (percent, known[1] if message is None and known else message)

    def drop(self, key: tuple[int, int]) -> _Progress | None:
        """Forget an attempt that has ended, and return its progress that may not be written, or None."""
        self._organizations.pop(key[0], None)
        latest, writing = self._latest.pop(key, None), self._writing.get(key)
        if latest is None or writing is None or latest[1] is not None:
            return latest or writing
        return latest[0], writing[1]

    def flush(self) -> set[tuple[int, int]]:
        """Write what is new and return the attempts that no longer own their job."""
        with self._lock:
            self._writing = latest = self._latest
            self._latest = {}
            left = latest
            try:
                written = [key for key, value in latest.items() if write(key, *value, self._worker_name)]
                left = _still_running({key: latest[key] for key in latest.keys() - written}, self._worker_name)
            finally:
                for key, value in left.items():  # written the next time, unless something newer was reported
                    self._latest.setdefault(key, value)
                self._writing = {}
        # This is done without the lock, since receivers may take long.
        hooks.announcer().progressed(self._organizations_of([key[0] for key in written]))
        return latest.keys() - written - left.keys()

    def _organizations_of(self, pks: Collection[int]) -> dict[int, Any]:
        """Return the jobs' organizations: read once a job, and only where live pages are told of progress."""
        if get_broadcaster() is None:
            return dict.fromkeys(pks)
        unknown = [pk for pk in pks if pk not in self._organizations]
        if unknown:
            rows = Job.primary.filter(pk__in=unknown)
            self._organizations.update(rows.values_list("pk", "organization_id"))
        return {pk: self._organizations[pk] for pk in pks if pk in self._organizations}


def write(key: tuple[int, int], percent: int, message: str | None, worker_name: str) -> bool:
    """Write one attempt's progress. Return False when it no longer owns the job, or the row is in use."""
    values: dict[str, object] = {"progress": percent}
    if message is not None:
        values["progress_message"] = message
    rows = _running(worker_name).filter(pk=key[0], attempt=key[1])
    if not database.connection().features.has_select_for_update_skip_locked:
        return rows.update(**values) > 0
    return database.in_transaction(lambda: database.locked(rows, skip=True).exists() and rows.update(**values) > 0)


def _still_running(latest: dict[tuple[int, int], _Progress], worker_name: str) -> dict[tuple[int, int], _Progress]:
    """Return the progress of those of these attempts that still run."""
    if not latest:
        return {}
    rows = _running(worker_name).filter(pk__in=[pk for pk, _ in latest])
    running = set(rows.values_list("pk", "attempt"))
    return {key: value for key, value in latest.items() if key in running}


def _running(worker_name: str) -> QuerySet[Job]:
    return Job.primary.filter(status=Status.RUNNING, worker_name=worker_name)
