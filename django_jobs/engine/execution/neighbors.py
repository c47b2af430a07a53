"""The jobs of workers of this machine that were killed together with their supervisors: nobody else reports these.

Workers of other machines, and of other containers, cannot be judged from here; their leases run out.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from django_jobs.engine.actors import SCHEDULER
from django_jobs.engine.dispatch import dispatcher, worker_registry
from django_jobs.engine.execution import leases, vanished
from django_jobs.models import Worker

logger = logging.getLogger("django_jobs")

#: Seconds between two looks.
PAUSE: Final = 3.0


class Neighbors:
    """Looks at once, and then every few seconds, which workers of this machine are gone."""

    def __init__(self) -> None:
        self._next = 0.0

    def end_what_is_gone(self) -> int:
        """End the attempts that such workers have left; return how many there were.

        An orphan that outlived its supervisor works on, and is left alone.
        """
        if time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + PAUSE
        count = sum(map(_end, worker_registry.gone_from_here()))
        if count:
            dispatcher.dispatch_without_budget()  # for the first loss they run again at once; nobody may lead now
        return count


def _end(worker: Worker) -> int:
    held = leases.left_by(worker.name)
    moved = vanished.end(sorted(held), f"process {worker.pid} and its supervisor are gone", worker.name, SCHEDULER)
    ended = {item.pk for item in moved}
    if ended or not held:  # else another neighbor was quicker
        logger.warning("event=neighbor_gone worker=%s pid=%s jobs=%s", worker.name, worker.pid, len(ended))
    if ended >= {pk for pk, _ in held}:  # else rows are in use, and the next look finds it again
        worker_registry.withdraw(worker.name)
    return len(ended)
