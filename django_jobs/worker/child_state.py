"""What the parts of a child share: what it has in hand, and how the ends of attempts are stored."""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from django.db import Error
from django.db.models import F

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.claimed_job import Claimed, uptime_seconds
from django_jobs.engine.dispatch import in_flight
from django_jobs.engine.execution import leases, settle
from django_jobs.engine.execution.context import JobContext, ProgressBuffer
from django_jobs.engine.execution.outcomes import NotBegun, Outcome
from django_jobs.engine.execution.run import ended_by, run_handler
from django_jobs.engine.ports import Consumer, RunningTicket, Ticket
from django_jobs.engine.store import database
from django_jobs.engine.store.values import AttemptKey
from django_jobs.models import Job
from django_jobs.models.job import parse_job_id
from django_jobs.texts import say
from django_jobs.worker.interruption import Interrupter, RunningJobs
from django_jobs.worker.processes import WorkerOptions
from django_jobs.worker.shared import MAX_SET, LoopStep, SharedSlots

logger = logging.getLogger("django_jobs")

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
        total, most = 0.0, self._pace(slots)[1] * slots
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
        return 1 if self._any is None else _within(self._pace(1)[1], self._any)

    def ahead(self, slots: int) -> int:
        """Return how many jobs so many busy slots should start soon."""
        rate, seconds = self._pace(slots)
        return int(rate * seconds)

    def _pace(self, slots: int) -> tuple[float, float]:
        """Return how many jobs so many busy slots run in a second, and how many seconds ahead they claim."""
        rate = 0.0 if self._any is None else slots / (self._any + timing.JOB_OVERHEAD_SECONDS)
        is_quick = rate * timing.LARGE_CLAIM_AHEAD_SECONDS >= LARGE_SET
        return rate, timing.LARGE_CLAIM_AHEAD_SECONDS if is_quick else timing.CLAIM_AHEAD_SECONDS

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
        self._given_up: set[AttemptKey] = set()
        self._lock = threading.Lock()

    def add(self, tickets: Iterable[Ticket]) -> None:
        """Note that these are about to be claimed."""
        with self._lock:
            self._since |= dict.fromkeys(tickets, time.monotonic())

    def answered(self, tickets: Iterable[Ticket], claimed: Sequence[Claimed]) -> list[Claimed]:
        """Note the claim's answer. Return what of it may run: what was given up meanwhile belongs to others."""
        with self._lock:
            may_run = [item for item in claimed if item.key not in self._given_up]
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

    def give_up_old(self) -> None:
        """Give up what is too old: it never runs here."""
        with self._lock:
            oldest = time.monotonic() - timing.DOUBTED_CLAIM_SECONDS
            self._given_up |= {(ticket.pk, ticket.attempt) for ticket, since in self._since.items() if since < oldest}

    def known(self) -> set[AttemptKey]:
        """Return the keys of what the main loop may have claimed, and still may run."""
        with self._lock:
            return {(ticket.pk, ticket.attempt) for ticket in self._since} - self._given_up

    def _forget(self, tickets: Iterable[Ticket]) -> None:
        for ticket in tickets:
            self._since.pop(ticket, None)
            self._given_up.discard((ticket.pk, ticket.attempt))


class HeldTickets:
    """Tickets whose rows other transactions held. The main loop finds them, the housekeeper pushes them again later."""

    def __init__(self) -> None:
        #: When each is to be pushed again, and for how long it was kept.
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
        """Take out those that are to be pushed again now."""
        with self._lock:
            now = time.monotonic()
            due = [ticket for ticket in self._kept if takes_all or self._until[ticket][0] <= now]
            self._kept.difference_update(due)
            return due


# Which of a child's tickets the broker's tools show as running.


class PublishedTickets:
    """What was published as running. The housekeeper publishes it, and the main loop asks what is shown."""

    def __init__(self, slots: SharedSlots, running: RunningJobs) -> None:
        self._slots = slots
        self._running = running
        self._shown: dict[AttemptKey, RunningTicket] = {}

    def without_shown(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        """Return the tickets that are not shown; what is left of the others goes when they are shown no longer."""
        shown = self._shown
        return [ticket for ticket in tickets if (ticket.pk, ticket.attempt) not in shown] if shown else tickets

    def has_ended(self) -> bool:
        """Return whether something is shown that has ended."""
        return bool(self._shown) and not self._shown.keys() <= {item.key for item in self._slots.occupied()}

    def is_any_missing(self) -> bool:
        """Return whether something has run for long enough to be shown, and is not."""
        occupied = self._slots.occupied()
        return any(item.seconds > timing.SHOWN_JOB_SECONDS and item.key not in self._shown for item in occupied)

    def update(self) -> list[RunningTicket]:
        """Return what is to be shown from now on."""
        shown: dict[AttemptKey, RunningTicket] = {}
        for item in self._slots.occupied():
            claimed = self._running.claimed(item.key)
            if claimed is not None and item.seconds > timing.SHOWN_JOB_SECONDS:
                began = RunningTicket(claimed.ticket, started=time.time() - item.seconds)
                shown[item.key] = self._shown.get(item.key, began)
        self._shown = shown
        return list(shown.values())


# The jobs that a child has claimed and not yet settled.


class JobsInHand:
    """Jobs that wait for a slot, and outcomes that wait to be settled. Each is taken out by exactly one thread.

    No more than ``slots`` jobs are taken out at a time. Where these are several, coroutine functions wait beside the
    other handlers, and ``wake_loop`` is called when one of them may start.
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

    def next(self, *, is_coroutine: bool = False) -> Claimed | None:
        """Take out the next job to start; None when there is none, or no slot is free."""
        with self._lock:
            waiting = self._coroutines if is_coroutine else self._waiting
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

    def take_waiting(self, *, have_waited_too_long: bool = False) -> list[Claimed]:
        """Take out all jobs that have not started."""
        with self._lock:
            waiting = self.waiting()
            self._waiting.clear()
            self._coroutines.clear()
            if waiting and have_waited_too_long:
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

    def keys(self) -> set[AttemptKey]:
        """Return the keys of all that is in hand."""
        with self._lock:
            return {item.key for item in [*self.waiting(), *(outcome.claimed for outcome in self._ended)]}

    def is_empty(self) -> bool:
        """Return whether nothing waits, runs or is to be settled."""
        with self._lock:
            return not self.busy() and not self._ended


# Finds a coroutine that blocks the event loop, so that none of its neighbors can go on, and names it in the log.


class LoopWatch:
    """The loop beats; another thread looks whether it does."""

    def __init__(self, worker_name: str) -> None:
        self._worker_name = worker_name
        self._thread: threading.Thread | None = None
        self._beaten = self._looked = time.monotonic()
        self._used = time.process_time()
        self._is_told = False

    def watch(self, thread: threading.Thread) -> None:
        """Watch the loop of this thread from now on."""
        self._beaten, self._thread = time.monotonic(), thread

    def beat(self) -> None:
        """Note that the loop moves."""
        self._beaten = time.monotonic()

    def look(self) -> None:
        """Log what the loop's thread does, where that has taken too long; once until it moves again."""
        now = time.monotonic()
        if self._look_for_freeze(now):
            self._beaten = now  # from now on it has the time to beat
        seconds = now - self._beaten
        if self._thread is None or seconds < timing.LOOP_BLOCKED_SECONDS:
            self._is_told = False
        elif not self._is_told and self._thread.is_alive():
            self._is_told = True
            frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001  (documented, for such tools)
            stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
            text = "event=loop_blocked worker=%s seconds=%.1f The event loop waits for code that does not await:\n%s"
            logger.error(text, self._worker_name, seconds, stack)

    def _look_for_freeze(self, now: float) -> bool:
        """Look whether the process stood still since the last look; not where C code has kept the interpreter."""
        used = time.process_time()
        unseen, worked = now - self._looked, used - self._used
        self._looked, self._used = now, used
        return unseen > timing.CHILD_FROZEN_SECONDS and worked < unseen / 2


# Storing how attempts ended, whatever state the database is in.


#: After so many failures attempts are stored one by one: one of them may be what the database fails at.
SET_TRIES = 2
#: After so many failures of one attempt its large result is given up.
LARGE_TRIES = 5


class Settler:
    """Stores outcomes for several threads of a child, and keeps for another try those whose rows are in use.

    While the database fails it tries for ``max_seconds``, then it raises the database's Error.
    """

    def __init__(
        self, worker_name: str, max_seconds: float = math.inf, get_on: Callable[[], None] = lambda: None
    ) -> None:
        self._worker_name = worker_name
        self._max_seconds = max_seconds
        self._get_on = get_on
        self._settling: set[AttemptKey] = set()
        self._unsettled: deque[Outcome] = deque()

    def settle(self, ended: list[Outcome]) -> None:
        """Store how attempts ended, for as long as it takes: without that they would run again.

        Does not wait for a row that is in use. Raises Error where ``max_seconds`` are over; these outcomes are lost.
        """
        keys = {item.claimed.key for item in ended}
        self._settling |= keys
        pause, failures, began = timing.SETTLE_PAUSE_SECONDS, 0, time.monotonic()
        try:
            while ended:
                self._get_on()  # a database that is away makes this long, but not still
                part = ended if failures < SET_TRIES else ended[:1]
                try:
                    self._unsettled += settle.settle(part, self._worker_name)
                    ended = ended[len(part) :]
                    failures = min(failures, SET_TRIES)
                except Error as error:
                    text = "event=settle_delayed worker=%s jobs=%s error=%r"
                    logger.warning(text, self._worker_name, len(ended), error)
                    database.drop_connections()
                    if time.monotonic() - began > self._max_seconds:
                        raise
                    failures += _try_write(ended[0])  # one that is away, or locked, has not refused what it was sent
                    if failures >= LARGE_TRIES and settle.is_large(ended[0]):
                        ended = [settle.refused(ended[0], error), *ended[1:]]
                    time.sleep(pause)
                    pause = min(2 * pause, timing.LONGEST_SETTLE_PAUSE_SECONDS)
        finally:
            self._settling -= keys

    def settle_again(self) -> None:
        """Try once more to store the outcomes whose rows were in use."""
        self.settle([self._unsettled.popleft() for _ in range(len(self._unsettled))])

    def finish(self) -> None:
        """Store the outcomes whose rows are in use; give up after the time that a lease lasts."""
        deadline = time.monotonic() + float(jobs_settings.LEASE_SECONDS)
        while self._unsettled and time.monotonic() < deadline:
            self.settle_again()
            time.sleep(timing.SETTLE_RETRY_SECONDS)

    def has_unsettled(self) -> bool:
        """Return whether outcomes wait for another try."""
        return bool(self._unsettled)

    def keys(self) -> set[AttemptKey]:
        """Return the keys of all outcomes that are not stored yet."""
        return self._settling | {item.claimed.key for item in list(self._unsettled)}


def _try_write(item: Outcome) -> bool:
    """Write something small to the row of this job; return whether the database did so."""
    rows = Job.primary.filter(pk=item.claimed.pk)
    try:
        database.in_transaction(lambda: database.locked(rows, skip=True).exists() and rows.update(attempt=F("attempt")))
    except Error:
        database.drop_connections()
        return False
    return True


# What the parts of a child share: its main loop, its slots and its housekeeper.


class ChildState:
    """One child's jobs on their way from claim to settle, and whether it is to stop. Each part is safe in threads."""

    def __init__(self, name: str, options: WorkerOptions, consumer: Consumer, shared_slots: SharedSlots) -> None:
        self.name = name
        self.options = options
        self.consumer = consumer
        self.shared_slots = shared_slots
        self.board = shared_slots.board
        self.stopping = threading.Event()
        self.in_hand = JobsInHand(options.threads)
        self.running = RunningJobs()
        self.shown = PublishedTickets(shared_slots, self.running)
        self.progress = ProgressBuffer(name)
        self.prefetch = PrefetchEstimator()
        # Whoever waits for the end of a burst waits no longer than the leases of its jobs last.
        seconds = float(jobs_settings.LEASE_SECONDS) if options.burst else math.inf
        self.settler = Settler(name, seconds, self.board.get_on)
        self.doubts, self.held = Doubts(), HeldTickets()
        self.loop_watch = LoopWatch(name)
        self.jobs_run = 0
        #: Called when the end of a job was stored that may let another one start.
        self.room_was_made: Callable[[], object] = lambda: None
        #: Called when this process has told that it wants far fewer tickets.
        self.wants_less: Callable[[], object] = lambda: None
        self._counting = threading.Lock()

    def fits(self, job_types: Sequence[str]) -> int:
        """Return how many of the jobs of these types, the first ones first, should start soon."""
        return self.prefetch.fits(job_types, self.in_hand.free(), self.options.threads)

    def stop(self) -> None:
        """Take no more jobs; those that run get the grace."""
        self.stopping.set()
        self.consumer.wake()

    def cancel(self, job_ids: Iterable[str]) -> None:
        """Interrupt these jobs, if their rows say so: whoever writes to the broker could name any.

        Those that wait for a slot do not begin.
        """
        named = {parsed[0] for job_id in job_ids if (parsed := parse_job_id(job_id))}
        pks = leases.canceled_of(named & {pk for pk, _ in self.known_attempts()})
        for claimed in self.in_hand.waiting():  # first, since what is taken out of it runs then
            claimed.is_canceled |= claimed.pk in pks
        self.running.cancel(pks)

    def put(self, claimed: Sequence[Claimed]) -> None:
        """Take over what was claimed, and show it to the supervisor with all that waits, where something may wait."""
        waiting = [*self.in_hand.waiting(), *claimed]
        is_alone = len(waiting) == 1 and self.options.threads == 1
        number = self.board.put([item.key for item in waiting if not is_alone])
        for item in claimed:
            item.set_number = number
        self.in_hand.put(claimed)

    def ended(self, outcome: Outcome) -> None:
        """Take over the outcome of a handler."""
        outcome.unwritten = self.progress.drop(outcome.claimed.key)
        self.in_hand.add_ended(outcome)  # first of all, so that no mistake below loses it
        with self._counting:
            self.jobs_run += 1
        self.prefetch.ran(outcome.claimed.job_type, outcome.seconds)

    def settle(self) -> None:
        """Store the outcomes that wait for it."""
        ended = self.in_hand.take_ended()
        self.settler.settle(ended)
        if any(outcome.claimed.row.is_limited for outcome in ended):
            self.room_was_made()

    @contextlib.contextmanager
    def step(self, step: LoopStep) -> Iterator[None]:
        """Show the supervisor what the main loop does."""
        self.board.enter(step)
        try:
            yield
        finally:
            self.board.enter(LoopStep.ELSEWHERE)

    def unfinished(self) -> set[AttemptKey]:
        """Return the keys of all that was claimed and whose handler has not ended."""
        waiting = self.in_hand.waiting()  # first, since what is taken out of it runs then
        return {item.key for item in waiting} | self.running.interrupters().keys()

    def known_attempts(self) -> set[AttemptKey]:
        """Return the keys of all that this process has in hand, or may have claimed."""
        return self.doubts.known() | self.in_hand.keys() | self.running.interrupters().keys() | self.settler.keys()


# Running one claimed job in a slot, whatever goes wrong there.


LEASE_OVER: Final = say("Requeued before it began: its lease was over", code="lease_over")
CANCELED: Final = say("Requeued before it began: it was canceled", code="canceled")


def run_in(state: ChildState, slot: int, claimed: Claimed, interrupter: Interrupter) -> None:
    """Run a job in a slot. Whatever goes wrong, the shared slot is freed and the outcome handed over."""
    try:
        outcome: Outcome = begin_job(state, slot, claimed) or run_handler(claimed, JobContext(claimed, interrupter))
    except BaseException as error:
        logger.exception("event=run_failed worker=%s job_id=%s", state.name, claimed.job_id)
        outcome = ended_by(claimed, error)
    hand_over(state, slot, outcome, interrupter)


def begin_job(state: ChildState, slot: int, claimed: Claimed) -> NotBegun | None:
    """Announce that a job begins; or return why it must not, so that it is requeued."""
    # Its lease may have run out before, as in a process that was frozen meanwhile.
    is_fresh = uptime_seconds() - claimed.claimed_at < timing.FRESH_CLAIM_SECONDS
    if not is_fresh and leases.has_lease_run_out(claimed, state.shared_slots.renewed()):
        return NotBegun(claimed=claimed, text=LEASE_OVER)
    if claimed.is_canceled:
        return NotBegun(claimed=claimed, text=CANCELED)
    state.shared_slots.begin(slot, claimed.pk, claimed.attempt, claimed.timeout_seconds)
    if state.board.is_revoked(claimed.set_number):
        return NotBegun(claimed=claimed, text=leases.HELD_UP)
    return None


def hand_over(state: ChildState, slot: int, outcome: Outcome, interrupter: Interrupter) -> None:
    with contextlib.ExitStack() as ending:
        ending.callback(state.in_hand.add_ended if isinstance(outcome, NotBegun) else state.ended, outcome)
        ending.callback(state.shared_slots.end, slot)
        ending.callback(interrupter.close)
