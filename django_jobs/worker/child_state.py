"""What the parts of a child share, and how ends of attempts are stored whatever state the database is in."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from django.db import Error
from django.db.models import F

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.execution import settle
from django_jobs.engine.execution.context import ProgressBuffer
from django_jobs.engine.execution.retry_policy import Outcome
from django_jobs.engine.ports import Consumer
from django_jobs.engine.store import database
from django_jobs.models import Job
from django_jobs.models.job import parse_job_id
from django_jobs.worker.in_hand import Doubts, HeldTickets, JobsInHand, PrefetchEstimator, PublishedTickets
from django_jobs.worker.interruption import RunningJobs
from django_jobs.worker.options import WorkerOptions
from django_jobs.worker.shared import LoopStep, SharedSlots

# Finds a coroutine that blocks the event loop, so that none of its neighbors can go on, and names it in the log.


logger = logging.getLogger("django_jobs")


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
        if self._was_frozen(now):
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

    def _was_frozen(self, now: float) -> bool:
        """Return whether the process stood still since the last look; not where C code has kept the interpreter."""
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
        self._settling: set[tuple[int, int]] = set()
        self._unsettled: deque[Outcome] = deque()

    def settle(self, ended: list[Outcome]) -> None:
        """Store how attempts ended, for as long as it takes: without that they would run again.

        Does not wait for a row that is in use. Raises Error where ``max_seconds`` are over; these outcomes are lost.
        """
        keys = _keys(ended)
        self._settling |= keys
        try:
            self._store(ended)
        finally:
            self._settling -= keys

    def _store(self, ended: list[Outcome]) -> None:
        pause, failures, began = timing.SETTLE_PAUSE_SECONDS, 0, time.monotonic()
        while ended:
            self._get_on()  # a database that is away makes this long, but not still
            part = ended if failures < SET_TRIES else ended[:1]
            try:
                self._unsettled += settle.settle(part, self._worker_name)
                ended = ended[len(part) :]
                failures = min(failures, SET_TRIES)
            except Error as error:
                logger.warning("event=settle_delayed worker=%s jobs=%s error=%r", self._worker_name, len(ended), error)
                database.drop_connections()
                if time.monotonic() - began > self._max_seconds:
                    raise
                failures += _takes_writes(ended[0])  # one that is away, or locked, has not refused what it was sent
                if failures >= LARGE_TRIES and settle.is_large(ended[0]):
                    ended = [settle.refused(ended[0], error), *ended[1:]]
                time.sleep(pause)
                pause = min(2 * pause, timing.LONGEST_SETTLE_PAUSE_SECONDS)

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

    def keys(self) -> set[tuple[int, int]]:
        """Return (job, attempt) of all outcomes that are not stored yet."""
        return self._settling | _keys(list(self._unsettled))


def _keys(ended: Iterable[Outcome]) -> set[tuple[int, int]]:
    return {(item.claimed.pk, item.claimed.attempt) for item in ended}


def _takes_writes(item: Outcome) -> bool:
    """Return whether the database writes to the row of this job now, when it is to write something small."""
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
        self.stopping = threading.Event()
        self.in_hand = JobsInHand(options.threads)
        self.running = RunningJobs()
        self.shown = PublishedTickets(shared_slots, self.running)
        self.progress = ProgressBuffer(name)
        self.prefetch = PrefetchEstimator()
        # Whoever waits for the end of a burst waits no longer than the leases of its jobs last.
        seconds = float(jobs_settings.LEASE_SECONDS) if options.burst else math.inf
        self.settler = Settler(name, seconds, shared_slots.board.get_on)
        self.doubts, self.held = Doubts(), HeldTickets()
        self.loop_watch = LoopWatch(name)
        self.jobs_run = 0
        #: Called when the end of a job was stored that may let another one start.
        self.room_was_made: Callable[[], object] = lambda: None
        #: Called when this process has told that it wants far fewer tickets.
        self.wants_less: Callable[[], object] = lambda: None
        self._counting = threading.Lock()

    @property
    def is_quiet(self) -> bool:
        """Whether to take no new jobs until further notice."""
        return self.shared_slots.board.is_quiet

    def fits(self, job_types: Sequence[str]) -> int:
        """Return how many of the jobs of these types, the first ones first, should start soon."""
        return self.prefetch.fits(job_types, self.in_hand.free(), self.options.threads)

    def stop(self) -> None:
        """Take no more jobs; those that run get the grace."""
        self.stopping.set()
        self.consumer.wake()

    def cancel(self, job_ids: Iterable[str]) -> None:
        """Interrupt these jobs, since somebody canceled them; those that wait for a slot do not begin."""
        pks = {parsed[0] for job_id in job_ids if (parsed := parse_job_id(job_id))}
        for claimed in self.in_hand.waiting():  # first, since what is taken out of it runs then
            claimed.is_canceled |= claimed.pk in pks
        self.running.cancel(pks)

    def put(self, claimed: Sequence[Claimed]) -> None:
        """Take over what was claimed, and show it to the supervisor with all that waits, where something may wait."""
        waiting = [*self.in_hand.waiting(), *claimed]
        is_alone = len(waiting) == 1 and self.options.threads == 1
        number = self.shared_slots.board.put((item.pk, item.attempt) for item in waiting if not is_alone)
        for item in claimed:
            item.set_number = number
        self.in_hand.put(claimed)

    def ended(self, outcome: Outcome) -> None:
        """Take over the outcome of a handler."""
        key = (outcome.claimed.pk, outcome.claimed.attempt)
        outcome.unwritten = self.progress.drop(key)
        self.in_hand.add_ended(outcome)  # first of all, so that no mistake below loses it
        self.shown.forget(key)
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
        board = self.shared_slots.board
        board.enter(step)
        try:
            yield
        finally:
            board.enter(LoopStep.ELSEWHERE)

    def unfinished(self) -> set[tuple[int, int]]:
        """Return (job, attempt) of all that was claimed and whose handler has not ended."""
        waiting = self.in_hand.waiting()  # first, since what is taken out of it runs then
        return {(item.pk, item.attempt) for item in waiting} | self.running.interrupters().keys()

    def known_attempts(self) -> set[tuple[int, int]]:
        """Return (job, attempt) of all that this process has in hand, or may have claimed."""
        return self.doubts.known() | self.in_hand.keys() | self.running.interrupters().keys() | self.settler.keys()
