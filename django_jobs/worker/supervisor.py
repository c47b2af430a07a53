"""The supervisor of a worker: it starts children, watches over them, and ends in order."""

from __future__ import annotations

import dataclasses
import logging
import signal
import socket
import threading
import time
import uuid
from types import FrameType
from typing import Final

from django.db import Error, connections

from django_jobs.conf import jobs_settings
from django_jobs.engine import claimed_job, timing
from django_jobs.engine.control import batches
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.execution.leases import Loss
from django_jobs.engine.insight import events, rollups
from django_jobs.engine.scheduler import Scheduler
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.health.notes import HealthNotes
from django_jobs.texts import say
from django_jobs.worker.children import ChildProcess
from django_jobs.worker.lease_renewer import LeaseRenewer, OrderReader
from django_jobs.worker.processes import REASONS, RECYCLED, ForkServer, WorkerOptions, code_of
from django_jobs.worker.shared import OccupiedSlot, StopRequest

# What a supervisor does about a handler that does not stop, and about a child that does not get on.


logger = logging.getLogger("django_jobs")

IGNORED_CANCEL: Final = say("The handler did not stop when it was canceled", code="ignored_cancel")
IGNORED_TIMEOUT: Final = say("The handler did not stop at its timeout", code="ignored_timeout")
SHUT_DOWN: Final = say("The worker was shut down", code="worker_stopped")


def stop_what_must(child: ChildProcess, item: OccupiedSlot, leases: LeaseRenewer) -> None:
    """Pass a cancel on, and kill the process of a handler that does not stop."""
    grace = float(jobs_settings.CANCEL_GRACE_SECONDS)
    requested = leases.canceled.get(item.key)
    if requested is not None:
        child.request_stop(item, StopRequest.CANCEL)
        if time.monotonic() - max(requested, item.started) > grace:
            child.kill_for(item, IGNORED_CANCEL, "interrupted")
    elif leases.is_lost(child.name, item):
        child.request_stop(item, StopRequest.LOST)
    if item.ignores_timeout:
        child.kill_for(item, IGNORED_TIMEOUT, "timed_out")


def watch_board(child: ChildProcess, leases: LeaseRenewer) -> None:
    """Kill a child whose loop stands still, or that lets nobody write to the database.

    Hand back what waits behind a handler that holds the interpreter.
    """
    child.watch.look()
    step = child.watch.stalled(timing.CHILD_STALL_SECONDS)
    if step is not None and child.killed is None and not child.is_frozen():
        logger.error("event=child_stalled worker=%s pid=%s step=%s", child.name, child.pid, step.name.lower())
        reason = say("Its loop stood still while %(step)s", code="loop_stalled", step=step.name.lower())
        child.kill(reason, "interrupted")
    elif child.killed is None and child.watch.keeps_others_from_writing() and not child.is_frozen():
        logger.error("event=child_held_the_database worker=%s pid=%s", child.name, child.pid)
        text = "A handler let nothing else run while another thread wrote to the database"
        child.kill(say(text, code="kept_others_from_writing"), "interrupted")
    if attempts := child.watch.take_revoked():
        leases.hand_back(child.name, attempts)


# The supervisor: it starts children, notices at once when one dies, kills what does not stop, and ends in order.


MAX_BURST_ROUNDS = 10


class Supervisor:
    """Runs until it is told to stop, or in a burst until its children are done."""

    def __init__(
        self,
        options: WorkerOptions,
        notes: HealthNotes | None = None,
        fork_server: ForkServer | None = None,
    ) -> None:
        """Without a fork server each child is a fresh interpreter."""
        #: By this name it is given orders. A supervisor that is started again has another one.
        self.name = uuid.uuid4().hex
        self.options = dataclasses.replace(options, supervisor=self.name)
        self.orders = OrderReader(self.name)
        #: What is told of it at the health port.
        self.notes = notes or HealthNotes()
        self.host = socket.gethostname()[:40]
        self.children: list[ChildProcess] = []
        self.leases = LeaseRenewer(self._living, self.orders)
        self._stop_since: float | None = None
        self._stop_scheduler = threading.Event()
        self._not_before = 0.0
        self._burst_rounds = 0
        self._fork_server = fork_server
        self._last_death = ""
        self._stop_signals = 0
        #: Why it ended without having done its work; empty for an orderly end.
        self.failure = ""

    def run(self) -> None:
        """Work until the end; :attr:`failure` then says whether it was an orderly one."""
        claimed_job.install()
        connections.close_all()
        signal.signal(signal.SIGTERM, self._on_stop_signal)
        signal.signal(signal.SIGINT, self._on_stop_signal)
        text = "event=supervisor_started pool=%s processes=%s threads=%s"
        logger.info(text, self.options.pool, self.options.processes, self.options.threads)
        self._fill()
        events.work_in_background()
        events.tell_process_started("supervisor")
        threads = self._start_threads()
        while self._goes_on():
            time.sleep(timing.SUPERVISOR_TICK_SECONDS)
        self._stop_scheduler.set()
        self.leases.stop()
        for thread in threads:
            thread.join(timeout=5)
        events.stop()
        if self._fork_server is not None:
            self._fork_server.close()
        logger.info("event=supervisor_left")

    def _goes_on(self) -> bool:
        """Look after the children once; whether there is more to do. No mistake ends it: running jobs depend on it."""
        self.notes.beat()
        try:
            self._tick()
            return bool(self.children) or not self._is_over()
        except Exception:
            logger.exception("event=tick_failed")
            time.sleep(1.0)
            return True

    def _is_over(self) -> bool:
        """Return whether to leave, now that there is no child."""
        if self._stop_since is not None:
            return True
        if not self.options.burst:
            return False
        if self.orders.is_quiet:
            return True
        if time.monotonic() < self._not_before:
            return False
        # Tickets may have come after the last child looked for some. So there is another round, but not for ever.
        self._burst_rounds += 1
        if not self._is_anything_left():
            return True
        if self._burst_rounds > MAX_BURST_ROUNDS:
            reason = self._last_death
            self.failure = reason and say("Jobs are left: %(reason)s", code="jobs_left", reason=reason)
            return True
        self._fill()
        return False

    def _is_anything_left(self) -> bool:
        try:
            batches.batch_duties_in_tick()  # the last jobs of a batch may have ended, which submits another one
            return dispatcher.anything_queued(self.options.queues)
        except BrokerUnavailable:
            return True  # another child finds out whether that lasts
        except Error as error:
            self.failure = REASONS[code_of(error)]
            return False

    def _start_threads(self) -> list[threading.Thread]:
        self.leases.start()
        if not self.options.scheduler:
            return []
        scheduler = Scheduler(f"{self.host}-{threading.get_native_id()}")
        self.notes.leads = lambda: scheduler.leads
        self.notes.follow(lambda: scheduler.got_on)
        thread = threading.Thread(target=scheduler.run, args=[self._stop_scheduler], name="scheduler", daemon=True)
        thread.start()
        return [thread]

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_signals += 1

    def _living(self) -> list[str]:
        """The names of the children whose leases are renewed: those that live and are not frozen."""
        return [child.name for child in list(self.children) if not child.has_ended() and not child.is_frozen()]

    def _fill(self) -> None:
        """Start the children that are missing."""
        if self._stop_since is not None or time.monotonic() < self._not_before:
            return
        while len(self.children) < self.options.processes:
            try:
                child = ChildProcess(self.host, self.options, self._fork_server)
            except OSError as error:  # for the moment there is no memory, process or descriptor left
                logger.error("event=child_not_started error=%r", error)  # noqa: TRY400
                self._not_before = time.monotonic() + 1.0
                return
            child.slots.board.note_quiet(is_quiet=self.orders.is_quiet)  # before it can take its first job
            self.children.append(child)
            logger.info("event=child_started worker=%s pid=%s", child.name, child.pid)

    def _tick(self) -> None:
        if (self._stop_signals or self.orders.is_stop) and self._stop_since is None:
            self._begin_stop()
        self._reap()
        running = [(child, item) for child in self.children for item in child.running()]
        self.leases.running = [(child.name, item) for child, item in running]
        self.leases.begun = frozenset(item.key for _, item in running if item.seconds >= timing.NOTED_BEGUN_SECONDS)
        for child, item in running:
            stop_what_must(child, item, self.leases)
        for child in self.children:
            child.slots.note_renewal(self.leases.renewed.get(child.name, 0.0))
            child.slots.board.note_quiet(is_quiet=self.orders.is_quiet)
            watch_board(child, self.leases)
            child.go_on_killing()
        self._finish_stop()
        if not self.options.burst:
            self._fill()
        self.notes.children = (self.options.processes, len(self._living()))

    def _begin_stop(self) -> None:
        """Tell the children to take no more jobs; they give the running ones their grace."""
        self._stop_since = time.monotonic()
        self.notes.is_leaving = True
        logger.info("event=stopping children=%s", len(self.children))
        for child in self.children:
            child.send(signal.SIGTERM)

    def _finish_stop(self) -> None:
        if self._stop_since is None:
            return
        grace = float(jobs_settings.SHUTDOWN_GRACE_SECONDS) + timing.STOP_MARGIN_SECONDS
        if self._stop_signals > 1 or time.monotonic() - self._stop_since > grace:
            for child in self.children:
                child.kill(SHUT_DOWN, "interrupted")

    def _reap(self) -> None:
        for child in [child for child in self.children if child.has_ended()]:
            self.children.remove(child)
            loss = child.loss()
            clean = child.process.returncode in {0, RECYCLED} and not loss.in_hand
            if child.process.returncode == RECYCLED:
                self._burst_rounds = 0  # it ran something, so that the rounds will end
            logger.log(
                logging.INFO if clean else logging.ERROR,
                "event=child_ended worker=%s pid=%s running=%s reason=%s",
                child.name,
                child.pid,
                len(loss.started),
                loss.reason,
            )
            if not clean:
                self._note_death(child.process.returncode, loss)
            if not clean and time.monotonic() - child.started < timing.HEALTHY_CHILD_SECONDS:
                self._not_before = time.monotonic() + 1.0
            self.leases.report(loss)
            rollups.count_exit(is_clean=clean)
            child.close()

    def _note_death(self, code: int | None, loss: Loss) -> None:
        self._last_death = loss.reason
        if code in REASONS and not loss.started and not self.failure:
            self.failure = REASONS[code]
            if self._stop_since is None:
                self._begin_stop()
