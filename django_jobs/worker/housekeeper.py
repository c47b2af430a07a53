"""The child's second thread: everything that must not wait for a handler to end.

It writes progress, hands back what waits behind a slow job, settles what ended before it, keeps the heartbeat,
passes cancellation on to the handler, and sees to it that a child without a supervisor finishes and leaves.
"""

from __future__ import annotations

import faulthandler
import logging
import math
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from django.db import Error, connections

from django_jobs.broker.connection import queue_name
from django_jobs.broker.rq_worker import Published
from django_jobs.conf import jobs_settings
from django_jobs.engine import ports
from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.dispatch import worker_registry
from django_jobs.engine.execution import leases
from django_jobs.engine.execution.progress import ProgressBoard
from django_jobs.engine.store import database
from django_jobs.exceptions import AttemptLost, BrokerUnavailable, JobCanceled, WorkerStopping
from django_jobs.models.job import parse_job_id
from django_jobs.worker.settler import Settler
from django_jobs.worker.shared_slots import NO_WISH, WISH_LOST

if TYPE_CHECKING:
    from django_jobs.worker.child import Child

logger = logging.getLogger("django_jobs")

TICK_SECONDS = 0.05
HAND_BACK_SECONDS = 0.1
HEARTBEAT_SECONDS = 5.0
SHOWN_AFTER_SECONDS = 0.5
UNSETTLED_SECONDS = 0.1
#: For which an orphan waits before it ends with a handler that ignores its timeout, as a supervisor would.
TIMEOUT_GRACE_SECONDS = 5.0


class Steward:
    """Ticks every 50 ms beside the main thread."""

    def __init__(self, child: Child, supervisor: int) -> None:
        self._child = child
        self.progress = ProgressBoard()
        self._thread = threading.Thread(target=self._run, name="steward", daemon=True)
        self._quit = threading.Event()
        # Passed on, not asked for: it may have died while this process started.
        self._supervisor = supervisor
        self._orphaned = False
        self._stop_seen: float | None = None
        self._handed_back: list[tuple[int, int]] = []
        self._due: dict[str, float] = {}
        self._window = 0
        self._published: dict[tuple[int, int], Published] = {}
        self._ended_tickets: list[str] = []
        # Nobody waits for the end of a burst for longer than it has a right to its jobs.
        self._settler = Settler(child.name, float(jobs_settings.LEASE_SECONDS) if child.options.burst else math.inf)
        #: For the main thread and the slots.
        self.settle = self._settler.settle
        self._strangers: set[tuple[int, int]] = set()
        self._canceled_since: dict[tuple[int, int], float] = {}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._quit.set()
        self._thread.join(timeout=10)
        self._guarded("settle", self._settler.finish)
        self._guarded("withdraw", lambda: worker_registry.withdraw(self._child.name))
        ports.drain_broadcasts()

    # -- called by other threads -----------------------------------------------------------------------------------

    def forget(self, claimed: Claimed) -> tuple[int, str | None] | None:
        """An attempt has ended: RQ's pages must not show it any more. What of its progress was not written."""
        key = (claimed.pk, claimed.attempt)
        published = self._published.pop(key, None)
        if published is not None:
            self._ended_tickets.append(published.ticket_id)
        return self.progress.drop(key)

    def not_shown(self, ticket_ids: list[str]) -> list[str]:
        """Those that RQ's pages do not show; the hashes of the others go together with what points to them."""
        shown = {item.ticket_id for item in list(self._published.values())} | set(self._ended_tickets)
        return [ticket_id for ticket_id in ticket_ids if ticket_id not in shown] if shown else ticket_ids

    def cancel_hint(self, job_ids: list[str]) -> None:
        """Somebody wants these jobs to stop."""
        wanted = {parsed[0] for job_id in job_ids if (parsed := parse_job_id(job_id))}
        for (pk, _), interrupter in self._child.slots.running.interrupters().items():
            if pk in wanted:
                interrupter.request(JobCanceled)

    # -- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._quit.wait(TICK_SECONDS):
            self._guarded("hand_back", self._hand_back)
            if self._settler.has_unsettled() and self._is_due("unsettled", UNSETTLED_SECONDS):
                self._guarded("settle", self._settler.settle_again)
            if self._is_due("strangers", float(jobs_settings.LEASE_SECONDS) / 3):
                self._guarded("strangers", self._return_strangers)
            self._guarded("wishes", self._pass_wishes_on)
            if self._is_due("progress", float(jobs_settings.PROGRESS_INTERVAL)):
                self._guarded("progress", self._flush_progress)
            if self._is_due("heartbeat", HEARTBEAT_SECONDS) or self._window_changed():
                self._guarded("heartbeat", self._beat)
            elif self._ended_tickets or self._is_any_unseen():
                self._guarded("show", self._show)
            if os.getppid() != self._supervisor and self._is_due("orphan", float(jobs_settings.LEASE_SECONDS) / 6):
                self._guarded("orphan", self._live_as_orphan)
        connections.close_all()

    def _guarded(self, what: str, duty) -> None:  # type: ignore[no-untyped-def]
        try:
            duty()
        except (Error, BrokerUnavailable) as error:
            logger.debug("event=steward_%s_failed error=%r", what, error)
            database.mend_connections()
        except Exception:
            logger.exception("event=steward_%s_failed worker=%s", what, self._child.name)

    def _is_due(self, what: str, seconds: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + seconds
        return True

    def _hand_back(self) -> None:
        """A job runs longer than hoped: others must not wait behind it, nor must ends that could be stored."""
        batch = self._child.batch
        is_overdue = batch.overdue(HAND_BACK_SECONDS)
        if is_overdue:
            self._handed_back += [(item.pk, item.attempt) for item in batch.take_waiting()]
        if self._handed_back:  # also what an earlier try may have handed back already: it must not run here any more
            text = "Handed back: it waited behind a slower job"
            self._handed_back = leases.hand_back(self._handed_back, text, self._child.name)
        if is_overdue:
            self.settle(batch.take_ended())

    def _return_strangers(self) -> None:
        """Hand back what runs in our name, and whose lease is renewed for us, but of which nobody here knows.

        There should be no such job. Seen twice, since one may just be on its way from one hand to the other.
        """
        held = leases.held_by(self._child.name)
        strangers = held - self._child.known() - self._settler.keys() - set(self._handed_back)
        forgotten, self._strangers = sorted(strangers & self._strangers), strangers
        if forgotten:
            logger.error("event=forgotten_jobs worker=%s jobs=%s", self._child.name, forgotten)
            self._handed_back += forgotten

    def _pass_wishes_on(self) -> None:
        running = self._child.slots.running.interrupters()
        for item in self._child.slots.board.running():
            if item.wish != NO_WISH and item.key in running:
                running[item.key].request(AttemptLost if item.wish == WISH_LOST else JobCanceled)
        if self._child.stopping.is_set() and not self._orphaned:
            self._stop_seen = self._stop_seen or time.monotonic()
            if time.monotonic() - self._stop_seen > float(jobs_settings.SHUTDOWN_GRACE_SECONDS):
                for interrupter in running.values():
                    interrupter.request(WorkerStopping)
        for interrupter in running.values():
            interrupter.prod()

    def _flush_progress(self) -> None:
        for key in self.progress.flush():
            interrupter = self._child.slots.running.interrupters().get(key)
            if interrupter is not None:
                interrupter.request(AttemptLost)

    def _window_changed(self) -> bool:
        """Whether the broker should hold much more or less for us than we said; looked at four times a second."""
        if not self._is_due("window", 0.25):
            return False
        window = self._child.pace.window(self._child.options.threads)
        return not self._window / 2 <= window <= self._window * 2

    def _beat(self) -> None:
        self._window = self._child.pace.window(self._child.options.threads)
        worker_registry.announce(
            self._child.name, self._child.rq.names, slots=self._child.options.threads, window=self._window
        )
        self._show()

    def _is_any_unseen(self) -> bool:
        """Whether something has run for long enough to be seen, and is not; asked twice a second."""
        if not self._is_due("unseen", SHOWN_AFTER_SECONDS):
            return False
        running = self._child.slots.board.running()
        return any(item.seconds > SHOWN_AFTER_SECONDS and item.key not in self._published for item in running)

    def _show(self) -> None:
        for _ in range(len(self._ended_tickets)):  # `_shown` has none of them; more may come meanwhile
            self._ended_tickets.pop()
        self._child.rq.beat(self._shown())

    def _shown(self) -> list[Published]:
        """What runs long enough for a person to see it."""
        running = {item.key: item for item in self._child.slots.board.running()}
        for key, item in running.items():
            if item.seconds > SHOWN_AFTER_SECONDS and key not in self._published:
                claimed = self._child.slots.running.claimed(key)
                if claimed is not None:
                    ticket = claimed.ticket
                    self._published[key] = Published(
                        ticket.id, queue_name(ticket.priority), started=time.time() - item.seconds
                    )
        for key in [key for key in list(self._published) if key not in running]:
            # It ended while it was being published, so that `forget` did not find it.
            ended = self._published.pop(key, None)
            if ended is not None:
                self._ended_tickets.append(ended.ticket_id)
        return list(self._published.values())

    def _live_as_orphan(self) -> None:
        """The supervisor is gone: see our own jobs to their ends, claim nothing, leave."""
        if not self._orphaned:
            logger.warning("event=supervisor_gone worker=%s", self._child.name)
            self._orphaned = True
            self._child.stop()
        self._end_with_what_never_stops()
        running = self._child.slots.running.interrupters()
        for item in leases.renew([self._child.name]):
            key = (item.pk, item.attempt)
            if item.cancel_seconds is not None and key in running:
                self._canceled_since.setdefault(key, time.monotonic())
                running[key].request(JobCanceled)

    def _end_with_what_never_stops(self) -> None:
        """Nobody else is left to kill this process for a handler that ignores its timeout, or a cancel."""
        now, grace = time.monotonic(), float(jobs_settings.CANCEL_GRACE_SECONDS)
        for item in self._child.slots.board.running():
            is_late = item.seconds > item.timeout + TIMEOUT_GRACE_SECONDS
            if is_late or now - self._canceled_since.get(item.key, now) > grace:
                logger.error("event=orphan_killed worker=%s job=%s", self._child.name, item.pk)
                faulthandler.dump_traceback(sys.__stderr__ or 2, all_threads=True)  # nobody is left to store them
                os.kill(os.getpid(), signal.SIGKILL)
