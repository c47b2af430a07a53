"""A worker child's main loop: it takes tickets in sets, claims what it can start at once, runs it and settles it."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from types import FrameType
from typing import Final

from django.db import Error, reset_queries

from django_jobs.engine.dispatch import dispatcher, reconciliation
from django_jobs.engine.ports import Taken
from django_jobs.engine.store import database, line_watch
from django_jobs.exceptions import BrokerUnavailable, ForeignBroker, WorkersSuspended
from django_jobs.pools import served_by
from django_jobs.worker import blind_spots, memory
from django_jobs.worker.child_board import LoopStep
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.claims import Claims
from django_jobs.worker.exit_codes import FailureTracker, WorkerFailed, code_of
from django_jobs.worker.housekeeper import Housekeeper
from django_jobs.worker.refiller import Refiller
from django_jobs.worker.shared_slots import Caution
from django_jobs.worker.slots import make_slots
from django_jobs.worker.stop_relay import StopRelay

logger = logging.getLogger("django_jobs")

#: How long a burst waits for tickets that may be under way, and how often it looks.
LAST_LOOK_SECONDS: Final = 1.0
LOOK_AGAIN_SECONDS: Final = 0.01
#: How often a quiet worker looks whether it is to take jobs again.
QUIET_SECONDS: Final = 0.2


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
        self.claims = Claims(state, self.slots.fits, self.refiller.ask)
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
            while not self.state.stopping.is_set() and not self._is_to_be_recycled():
                if self.state.is_quiet and self.state.options.burst:
                    self.state.stop()  # what is to take no more jobs, and waits for none, is over
                elif self.state.is_quiet:
                    self._rest()
                elif not self._round() and self.state.options.burst and self.state.batch.is_empty():
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
        self.state.stopping.wait(QUIET_SECONDS)

    def _announce(self) -> None:
        while not self.state.stopping.is_set():
            try:
                database.mend_connections()
                with line_watch.waiting():
                    self.housekeeper.announce()  # first, since orders reach it by that, also while the broker is away
                self._check_broker()
                self.state.consumer.announce()
                self.state.consumer.listen(self.state.cancel, self.state.stop)
                return
            except Exception as error:  # noqa: BLE001  (whatever fails when the worker starts is tried again)
                self._log(error)
                self._go_on_after(error)

    def _check_broker(self) -> None:
        """Check that the broker is this installation's; ForeignBroker if not.

        Once is enough for as long as it answers. After a failure another broker may answer.
        """
        if not self._is_own_broker:
            database.mend_connections()
            with line_watch.waiting():
                reconciliation.check_broker()
            self._is_own_broker = True

    def _go_on_after(self, error: Exception) -> None:
        """Wait a moment before the next try. Raises WorkerFailed when there is to be none."""
        self._is_own_broker = False
        self._failures.failed(error)
        self.state.stopping.wait(1.0)

    @blind_spots.receiver
    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self.state.stopping.set()
        threading.Thread(target=self.state.consumer.wake, daemon=True).start()  # a signal handler must not wait

    def _is_to_be_recycled(self) -> bool:
        self.is_recycled = self._jobs_left() <= 0 or self._holds_too_much()
        return self.is_recycled

    def _holds_too_much(self) -> bool:
        """Return whether the process holds more memory than it may. It runs some jobs first in any case."""
        most = self.state.options.max_memory
        if most is None or not self.state.jobs_run or (held := memory.megabytes()) <= most:
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
            self._log(error)
            if isinstance(error, Error):
                database.mend_connections()
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
        if not self._failures.is_to_be_logged(error):
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
        busy = self.state.batch.busy()  # first, since a job that ends meanwhile must count once at least
        size = min(self._set_size(), self._jobs_left() - busy)
        if size <= 0:
            self.slots.wait_for_room()
            return 1
        self._check_broker()
        self.claims.resolve_doubts()
        taken = self._take(size)
        if self.state.stopping.is_set() or self.state.is_quiet:
            self.state.consumer.put_back(taken)
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
            # Tickets that went back have to wait until more fits, and jobs of the backlog behind them.
            self.claims.share(size - len(taken) if len(claimed) == len(taken.tickets) else 0, claimed)
            return 1  # if that was nothing, the next look is longer
        if not taken and self.state.options.burst:
            return self._look_for_more()
        return len(taken)

    def _set_size(self) -> int:
        """Return how many tickets to take. Who is to be careful takes one, while nothing runs or is to be stored."""
        size = self.slots.room()
        if not (self.state.shared_slots.is_cautious(Caution.WITH_ALL) or self.claims.is_next_alone()):
            return size
        if self.state.batch.busy():
            return 0
        self.slots.wait()
        return min(size, 1)

    def _look_for_more(self) -> int:
        """Dispatch for a burst, since the backlog may hold more than the broker shows; return 0 once it is over.

        What is Queued may have no ticket yet: its dispatcher, such as this child's refiller, pushes that after its
        commit. It is waited for, but not for ever, since it may be lost. What still runs in threads may submit more,
        and what has ended there releases others once that is stored.
        """
        is_busy = self.state.batch.busy() > 0  # first, since what ends meanwhile may have submitted more
        if not is_busy:
            self.slots.wait()
        with line_watch.waiting():
            is_any_left = dispatcher.anything_queued(self.state.options.queues)
        now = time.monotonic()
        since = self._missing_since = (self._missing_since or now) if is_any_left else None
        if since is not None and now - since <= LAST_LOOK_SECONDS:
            self.state.stopping.wait(LOOK_AGAIN_SECONDS)
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
