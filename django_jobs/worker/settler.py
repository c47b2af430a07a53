"""Storing how attempts ended, whatever state the database is in."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from typing import TYPE_CHECKING

from django.db import Error
from django.db.models import F

from django_jobs.conf import jobs_settings
from django_jobs.engine.execution import settle
from django_jobs.engine.store import database
from django_jobs.models import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django_jobs.engine.execution.outcomes import Outcome

logger = logging.getLogger("django_jobs")

#: After so many failures attempts are stored one by one: one of them may be what the database fails at.
SET_TRIES = 2
#: After so many failures of one attempt its large result is given up.
LARGE_TRIES = 5
AGAIN_SECONDS = 0.05


class Settler:
    """Stores outcomes for several threads of a child, and keeps for another try those whose rows are in use.

    While the database fails it tries for ``max_seconds``, then it raises the database's Error.
    """

    def __init__(
        self, worker_name: str, max_seconds: float = math.inf, get_on: Callable[[], None] = lambda: None
    ) -> None:
        self._worker_name = worker_name
        self._max_seconds = max_seconds
        self._get_on = get_on
        self._settling: set[tuple[int, int]] = set()
        self._unsettled: deque[Outcome] = deque()

    def settle(self, ended: list[Outcome]) -> None:
        """Store how attempts ended, for as long as it takes: without that they would run again.

        Does not wait for a row that is in use. Raises Error where ``max_seconds`` are over; these outcomes are lost.
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
            self._get_on()  # a database that is away makes this long, but not still
            part = ended if failures < SET_TRIES else ended[:1]
            try:
                self._unsettled += settle.settle(part, self._worker_name)
                ended = ended[len(part) :]
                failures = min(failures, SET_TRIES)
            except Error as error:
                logger.warning("event=settle_delayed worker=%s jobs=%s error=%r", self._worker_name, len(ended), error)
                database.drop_connections()
                if time.monotonic() - began > self._max_seconds:
                    raise
                failures += _takes_writes(ended[0])  # one that is away, or locked, has not refused what it was sent
                if failures >= LARGE_TRIES and settle.is_large(ended[0]):
                    ended = [settle.refused(ended[0], error), *ended[1:]]
                time.sleep(pause)
                pause = min(2 * pause, 2.0)

    def settle_again(self) -> None:
        """Try once more to store the outcomes whose rows were in use."""
        self.settle([self._unsettled.popleft() for _ in range(len(self._unsettled))])

    def finish(self) -> None:
        """Store the outcomes whose rows are in use; give up after the time that a lease lasts."""
        deadline = time.monotonic() + float(jobs_settings.LEASE_SECONDS)
        while self._unsettled and time.monotonic() < deadline:
            self.settle_again()
            time.sleep(AGAIN_SECONDS)

    def has_unsettled(self) -> bool:
        """Return whether outcomes wait for another try."""
        return bool(self._unsettled)

    def keys(self) -> set[tuple[int, int]]:
        """Return (job, attempt) of all outcomes that are not stored yet."""
        return self._settling | _keys(list(self._unsettled))


def _keys(ended: Iterable[Outcome]) -> set[tuple[int, int]]:
    return {(item.claimed.pk, item.claimed.attempt) for item in ended}


def _takes_writes(item: Outcome) -> bool:
    """Return whether the database writes to the row of this job now, when it is to write something small."""
    rows = Job.primary.filter(pk=item.claimed.pk)
    try:
        database.in_transaction(lambda: database.locked(rows, skip=True).exists() and rows.update(attempt=F("attempt")))
    except Error:
        database.drop_connections()
        return False
    return True
