"""The scheduler: duties that run by themselves. Each does one bounded batch and returns a count.

A duty that fails stops no other. Any number of schedulers may run; one leads, by a lease row. If two acted at once, it
would do no harm.
"""

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
from functools import partial
from typing import Final, NamedTuple

from django.db import Error
from django.db.models import Q

from django_jobs.conf import jobs_settings
from django_jobs.engine import dependencies, timing
from django_jobs.engine.alerts import telling
from django_jobs.engine.alerts.records import Evaluator
from django_jobs.engine.control import batches, lane_keys, operation_work, tenants
from django_jobs.engine.control.retention import Sweeps, forget_activity, forget_workers
from django_jobs.engine.dispatch import backlog, dispatcher, tickets
from django_jobs.engine.execution import leases
from django_jobs.engine.execution.leases import Neighbors
from django_jobs.engine.insight import rollups
from django_jobs.engine.insight.inspection import STALLED_ROWS
from django_jobs.engine.schedules import firing
from django_jobs.engine.sockets import forget_expired_tickets
from django_jobs.engine.store import database
from django_jobs.models import EngineLease

logger = logging.getLogger("django_jobs")

# Which scheduler leads: the one that the lease row names, until its moment is over.


LEASE: Final = "scheduler"


def _take_lead(name: str, now: dt.datetime) -> bool:
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


WATCH_DUTY: Final = "watch_duties"


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
        self._row = f"{STALLED_ROWS}{uuid.uuid4().hex}"

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
            EngineLease.primary.filter(pk__startswith=STALLED_ROWS, expires_at__lt=moment).delete()
            EngineLease.primary.create(name=self._row, **values)


def _stack_of(turn: _Turn) -> str:
    frame = sys._current_frames().get(turn.thread)  # noqa: SLF001  (the only way to them)
    return "" if frame is None else "".join(traceback.format_stack(frame))


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


# The scheduler, and all its duties.


#: The duty that evaluates the rules of alarms.
WATCH = "watch"
#: Duties that have something to do in nearly every tick; they are logged at a lower level.
FREQUENT = frozenset(
    {
        "dispatch",
        "count_batches",
        "roll_up",
        "forget_socket_tickets",
        firing.DUTY,
        dispatcher.DUTY,
        operation_work.DUTY,
    }
)


class Scheduler:
    """Runs the duties in turn, once every SCHEDULER_INTERVAL seconds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._steadiness = Steadiness()
        self._duty_watch = DutyWatch(name)
        #: Whether it led at its last tick.
        self.leads = False
        self._next_rolling_up = 0.0
        self._ticked = time.monotonic()
        self._forgets_next: dict[Callable[[], int], float] = {}
        self._tickets = tickets.TicketWatch()
        self._orphans, self._lane_keys = tenants.OrphanWatch(), lane_keys.LaneKeyWatch()
        self._neighbors = Neighbors()
        self._alarms = Evaluator()
        self._failing: set[str] = set()
        sweeps = Sweeps()
        #: What must not wait for other duties, by name: it takes its steps in threads of its own, beside the ticks.
        self.steps: dict[str, Callable[[], tuple[int, float]]] = {
            **{name: partial(sweeps.turn, name) for name in sweeps.steps},
            firing.DUTY: firing.Clockwork().step,
            operation_work.DUTY: operation_work.OperationWork().step,
            # Alarms tell also of a tick that hangs.
            WATCH: lambda: (self._watch(), timing.LEADERSHIP_LOOK_SECONDS),
            telling.DUTY: telling.Mailer().step,
        }
        self._threads = {
            name: DutyThread(name, step, lambda: self.leads, self._attempt) for name, step in self.steps.items()
        }

    def run(self, stop: threading.Event) -> None:
        """Tick until ``stop`` is set. What deletes, fires schedules, or waits for a moment is beside it, in threads."""
        threads = (
            *self._threads.values(),
            DutyThread(
                dispatcher.DUTY,
                dispatcher.FlowClock().step,
                lambda: self.leads and not self._tickets.is_foreign,
                self._attempt,
            ),
            DutyThread(WATCH_DUTY, self._duty_watch.step, lambda: True, self._attempt),
        )
        for thread in threads:
            thread.start()
        while not stop.is_set():
            started = time.monotonic()
            self.tick()
            pause = float(jobs_settings.SCHEDULER_INTERVAL) - (time.monotonic() - started)
            stop.wait(max(0.05, pause))
        self.leads = False
        for thread in threads:
            thread.stop()
        until = time.monotonic() + timing.SCHEDULER_JOIN_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        self.resign()

    def tick(self) -> dict[str, int]:
        """Do every duty once, or its own if another leads. Return a count for each duty that did something."""
        self._ticked = time.monotonic()
        database.mend_connections()
        try:
            with self._duty_watch.turn("lead"):
                self.leads = self.lead()
            duties = self._duties() if self.leads else self._own_duties()
            if not self.leads:
                self._duty_watch.forget_all_but(duties)
        except Exception as error:  # noqa: BLE001  (whatever it is, the next tick tries again)
            self.leads = False
            self._steadiness.begin_anew()
            self._complain("lead", error)
            return {}
        self._failing.discard("lead")
        done = {name: self._do(name, duty) for name, duty in duties.items()}
        return {name: count for name, count in done.items() if count}

    def lead(self) -> bool:
        """Take or keep the leader's lease. Return whether this scheduler leads.

        One that stands by sees just as well whether the database answers, so that it is steady when it comes to lead.
        """
        now, moment = database.now(), time.monotonic()
        leads = _take_lead(self.name, now)
        self._steadiness.note_answer(moment, now)
        return leads

    @property
    def got_on(self) -> float:
        """Return when it got on last, on time.monotonic's clock. It does so also while the database is away."""
        return min(self._ticked, self._duty_watch.got_on)

    def resign(self) -> None:
        """Let another scheduler lead at once."""
        try:
            EngineLease.primary.filter(pk=LEASE, holder=self.name).update(holder="", expires_at=None)
        except Error as error:
            self._complain("resign", error)

    def is_steady(self) -> bool:
        """Return whether leases may be rescued."""
        return self._steadiness.is_reached()

    def _own_duties(self) -> dict[str, Callable[[], int]]:
        """Return what a scheduler on each machine does, whoever leads."""
        return {"end_neighbors": self._neighbors.end_what_is_gone}

    def _duties(self) -> dict[str, Callable[[], int]]:
        return {
            **self._own_duties(),
            "reissue_tickets": self._tickets.reissue_lost,
            "dispatch": self._dispatch,
            "rescue_expired": self._rescue,
            "expire": backlog.expire_jobs,
            "follow_up": dependencies.follow_up_in_tick,
            "count_batches": batches.batch_duties_in_tick,
            "bury_orphans": self._orphans.bury,
            "rekey": self._lane_keys.rewrite,
            "roll_up": self._roll_up,
            "expire_batches": lambda: self._forget(batches.expire_batches),
            "forget_batches": lambda: self._forget(batches.forget_old_batches),
            "forget_activity": lambda: self._forget(forget_activity),
            "forget_workers": lambda: self._forget(forget_workers),
            "forget_socket_tickets": lambda: self._forget(forget_expired_tickets),
        }

    def _dispatch(self) -> int:
        """Dispatch, unless the duty before this one found that the broker is another installation's."""
        return 0 if self._tickets.is_foreign else dispatcher.dispatch_patiently()

    def _watch(self) -> int:
        """Evaluate the rules of alarms, and have what that brings told by mail at once."""
        count = self._alarms.in_tick()
        if count:
            self._threads[telling.DUTY].wake()
        return count

    def _rescue(self) -> int:
        """Rescue what ran out, once everybody could renew."""
        return leases.rescue_expired() if self.is_steady() else 0

    def _roll_up(self) -> int:
        if time.monotonic() < self._next_rolling_up:
            return 0
        count = rollups.catch_up()
        if rollups.rollups_behind() < rollups.BATCH:
            self._next_rolling_up = time.monotonic() + timing.ROLLUP_SECONDS
        return count

    def _forget(self, duty: Callable[[], int]) -> int:
        """Do the duty until it finds nothing to delete, and again after a pause."""
        if time.monotonic() < self._forgets_next.get(duty, 0.0):
            return 0
        count = duty()
        if not count:
            self._forgets_next[duty] = time.monotonic() + timing.FORGET_SECONDS
        return count

    def _do(self, name: str, duty: Callable[[], int]) -> int:
        # Many slow duties make a long tick, but no gap.
        self._steadiness.note_sign()
        self._ticked = time.monotonic()
        return self._attempt(name, duty, self._note_lost)

    def _note_lost(self, error: Exception) -> None:
        if database.is_lost_connection(error) and not database.was_too_slow(error):
            self._steadiness.begin_anew()

    def _attempt(self, name: str, duty: Callable[[], int], failed: Callable[[Exception], None] | None = None) -> int:
        """Do the duty and return its count; 0 where it fails, which is logged."""
        try:
            with self._duty_watch.turn(name):
                count = duty()
        except Exception as error:  # noqa: BLE001  (a duty that fails stops no other)
            if failed is not None:
                failed(error)
            self._complain(name, error)
            return 0
        self._failing.discard(name)
        if count:
            logger.log(logging.DEBUG if name in FREQUENT else logging.INFO, "event=%s count=%s", name, count)
        return count

    def _complain(self, name: str, error: Exception) -> None:
        """Log once when a duty starts to fail, not at every tick."""
        if name not in self._failing:
            self._failing.add(name)
            logger.warning("event=duty_failed duty=%s error=%r", name, error)
