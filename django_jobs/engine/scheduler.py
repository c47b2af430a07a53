"""The scheduler: duties that run by themselves. Each does one bounded batch and returns a count.

A duty that fails stops no other. Any number of schedulers may run; one leads, by a lease row. If two acted at once, it
would do no harm.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable

from django.db import Error
from django.db.models import Q

from django_jobs.conf import jobs_settings
from django_jobs.engine.control import file_deletions, replays, retention, tenants
from django_jobs.engine.control.cleanup import forget_activity, forget_sockets, forget_workers
from django_jobs.engine.dependencies import follow_up
from django_jobs.engine.dispatch import dispatcher, expirations, reconciliation
from django_jobs.engine.execution import leases
from django_jobs.engine.insight import rollups
from django_jobs.engine.store import database
from django_jobs.engine.submission import duplicates
from django_jobs.models import EngineLease

logger = logging.getLogger("django_jobs")

RETENTION_PAUSE = 60.0
#: The more events are counted at once, the fewer rows are written.
ROLLUP_PAUSE = 5.0
LEADER_SECONDS = 10.0
#: Duties that call the host's storage or policy, which may be slow or hang. After a turn of LONG_SECONDS they rest.
SLOWED = frozenset({"replay", "delete_files"})
LONG_SECONDS = 4.0
#: Seconds until a file is tried again that the storage refused to delete.
FILES_PAUSE = 10.0
#: Duties that have something to do in nearly every tick; they are logged at a lower level.
FREQUENT = frozenset({"dispatch", "replay", "roll_up", "forget_sockets"})


class Scheduler:
    """Runs the duties in turn, once every SCHEDULER_INTERVAL seconds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._steady_since: float | None = None
        self._last_sign: float | None = None
        self._led: tuple[float, dt.datetime] | None = None
        self._rests_until: dict[str, float] = {}
        self._pruner = retention.Pruner()
        self._files = file_deletions.Sweep()
        self._next_pruning = self._next_rolling_up = self._next_files = 0.0
        self._forgets_next: dict[Callable[[], int], float] = {}
        self._tickets = reconciliation.TicketWatch()
        self._orphans = tenants.OrphanWatch()
        self._failing: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Tick until ``stop`` is set."""
        while not stop.is_set():
            started = time.monotonic()
            self.tick()
            pause = float(jobs_settings.SCHEDULER_INTERVAL) - (time.monotonic() - started)
            stop.wait(max(0.05, pause))
        self.resign()

    def tick(self) -> dict[str, int]:
        """Do every duty once, if this scheduler leads. Return a count for each duty that did something."""
        database.mend_connections()
        try:
            if not self.lead():
                self._steady_since = None
                return {}
        except Exception as error:  # noqa: BLE001  (whatever it is, the next tick tries again)
            self._steady_since = None
            self._complain("lead", error)
            return {}
        self._failing.discard("lead")
        done = {name: self._do(name, duty) for name, duty in self._duties().items()}
        return {name: count for name, count in done.items() if count}

    def lead(self) -> bool:
        """Take or keep the leader's lease. Return whether this scheduler leads."""
        now, moment = database.now(), time.monotonic()
        if not self._take_lease(now):
            return False
        self._note_sign(self._asleep(moment, now))
        self._led = moment, now
        return True

    def _take_lease(self, now: dt.datetime) -> bool:
        rows = EngineLease.primary.filter(pk="scheduler")
        values = {
            "holder": self.name,
            "ticked_at": now,
            "expires_at": now + dt.timedelta(seconds=LEADER_SECONDS),
        }
        free = Q(holder=self.name) | Q(holder="") | Q(expires_at__isnull=True) | Q(expires_at__lt=now)
        if rows.filter(free).update(**values):
            return True
        if rows.exists():
            return False
        EngineLease.primary.bulk_create([EngineLease(name="scheduler")], ignore_conflicts=True)
        return rows.filter(free).update(**values) > 0

    def resign(self) -> None:
        """Let another scheduler lead at once."""
        try:
            rows = EngineLease.primary.filter(pk="scheduler", holder=self.name)
            rows.update(holder="", expires_at=None)
        except Error as error:
            self._complain("resign", error)

    def _asleep(self, moment: float, now: dt.datetime) -> float:
        """Return for how many seconds this machine was suspended since it last led.

        The database's clock counts that time, and the machine's monotonic clock does not. A leap of the database's
        clock counts as well, because leases go by that clock.
        """
        if self._led is None:
            return 0.0
        last_moment, last = self._led
        return max(0.0, (now - last).total_seconds() - (moment - last_moment))

    def _note_sign(self, asleep: float = 0.0) -> None:
        """Note that this scheduler is at work. After a gap it counts as steady only from now on.

        Steady means: at work without failure or gap, so that every living worker could renew its leases meanwhile.
        """
        now = time.monotonic()
        if self._steady_since is None or self._is_gap(now + asleep):
            self._steady_since = now
        self._last_sign = now

    def _is_gap(self, now: float) -> bool:
        """Return whether leases may have run out because the database answered nobody for too long."""
        interval, lease = float(jobs_settings.SCHEDULER_INTERVAL), float(jobs_settings.LEASE_SECONDS)
        longest = min(5 + 3 * interval, interval + lease / 3)
        return self._last_sign is not None and now - self._last_sign > longest

    def is_steady(self) -> bool:
        """Return whether leases may be rescued. In the midst of a tick, False if this process was frozen in it."""
        now, since = time.monotonic(), self._steady_since
        return since is not None and now - since >= float(jobs_settings.LEASE_SECONDS) and not self._is_gap(now)

    def _duties(self) -> dict[str, Callable[[], int]]:
        return {
            "reissue_tickets": self._tickets.reissue_lost,
            "dispatch": self._dispatch,
            "rescue_expired": self._rescue,
            "expire": expirations.expire,
            "follow_up": follow_up.follow_up,
            "bury_orphans": self._orphans.bury,
            "replay": replays.work_off,
            "roll_up": self._roll_up,
            "forget_activity": lambda: self._forget(forget_activity),
            "prune": self._prune,
            "delete_files": self._delete_files,
            "forget_duplicates": duplicates.forget_expired,
            "forget_workers": forget_workers,
            "forget_sockets": lambda: self._forget(forget_sockets),
        }

    def _dispatch(self) -> int:
        """Dispatch, unless the duty before this one found that the broker is another installation's."""
        return 0 if self._tickets.is_foreign else dispatcher.dispatch_without_budget()

    def _rescue(self) -> int:
        return leases.rescue_expired() if self.is_steady() else 0

    def _roll_up(self) -> int:
        if time.monotonic() < self._next_rolling_up:
            return 0
        count = rollups.catch_up()
        if rollups.behind() < rollups.BATCH:
            self._next_rolling_up = time.monotonic() + ROLLUP_PAUSE
        return count

    def _forget(self, duty: Callable[[], int]) -> int:
        """Do the duty until it finds nothing to delete, and again after a pause."""
        if time.monotonic() < self._forgets_next.get(duty, 0.0):
            return 0
        count = duty()
        if not count:
            self._forgets_next[duty] = time.monotonic() + RETENTION_PAUSE
        return count

    def _prune(self) -> int:
        if time.monotonic() < self._next_pruning:
            return 0
        count = self._pruner.prune_batch(retention.TICK_SECONDS)
        if self._pruner.is_through:
            self._next_pruning = time.monotonic() + RETENTION_PAUSE
        return count

    def _delete_files(self) -> int:
        if time.monotonic() < self._next_files:
            return 0
        count = self._files.step(file_deletions.TICK_SECONDS)
        if self._files.is_through:
            self._next_files = time.monotonic() + FILES_PAUSE
        return count

    def _do(self, name: str, duty: Callable[[], int]) -> int:
        # Many slow duties make a long tick, but no gap.
        self._note_sign()
        started = time.monotonic()
        if started < self._rests_until.get(name, 0.0):
            return 0
        try:
            count = duty()
        except Exception as error:  # noqa: BLE001  (a duty that fails stops no other)
            if database.is_lost_connection(error) and not database.was_too_slow(error):
                self._steady_since = None
            self._complain(name, error)
            return 0
        finally:
            self._let_rest(name, started)
        self._failing.discard(name)
        if count:
            logger.log(logging.DEBUG if name in FREQUENT else logging.INFO, "event=%s count=%s", name, count)
        return count

    def _let_rest(self, name: str, started: float) -> None:
        """Let a duty that took long rest for so long that the scheduler becomes steady, and rescues, in between."""
        now = time.monotonic()
        if name in SLOWED and now - started > LONG_SECONDS:
            self._rests_until[name] = now + max(RETENTION_PAUSE, 2 * float(jobs_settings.LEASE_SECONDS))

    def _complain(self, name: str, error: Exception) -> None:
        """Log once when a duty starts to fail, not at every tick."""
        if name not in self._failing:
            self._failing.add(name)
            logger.warning("event=duty_failed duty=%s error=%r", name, error)
