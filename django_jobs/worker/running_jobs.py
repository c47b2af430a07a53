"""The handlers that run in a child, each with what interrupts it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django_jobs.engine.claimed_job import Claimed, current_job
from django_jobs.exceptions import JobCanceled
from django_jobs.worker.interruption import Interrupter


class RunningJobs:
    """What runs now, by (job, attempt). Other threads read it while the slots change it."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[int, int], tuple[Claimed, Interrupter]] = {}

    def add(self, claimed: Claimed, interrupter: Interrupter) -> None:
        """Note that a job's handler starts."""
        self._jobs[claimed.pk, claimed.attempt] = (claimed, interrupter)

    def remove(self, claimed: Claimed) -> None:
        """Note that a job's handler has ended."""
        self._jobs.pop((claimed.pk, claimed.attempt), None)

    def interrupters(self) -> dict[tuple[int, int], Interrupter]:
        """Return what interrupts each handler, by (job, attempt)."""
        return {key: interrupter for key, (_, interrupter) in list(self._jobs.items())}

    def with_claims(self) -> list[tuple[Claimed, Interrupter]]:
        """Return what runs, each with what interrupts it."""
        return list(self._jobs.values())

    def claimed(self, key: tuple[int, int]) -> Claimed | None:
        """Return the job of this (job, attempt); None where it does not run any more."""
        found = self._jobs.get(key)
        return None if found is None else found[0]

    def note_connection(self, connection: Any, **kwargs: Any) -> None:
        """Note that a handler has opened a connection, perhaps in another thread; a receiver of Django's signal."""
        job = current_job.get()
        found = None if job is None else self._jobs.get((job.pk, job.attempt))
        if found is not None and not any(connection is known for known in found[1].connections):
            found[1].connections.append(connection)

    def cancel(self, pks: Collection[int]) -> None:
        """Interrupt the handlers of these jobs, since somebody canceled them."""
        for (pk, _), interrupter in self.interrupters().items():
            if pk in pks:
                interrupter.request(JobCanceled)

    def __bool__(self) -> bool:
        return bool(self._jobs)
