"""Storing how attempts ended, whatever the database is up to."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from typing import TYPE_CHECKING

from django.db import Error

from django_jobs.conf import jobs_settings
from django_jobs.engine.execution import settle
from django_jobs.engine.store import database

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django_jobs.engine.execution.outcomes import Outcome

logger = logging.getLogger("django_jobs")

SET_TRIES = 2
LARGE_TRIES = 5
AGAIN_SECONDS = 0.05


class Settler:
    """Several threads of a child settle; what they could not, because its row was in use, is kept for another try."""

    def __init__(self, worker_name: str, patience: float = math.inf) -> None:
        self._worker_name = worker_name
        self._patience = patience
        self._settling: set[tuple[int, int]] = set()
        self._unsettled: deque[Outcome] = deque()

    def settle(self, ended: list[Outcome]) -> None:
        """Store how attempts ended, for as long as it takes: only the database can say that they are lost. With a
        ``patience`` of so many seconds, its Error is raised after that, and they are lost.

        One by one after the second failure, since one of them may be what the database hangs up on. For a row that is
        in use nobody waits.
        """
        keys = _keys(ended)
        self._settling |= keys
        try:
            self._store(ended)
        finally:
            self._settling -= keys

    def _store(self, ended: list[Outcome]) -> None:
        pause, failures, began = 0.1, 0, time.monotonic()
        while ended:
            part = ended if failures < SET_TRIES else ended[:1]
            try:
                self._unsettled += settle.settle(part, self._worker_name)
                ended = ended[len(part) :]
                failures = min(failures, SET_TRIES)
            except Error as error:
                logger.warning("event=settle_delayed worker=%s jobs=%s error=%r", self._worker_name, len(ended), error)
                database.drop_connections()
                if time.monotonic() - began > self._patience:
                    raise
                failures += _database_answers()  # one that is away says nothing of what it was sent
                if failures >= LARGE_TRIES and settle.is_large(ended[0]):
                    ended = [settle.refused(ended[0], error), *ended[1:]]
                time.sleep(pause)
                pause = min(2 * pause, 2.0)

    def settle_again(self) -> None:
        """Try again what could not be settled."""
        self.settle([self._unsettled.popleft() for _ in range(len(self._unsettled))])

    def finish(self) -> None:
        """Try until nothing is left, or for as long as a lease lasts."""
        deadline = time.monotonic() + float(jobs_settings.LEASE_SECONDS)
        while self._unsettled and time.monotonic() < deadline:
            self.settle_again()
            time.sleep(AGAIN_SECONDS)

    def has_unsettled(self) -> bool:
        return bool(self._unsettled)

    def keys(self) -> set[tuple[int, int]]:
        """(job, attempt) of what is being settled, or is to be."""
        return self._settling | _keys(list(self._unsettled))


def _keys(ended: Iterable[Outcome]) -> set[tuple[int, int]]:
    return {(item.claimed.pk, item.claimed.attempt) for item in ended}


def _database_answers() -> bool:
    try:
        database.now()
    except Error:
        return False
    return True
