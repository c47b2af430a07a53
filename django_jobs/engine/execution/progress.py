"""Progress on its way to the database: the latest of each job, written in sets, never by the handler itself."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any, TypeAlias

from django_jobs.engine import ports
from django_jobs.engine.store import database
from django_jobs.engine.transitions import hooks
from django_jobs.models import Job
from django_jobs.statuses import Status

_Progress: TypeAlias = tuple[int, str | None]


class ProgressBuffer:
    """Keeps the latest progress of each running attempt until it is written."""

    def __init__(self) -> None:
        self._latest: dict[tuple[int, int], _Progress] = {}
        self._lock = threading.Lock()
        self._organizations: dict[int, Any] = {}

    def report(self, key: tuple[int, int], percent: int, message: str | None) -> None:
        """Take the progress of (job, attempt); a message of None leaves the one before."""
        # One assignment under the interpreter's lock; the read before it may lose nothing but an older message.
        known = self._latest.get(key)
        self._latest[key] = (percent, known[1] if message is None and known else message)

    def drop(self, key: tuple[int, int]) -> _Progress | None:
        """Forget an attempt that has ended; what of its progress was not written."""
        self._organizations.pop(key[0], None)
        return self._latest.pop(key, None)

    def flush(self) -> set[tuple[int, int]]:
        """Write what is new and return the attempts that no longer own their job."""
        with self._lock:
            latest, self._latest = self._latest, {}
            left = latest
            try:
                written = [key for key, value in latest.items() if write(key, *value)]
                left = _still_running({key: latest[key] for key in latest.keys() - written})
            finally:
                for key, value in left.items():  # written the next time, unless something newer was reported
                    self._latest.setdefault(key, value)
        # Without the lock: receivers take their time.
        hooks.announcer().progressed(self._organizations_of([key[0] for key in written]))
        return latest.keys() - written - left.keys()

    def _organizations_of(self, pks: Collection[int]) -> dict[int, Any]:
        """Whose jobs these are: asked once a job, and only where live pages are told."""
        if ports.get_broadcaster() is None:
            return dict.fromkeys(pks)
        unknown = [pk for pk in pks if pk not in self._organizations]
        if unknown:
            rows = Job.primary.filter(pk__in=unknown)
            self._organizations.update(rows.values_list("pk", "organization_id"))
        return {pk: self._organizations[pk] for pk in pks if pk in self._organizations}


def write(key: tuple[int, int], percent: int, message: str | None) -> bool:
    """Write one attempt's progress; False when the job is not its any more, or its row is in use."""
    values: dict[str, object] = {"progress": percent}
    if message is not None:
        values["progress_message"] = message
    rows = Job.primary.filter(pk=key[0], attempt=key[1], status=Status.RUNNING)
    if not database.connection().features.has_select_for_update_skip_locked:
        return rows.update(**values) > 0
    return database.in_transaction(lambda: database.locked(rows, skip=True).exists() and rows.update(**values) > 0)


def _still_running(latest: dict[tuple[int, int], _Progress]) -> dict[tuple[int, int], _Progress]:
    """What is left of these attempts' progress when that of the lost ones is forgotten."""
    if not latest:
        return {}
    rows = Job.primary.filter(pk__in=[pk for pk, _ in latest], status=Status.RUNNING)
    running = set(rows.values_list("pk", "attempt"))
    return {key: value for key, value in latest.items() if key in running}
