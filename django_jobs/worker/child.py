"""A worker child: its main loop, its beginning and its end."""

from __future__ import annotations

import faulthandler
import gc
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn

from django.core.cache import caches
from django.db import Error, connections, reset_queries

from django_jobs.conf import jobs_settings
from django_jobs.engine import claimed_job, observers, ports, timing
from django_jobs.engine.dispatch import dispatcher, tickets
from django_jobs.engine.execution import leases
from django_jobs.engine.insight import events
from django_jobs.engine.ports import Taken, get_broadcaster
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.engine.store.values import AttemptKey
from django_jobs.exceptions import (
    AttemptLost,
    BrokerUnavailable,
    ForeignBroker,
    JobCanceled,
    JobTimedOut,
    WorkersSuspended,
    WorkerStopping,
)
from django_jobs.pools import served_by
from django_jobs.worker import interruption, processes
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.claims import Claims, Refiller
from django_jobs.worker.housekeeper import Housekeeper
from django_jobs.worker.processes import RECYCLED, ForkServer, WorkerFailed, WorkerOptions, code_of
from django_jobs.worker.shared import LoopStep, SharedSlots, StopRequest
from django_jobs.worker.slots import make_slots

logger = logging.getLogger("django_jobs")

# The child's thread that stops handlers: on request, when a lease is over, and when the worker's grace is over.
#
# It asks neither the database nor Redis, so that no network can hold it up: who is cut off from them must learn of it.


class StopRelay(threading.Thread):
    """Looks every 50 ms which handlers are to stop, and interrupts them again and again until they do."""

    def __init__(self, state: ChildState, supervisor: int) -> None:
        super().__init__(name="stop relay", daemon=True)
        self._state = state
        self._quit = threading.Event()
        self._supervisor = supervisor
        self._stop_seen: float | None = None
        self._canceled_since: dict[AttemptKey, float] = {}

    def stop(self) -> None:
        """End the thread."""
        self._quit.set()
        self.join(timeout=10)

    def run(self) -> None:
        """Look until the end."""
        while not self._quit.wait(timing.CHILD_TICK_SECONDS):
            self._state.board.pulse()
            try:
                self.tick()
            except Exception:  # whatever it is, the next handler must be stopped
                logger.exception("event=relay_failed worker=%s", self._state.name)

    def tick(self) -> None:
        """Look once."""
        self._state.loop_watch.look()
        self._pass_requests_on()
        self._tell_whose_lease_is_over()
        is_orphan = os.getppid() != self._supervisor
        if self._state.stopping.is_set() and not is_orphan:
            self._end_the_grace()
        for interrupter in self._state.running.interrupters().values():
            interrupter.deliver()
        if is_orphan:
            self._kill_what_never_stops()

    def _pass_requests_on(self) -> None:
        running = self._state.running.interrupters()
        if not running:
            return
        for item in self._state.shared_slots.occupied():
            if item.key not in running:
                continue
            if item.seconds > item.timeout:  # the alarm does not reach a main thread that waits inside a driver
                running[item.key].want(JobTimedOut)
            if item.stop_request != StopRequest.NONE:
                running[item.key].want(AttemptLost if item.stop_request == StopRequest.LOST else JobCanceled)

    def _tell_whose_lease_is_over(self) -> None:
        """Stop attempts whose leases nobody renewed: their jobs may run elsewhere by now."""
        renewed = self._state.shared_slots.renewed()
        for claimed, interrupter in self._state.running.with_claims():
            if interrupter.wanted is None and leases.has_lease_run_out(claimed, renewed):
                logger.error("event=lease_over worker=%s job_id=%s", self._state.name, claimed.job_id)
                interrupter.want(AttemptLost)

    def _end_the_grace(self) -> None:
        self._stop_seen = self._stop_seen or time.monotonic()
        if time.monotonic() - self._stop_seen > float(jobs_settings.SHUTDOWN_GRACE_SECONDS):
            for interrupter in self._state.running.interrupters().values():
                interrupter.want(WorkerStopping)

    def _kill_what_never_stops(self) -> None:
        """Kill this process for a handler that ignores its timeout or a cancel: there is no supervisor to do it."""
        now, grace = time.monotonic(), float(jobs_settings.CANCEL_GRACE_SECONDS)
        for key, interrupter in self._state.running.interrupters().items():
            if interrupter.wanted is not None and issubclass(interrupter.wanted, JobCanceled):
                self._canceled_since.setdefault(key, now)
        for item in self._state.shared_slots.occupied():
            if item.ignores_timeout or now - self._canceled_since.get(item.key, now) > grace:
                logger.error("event=orphan_killed worker=%s job=%s", self._state.name, item.pk)
                faulthandler.dump_traceback(sys.__stderr__ or 2, all_threads=True)  # nobody is left to store them
                os.kill(os.getpid(), signal.SIGKILL)


# For how long a worker may fail at its work.


class FailureTracker:
    """Knows since when a worker has failed at its work. A burst leaves after a while, any other worker never."""

    def __init__(self, *, is_burst: bool) -> None:
        self._seconds = timing.BURST_RETRY_SECONDS if is_burst else math.inf
        self._since: float | None = None
        self._log_next: dict[type[Exception], float] = {}

    def succeeded(self) -> None:
        """Note that the work succeeded."""
        self._since = None
        self._log_next.clear()

    def take_log_turn(self, error: Exception) -> bool:
        """Return whether to log this failure now: the first of its kind since a success, and then one a minute."""
        now = time.monotonic()
        if now < self._log_next.get(type(error), -math.inf):
            return False
        self._log_next[type(error)] = now + timing.FAILURE_LOG_SECONDS
        return True

    def failed(self, error: Exception) -> None:
        """Note a failure. Raises WorkerFailed when a burst has failed for too long.

        It does so at once where the broker is another installation's, and where workers are suspended.
        """
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if isinstance(error, ForeignBroker | WorkersSuspended) or now - self._since >= self._seconds:
            raise WorkerFailed(code_of(error)) from error


# A worker child's main loop: it takes tickets in sets, claims what it can start at once, runs it and settles it.


class Child:
    """One process. Its main thread runs this loop; the housekeeper does what must not wait for a handler."""

    #: Since when a burst has found no ticket of the jobs that are Queued; None while it finds some, or none is Queued.
    _missing_since: float | None = None

    def __init__(self, state: ChildState, supervisor: int) -> None:
        self.state = state
        self.slots = make_slots(state)
        self.housekeeper = Housekeeper(state, supervisor)
        self.relay = StopRelay(state, supervisor)
        served = {queue.pool for queue in served_by(state.options.queues)}
        self.refiller = Refiller(state.prefetch.refilled, served)
        self.claims = Claims(state, self.refiller.ask)
        state.room_was_made = self.refiller.ask_in_place_of_ended
        state.wants_less = state.held.found_more = self.refiller.ask_for_pass
        #: Whether another process is to take its place, since it ran as many jobs or holds as much as it may.
        self.is_recycled = False
        self._failures = FailureTracker(is_burst=state.options.burst)
        #: Whether the broker that answers now was found to be this installation's.
        self._is_own_broker = False

    def run(self) -> None:
        """Work until told to stop, or in a burst until nothing is left. Raises WorkerFailed."""
        signal.signal(signal.SIGTERM, self._on_stop_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C goes to the whole group; the supervisor decides
        self._announce()
        self.housekeeper.start()
        self.relay.start()
        self.refiller.start()
        try:
            while not self.state.stopping.is_set() and not self._decide_recycling():
                if self.state.board.is_quiet and self.state.options.burst:
                    self.state.stop()  # what is to take no more jobs, and waits for none, is over
                elif self.state.board.is_quiet:
                    self._rest()
                elif not self._round() and self.state.options.burst and self.state.in_hand.is_empty():
                    break
            self.slots.wait()
            self.slots.store()
        except Error as error:  # a burst could not store how jobs ended, for as long as their leases last
            raise WorkerFailed(code_of(error)) from error
        finally:
            self.slots.wait()
            self.slots.close()
            self.relay.stop()
            self.state.settle()
            self.refiller.stop()
            self.housekeeper.stop()
            self.state.consumer.leave(self.claims.done)
            logger.info("event=worker_left worker=%s jobs=%s", self.state.name, self.state.jobs_run)

    def _rest(self) -> None:
        """Take nothing for a moment, since this worker is to be quiet. What runs in threads goes on."""
        with self.state.step(LoopStep.SETTLING):
            self.slots.store()
        self.state.stopping.wait(timing.QUIET_WORKER_LOOK_SECONDS)

    def _announce(self) -> None:
        while not self.state.stopping.is_set():
            try:
                database.mend_connections()
                self.housekeeper.announce()  # first, since orders reach it by that, also while the broker is away
                self._check_broker()
                self.state.consumer.announce()
                self.state.consumer.listen(self.state.cancel, self.state.stop)
                return
            except Exception as error:  # noqa: BLE001  (whatever fails when the worker starts is tried again)
                self._go_on_after(error)

    def _check_broker(self) -> None:
        """Check that the broker is this installation's; ForeignBroker if not.

        Once is enough for as long as it answers. After a failure another broker may answer.
        """
        if not self._is_own_broker:
            database.mend_connections()
            tickets.check_broker()
            self._is_own_broker = True

    def _go_on_after(self, error: Exception) -> None:
        """Log a failure, and wait a moment before the next try. Raises WorkerFailed when there is to be none."""
        self._log(error)
        if isinstance(error, Error):
            database.mend_connections()
        self._is_own_broker = False
        self._failures.failed(error)
        self.state.stopping.wait(timing.FAILED_ROUND_SECONDS)

    @interruption.receiver
    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self.state.stopping.set()
        threading.Thread(target=self.state.consumer.wake, daemon=True).start()  # a signal handler must not wait

    def _decide_recycling(self) -> bool:
        """Return whether another process is to take the place of this one, and remember it."""
        self.is_recycled = self._jobs_left() <= 0 or self._holds_too_much()
        return self.is_recycled

    def _holds_too_much(self) -> bool:
        """Return whether the process holds more memory than it may. It runs some jobs first in any case."""
        most = self.state.options.max_memory
        if most is None or not self.state.jobs_run or (held := processes.memory_megabytes()) <= most:
            return False
        logger.info("event=memory_limit worker=%s megabytes=%d limit=%s", self.state.name, held, most)
        return True

    def _jobs_left(self) -> int:
        """Return how many more jobs this process may run."""
        most = self.state.options.max_jobs
        return sys.maxsize if most is None else most - self.state.jobs_run

    def _round(self) -> bool:
        """Take a set of tickets and see it through; whether there was any."""
        try:
            count = self._take_and_claim()
        except Exception as error:  # noqa: BLE001  (no worker dies of a mistake)
            self._go_on_after(error)
            return True
        self._failures.succeeded()
        if not count:
            return False
        self.slots.run_batch()
        with self.state.step(LoopStep.SETTLING):
            self.slots.store()
        reset_queries()
        return True

    def _log(self, error: Exception) -> None:
        if not self._failures.take_log_turn(error):
            return
        match error:
            case BrokerUnavailable() | ForeignBroker():
                logger.warning("event=broker_unavailable worker=%s error=%s", self.state.name, error)
            case Error():
                logger.warning("event=database_unavailable worker=%s error=%r", self.state.name, error)
            case _:
                logger.error("event=round_failed worker=%s", self.state.name, exc_info=error)

    def _take_and_claim(self) -> int:
        """Take a set of tickets and claim what can start; 0 where there is nothing to do."""
        busy = self.state.in_hand.busy()  # first, since a job that ends meanwhile must count once at least
        size = min(self.slots.room(), self._jobs_left() - busy)
        if size <= 0:
            self.slots.wait_for_room()
            return 1
        self._check_broker()
        self.claims.resolve_doubts()
        taken = self._take(size)
        if self.state.stopping.is_set() or self.state.board.is_quiet:
            self.state.consumer.push_again(taken)
            return 0
        database.mend_connections()
        if taken.foreign:
            self.state.consumer.handle_foreign(taken.foreign)
        expects_backlog = self.claims.expects_backlog
        claimed: list[str] = []
        if taken.tickets:
            claimed = self.claims.by_tickets(taken.tickets)
            self._missing_since = None
        if expects_backlog:
            # Tickets that were pushed again have to wait until more fits, and jobs of the backlog behind them.
            self.claims.share(size - len(taken) if len(claimed) == len(taken.tickets) else 0, claimed)
            return 1  # if that was nothing, the next look is longer
        if not taken and self.state.options.burst:
            return self._look_for_more()
        return len(taken)

    def _look_for_more(self) -> int:
        """Dispatch for a burst, since the backlog may hold more than the broker shows; return 0 once it is over.

        What is Queued may have no ticket yet: its dispatcher, such as this child's refiller, pushes that after its
        commit. It is waited for, but not for ever, since it may be lost. What still runs in threads may submit more,
        and what has ended there releases others once that is stored.
        """
        is_busy = self.state.in_hand.busy() > 0  # first, since what ends meanwhile may have submitted more
        if not is_busy:
            self.slots.wait()
        is_any_left = dispatcher.dispatch_what_is_left(self.state.options.queues)
        now = time.monotonic()
        since = self._missing_since = (self._missing_since or now) if is_any_left else None
        if since is not None and now - since <= timing.BURST_LAST_LOOK_SECONDS:
            self.state.stopping.wait(timing.BURST_LOOK_SECONDS)
            return 1
        if is_busy:
            self.slots.wait_for_room()
            return 1
        return 0

    def _take(self, size: int) -> Taken:
        """Take tickets; wait for them, unless this is a burst or a share of the backlog is to be taken beside them."""
        done, consumer = self.claims.take_done(), self.state.consumer
        if not self.state.options.burst and not self.claims.expects_backlog:
            self.claims.before_waiting()
            return consumer.take(size, done)
        try:
            return consumer.take_now(size, done)
        except WorkersSuspended:
            self.claims.expects_backlog = False
            if self.state.options.burst:
                raise
            return Taken()


# A child process, from the moment at which Django is set up to its exit code.


def start_forked_child(arguments: Sequence[Any], descriptors: Sequence[int]) -> NoReturn:
    """Run a child in this process, which was forked for it: :func:`start` with these arguments and descriptors."""
    (name, options, supervisor), (shared_slots, stacks) = arguments, descriptors
    processes.leave_stacks_in(stacks)
    os.environ.update(processes.child_environment())  # for what handlers start, as in a fresh process
    if "numpy" in sys.modules:  # else all children draw the same numbers; Python's own are seeded anew
        sys.modules["numpy"].random.seed()
    start_child(name, options, supervisor, shared_slots)


def start_child(name: str, options: str, supervisor: int, shared_slots: int) -> NoReturn:
    """Run the child ``name`` in this process, and end it with the exit code.

    ``options`` are JSON, ``supervisor`` is a process id, ``shared_slots`` a descriptor that this process has got.
    """
    given = WorkerOptions.from_json(options)
    slots = SharedSlots(shared_slots, given.slots)
    exit_after(lambda: run_child(name, given, slots, supervisor), name)


def run_child(name: str, options: WorkerOptions, slots: SharedSlots, supervisor: int) -> int:
    """Run the child ``name`` and return its exit code; ``supervisor`` is a process id. Raises WorkerFailed."""
    claimed_job.install()
    database.prepare_lines()
    store().while_writing = slots.board.writing
    gc.collect()
    gc.freeze()  # what was loaded until now stays for good: no collection looks at it again
    events.work_in_background()
    events.tell_process_started("child")
    state = ChildState(name, options, ports.get_broker().consumer(name, options.queues), slots)
    child = Child(state, supervisor)
    try:
        child.run()
    finally:
        events.stop()  # what waits there is told also by a worker that gives up
    return RECYCLED if child.is_recycled else 0


def exit_after(work: Callable[[], int], name: str) -> NoReturn:
    """Do the work of the child ``name``, and end this process with the exit code that it returns."""
    code = 1
    try:
        code = work()
    except WorkerFailed as reason:
        code = reason.code
        logging.getLogger("django_jobs").warning("event=worker_gave_up worker=%s reason=%s", name, reason)
    except Exception:
        logging.getLogger("django_jobs").exception("event=worker_failed")
    finally:
        observers.drain()
        logging.shutdown()
        os._exit(code)  # threads that a handler left behind must not keep the process alive


# How a supervisor starts the server that forks its children: once all is loaded that each of them needs, and no more.
#
# What a supervisor needs for itself is imported elsewhere, since whatever is loaded here each child has too.


def prepare_fork_server() -> ForkServer | None:
    """Load what every child needs, and start a fork server; None where that cannot be.

    The children share what is loaded until then, and have nothing of what their supervisor loads later for itself.
    """
    processes.prepare_start(_load)
    return start_fork_server()


def _load() -> None:
    """Load what each child would otherwise load for itself, with its first job."""
    import encodings.idna  # noqa: F401  (Python does that when it first looks up a host's address)

    database.load_lines()
    events.load()
    broadcaster = get_broadcaster()
    if broadcaster is not None:
        broadcaster.load()


def start_fork_server() -> ForkServer | None:
    """Have a server fork the children of this supervisor, which has no thread yet; None where that cannot be."""
    if not processes.may_fork():
        return None
    # What the host has opened since, such as a log handler that writes to a table, must not be used by two.
    claimed_job.flush()
    connections.close_all()
    caches.close_all()
    ports.get_broker().disconnect()
    try:
        return ForkServer(start_forked_child)
    except OSError as error:
        logger.warning("event=fork_server_not_started error=%r", error)
        return None
