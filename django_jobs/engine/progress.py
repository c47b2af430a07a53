"""Progress on its way to the database: the latest of each job, written in sets, never by the handler itself."""

from __future__ import annotations

import threading

from django_jobs.engine import database, events
from django_jobs.models import Job
from django_jobs.statuses import Status


class ProgressBoard:
    """Keeps the latest progress of each running attempt until it is written."""

    def __init__(self) -> None:
        self._latest: dict[tuple[int, int], tuple[int, str | None]] = {}
        self._lock = threading.Lock()

    def report(self, key: tuple[int, int], percent: int, message: str | None) -> None:
        """Take the progress of (job, attempt); a message of None leaves the one before."""
        # One assignment under the interpreter's lock; the read before it may lose nothing but an older message.
        known = self._latest.get(key)
        self._latest[key] = (percent, known[1] if message is None and known else message)

    def drop(self, key: tuple[int, int]) -> None:
        """Forget an attempt that has ended."""
        self._latest.pop(key, None)

    def flush(self) -> set[tuple[int, int]]:
        """Write what is new and return the attempts that no longer own their job."""
        with self._lock:
            latest, self._latest = self._latest, {}
            lost = {key for key, value in latest.items() if not write(key, *value)}
        # Without the lock: receivers take their time.
        events.progressed([key[0] for key in latest if key not in lost])
        return lost


def write(key: tuple[int, int], percent: int, message: str | None) -> bool:
    """Write one attempt's progress; False when the job is not its any more."""
    values: dict[str, object] = {"progress": percent}
    if message is not None:
        values["progress_message"] = message
    rows = Job.objects.using(database.alias()).filter(pk=key[0], attempt=key[1], status=Status.RUNNING)
    return rows.update(**values) > 0
