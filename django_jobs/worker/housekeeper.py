"""The child's second thread: everything that must not wait for a handler to end.

It writes progress, requeues what waits behind a slow job, settles what ended before that job, sends heartbeats, and
makes a child whose supervisor is gone finish and leave.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from django.db import Error, connections

from django_jobs.conf import jobs_settings
from django_jobs.engine import batches, timing
from django_jobs.engine.claimed_job import uptime_seconds
from django_jobs.engine.dispatch import in_flight, window
from django_jobs.engine.execution import leases
from django_jobs.engine.ports import drain_broadcasts, get_broker
from django_jobs.engine.store import database
from django_jobs.engine.store.values import AttemptKey
from django_jobs.exceptions import AttemptLost, BrokerUnavailable, JobCanceled
from django_jobs.texts import say
from django_jobs.worker import processes
from django_jobs.worker.child_state import ChildState

logger = logging.getLogger("django_jobs")

WAITED_BEHIND: Final = say("Requeued: it waited behind a slower job", code="waited_behind")
WORKER_QUIET: Final = say("Requeued: its worker was told to be quiet", code="worker_quiet")


class Housekeeper(threading.Thread):
    """Looks every 50 ms, beside the main thread, whether one of its duties is due; five times a second when idle."""

    def __init__(self, state: ChildState, supervisor: int) -> None:
        super().__init__(name="housekeeper", daemon=True)
        self._state = state
        self._quit = threading.Event()
        # The supervisor's process id is passed on, not asked for: it may have died while this process started.
        self._supervisor = supervisor
        self._is_orphan = False
        self._to_requeue: list[AttemptKey] = []
        self._due: dict[str, float] = {}
        self._quick_types: dict[str, int] = {}
        self._wants_less = False
        self._quiet_since: dt.datetime | None = None
        self._unknown: set[AttemptKey] = set()

    def announce(self) -> None:
        """Say which process this is and what it works on; first of all before it claims anything.

        By that row others see that it is gone, and end at once what it held.
        """
        state, before, self._quick_types = self._state, self._quick_types, self._wanted()
        if not state.board.is_quiet:
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = database.now()
        window.announce_worker(
            state.name,
            state.consumer.queues,
            slots=state.options.threads,
            quick_types=self._quick_types,
            supervisor=state.options.supervisor,
            supervisor_pid=self._supervisor,
            memory=round(processes.memory_megabytes()),
            quiet_since=self._quiet_since,
        )
        if _has_much_less(self._quick_types, before):
            state.wants_less()

    def stop(self) -> None:
        """End the thread, store what is left, and take the worker off the list."""
        self._quit.set()
        self.join(timeout=10)
        self._guarded("settle", self._state.settler.finish)
        self._guarded("held", lambda: self._push_held_again(all_of_them=True))
        self._guarded("withdraw", lambda: window.withdraw_worker(self._state.name))
        drain_broadcasts()

    def run(self) -> None:
        """Do what is due, until the end."""
        while not self._quit.wait(
            timing.HOUSEKEEPER_IDLE_TICK_SECONDS if self._is_idle() else timing.HOUSEKEEPER_TICK_SECONDS
        ):
            self._guarded("requeue", self._requeue_waiting)
            if self._state.settler.has_unsettled() and self._take_turn("unsettled", timing.UNSETTLED_LOOK_SECONDS):
                self._guarded("settle", self._state.settler.settle_again)
            if self._take_turn("unknown", float(jobs_settings.LEASE_SECONDS) / 3):
                self._guarded("strangers", self._requeue_unknown)
            if self._take_turn("progress", float(jobs_settings.PROGRESS_INTERVAL)):
                self._guarded("progress", self._flush_progress)
            self._guarded("batches", batches.count_waiting)
            self._guarded("held", self._push_held_again)
            is_due = self._take_turn("heartbeat", timing.HEARTBEAT_SECONDS)
            if is_due or self._look_at_window() or self._look_at_quiet():
                self._guarded("heartbeat", self._beat)
            elif self._state.shown.has_ended() or self._look_for_unseen():
                self._guarded("show", self._show)
            if os.getppid() != self._supervisor and self._take_turn("orphan", float(jobs_settings.LEASE_SECONDS) / 6):
                self._guarded("orphan", self._live_as_orphan)
        connections.close_all()

    def _is_idle(self) -> bool:
        return self._state.in_hand.is_empty() and not (self._to_requeue or self._state.settler.has_unsettled())

    def _guarded(self, what: str, duty: Callable[[], object]) -> None:
        try:
            duty()
        except (Error, BrokerUnavailable) as error:
            logger.debug("event=housekeeper_%s_failed error=%r", what, error)
            database.mend_connections()
        except Exception:
            logger.exception("event=housekeeper_%s_failed worker=%s", what, self._state.name)

    def _take_turn(self, what: str, seconds: float) -> bool:
        """Return whether a duty is due; from now on it is due again after so many seconds."""
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + seconds
        return True

    def _requeue_waiting(self) -> None:
        """Requeue what waits behind jobs that run longer than expected, and store the ends before them."""
        in_hand, threads = self._state.in_hand, self._state.options.threads
        is_overdue = in_hand.is_overdue(
            timing.REQUEUE_LOOK_SECONDS, timing.WAITED_BEHIND_SECONDS if threads > 1 else math.inf
        )
        is_overdue |= self._state.prefetch.wait_too_long([item.job_type for item in in_hand.waiting()], threads)
        if is_overdue or self._state.board.is_quiet:
            waiting = in_hand.take_waiting(have_waited_too_long=is_overdue)
            self._to_requeue += [item.key for item in waiting]
        if self._to_requeue:  # also what an earlier try may have requeued: it must not run here any more
            text = WORKER_QUIET if self._state.board.is_quiet else WAITED_BEHIND
            self._to_requeue = leases.requeue_attempts(self._to_requeue, text, self._state.name)
        if is_overdue:
            self._state.settle()

    def _requeue_unknown(self) -> None:
        """Requeue jobs that run in this worker's name, and whose leases are renewed, but that it does not know.

        There should be none. They must be found twice, since a job may just be on its way from one part to another.
        """
        self._state.doubts.give_up_old()
        unknown = leases.held_by(self._state.name) - self._state.known_attempts() - set(self._to_requeue)
        forgotten, self._unknown = sorted(unknown & self._unknown), unknown
        if forgotten:
            logger.error("event=forgotten_jobs worker=%s jobs=%s", self._state.name, forgotten)
            self._to_requeue += forgotten

    def _flush_progress(self) -> None:
        for key in self._state.progress.flush():
            interrupter = self._state.running.interrupters().get(key)
            if interrupter is not None:
                interrupter.request(AttemptLost)

    def _wanted(self) -> dict[str, int]:
        return self._state.prefetch.quick_types(self._state.options.threads)

    def _look_at_window(self) -> bool:
        """Look whether this worker wants much more or much fewer tickets of a type at the broker than it announced.

        A wish for more is told at once: a worker that starts asks for one ticket a slot. It does so until it knows how
        long its jobs take. A wish for fewer is told at the second look: a busy machine lets any run take long now and
        then.
        """
        told, wanted = self._quick_types, self._wanted()
        wants_less, self._wants_less = self._wants_less, _has_much_less(wanted, told)
        is_changed = _has_much_less(told, wanted) or (wants_less and self._wants_less)
        return is_changed and self._take_turn("window", timing.WANTED_WINDOW_SECONDS)

    def _push_held_again(self, *, all_of_them: bool = False) -> None:
        """Push tickets again whose rows others held a while ago; if that fails, the scheduler misses them."""
        if due := self._state.held.take_due(takes_all=all_of_them):
            get_broker().push(due)

    def _look_at_quiet(self) -> bool:
        """Look whether this worker became quiet, or took up work again, and has not told so yet."""
        is_told = (self._quiet_since is not None) == self._state.board.is_quiet
        return not is_told and self._take_turn("quiet", timing.WANTED_WINDOW_SECONDS)

    def _beat(self) -> None:
        self.announce()
        self._show()

    def _look_for_unseen(self) -> bool:
        return self._take_turn("unseen", timing.SHOWN_JOB_SECONDS) and self._state.shown.is_any_missing()

    def _show(self) -> None:
        self._state.consumer.beat(self._state.shown.update())

    def _live_as_orphan(self) -> None:
        """See the running jobs to their ends without a supervisor, claim nothing more, and leave."""
        if not self._is_orphan:
            logger.warning("event=supervisor_gone worker=%s", self._state.name)
            self._is_orphan = True
            self._state.stop()
        running = self._state.running.with_claims()
        leases.note_begun([claimed.key for claimed, _ in running], [self._state.name])
        began = uptime_seconds()
        in_flight.forget_in_flight()  # a walk from a mark on may overlook what runs
        held = {(item.pk, item.attempt): item for item in leases.renew_leases([self._state.name])}
        self._state.shared_slots.note_renewal(began)
        for claimed, interrupter in running:
            item = held.get(claimed.key)
            if item is None:
                interrupter.request(AttemptLost)
            elif item.cancel_seconds is not None:
                interrupter.request(JobCanceled)


def _has_much_less(these: Mapping[str, int], others: Mapping[str, int]) -> bool:
    """Return whether of any type these numbers of tickets have less than half of what the others have."""
    return any(count > 2 * these.get(name, 1) for name, count in others.items())
