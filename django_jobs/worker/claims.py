"""How a child gets its jobs, and has the broker filled again."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Sequence

from django.db import Error, connections

from django_jobs.engine import timing
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.execution import claim, leases
from django_jobs.engine.execution.claim import claim_jobs
from django_jobs.engine.ports import Ticket
from django_jobs.engine.store import database
from django_jobs.engine.store.database import store
from django_jobs.pools import served_by
from django_jobs.statuses import Priority
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.shared import LoopStep

logger = logging.getLogger("django_jobs")

# The child's third thread: while handlers run, it fills the broker again after tickets were taken, and asks again what
# the next claims will want to know.


class Refiller(threading.Thread):
    """Dispatches when it is asked to. What is asked while it works counts as one request.

    When nothing was asked for a moment it looks once more: a job that was submitted while the broker was still full of
    the tickets that are taken by now did not ring the bell.

    Where the database has one writer, it does not work beside a handler that has just begun. A thread that asks waits
    for it, and the scheduler looks instead of it. A handler that holds the interpreter meanwhile would let nobody
    write.
    """

    def __init__(
        self, note_seconds: Callable[[float], object] = lambda _: None, in_pools: Collection[str] = ()
    ) -> None:
        """Make a refiller that tells ``note_seconds`` how long each refill took that brought tickets.

        It looks for room of these pools only, where any is named.
        """
        super().__init__(name="refiller", daemon=True)
        self._note_seconds = note_seconds
        self._in_pools = in_pools
        self._asked = threading.Event()
        self._is_waited_for = store().has_one_writer
        self._rests = threading.Condition()
        self._is_at_work = False
        self._quit = False
        self._priority = int(Priority.LOW)
        self._has_ended = self._is_pass_due = False
        self._flows_until = -math.inf

    def ask(self, priority: int) -> None:
        """Ask for a refill, since tickets of this priority, and perhaps of lower ones, were taken."""
        self._priority = max(self._priority, priority)
        self._asked.set()
        if self._is_waited_for:
            with self._rests:
                self._rests.wait_for(
                    lambda: not (self._is_at_work or self._asked.is_set()), timing.ONE_WRITER_REST_SECONDS
                )

    def ask_in_place_of_ended(self) -> None:
        """Ask for a pass, since jobs ended that were counted by limits."""
        self._has_ended = True
        self._asked.set()

    def ask_for_pass(self) -> None:
        """Ask for a pass, since this worker wants far fewer tickets than it did, or others hold the jobs of some."""
        self._is_pass_due = True
        self._asked.set()

    def stop(self) -> None:
        """End the thread; wait for it for at most ten seconds."""
        self._quit = True
        self._asked.set()
        self.join(timeout=10)

    def run(self) -> None:
        """Refill whenever that is asked for, until the end."""
        while self._asked.wait() and not self._quit:
            try:
                self._refill()
            except Exception:  # the scheduler would do its work, but more slowly
                logger.exception("event=refill_failed")
                time.sleep(timing.FAILED_ROUND_SECONDS)
        connections.close_all()

    def _refill(self) -> None:
        self._is_at_work = True
        self._asked.clear()
        priority, self._priority = self._priority, int(Priority.LOW)
        try:
            database.mend_connections()
            self._dispatch(priority)
        finally:
            with self._rests:
                self._is_at_work = False
                self._rests.notify_all()
        with contextlib.suppress(Error):  # the next claim asks
            claim.ask_again(self._asked.is_set)
        if not self._is_waited_for and not self._asked.wait(timing.SECOND_LOOK_SECONDS):
            self._look_again(priority)

    def _dispatch(self, priority: int) -> None:
        has_ended = self._has_ended
        if has_ended:  # another thread may set it at any moment
            self._has_ended = False
        started = time.monotonic()
        if has_ended:
            self._flows_until = started + timing.FREED_PLACE_SECONDS
        if self._is_pass_due:
            self._is_pass_due = False
            dispatcher.dispatch_patiently()
        elif started >= self._flows_until:
            if dispatcher.refill(priority, self._in_pools):
                self._note_seconds(time.monotonic() - started)
        elif dispatcher.dispatch_freed(has_ended=has_ended):
            self._flows_until = time.monotonic() + timing.FREED_PLACE_SECONDS
            self._asked.set()

    def _look_again(self, priority: int) -> None:
        if time.monotonic() >= self._flows_until:
            dispatcher.refill(priority, self._in_pools, if_empty=True)
        else:
            dispatcher.dispatch_freed(has_ended=False)


# How a child gets its jobs: by tickets, or as its share of a backlog, without them.


class Claims:
    """Claims jobs for the slots, and shows the supervisor which, before anything else can go wrong.

    Tickets are the rule. After a large set a backlog is likely: then a child takes its next ones without the way over
    the broker, and does not have the broker filled again until that gives little.
    """

    def __init__(self, state: ChildState, refill: Callable[[int], object]) -> None:
        """Make one; ``refill`` has the broker filled."""
        self._state = state
        self._refill = refill
        self._refilled = 0.0
        self._queues = served_by(state.options.queues)
        self._most_urgent = max((queue.priority for queue in self._queues), default=int(Priority.LOW))
        #: Tickets that were claimed, and of which the broker need keep nothing once their jobs have ended.
        self.done: list[Ticket] = []
        self.expects_backlog = False

    def by_tickets(self, tickets: Sequence[Ticket]) -> list[str]:
        """Claim the jobs of these tickets; return the types of those that it got."""
        self._state.doubts.add(tickets)
        hands = self._state.shared_slots.in_hands([(ticket.pk, ticket.attempt) for ticket in tickets])
        with self._state.step(LoopStep.CLAIMING), hands:
            set_aside, examining = self._state.held.add, self._state.board.examine
            claimed = claim_jobs(tickets, self._state.name, self._state.fits, set_aside=set_aside, examining=examining)
            if not self.expects_backlog:
                self._ask(tickets[0].priority)  # before a handler begins: it may be waited for
            self._state.put(self._state.doubts.answered(tickets, claimed))
        self.done += [item.ticket for item in claimed]  # the others may wait at the broker again
        if not self.expects_backlog:
            self._expect(len(claimed))
        return [item.job_type for item in claimed]

    def share(self, count: int, beside: Sequence[str] = ()) -> None:
        """Claim up to ``count`` jobs of the backlog.

        They start behind those that were just claimed by tickets, whose types are ``beside``. While others take theirs,
        a backlog is expected still: who waited in vain comes again.
        """
        self.expects_backlog = False  # also where this fails
        try:
            claimed = self._share(count, beside) if count >= claim.MIN_SHARE else 0
            if claimed is None:
                self.expects_backlog = True
            else:
                self._expect(len(beside) + claimed)
        finally:
            if not self.expects_backlog:
                self._ask(Priority.CRITICAL)

    def before_waiting(self) -> None:
        """Have the broker filled before the child waits for tickets: who takes shares has it filled for nobody."""
        # Until then the refiller looks once more by itself.
        if time.monotonic() - self._refilled >= timing.SECOND_LOOK_SECONDS:
            self._ask(self._most_urgent)

    def _ask(self, priority: int) -> None:
        self._refilled = time.monotonic()
        self._refill(priority)

    def _expect(self, claimed: int) -> None:
        self.expects_backlog = claimed >= claim.MIN_SHARE and store().passes_waypoints

    def _share(self, count: int, beside: Sequence[str]) -> int | None:
        """Claim a share; return how many jobs it has, or None while others take theirs."""
        noted: list[Ticket] = []
        with self._state.step(LoopStep.CLAIMING), contextlib.ExitStack() as hands:

            def about_to_start(tickets: Sequence[Ticket]) -> None:
                self._state.doubts.add(tickets)
                noted.extend(tickets)
                hands.enter_context(self._state.shared_slots.in_hands([(item.pk, item.attempt) for item in tickets]))

            def fits(job_types: Sequence[str]) -> int:
                return self._state.fits([*beside, *job_types]) - len(beside)

            found = claim.take_share(self._queues, count, self._state.name, fits, about_to_start)
            self._state.put(self._state.doubts.answered(noted, found or []))
        return None if found is None else len(found)

    def take_done(self) -> Sequence[Ticket]:
        """Take out the tickets of which the broker need keep nothing any more."""
        unfinished = self._state.unfinished()
        ended = [ticket for ticket in self.done if (ticket.pk, ticket.attempt) not in unfinished]
        self.done = [ticket for ticket in self.done if (ticket.pk, ticket.attempt) in unfinished]
        return self._state.shown.without_shown(ended)

    def resolve_doubts(self) -> None:
        """Give up claims that got no answer: the supervisor renews all that this worker holds, known or not."""
        if tickets := self._state.doubts.tickets():
            with self._state.step(LoopStep.CLAIMING):
                self._state.doubts.resolve(leases.give_up_claim(tickets, self._state.name))
