"""What the parts of a child share: its main loop, its slots and its housekeeper."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from django_jobs.conf import jobs_settings
from django_jobs.engine import process_counts
from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.execution.outcomes import Outcome
from django_jobs.engine.execution.progress import ProgressBuffer
from django_jobs.engine.ports import Consumer
from django_jobs.engine.store import line_watch
from django_jobs.models.job import parse_job_id
from django_jobs.worker.batch import Batch
from django_jobs.worker.child_board import LoopStep
from django_jobs.worker.doubts import Doubts, HeldTickets
from django_jobs.worker.loop_watch import LoopWatch
from django_jobs.worker.options import WorkerOptions
from django_jobs.worker.prefetch import PrefetchEstimator
from django_jobs.worker.published_tickets import PublishedTickets
from django_jobs.worker.reported_counts import CountsSender
from django_jobs.worker.running_jobs import RunningJobs
from django_jobs.worker.settler import Settler
from django_jobs.worker.shared_slots import SharedSlots


class ChildState:
    """One child's jobs on their way from claim to settle, and whether it is to stop. Each part is safe in threads."""

    def __init__(self, name: str, options: WorkerOptions, consumer: Consumer, shared_slots: SharedSlots) -> None:
        self.name = name
        self.options = options
        self.consumer = consumer
        self.shared_slots = shared_slots
        self.stopping = threading.Event()
        self.batch = Batch(options.threads)
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
        #: Tells the supervisor what this process counts; None where nobody wants to know.
        self.counts: CountsSender | None = None
        #: Called when the end of a job was stored that may let another one start.
        self.room_was_made: Callable[[], object] = lambda: None
        #: Called when this process has told that it wants far fewer tickets.
        self.wants_less: Callable[[], object] = lambda: None
        self._counting = threading.Lock()

    @property
    def is_quiet(self) -> bool:
        """Whether to take no new jobs until further notice."""
        return self.shared_slots.board.is_quiet

    def stop(self) -> None:
        """Take no more jobs; those that run get the grace."""
        self.stopping.set()
        self.consumer.wake()

    def cancel(self, job_ids: Iterable[str]) -> None:
        """Interrupt these jobs, since somebody canceled them; those that wait for a slot do not begin."""
        pks = {parsed[0] for job_id in job_ids if (parsed := parse_job_id(job_id))}
        for claimed in self.batch.waiting():  # first, since what is taken out of it runs then
            claimed.is_canceled |= claimed.pk in pks
        self.running.cancel(pks)

    def put(self, claimed: Sequence[Claimed]) -> None:
        """Take over what was claimed, and show it to the supervisor with all that waits, where something may wait."""
        waiting = [*self.batch.waiting(), *claimed]
        is_alone = len(waiting) == 1 and self.options.threads == 1
        number = self.shared_slots.board.put((item.pk, item.attempt) for item in waiting if not is_alone)
        for item in claimed:
            item.set_number = number
        self.batch.put(claimed)

    def ended(self, outcome: Outcome) -> None:
        """Take over the outcome of a handler."""
        key = (outcome.claimed.pk, outcome.claimed.attempt)
        object.__setattr__(outcome, "unwritten", self.progress.drop(key))
        self.batch.add_ended(outcome)  # first of all, so that no mistake below loses it
        self.shown.forget(key)
        with self._counting:
            self.jobs_run += 1
        self.prefetch.ran(outcome.claimed.job_type, outcome.seconds)
        process_counts.count_run(outcome.claimed.job_type, outcome.seconds)

    def settle(self) -> None:
        """Store the outcomes that wait for it."""
        ended = self.batch.take_ended()
        with line_watch.waiting():
            self.settler.settle(ended)
        if any(outcome.claimed.is_limited for outcome in ended):
            self.room_was_made()

    @contextlib.contextmanager
    def step(self, step: LoopStep) -> Iterator[None]:
        """Show the supervisor what the main loop does, and have a silent line given up."""
        board = self.shared_slots.board
        board.enter(step)
        try:
            with line_watch.waiting():
                yield
        finally:
            board.enter(LoopStep.ELSEWHERE)

    def unfinished(self) -> set[tuple[int, int]]:
        """Return (job, attempt) of all that was claimed and whose handler has not ended."""
        waiting = self.batch.waiting()  # first, since what is taken out of it runs then
        return {(item.pk, item.attempt) for item in waiting} | self.running.interrupters().keys()

    def known_attempts(self) -> set[tuple[int, int]]:
        """Return (job, attempt) of all that this process has in hand, or may have claimed."""
        return self.doubts.known() | self.batch.keys() | self.running.interrupters().keys() | self.settler.keys()
