"""What the parts of a child share: its main loop, its slots and its housekeeper."""

from __future__ import annotations

import math
import threading

from django_jobs.conf import jobs_settings
from django_jobs.engine.execution.outcomes import Outcome
from django_jobs.engine.execution.progress import ProgressBuffer
from django_jobs.engine.ports import Consumer, Ticket
from django_jobs.worker.batch import Batch
from django_jobs.worker.options import WorkerOptions
from django_jobs.worker.prefetch import PrefetchEstimator
from django_jobs.worker.published_tickets import PublishedTickets
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
        self.batch = Batch()
        self.running = RunningJobs()
        self.shown = PublishedTickets(shared_slots, self.running)
        self.progress = ProgressBuffer()
        self.prefetch = PrefetchEstimator()
        # Whoever waits for the end of a burst waits no longer than the leases of its jobs last.
        self.settler = Settler(name, float(jobs_settings.LEASE_SECONDS) if options.burst else math.inf)
        #: Tickets whose claim got no answer from the database: they may be claimed, or not.
        self.doubtful: list[Ticket] = []
        self.jobs_run = 0

    def stop(self) -> None:
        """Take no more jobs; those that run get the grace."""
        self.stopping.set()
        self.consumer.wake()

    def ended(self, outcome: Outcome) -> None:
        """Take over the outcome of a handler."""
        key = (outcome.claimed.pk, outcome.claimed.attempt)
        object.__setattr__(outcome, "unwritten", self.progress.drop(key))
        self.batch.add_ended(outcome)  # first of all, so that no mistake below loses it
        self.shown.forget(key)
        self.jobs_run += 1
        self.prefetch.ran(outcome.claimed.job_type, outcome.seconds)

    def settle(self) -> None:
        """Store the outcomes that wait for it."""
        self.settler.settle(self.batch.take_ended())

    def known_attempts(self) -> set[tuple[int, int]]:
        """Return (job, attempt) of all that this process has in hand, or may have claimed."""
        doubtful = {(ticket.pk, ticket.attempt) for ticket in list(self.doubtful)}
        return doubtful | self.batch.keys() | self.running.interrupters().keys() | self.settler.keys()
