"""Who leads, and for how long; duties that have a thread of their own, or come to no end."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

from django.db.models import Q

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.store import database
from django_jobs.models import EngineLease

# Which scheduler leads: the one that the lease row names, until its moment is over.


LEASE: Final = "scheduler"


def take_lead(name: str, now: dt.datetime) -> bool:
    """Take or keep the leader's lease for this scheduler; return whether it leads.

    A lease that ends later than any that is given now counts for nothing: it would last for as long as the clock of
    the database was set back.
    """
    rows = EngineLease.primary.filter(pk=LEASE)
    lease = dt.timedelta(seconds=timing.LEADER_SECONDS)
    values = {"holder": name, "ticked_at": now, "expires_at": now + lease}
    free = Q(holder=name) | Q(holder="") | Q(expires_at__isnull=True) | Q(expires_at__lt=now)
    free |= Q(expires_at__gt=now + lease + timing.CLOCK_SET_BACK)
    if rows.filter(free).update(**values):
        return True
    if rows.exists():
        return False
    EngineLease.primary.bulk_create([EngineLease(name=LEASE)], ignore_conflicts=True)
    return rows.filter(free).update(**values) > 0


def resign_lead(name: str) -> None:
    """Let another scheduler lead at once."""
    EngineLease.primary.filter(pk=LEASE, holder=name).update(holder="", expires_at=None)


# Whether a scheduler has been at work for so long that every worker that lives could renew its leases meanwhile.
#
# Before that, a lease that has run out may be one of a worker that lives as well as ever: nobody could renew anything
# while the database was away, or while the machine of all of them was suspended.


class Steadiness:
    """That of one scheduler, which notes whenever it gets on. It begins anew after a failure, and after a gap."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._last_sign: float | None = None
        #: When the database last told its time, on time.monotonic's clock and on its own.
        self._answered: tuple[float, dt.datetime] | None = None

    def note_answer(self, moment: float, now: dt.datetime) -> None:
        """Note that the database answered at this moment, and told this time.

        While this machine was suspended, the database's clock went on, and the machine's monotonic clock did not. A
        leap of the database's clock counts as well, because leases go by that clock.
        """
        last_moment, last = self._answered or (moment, now)
        gained = (now - last).total_seconds() - (moment - last_moment)
        self.note_sign(asleep=max(0.0, gained))
        self._answered = moment, now

    def note_sign(self, asleep: float = 0.0) -> None:
        """Note that the scheduler is at work, after this machine was suspended for so many seconds."""
        now = time.monotonic()
        if self._since is None or self._is_gap(now + asleep):
            self._since = now
        self._last_sign = now

    def begin_anew(self) -> None:
        """Count only from the next sign."""
        self._since = None

    def is_reached(self) -> bool:
        """Return whether it lasts as long as a lease. In the midst of a tick, False if the process was frozen in it."""
        now, since = time.monotonic(), self._since
        return since is not None and now - since >= float(jobs_settings.LEASE_SECONDS) and not self._is_gap(now)

    def _is_gap(self, now: float) -> bool:
        """Return whether leases may have run out because the database answered nobody for too long."""
        interval, lease = float(jobs_settings.SCHEDULER_INTERVAL), float(jobs_settings.LEASE_SECONDS)
        longest = min(5 + 3 * interval, interval + lease / 3)
        return self._last_sign is not None and now - self._last_sign > longest


# Duties of a scheduler that do not come to an end are told by name: what hangs tells nothing itself.


logger = logging.getLogger("django_jobs")

WATCH_DUTY: Final = "watch_duties"
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
        seconds = {duty: now - began for duty, began in since.items() if now - began >= timing.DUTY_STALLED_SECONDS}
        if not seconds and not self._stalled:
            return 0, timing.DUTY_LOOK_SECONDS
        for duty in self._stalled.keys() - seconds.keys():
            logger.warning("event=duty_goes_on duty=%s", duty)
        for duty in seconds.keys() - self._stalled.keys():
            stack = _stack_of(turns[duty]) if duty in turns else ""
            logger.error("event=duty_stalled duty=%s seconds=%.0f\n%s", duty, seconds[duty], stack)
        moment = database.now()
        self._stalled = {duty: moment - dt.timedelta(seconds=lasts) for duty, lasts in seconds.items()}
        self._tell(moment)
        return len(seconds), timing.DUTY_LOOK_SECONDS

    def _tell(self, moment: dt.datetime) -> None:
        """Leave a note for those who evaluate alarms, and for ``jobs_check``."""
        rows = EngineLease.primary.filter(pk=self._row)
        if not self._stalled:
            rows.delete()
            return
        state = {duty: since.isoformat() for duty, since in self._stalled.items()}
        values = {"holder": self._scheduler, "expires_at": moment + timing.DUTY_REPORT, "state": state}
        if not rows.update(**values):
            EngineLease.primary.filter(pk__startswith=_ROWS, expires_at__lt=moment).delete()
            EngineLease.primary.create(name=self._row, **values)


def _stack_of(turn: _Turn) -> str:
    frame = sys._current_frames().get(turn.thread)  # noqa: SLF001  (the only way to them)
    return "" if frame is None else "".join(traceback.format_stack(frame))


def stalled_duties(moment: dt.datetime) -> list[Stalled]:
    """Return the duties of all schedulers that make no round, by name."""
    rows = EngineLease.primary.filter(pk__startswith=_ROWS, expires_at__gte=moment)
    stalled = [
        Stalled(duty, row.holder, dt.datetime.fromisoformat(since)) for row in rows for duty, since in row.state.items()
    ]
    return sorted(stalled)


# A duty of the leading scheduler that must not wait for the others: it has a thread and a connection of its own.


class DutyThread:
    """A thread that takes turns whenever ``leads`` says so.

    ``step`` does one turn, and returns how much it did and for how many seconds to rest. ``report`` is the scheduler's
    way of doing a duty by its name, which logs failures.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], tuple[int, float]],
        leads: Callable[[], bool],
        report: Callable[[str, Callable[[], int]], int],
    ) -> None:
        self._name = name
        self._step = step
        self._leads = leads
        self._report = report
        self._pause = timing.LEADERSHIP_LOOK_SECONDS
        self._is_stopped = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start to take turns."""
        self._thread.start()

    def wake(self) -> None:
        """End the rest, if it rests. Any thread may call this."""
        self._woken.set()

    def stop(self) -> None:
        """End after the turn that goes on."""
        self._is_stopped = True
        self.wake()

    def join(self, seconds: float) -> None:
        """Wait for the end of the turn that goes on."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._is_stopped:
            self._woken.wait(self._turn())
            self._woken.clear()
        database.drop_connections()

    def _turn(self) -> float:
        """Take a turn, and return for how many seconds to rest. Who does not lead holds no connection."""
        if not self._leads():
            database.drop_connections()
            return timing.LEADERSHIP_LOOK_SECONDS
        database.mend_connections()
        self._pause = timing.LEADERSHIP_LOOK_SECONDS
        self._report(self._name, self._do)
        return self._pause

    def _do(self) -> int:
        count, self._pause = self._step()
        return count
