"""How a child gets its jobs: by tickets, or as its share of a backlog, without them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from django_jobs.engine.execution import leases, shares
from django_jobs.engine.execution.claim import claim
from django_jobs.engine.ports import Ticket
from django_jobs.pools import served_by
from django_jobs.statuses import Priority
from django_jobs.worker import refiller
from django_jobs.worker.child_board import LoopStep
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.shared_slots import Caution


class Claims:
    """Claims jobs for the slots, and shows the supervisor which, before anything else can go wrong.

    Tickets are the rule. After a large set a backlog is likely: then a child takes its next ones without the way over
    the broker, and does not have the broker filled again until that gives little.
    """

    def __init__(
        self, state: ChildState, fits: Callable[[Sequence[str]], int], refill: Callable[[int], object]
    ) -> None:
        """Make one; ``fits`` says how many jobs of these types will start soon, ``refill`` has the broker filled."""
        self._state = state
        self._fits = fits
        self._refill = refill
        self._refilled = 0.0
        self._queues = served_by(state.options.queues)
        #: Tickets that were claimed, and of which the broker need keep nothing once their jobs have ended.
        self.done: list[Ticket] = []
        self.expects_backlog = False
        self._is_next_alone = False

    def is_next_alone(self) -> bool:
        """Return whether one ticket is to be claimed next, while nothing runs: its handler may have to be loaded."""
        return self._is_next_alone and self._is_careful()

    def _is_careful(self) -> bool:
        return self._state.shared_slots.is_cautious(Caution.WITH_UNLOADED)

    def by_tickets(self, tickets: Sequence[Ticket]) -> list[str]:
        """Claim the jobs of these tickets; return the types of those that it got."""
        self._state.doubts.add(tickets)
        hands = self._state.shared_slots.in_hands([(ticket.pk, ticket.attempt) for ticket in tickets])
        with self._state.step(LoopStep.CLAIMING), hands:
            may_load = not self._is_careful() or (self._is_next_alone and len(tickets) == 1)
            set_aside = self._state.held.add
            claimed = claim(tickets, self._state.name, self._fits, may_load=may_load, set_aside=set_aside)
            self._is_next_alone = not (may_load or claimed)
            if not self.expects_backlog:
                self._ask(tickets[0].priority)  # before a handler begins: it may be waited for
            self._state.put(self._state.doubts.answered(tickets, claimed))
        self.done += [item.ticket for item in claimed]  # the others may wait at the broker again
        if not self.expects_backlog:
            self._expect(len(claimed))
        return [item.job_type for item in claimed]

    def share(self, count: int, beside: Sequence[str] = ()) -> int:
        """Claim up to ``count`` jobs of the backlog; return how many it got.

        They start behind those that were just claimed by tickets, whose types are ``beside``. While others take theirs,
        a backlog is expected still: who waited in vain comes again.
        """
        found: int | None = 0
        self.expects_backlog = False  # also where this fails
        try:
            found = self._share(count, beside) if count >= shares.MIN_SHARE else 0
            if found is None:
                self.expects_backlog = True
            else:
                self._expect(len(beside) + found)
        finally:
            if not self.expects_backlog:
                self._ask(Priority.CRITICAL)
        return found or 0

    def before_waiting(self) -> None:
        """Have the broker filled before the child waits for tickets: who takes shares has it filled for nobody."""
        # Until then the refiller looks once more by itself.
        if time.monotonic() - self._refilled >= refiller.SECOND_LOOK_SECONDS:
            self._ask(max((queue.priority for queue in self._queues), default=Priority.LOW))

    def _ask(self, priority: int) -> None:
        self._refilled = time.monotonic()
        self._refill(priority)

    def _expect(self, claimed: int) -> None:
        self.expects_backlog = claimed >= shares.MIN_SHARE and shares.are_possible()

    def _share(self, count: int, beside: Sequence[str]) -> int | None:
        noted: list[Ticket] = []
        with self._state.step(LoopStep.CLAIMING), contextlib.ExitStack() as hands:

            def about_to_start(tickets: Sequence[Ticket]) -> None:
                self._state.doubts.add(tickets)
                noted.extend(tickets)
                hands.enter_context(self._state.shared_slots.in_hands([(item.pk, item.attempt) for item in tickets]))

            def fits(job_types: Sequence[str]) -> int:
                return self._fits([*beside, *job_types]) - len(beside)

            taker = shares.Taker(self._state.name, fits, about_to_start)
            found = shares.take_share(self._queues, count, taker)
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
