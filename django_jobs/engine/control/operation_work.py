"""Working off operations: batch by batch, each operation in turn.

Those that had no turn for longest come first. Who can do nothing now (waits for the job that is tried first, or for its
rate) takes no turn from the others, and neither does who fails.

A scheduler that runs in a loop has a thread and a connection for this, because a host's policy may be slow, and because
an operation is to be fast, however long a tick takes. It rests a little after each round.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from django.db import Error, IntegrityError
from django.db.models import QuerySet

from django_jobs.engine.control.operation_outcomes import OutcomeCounts
from django_jobs.engine.control.operation_turns import Turn
from django_jobs.engine.control.operations import State
from django_jobs.engine.duty_threads import LOOK, DutyThread
from django_jobs.engine.store import database
from django_jobs.engine.store.fresh_reads import fresh_reads
from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Operation
from django_jobs.models.operation import OPEN

logger = logging.getLogger("django_jobs")

DUTY: Final = "operate"
#: Operations that do something, or fail, in one round.
AT_ONCE: Final = 5
#: Operations that are asked in one round whether they can do something.
ASKED: Final = 50
#: An operation is paused when the database has refused its statements so many times in a row.
FAILURES: Final = 3
#: Seconds that a tick of a scheduler without threads may spend on operations.
TICK_SECONDS: Final = 0.5
#: Of the time, the thread rests so many parts for each part of work: others use the database, too.
REST_FACTOR: Final = 0.25

Reason: Final = Operation.Reason


class OperationWork:
    """Works off operations for one scheduler."""

    def __init__(self, *, minds_rates: bool = True) -> None:
        self._minds_rates = minds_rates
        #: When each had its last turn.
        self._turned: dict[int, float] = {}
        #: How many turns of each failed in a row.
        self._failures: Counter[int] = Counter()
        self._counts = OutcomeCounts()
        self._is_uncounted = False

    def work_off(self) -> int:
        """Work for TICK_SECONDS at most; return how many jobs changed."""
        until = time.monotonic() + TICK_SECONDS
        total = 0
        while changed := self.do_round():
            total += changed
            if time.monotonic() >= until:
                break
        return total

    def step(self) -> tuple[int, float]:
        """Do one round; return how many jobs changed, and for how many seconds to rest."""
        started = time.monotonic()
        changed = self.do_round()
        return changed, REST_FACTOR * (time.monotonic() - started) if changed else LOOK

    def do_round(self) -> int:
        """Work off the next batch of each open operation, within its rate; return how many jobs it came by."""
        unsettled = Operation.primary.filter(is_settled=False)
        if not unsettled.exists():
            return 0
        if self._is_uncounted:  # the round before was cut short, and this one may be as well
            self._count()
        self._is_uncounted = True
        count = self._take_turns(unsettled)
        self._count()
        return count

    def _count(self) -> None:
        self._counts.count_due()
        self._is_uncounted = False

    def _take_turns(self, unsettled: QuerySet[Operation]) -> int:
        """Let AT_ONCE of the running operations do something, those first that had no turn for longest."""
        rows = unsettled.filter(state__in=sorted(OPEN)).order_by("released_until", "pk")
        states = dict(rows.values_list("pk", "state"))
        running = [pk for pk, state in states.items() if state == State.RUNNING]
        for notes in (self._turned, self._failures):
            for pk in notes.keys() - set(running):
                del notes[pk]
        running.sort(key=lambda pk: self._turned.get(pk, 0.0))
        total = acted = 0
        for pk in running[:ASKED]:
            is_first = pk not in self._turned
            self._turned[pk] = time.monotonic()
            changed = self._take_turn(pk, is_first=is_first)
            total += changed
            acted += changed > 0 or pk in self._failures
            if acted == AT_ONCE:
                break
        return total

    def _take_turn(self, pk: int, *, is_first: bool) -> int:
        try:
            with fresh_reads():
                changed = Turn(pk, self._counts, minds_rate=self._minds_rates, is_first=is_first).take()
        except Exception as error:
            if database.is_lost_race(error):
                return 0  # its next turn tries again
            if _ends_round(error):
                raise
            self._note_failure(pk, error)
            return 0
        self._failures.pop(pk, None)
        return changed

    def _note_failure(self, pk: int, error: Exception) -> None:
        """Log it, and pause the operation: at once, or where only the database refused, after some failures."""
        logger.warning("event=operation_failed operation=%s error=%r", pk, error, exc_info=error)
        self._failures[pk] += 1
        if isinstance(error, Error) and not isinstance(error, IntegrityError) and self._failures[pk] < FAILURES:
            return
        self._failures.pop(pk)
        reason = Reason.UNKNOWN_FILTER if isinstance(error, InvalidFilter) else Reason.ERROR
        rows = Operation.primary.filter(pk=pk, state=State.RUNNING)
        rows.update(state=State.PAUSED, reason=reason, note=type(error).__name__[:255])


def _ends_round(error: Exception) -> bool:
    """Return whether the line to the database is lost: no other operation could go on with it."""
    return database.is_lost_connection(error) and not database.was_too_slow(error)


class OperationThread(DutyThread):
    """A thread that works off operations whenever ``leads`` says so."""

    def __init__(
        self, work: OperationWork, leads: Callable[[], bool], report: Callable[[str, Callable[[], int]], int]
    ) -> None:
        super().__init__(DUTY, work.step, leads, report)


def work_off() -> int:
    """Work for TICK_SECONDS at most, as a scheduler does that has just started; return how many jobs changed."""
    return OperationWork().work_off()
