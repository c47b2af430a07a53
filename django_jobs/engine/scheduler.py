"""The scheduler: duties that run by themselves. Each does one bounded batch and returns a count.

A duty that fails stops no other. Any number of schedulers may run; one leads, by a lease row. If two acted at once, it
would do no harm.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from django.db import Error

from django_jobs.conf import jobs_settings
from django_jobs.engine import dependencies, timing
from django_jobs.engine.alerts import telling
from django_jobs.engine.alerts.records import Evaluator
from django_jobs.engine.control import batches, lane_keys, operation_work, tenants
from django_jobs.engine.control.retention import Sweeps, forget_activity, forget_workers
from django_jobs.engine.dispatch import backlog, dispatcher, tickets
from django_jobs.engine.duties import WATCH_DUTY, DutyThread, DutyWatch, Steadiness, resign_lead, take_lead
from django_jobs.engine.execution import leases
from django_jobs.engine.execution.leases import Neighbors
from django_jobs.engine.insight import rollups
from django_jobs.engine.schedules import firing
from django_jobs.engine.sockets import forget_expired_tickets
from django_jobs.engine.store import database

logger = logging.getLogger("django_jobs")

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
        self._sweeps = Sweeps()
        self._clockwork = firing.Clockwork()
        self._operations = operation_work.OperationWork()
        #: What must not wait for other duties, while this runs in a loop; a single tick does it itself.
        self._threads: tuple[DutyThread, ...] | None = None
        self._leads, self._next_rolling_up = False, 0.0
        self._ticked = time.monotonic()
        self._forgets_next: dict[Callable[[], int], float] = {}
        self._tickets = tickets.TicketWatch()
        self._orphans, self._lane_keys = tenants.OrphanWatch(), lane_keys.LaneKeyWatch()
        self._neighbors = Neighbors()
        self._alarms, self._mailer = Evaluator(), telling.Mailer()
        self._mails = DutyThread(telling.DUTY, self._mailer.step, lambda: self._leads, self._attempt)
        self._failing: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Tick until ``stop`` is set. What deletes, fires schedules, or waits for a moment is beside it, in threads."""
        steps: dict[str, Callable[[], tuple[int, float]]] = {
            **{name: partial(self._sweeps.turn, name) for name in self._sweeps.steps()},
            firing.DUTY: self._clockwork.step,
            operation_work.DUTY: self._operations.step,
            # Alarms tell also of a tick that hangs.
            WATCH: lambda: (self._watch(), timing.LEADERSHIP_LOOK_SECONDS),
        }
        self._threads = (
            *(DutyThread(name, step, lambda: self._leads, self._attempt) for name, step in steps.items()),
            DutyThread(
                dispatcher.DUTY,
                dispatcher.FlowClock().step,
                lambda: self._leads and not self._tickets.is_foreign,
                self._attempt,
            ),
            self._mails,
            DutyThread(WATCH_DUTY, self._duty_watch.step, lambda: True, self._attempt),
        )
        for thread in self._threads:
            thread.start()
        while not stop.is_set():
            started = time.monotonic()
            self.tick()
            pause = float(jobs_settings.SCHEDULER_INTERVAL) - (time.monotonic() - started)
            stop.wait(max(0.05, pause))
        self._leads = False
        for thread in self._threads:
            thread.stop()
        until = time.monotonic() + timing.SCHEDULER_JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self.resign()

    def tick(self) -> dict[str, int]:
        """Do every duty once, or its own if another leads. Return a count for each duty that did something."""
        self._ticked = time.monotonic()
        database.mend_connections()
        try:
            with self._duty_watch.turn("lead"):
                self._leads = self.lead()
            duties = self._duties() if self._leads else self._own_duties()
            if not self._leads:
                self._duty_watch.forget_all_but(duties)
        except Exception as error:  # noqa: BLE001  (whatever it is, the next tick tries again)
            self._leads = False
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
        leads = take_lead(self.name, now)
        self._steadiness.note_answer(moment, now)
        return leads

    @property
    def leads(self) -> bool:
        """Whether it led at its last tick."""
        return self._leads

    @property
    def got_on(self) -> float:
        """Return when it got on last, on time.monotonic's clock. It does so also while the database is away."""
        return min(self._ticked, self._duty_watch.got_on)

    def resign(self) -> None:
        """Let another scheduler lead at once."""
        try:
            resign_lead(self.name)
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
            **({} if self._threads else self._threaded_duties()),
        }

    def _threaded_duties(self) -> dict[str, Callable[[], int]]:
        """Return what has threads of its own while this runs in a loop."""
        fire, operate = self._clockwork.fire, self._operations.work_off
        mail = {WATCH: self._watch, telling.DUTY: self._mailer.send}
        return {firing.DUTY: fire, operation_work.DUTY: operate, **mail, **self._sweeps.steps()}

    def _dispatch(self) -> int:
        """Dispatch, unless the duty before this one found that the broker is another installation's."""
        return 0 if self._tickets.is_foreign else dispatcher.dispatch_without_budget()

    def _watch(self) -> int:
        """Evaluate the rules of alarms, and have what that brings told by mail at once."""
        count = self._alarms.in_tick()
        if count:
            self._mails.wake()
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
