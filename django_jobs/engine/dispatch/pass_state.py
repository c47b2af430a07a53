"""What one pass over the backlog knows: what is in flight, where walks begin, and what the limits leave."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django_jobs.conf import DEFAULT_POOL, jobs_settings
from django_jobs.engine.dispatch import in_flight, type_flow
from django_jobs.engine.dispatch.in_flight import InFlight
from django_jobs.engine.dispatch.lane_marks import LaneMarks
from django_jobs.engine.dispatch.limits import Limits
from django_jobs.engine.dispatch.type_flow import TypeFlow
from django_jobs.engine.ports import Queue
from django_jobs.engine.store.lane_values import Candidate


def in_flight_limit() -> int:
    """Return how many jobs of one organization may be queued or running at once."""
    return int(jobs_settings.MAX_IN_FLIGHT_PER_ORGANIZATION)


@dataclass
class PassState:
    """The state of one pass, made under the dispatcher's lock; ``has_lock`` is False where that is stuck."""

    in_flight: InFlight
    marks: LaneMarks = field(default_factory=LaneMarks)
    has_lock: bool = True

    @functools.cached_property
    def kinds(self) -> Mapping[str, TypeFlow]:
        """The types that are not plain, read when something waits."""
        return type_flow.read_special()

    @functools.cached_property
    def limits(self) -> Limits:
        """What the limits leave. Without the lock nothing of a limited type goes."""
        kinds = self.kinds
        limited = [name for name, kind in kinds.items() if kind.has_limits]
        if not self.has_lock:
            return Limits({**kinds} | {name: kinds[name]._replace(is_enabled=False) for name in limited})
        return Limits(kinds, in_flight.of_types(limited))

    def waiting_types(self, priorities: Sequence[int]) -> dict[Queue, list[str]]:
        """Return the queues of these priorities for which something waits, the most urgent first, and its types."""
        found: dict[Queue, list[str]] = {}
        for priority, job_type in self.marks.waiting_types(priorities):
            kind = self.kinds.get(job_type)
            found.setdefault(Queue(kind.pool if kind else DEFAULT_POOL, priority), []).append(job_type)
        return {queue: sorted(found[queue]) for queue in sorted(found, key=lambda queue: (-queue.priority, queue.pool))}

    def in_flight_limit(self) -> int:
        """Return how many jobs one organization may have in flight, beside those that cannot be counted yet."""
        return in_flight_limit() - self.in_flight.unseen

    def take(self, queue: Queue, item: Candidate) -> None:
        """Count one more job, which is about to be queued."""
        self.in_flight.add(queue, item.organization_pk)
        self.limits.take(item.lane)
