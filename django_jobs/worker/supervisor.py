"""The supervisor of a worker: it renews leases, starts children, watches over them, and ends in order."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import signal
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Final

from django.db import Error, connections

from django_jobs.conf import jobs_settings
from django_jobs.engine import claimed_job, timing
from django_jobs.engine.claimed_job import uptime_seconds
from django_jobs.engine.control import batches, switches
from django_jobs.engine.dispatch import dispatcher, in_flight, tickets, window
from django_jobs.engine.execution import leases
from django_jobs.engine.execution.leases import Loss, Neighbors
from django_jobs.engine.insight import events, rollups
from django_jobs.engine.scheduler import Scheduler
from django_jobs.engine.store import database
from django_jobs.engine.store.values import AttemptKey
from django_jobs.exceptions import BrokerUnavailable, ForeignBroker
from django_jobs.health.notes import HealthNotes
from django_jobs.models import WorkerOrder
from django_jobs.texts import say
from django_jobs.worker.children import ChildProcess
from django_jobs.worker.processes import REASONS, RECYCLED, ForkServer, WorkerOptions, code_of
from django_jobs.worker.shared import OccupiedSlot, StopRequest

logger = logging.getLogger("django_jobs")

# The supervisor's lease renewer, and its ear for orders from the page of workers: quiet, resume, stop.


class OrderReader:
    """Looks what this supervisor was ordered last. Another thread reads what to do, which is never undone by silence.

    While the database is away, the last order that was read holds.
    """

    def __init__(self, supervisor: str) -> None:
        self._supervisor = supervisor
        self._last: WorkerOrder | None = None
        self._next_look = 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether to take no new jobs."""
        last = self._last
        return last is not None and last.order != WorkerOrder.Order.RESUME

    @property
    def is_stop(self) -> bool:
        """Whether to stop."""
        last = self._last
        return last is not None and last.order == WorkerOrder.Order.STOP

    def look(self) -> None:
        """Look for an order, if the last look was some seconds ago, and note that it was read."""
        if not self._supervisor or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + timing.ORDER_LOOK_SECONDS
        found = switches.read_orders(self._supervisor)
        if found is None:
            return
        if self._last is None or found.ordered_at != self._last.ordered_at:
            logger.info("event=worker_ordered order=%s by=%s", found.order, found.ordered_by)
            self._last = found
        if found.obeyed_at is None:  # also where an earlier note could not be written
            switches.note_order_obeyed(found)

    def leave(self) -> None:
        """Note that the supervisor leaves, if that was ordered."""
        if self._last is not None and self.is_stop:
            switches.note_worker_left(self._last)


# The supervisor's thread for the database: it renews leases and ends what dead children leave behind.
#
# It is a thread of its own, so that the supervisor can kill a child without waiting for a network.


RENEWALS_TO_BE_LOST = 2


@dataclass(frozen=True, slots=True)
class Renewal:
    """One renewal: for which workers, and the (worker, job, attempt) that it found.

    ``began`` is on time.monotonic's clock.
    """

    began: float
    workers: frozenset[str]
    held: frozenset[tuple[str, int, int]]

    def missed(self, worker_name: str, item: OccupiedSlot) -> bool:
        """Return whether this renewal should have found the attempt, and did not."""
        key = (worker_name, *item.key)
        return self.began > item.started and worker_name in self.workers and key not in self.held


class LeaseRenewer(threading.Thread):
    """Renews the leases of living children every sixth of LEASE_SECONDS, and ends what dead ones leave behind."""

    def __init__(self, living: Callable[[], Collection[str]], orders: OrderReader | None = None) -> None:
        """Make one for the ``living`` children, which also looks for ``orders``."""
        super().__init__(name="lease renewer", daemon=True)
        self._living = living
        self._orders = orders or OrderReader("")
        #: The handlers that run, each with its child's name.
        self.running: Sequence[tuple[str, OccupiedSlot]] = ()
        #: The attempts of the handlers that have run for a moment, and those of which that is noted.
        self.begun: frozenset[AttemptKey] = frozenset()
        self._noted: frozenset[AttemptKey] = frozenset()
        self._neighbors = Neighbors()
        self._losses: deque[Loss] = deque()
        #: What waits behind handlers that hold their interpreters: worker, and the attempts.
        self._to_requeue: deque[tuple[str, list[AttemptKey]]] = deque()
        self._quit = threading.Event()
        self._wake = threading.Event()
        self._next_renewal = 0.0
        #: Attempt → time.monotonic() at which its cancel was requested
        self.canceled: dict[AttemptKey, float] = {}
        self.renewals: list[Renewal] = []
        #: Worker → a moment before its last renewal that succeeded, on the clock of ``engine.claimed_job``.
        self.renewed: dict[str, float] = {}

    def report(self, loss: Loss) -> None:
        """Hand over what a dead child leaves behind."""
        self._losses.append(loss)
        self._wake.set()

    def requeue(self, worker_name: str, attempts: list[AttemptKey]) -> None:
        """Have these attempts of a living child requeued, which will not begin there any more."""
        self._to_requeue.append((worker_name, attempts))
        self._wake.set()

    def stop(self) -> None:
        """End the thread once it has dealt with the reported losses; wait for RELEASE_LEAVE_SECONDS twice at most."""
        deadline = time.monotonic() + timing.RELEASE_LEAVE_SECONDS
        while self._losses and time.monotonic() < deadline:
            time.sleep(0.05)
        self._quit.set()
        self._wake.set()
        self.join(timeout=timing.RELEASE_LEAVE_SECONDS)

    def is_lost(self, worker_name: str, item: OccupiedSlot) -> bool:
        """Return whether two renewals in a row missed this attempt: its job belongs to another worker now."""
        return len(self.renewals) == RENEWALS_TO_BE_LOST and all(it.missed(worker_name, item) for it in self.renewals)

    def run(self) -> None:
        """Work until the end."""
        while not self._quit.is_set():
            try:
                self._round()
            except Exception:  # all running jobs depend on this thread, so that no mistake may end it
                logger.exception("event=lease_renewer_failed")
                self._quit.wait(1.0)
        self._guarded("orders", self._orders.leave)
        connections.close_all()

    def _round(self) -> None:
        self._work()
        pause = min(timing.NOTED_BEGUN_SECONDS / 2, max(0.05, self._next_renewal - time.monotonic()))
        self._wake.wait(min(pause, timing.RELEASE_RETRY_SECONDS) if self._losses or self._to_requeue else pause)
        self._wake.clear()

    def _work(self) -> None:
        if time.monotonic() >= self._next_renewal:
            self._next_renewal = time.monotonic() + self._renew()
        for _ in range(len(self._losses)):
            self._deal_with(self._losses[0])
        for _ in range(len(self._to_requeue)):
            self._requeue(*self._to_requeue.popleft())
        self._guarded("note", self._note_begun)
        self._guarded("neighbors", self._neighbors.end_what_is_gone)
        self._guarded("orders", self._orders.look)

    def _requeue(self, worker_name: str, attempts: list[AttemptKey]) -> None:
        """Requeue attempts; those whose rows are in use later, as all of them where the database is away."""
        left = attempts
        try:
            left = leases.requeue_attempts(attempts, leases.HELD_UP, worker_name)
        except Error as error:
            logger.warning("event=release_delayed worker=%s error=%r", worker_name, error)
            database.drop_connections()
        if left and worker_name in self._living():
            self._to_requeue.append((worker_name, left))

    def _deal_with(self, loss: Loss) -> None:
        """Deal with the first loss; again in a later round where the database is away or a row is in use."""
        is_done = True
        try:
            self.renewed.pop(loss.worker_name, None)
            is_done = leases.end_lost_worker(loss)
            window.withdraw_worker(loss.worker_name)
        except Error as error:
            is_done = False
            logger.warning("event=release_delayed worker=%s error=%r", loss.worker_name, error)
            database.drop_connections()
        except Exception:  # its leases will run out
            logger.exception("event=release_failed worker=%s", loss.worker_name)
        self._losses.popleft()
        if not is_done:
            self._losses.append(loss)
        elif loss.started | loss.in_hand:
            # In a thread of its own: to dispatch may take a second, and asks the host's policy.
            threading.Thread(target=_fill_places, name="places", daemon=True).start()

    def _note_begun(self) -> None:
        """Note which handlers have begun, for whoever finds their jobs when this machine is gone."""
        begun = self.begun
        self._noted &= begun
        self._noted |= leases.note_begun(begun - self._noted, {name for name, _ in self.running})

    def _guarded(self, what: str, duty: Callable[[], object]) -> None:
        """Do a duty that nobody waits for; again in the next round where the database is away."""
        try:
            duty()
        except Error as error:
            logger.debug("event=lease_renewer_%s_failed error=%r", what, error)
            database.drop_connections()

    def _renew(self) -> float:
        """Renew the leases and return in how many seconds to do it again."""
        # It tells of cancels, too: no handler has more than its grace only because nobody heard of one.
        grace = max(timing.RELEASE_RETRY_SECONDS, float(jobs_settings.CANCEL_GRACE_SECONDS))
        pause = min(float(jobs_settings.LEASE_SECONDS) / 6, grace)
        began, moment, workers = time.monotonic(), uptime_seconds(), self._living()
        if any(last.missed(name, item) for last in self.renewals[-1:] for name, item in self.running):
            # A walk from a mark on may overlook what runs, and nothing is lost because of that.
            in_flight.forget_in_flight()
        try:
            held = leases.renew_leases(workers)
        except Error as error:
            logger.warning("event=renewal_failed error=%r", error)
            database.drop_connections()
            return pause
        now = time.monotonic()
        self.renewed = {**self.renewed, **dict.fromkeys(workers, moment)}
        found = frozenset((item.worker_name, item.pk, item.attempt) for item in held)
        self.renewals = [*self.renewals[1 - RENEWALS_TO_BE_LOST :], Renewal(began, frozenset(workers), found)]
        self.canceled = {
            (item.pk, item.attempt): now - item.cancel_seconds for item in held if item.cancel_seconds is not None
        }
        # Where a row was in use, its lease is renewed soon.
        return pause if all(item.is_renewed for item in held) else min(pause, timing.RELEASE_RETRY_SECONDS)


def _fill_places() -> None:
    """Dispatch in place of what a dead child ran; where this fails, the scheduler does so."""
    try:
        with contextlib.suppress(BrokerUnavailable, ForeignBroker):
            tickets.check_broker()
            dispatcher.dispatch_freed(has_ended=True)
    except Error as error:
        logger.debug("event=lease_renewer_dispatch_failed error=%r", error)
    except Exception:  # the host's policy
        logger.exception("event=lease_renewer_dispatch_failed")
    finally:
        connections.close_all()


# What the supervisor does about a child's handlers, and about its loop.


IGNORED_CANCEL: Final = say("The handler did not stop when it was canceled", code="ignored_cancel")
IGNORED_TIMEOUT: Final = say("The handler did not stop at its timeout", code="ignored_timeout")
SHUT_DOWN: Final = say("The worker was shut down", code="worker_stopped")


def stop_what_must(child: ChildProcess, item: OccupiedSlot, renewer: LeaseRenewer) -> None:
    """Pass a cancel on, and kill the process of a handler that does not stop."""
    grace = float(jobs_settings.CANCEL_GRACE_SECONDS)
    requested = renewer.canceled.get(item.key)
    if requested is not None:
        child.request_stop(item, StopRequest.CANCEL)
        if time.monotonic() - max(requested, item.started) > grace:
            child.kill_for(item, IGNORED_CANCEL, "interrupted")
    elif renewer.is_lost(child.name, item):
        child.request_stop(item, StopRequest.LOST)
    if item.ignores_timeout:
        child.kill_for(item, IGNORED_TIMEOUT, "timed_out")


def watch_board(child: ChildProcess, renewer: LeaseRenewer) -> None:
    """Kill a child whose loop stands still, or that lets nobody write to the database.

    Requeue what waits behind a handler that holds the interpreter.
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
        renewer.requeue(child.name, attempts)


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
        while self._look_after_children():
            time.sleep(timing.SUPERVISOR_TICK_SECONDS)
        self._stop_scheduler.set()
        self.leases.stop()
        for thread in threads:
            thread.join(timeout=5)
        events.stop()
        if self._fork_server is not None:
            self._fork_server.close()
        logger.info("event=supervisor_left")

    def _look_after_children(self) -> bool:
        """Look after the children once; return whether there is more to do.

        No mistake ends it: running jobs depend on it.
        """
        self.notes.beat()
        try:
            self._tick()
            return bool(self.children) or not self._leave_or_refill()
        except Exception:
            logger.exception("event=tick_failed")
            time.sleep(1.0)
            return True

    def _leave_or_refill(self) -> bool:
        """Without a child, begin another round of a burst if anything is left for it; return whether to leave."""
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
        if not self._look_for_rest():
            return True
        if self._burst_rounds > MAX_BURST_ROUNDS:
            reason = self._last_death
            self.failure = reason and say("Jobs are left: %(reason)s", code="jobs_left", reason=reason)
            return True
        self._fill()
        return False

    def _look_for_rest(self) -> bool:
        try:
            batches.batch_duties_in_tick()  # the last jobs of a batch may have ended, which submits another one
            return dispatcher.dispatch_what_is_left(self.options.queues)
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
