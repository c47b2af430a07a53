"""Progress on its way to the database: the latest of each job, written in sets, never by the handler itself."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any

from django_jobs.engine import database, events, ports
from django_jobs.models import Job
from django_jobs.statuses import Status


class ProgressBoard:
    """Keeps the latest progress of each running attempt until it is written."""

    def __init__(self) -> None:
        self._latest: dict[tuple[int, int], tuple[int, str | None]] = {}
        self._lock = threading.Lock()
        self._organizations: dict[int, Any] = {}

    def report(self, key: tuple[int, int], percent: int, message: str | None) -> None:
        """Take the progress of (job, attempt); a message of None leaves the one before."""
        # One assignment under the interpreter's lock; the read before it may lose nothing but an older message.
        known = self._latest.get(key)
        self._latest[key] = (percent, known[1] if message is None and known else message)

    def drop(self, key: tuple[int, int]) -> None:
        """Forget an attempt that has ended."""
        self._latest.pop(key, None)
        self._organizations.pop(key[0], None)

    def flush(self) -> set[tuple[int, int]]:
        """Write what is new and return the attempts that no longer own their job."""
        with self._lock:
            latest, self._latest = self._latest, {}
            try:
                lost = {key for key, value in latest.items() if not write(key, *value)}
            except Exception:
                for key, value in latest.items():  # written the next time, unless something newer was reported
                    self._latest.setdefault(key, value)
                raise
        # Without the lock: receivers take their time.
        events.progressed(self._organizations_of([key[0] for key in latest if key not in lost]))
        return lost

    def _organizations_of(self, pks: Collection[int]) -> dict[int, Any]:
        """Whose jobs these are: asked once a job, and only where live pages are told."""
        if ports.get_broadcaster() is None:
            return dict.fromkeys(pks)
        unknown = [pk for pk in pks if pk not in self._organizations]
        if unknown:
            rows = Job.objects.using(database.alias()).filter(pk__in=unknown)
            self._organizations.update(rows.values_list("pk", "organization_id"))
        return {pk: self._organizations[pk] for pk in pks if pk in self._organizations}


def write(key: tuple[int, int], percent: int, message: str | None) -> bool:
    """Write one attempt's progress; False when the job is not its any more."""
    values: dict[str, object] = {"progress": percent}
    if message is not None:
        values["progress_message"] = message
    rows = Job.objects.using(database.alias()).filter(pk=key[0], attempt=key[1], status=Status.RUNNING)
    return rows.update(**values) > 0
