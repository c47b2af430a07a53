"""Duties of a scheduler that do not come to an end are told by name: what hangs tells nothing itself."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from django_jobs.engine.store import database
from django_jobs.models import EngineLease

logger = logging.getLogger("django_jobs")

DUTY: Final = "watch_duties"
#: A duty that makes no round for so many seconds is told.
STALLED_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 5.0
#: What a scheduler told others counts for so long; it tells it again at each look.
TOLD: Final = dt.timedelta(seconds=30)
#: Under such names it is told.
_ROWS: Final = "stalled:"


class Stalled(NamedTuple):
    """A duty that makes no round, of which scheduler, and since when."""

    duty: str
    scheduler: str
    since: dt.datetime


class _Turn(NamedTuple):
    began: float
    thread: int


class DutyWatch:
    """Notes which duties of one scheduler are under way, in whatever thread, and tells of those that hang."""

    def __init__(self, scheduler: str) -> None:
        self._scheduler = scheduler
        self._turns: dict[str, _Turn] = {}
        #: Since when a duty has made no round whose turns the database did not let come to an end.
        self._unfinished: dict[str, float] = {}
        self._stalled: dict[str, dt.datetime] = {}
        self._row = f"{_ROWS}{uuid.uuid4().hex}"

    @contextlib.contextmanager
    def turn(self, duty: str) -> Iterator[None]:
        """Note that a duty makes a round inside the block. One whose statement took too long is no round."""
        began = time.monotonic()
        self._turns[duty] = _Turn(began, threading.get_ident())
        try:
            yield
        except BaseException as error:
            if database.was_too_slow(error):
                self._unfinished.setdefault(duty, began)
            else:
                self._unfinished.pop(duty, None)
            raise
        else:
            self._unfinished.pop(duty, None)
        finally:
            del self._turns[duty]

    def forget_all_but(self, own: Collection[str]) -> None:
        """Forget which rounds came to no end, but of these duties: the others are another scheduler's."""
        for duty in self._unfinished.keys() - set(own):
            self._unfinished.pop(duty, None)

    @property
    def got_on(self) -> float:
        """Return since when the duty is under way that has been for longest; now where none is."""
        return min([turn.began for turn in list(self._turns.values())], default=time.monotonic())

    def step(self) -> tuple[int, float]:
        """Look which duties are stalled; return how many are, and in how many seconds to look again."""
        now = time.monotonic()
        turns = dict(list(self._turns.items()))
        since = {duty: turn.began for duty, turn in turns.items()} | dict(list(self._unfinished.items()))
        seconds = {duty: now - began for duty, began in since.items() if now - began >= STALLED_SECONDS}
        if not seconds and not self._stalled:
            return 0, LOOK_SECONDS
        for duty in self._stalled.keys() - seconds.keys():
            logger.warning("event=duty_goes_on duty=%s", duty)
        for duty in seconds.keys() - self._stalled.keys():
            stack = _stack_of(turns[duty]) if duty in turns else ""
            logger.error("event=duty_stalled duty=%s seconds=%.0f\n%s", duty, seconds[duty], stack)
        moment = database.now()
        self._stalled = {duty: moment - dt.timedelta(seconds=lasts) for duty, lasts in seconds.items()}
        self._tell(moment)
        return len(seconds), LOOK_SECONDS

    def _tell(self, moment: dt.datetime) -> None:
        """Leave a note for those who evaluate alarms, and for ``jobs_check``."""
        rows = EngineLease.primary.filter(pk=self._row)
        if not self._stalled:
            rows.delete()
            return
        state = {duty: since.isoformat() for duty, since in self._stalled.items()}
        values = {"holder": self._scheduler, "expires_at": moment + TOLD, "state": state}
        if not rows.update(**values):
            EngineLease.primary.filter(pk__startswith=_ROWS, expires_at__lt=moment).delete()
            EngineLease.primary.create(name=self._row, **values)


def _stack_of(turn: _Turn) -> str:
    frame = sys._current_frames().get(turn.thread)  # noqa: SLF001  (the only way to them)
    return "" if frame is None else "".join(traceback.format_stack(frame))


def stalled(moment: dt.datetime) -> list[Stalled]:
    """Return the duties of all schedulers that make no round, by name."""
    rows = EngineLease.primary.filter(pk__startswith=_ROWS, expires_at__gte=moment)
    found = [
        Stalled(duty, row.holder, dt.datetime.fromisoformat(since)) for row in rows for duty, since in row.state.items()
    ]
    return sorted(found)
