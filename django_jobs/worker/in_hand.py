"""What a child has in hand: tickets that it took, and jobs that it claimed and has not settled."""

from __future__ import annotations

import inspect
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from django_jobs.engine import timing
from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.dispatch import in_flight
from django_jobs.engine.execution.retry_policy import Outcome
from django_jobs.engine.ports import RunningTicket, Ticket
from django_jobs.worker.interruption import RunningJobs
from django_jobs.worker.shared import MAX_SET, SharedSlots

# How many jobs a child takes at once, by how long their handlers ran until now.
#
# Run times are exponentially weighted moving means: each new run weighs a fifth, the mean of all earlier ones the rest.


LARGE_SET: Final = 100
#: Of so many job types others are told that they are quick: a host may have thousands.
MOST_TYPES: Final = 100
#: The weight of the newest run.
_WEIGHT: Final = 0.2
#: A run that takes so many times the mean replaces it.
_SUDDEN: Final = 10


class PrefetchEstimator:
    """Means of how long handlers run, in seconds: one for each job type, and one for all of them."""

    def __init__(self) -> None:
        self._types: dict[str, float] = {}
        self._any: float | None = None
        self._refill: float | None = None

    def ran(self, job_type: str, seconds: float) -> None:
        """Note that a handler of this type ran so long."""
        self._types[job_type] = _mean(self._types.pop(job_type, None), seconds)  # the latest is the last
        self._any = _mean(self._any, seconds)

    def refilled(self, seconds: float) -> None:
        """Note that new tickets came so long after they were asked for: slots would else be idle meanwhile."""
        self._refill = _mean(self._refill, seconds)

    def fits(self, job_types: Sequence[str], free: int = 1, slots: int = 1) -> int:
        """Return how many of these jobs, the first ones first, should start soon.

        They run in so many ``slots``, of which some are ``free`` now.
        """
        total, most = 0.0, self._ahead_seconds(slots) * slots
        for count, job_type in enumerate(job_types):
            if count >= free and total > most:
                return count
            total += self._types.get(job_type, math.inf)
        return len(job_types)

    def wait_too_long(self, job_types: Sequence[str], slots: int = 1) -> bool:
        """Return whether of these jobs, which were claimed ahead, fewer than half should start soon after all."""
        return 2 * self.fits(job_types, slots=slots) < len(job_types)

    def set_size(self) -> int:
        """Return how many tickets to take at once."""
        return 1 if self._any is None else _within(self._ahead_seconds(1), self._any)

    def ahead(self, slots: int) -> int:
        """Return how many jobs so many busy slots should start soon."""
        if self._any is None:
            return 0
        return int(self._rate(slots) * self._ahead_seconds(slots))

    def _ahead_seconds(self, slots: int) -> float:
        """Return within how many seconds so many busy slots should start what is claimed."""
        return (
            timing.LARGE_CLAIM_AHEAD_SECONDS
            if self._rate(slots) * timing.LARGE_CLAIM_AHEAD_SECONDS >= LARGE_SET
            else timing.CLAIM_AHEAD_SECONDS
        )

    def _rate(self, slots: int) -> float:
        """Return how many jobs so many busy slots run in a second."""
        return 0.0 if self._any is None else slots / (self._any + timing.JOB_OVERHEAD_SECONDS)

    def quick_types(self, slots: int) -> dict[str, int]:
        """Return how many tickets the broker should hold for so many slots, by the job types that ran last.

        A type that is not named has one a slot. Each run takes longer than the window, or nothing is known of it.
        """
        seconds = min(max(timing.SLOT_WINDOW_SECONDS, self._refill or 0.0), timing.LONGEST_SLOT_WINDOW_SECONDS)
        latest = list(self._types.items())[-MOST_TYPES:]
        return {name: slots * count for name, mean in latest if (count := _within(seconds, mean)) > 1}


def _within(seconds: float, mean: float) -> int:
    return max(1, min(MAX_SET, math.ceil(seconds / (mean + timing.JOB_OVERHEAD_SECONDS))))


def _mean(known: float | None, seconds: float) -> float:
    # A sudden slow run counts in full: nothing is to be claimed behind the next one.
    if known is None or seconds > _SUDDEN * known:
        return seconds
    return known + _WEIGHT * (seconds - known)


# Tickets that a child has taken and may not have claimed: no answer came yet, or somebody holds their rows.


class Doubts:
    """The tickets of such claims. The main loop claims, the housekeeper gives up what is too old."""

    def __init__(self) -> None:
        self._since: dict[Ticket, float] = {}
        self._given_up: set[tuple[int, int]] = set()
        self._lock = threading.Lock()

    def add(self, tickets: Iterable[Ticket]) -> None:
        """Note that these are about to be claimed."""
        with self._lock:
            self._since |= dict.fromkeys(tickets, time.monotonic())

    def answered(self, tickets: Iterable[Ticket], claimed: Sequence[Claimed]) -> list[Claimed]:
        """Note the claim's answer. Return what of it may run: what was given up meanwhile belongs to others."""
        with self._lock:
            may_run = [item for item in claimed if (item.pk, item.attempt) not in self._given_up]
            self._forget(tickets)
            return may_run

    def resolve(self, left: Iterable[Ticket]) -> None:
        """Keep only these doubts; the others are resolved."""
        with self._lock:
            self._forget(set(self._since) - set(left))

    def tickets(self) -> list[Ticket]:
        """Return what is in doubt."""
        with self._lock:
            return list(self._since)

    def known(self) -> set[tuple[int, int]]:
        """Return (job, attempt) of what the main loop may have claimed. What is too old is given up and never runs."""
        with self._lock:
            oldest = time.monotonic() - timing.DOUBTED_CLAIM_SECONDS
            self._given_up |= {(ticket.pk, ticket.attempt) for ticket, since in self._since.items() if since < oldest}
            return {(ticket.pk, ticket.attempt) for ticket in self._since} - self._given_up

    def _forget(self, tickets: Iterable[Ticket]) -> None:
        for ticket in tickets:
            self._since.pop(ticket, None)
            self._given_up.discard((ticket.pk, ticket.attempt))


class HeldTickets:
    """Tickets whose rows other transactions held. The main loop finds them, the housekeeper puts them back later."""

    def __init__(self) -> None:
        #: When each is to be put back, and for how long it was kept.
        self._until: dict[Ticket, tuple[float, float]] = {}
        self._kept: set[Ticket] = set()
        #: Called when others have to know of more.
        self.found_more: Callable[[], object] = lambda: None
        self._lock = threading.Lock()

    def add(self, tickets: Iterable[Ticket]) -> None:
        """Keep tickets that were found to be held."""
        with self._lock:
            now = time.monotonic()
            recent = now - timing.HELD_ROW_RECENT_SECONDS
            self._until = {item: of for item, of in self._until.items() if item in self._kept or of[0] > recent}
            for ticket in tickets:
                _, before = self._until.get(ticket, (0.0, timing.HELD_ROW_SECONDS / 2))
                seconds = min(2 * before, timing.LONGEST_HELD_ROW_SECONDS)
                self._until[ticket] = now + seconds, seconds
                self._kept.add(ticket)
                in_flight.note_held([ticket.pk], seconds + timing.HELD_ROW_RECENT_SECONDS)
        self.found_more()

    def take_due(self, *, takes_all: bool = False) -> list[Ticket]:
        """Take out those that are to be put back now."""
        with self._lock:
            now = time.monotonic()
            due = [ticket for ticket in self._kept if takes_all or self._until[ticket][0] <= now]
            self._kept.difference_update(due)
            return due


# Which of a child's tickets the broker's tools show as running.


class PublishedTickets:
    """What was published as running. The slots report ends, while the housekeeper publishes."""

    def __init__(self, slots: SharedSlots, running: RunningJobs) -> None:
        self._slots = slots
        self._running = running
        self._shown: dict[tuple[int, int], RunningTicket] = {}
        #: (job, attempt) of what ended and may still be shown.
        self._ended: list[tuple[int, int]] = []

    def forget(self, key: tuple[int, int]) -> None:
        """Note that this (job, attempt) has ended, so that it is shown no longer than until the next update."""
        if self._shown.pop(key, None) is not None:
            self._ended.append(key)

    def without_shown(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        """Return the tickets that are not shown; what is left of the others goes when they are shown no longer."""
        shown = {*list(self._shown), *self._ended}
        return [ticket for ticket in tickets if (ticket.pk, ticket.attempt) not in shown] if shown else tickets

    def has_ended(self) -> bool:
        """Return whether something is shown that has ended."""
        return bool(self._ended)

    def is_any_missing(self) -> bool:
        """Return whether something has run for long enough to be shown, and is not."""
        occupied = self._slots.occupied()
        return any(item.seconds > timing.SHOWN_JOB_SECONDS and item.key not in self._shown for item in occupied)

    def update(self) -> list[RunningTicket]:
        """Return what is to be shown from now on."""
        for _ in range(len(self._ended)):  # what is returned has none of them; more may come meanwhile
            self._ended.pop()
        occupied = {item.key: item for item in self._slots.occupied()}
        for key, item in occupied.items():
            if item.seconds > timing.SHOWN_JOB_SECONDS and key not in self._shown:
                claimed = self._running.claimed(key)
                if claimed is not None:
                    self._shown[key] = RunningTicket(claimed.ticket, started=time.time() - item.seconds)
        for key in [key for key in list(self._shown) if key not in occupied]:
            self.forget(key)  # it ended while it was being added, so that the slot's call came too early
        return list(self._shown.values())


# The jobs that a child has claimed and not yet settled.


class JobsInHand:
    """Jobs that wait for a slot, and outcomes that wait to be settled. Each is taken out by exactly one thread.

    No more than ``slots`` jobs are taken out at a time. Where these are several, coroutine functions wait beside the
    other handlers: :meth:`next_coroutine` takes them out, and ``wake_loop`` is called when one of them may start.
    """

    def __init__(self, slots: int = 1) -> None:
        self._slots = slots
        #: What waits, each with the moment since when.
        self._waiting: deque[tuple[float, Claimed]] = deque()
        self._coroutines: deque[tuple[float, Claimed]] = deque()
        self._ended: list[Outcome] = []
        self._lock = threading.RLock()
        #: What each idle thread waits for; the one that came last is woken first, since its connections are open.
        self._idle: list[threading.Condition] = []
        self._has_room = threading.Condition(self._lock)
        self._busy_since: float | None = None
        self._most_waiting = 0
        #: How many jobs had been finished when others were last given up, which had waited for too long.
        self._held_up_at: int | None = None
        #: Called when a coroutine may start; must return at once.
        self.wake_loop: Callable[[], object] = lambda: None
        #: Whether no more jobs come.
        self.is_closed = False
        #: How many threads wait for a job.
        self.idle = 0
        #: How many jobs were taken out and are not finished.
        self.running = 0
        #: How many jobs were finished.
        self.finished = 0

    def put(self, claimed: Iterable[Claimed]) -> None:
        """Add claimed jobs."""
        with self._lock:
            now = time.monotonic()
            for item in claimed:
                is_coroutine = self._slots > 1 and inspect.iscoroutinefunction(item.handler)
                (self._coroutines if is_coroutine else self._waiting).append((now, item))
            self._wake(len(self._waiting))
            if self._coroutines:
                self.wake_loop()

    def next(self) -> Claimed | None:
        """Take out the next job to start; None when there is none, or no slot is free."""
        return self._take(self._waiting)

    def next_coroutine(self) -> Claimed | None:
        """Take out the next coroutine to start; None when there is none, or no slot is free."""
        return self._take(self._coroutines)

    def _take(self, waiting: deque[tuple[float, Claimed]]) -> Claimed | None:
        with self._lock:
            if not waiting or self.running >= self._slots:
                return None
            self.running += 1
            self._busy_since = time.monotonic()
            return waiting.popleft()[1]

    def wait_for_next(self, seconds: float) -> Claimed | None:
        """Take out the next job as soon as it may start; None when there is none for so long, or no more."""
        with self._lock:
            self.idle += 1
            try:
                self._rest(time.monotonic() + seconds)
                return self.next()
            finally:
                self.idle -= 1

    def _rest(self, until: float) -> None:
        while not self.is_closed and not (self._waiting and self.running < self._slots):
            seconds, woken = until - time.monotonic(), threading.Condition(self._lock)
            if seconds <= 0:
                return
            self._idle.append(woken)
            try:
                woken.wait(seconds)
            finally:  # whoever wakes it takes it out
                if woken in self._idle:
                    self._idle.remove(woken)

    def _wake(self, count: int) -> None:
        for _ in range(min(count, len(self._idle))):
            self._idle.pop().notify()

    def finish(self) -> None:
        """Note that a job that was taken out is finished, and its slot free."""
        with self._lock:
            self.running -= 1
            self.finished += 1
            if self._waiting:
                self._wake(1)
            if self._coroutines:
                self.wake_loop()
            if self.waiting_count() <= self._most_waiting:
                self._has_room.notify_all()

    def wait_for_finish(self, finished: int, most_waiting: int, seconds: float) -> None:
        """Wait until more jobs than ``finished`` are so, and no more than ``most_waiting`` wait; or for so long."""
        with self._lock:
            self._most_waiting = most_waiting
            self._has_room.wait_for(lambda: self.finished != finished and self.waiting_count() <= most_waiting, seconds)

    def wait_until_idle(self) -> None:
        """Wait until nothing waits or runs."""
        with self._lock:
            self._most_waiting = 0
            while self.busy():
                self._has_room.wait(0.5)

    def close(self) -> None:
        """End the waiting of all threads for jobs, for good."""
        with self._lock:
            self.is_closed = True
            self._wake(len(self._idle))

    def add_ended(self, outcome: Outcome) -> None:
        """Add how a job ended."""
        with self._lock:
            self._busy_since = None
            self._ended.append(outcome)

    def take_ended(self) -> list[Outcome]:
        """Take out all outcomes."""
        with self._lock:
            ended, self._ended = self._ended, []
            return ended

    def take_waiting(self) -> list[Claimed]:
        """Take out all jobs that have not started."""
        with self._lock:
            waiting = self.waiting()
            self._waiting.clear()
            self._coroutines.clear()
            return waiting

    def give_up_waiting(self) -> list[Claimed]:
        """Take out all jobs that have not started, because they have waited for too long."""
        with self._lock:
            waiting = self.take_waiting()
            if waiting:
                self._held_up_at = self.finished
            return waiting

    def is_held_up(self) -> bool:
        """Return whether no job was finished since others were given up, so that the next ones would wait as long."""
        return self._held_up_at == self.finished

    def waiting(self) -> list[Claimed]:
        """Return all jobs that have not started."""
        with self._lock:
            return [item for _, item in (*self._waiting, *self._coroutines)]

    def waiting_count(self) -> int:
        """Return how many jobs have not started."""
        return len(self._waiting) + len(self._coroutines)

    def free(self) -> int:
        """Return how many slots are left beside what runs or is about to start; below 0: so many jobs wait for one."""
        with self._lock:
            return self._slots - self.running - self.waiting_count()

    def waiting_for_threads(self) -> int:
        """Return how many of the jobs that have not started run in threads."""
        return len(self._waiting)

    def busy(self) -> int:
        """Return how many jobs wait or run."""
        with self._lock:
            return self.running + self.waiting_count()

    def is_overdue(self, seconds: float, waited: float) -> bool:
        """Return whether something waits behind a job that has run for so long, or has ``waited`` here so long.

        Not since its claim: where that takes long, all that it brings would be overdue before it can start.
        """
        with self._lock:
            oldest = [waiting[0][0] for waiting in (self._waiting, self._coroutines) if waiting]
            if oldest and time.monotonic() - min(oldest) > waited:
                return True
            since = self._busy_since
            if since is None or time.monotonic() - since < seconds:
                return False
            return bool(self.waiting_count() or self._ended)

    def keys(self) -> set[tuple[int, int]]:
        """Return (job, attempt) of all that is in hand."""
        with self._lock:
            ended = [outcome.claimed for outcome in self._ended]
            return {(item.pk, item.attempt) for item in [*self.waiting(), *ended]}

    def is_empty(self) -> bool:
        """Return whether nothing waits, runs or is to be settled."""
        with self._lock:
            return not self.busy() and not self._ended
