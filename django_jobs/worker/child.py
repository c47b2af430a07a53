"""A worker child: takes tickets in sets, claims what it can start at once, runs, settles, and rings for more."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from typing import TYPE_CHECKING

from django.db import Error, reset_queries

from django_jobs.broker.connection import queue_name, queue_names
from django_jobs.broker.rq_worker import TicketWorker
from django_jobs.engine.dispatch import dispatcher, reconciliation
from django_jobs.engine.execution import leases
from django_jobs.engine.execution.claim import claim
from django_jobs.engine.ports import Ticket
from django_jobs.engine.store import database
from django_jobs.exceptions import BrokerUnavailable, ForeignBroker, WorkersSuspended
from django_jobs.statuses import Priority
from django_jobs.worker import memory
from django_jobs.worker.batch import Batch
from django_jobs.worker.giving_up import Patience
from django_jobs.worker.housekeeper import Steward
from django_jobs.worker.prefetch import Pace
from django_jobs.worker.refiller import Refiller
from django_jobs.worker.shared_slots import Board
from django_jobs.worker.slots import make_slots

if TYPE_CHECKING:
    from types import FrameType

    from django_jobs.engine.execution.outcomes import Outcome
    from django_jobs.worker.options import WorkerOptions

logger = logging.getLogger("django_jobs")


class Child:
    """One process. Its main thread runs this loop; the steward does what must not wait for a handler."""

    def __init__(self, name: str, options: WorkerOptions, board_descriptor: int, supervisor: int) -> None:
        self.name = name
        self.options = options
        self.stopping = threading.Event()
        self.batch = Batch()
        self.pace = Pace()
        self.rq = TicketWorker(options.queues or queue_names(), name)
        self.slots = make_slots(self, Board(board_descriptor, options.threads))
        self.steward = Steward(self, supervisor)
        self.refiller = Refiller()
        self.jobs_run = 0
        self.is_worn_out = False
        self._done_tickets: list[str] = []
        self._patience = Patience(is_burst=options.burst)
        #: Whether the broker that answers now was found to be this installation's.
        self._is_own_broker = False
        #: Claims of which no answer came.
        self._doubtful: list[Ticket] = []

    def run(self) -> None:
        """Work until told to stop."""
        signal.signal(signal.SIGTERM, self._on_stop_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C goes to the whole group; the supervisor decides
        self._announce()
        self.steward.start()
        self.refiller.start()
        try:
            while not self.stopping.is_set() and not self._wears_out():
                if not self._round() and self.options.burst and self.batch.is_empty():
                    break
        finally:
            self.slots.wait()
            self._settle()
            self.refiller.stop()
            self.steward.stop()
            self.rq.leave(self._done_tickets)
            logger.info("event=worker_left worker=%s jobs=%s", self.name, self.jobs_run)

    def _announce(self) -> None:
        while not self.stopping.is_set():
            try:
                self._look_whose_broker_it_is()
                self.rq.announce()
                self.rq.listen(self.steward.cancel_hint, self.stop)
                return
            except Exception as error:  # noqa: BLE001  (whatever Redis is up to when we start, we try again)
                if self._patience.is_news(error):
                    logger.warning("event=announce_failed worker=%s error=%r", self.name, error)
                self._go_on_after(error)

    def _look_whose_broker_it_is(self) -> None:
        """Once for as long as it answers: another may answer after that. ForeignBroker when it is not ours."""
        if not self._is_own_broker:
            database.mend_connections()
            reconciliation.check_broker()
            self._is_own_broker = True

    def _go_on_after(self, error: Exception) -> None:
        """Wait a moment before the next try; GaveUp when there is to be none."""
        self._is_own_broker = False
        self._patience.failed(error)
        self.stopping.wait(1.0)

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping.set()
        threading.Thread(target=self.rq.wake, daemon=True).start()  # no Redis call inside a signal handler

    def stop(self) -> None:
        """Take no more jobs; what runs gets the grace."""
        self.stopping.set()
        self.rq.wake()

    def _wears_out(self) -> bool:
        self.is_worn_out = self._jobs_left() <= 0 or self._is_swollen()
        return self.is_worn_out

    def _is_swollen(self) -> bool:
        """Whether it has more memory than it may. Each process runs some jobs first: else none would ever run."""
        most = self.options.max_memory
        if most is None or not self.jobs_run or (held := memory.megabytes()) <= most:
            return False
        logger.info("event=memory_limit worker=%s megabytes=%d limit=%s", self.name, held, most)
        return True

    def _jobs_left(self) -> int:
        """How many more this process is to run."""
        return sys.maxsize if self.options.max_jobs is None else self.options.max_jobs - self.jobs_run

    def _round(self) -> bool:
        """Take a set of tickets and see it through; whether there was any."""
        try:
            count = self._take_and_claim()
        except (BrokerUnavailable, ForeignBroker) as error:
            if self._patience.is_news(error):
                logger.warning("event=broker_unavailable worker=%s error=%s", self.name, error)
            self._go_on_after(error)
            return True
        except Error as error:
            if self._patience.is_news(error):
                logger.warning("event=database_unavailable worker=%s error=%r", self.name, error)
            database.mend_connections()
            self._go_on_after(error)
            return True
        except Exception as error:  # no worker dies of a mistake
            if self._patience.is_news(error):
                logger.exception("event=round_failed worker=%s", self.name)
            self._go_on_after(error)
            return True
        self._patience.works()
        if not count:
            return False
        self.slots.run_batch()
        self._settle()
        reset_queries()
        return True

    def _take_and_claim(self) -> int:
        size = self.slots.room(min(self.pace.set_size(), self._jobs_left()))
        if not size:
            self.slots.wait_for_room()
            return 1
        self._look_whose_broker_it_is()
        self._resolve_doubts()
        done, self._done_tickets = self.steward.not_shown(self._done_tickets), []
        take = self.rq.take_now if self.options.burst else self.rq.take
        found = take(size, done)
        if found is None:
            raise WorkersSuspended("RQ's workers are suspended")
        if self.stopping.is_set():
            self.rq.put_back(found)
            return 0
        database.mend_connections()
        parsed = [(queue, entry, Ticket.parse(entry, self._priority_of(queue))) for queue, entry in found]
        if strangers := [(queue, entry) for queue, entry, ticket in parsed if ticket is None]:
            self.rq.receive_strangers(strangers)
        tickets = [ticket for _, _, ticket in parsed if ticket is not None]
        if not tickets:
            # In a burst the backlog may hold more than the broker shows.
            return len(found) or (dispatcher.dispatch_or_raise() if self.options.burst else 0)
        doubtful, self._doubtful = self._doubtful, [*self._doubtful, *tickets]
        self.batch.put(claim(tickets, self.name, self.pace.fits))
        self._doubtful = doubtful
        self._done_tickets += [ticket.id for ticket in tickets]
        self.refiller.ask(tickets[0].priority)
        return len(tickets)

    def _resolve_doubts(self) -> None:
        """The supervisor renews whatever this worker holds, also what it does not know of."""
        if self._doubtful:
            self._doubtful = leases.give_up_claim(self._doubtful, self.name)

    def known(self) -> set[tuple[int, int]]:
        """The attempts (job, attempt) that this process has in hand, or may have claimed."""
        claimed = {(ticket.pk, ticket.attempt) for ticket in list(self._doubtful)}
        return claimed | self.batch.keys() | self.slots.running.interrupters().keys()

    @staticmethod
    def _priority_of(queue: str) -> int:
        return next((int(priority) for priority in Priority if queue_name(priority) == queue), int(Priority.NORMAL))

    def ended(self, outcome: Outcome) -> None:
        """A handler has ended."""
        object.__setattr__(outcome, "unwritten", self.steward.forget(outcome.claimed))
        self.batch.add_ended(outcome)
        self.jobs_run += 1
        self.pace.ran(outcome.claimed.job_type, outcome.seconds)

    def _settle(self) -> None:
        self.steward.settle(self.batch.take_ended())
