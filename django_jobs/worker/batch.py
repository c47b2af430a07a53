"""The jobs that a child has claimed and not yet settled."""

from __future__ import annotations

import inspect
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.execution.outcomes import Outcome


class Batch:
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

    def ended_unsettled(self) -> list[Outcome]:
        """Return all outcomes that wait to be settled, the newest last."""
        with self._lock:
            return list(self._ended)

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

    def surplus(self) -> int:
        """Return how many jobs wait for a slot that is not free yet."""
        return max(0, -self.free())

    def waiting_for_threads(self) -> int:
        """Return how many of them run in threads."""
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
        """Return (job, attempt) of all that is in the batch."""
        with self._lock:
            ended = [outcome.claimed for outcome in self._ended]
            return {(item.pk, item.attempt) for item in [*self.waiting(), *ended]}

    def is_empty(self) -> bool:
        """Return whether nothing waits, runs or is to be settled."""
        with self._lock:
            return not self.busy() and not self._ended
