"""How much is in flight, that is queued or running: what the window and the organizations' limits are compared with."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Q

from django_jobs.models import Job
from django_jobs.statuses import IN_FLIGHT, Status


@dataclass(slots=True)
class InFlight:
    """How many jobs of each priority are queued, and how many of each organization are queued or running."""

    queued: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    by_organization: dict[Any, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, priority: int, organization_pk: Any) -> None:
        """Count one more job, which is about to be queued."""
        self.queued[priority] += 1
        self.by_organization[organization_pk] += 1


def count_in_flight() -> InFlight:
    """Count what is queued and running, over the index that holds nothing else."""
    counts = InFlight()
    rows = Job.primary.filter(status__in=sorted(IN_FLIGHT)).order_by()
    grouped = rows.values_list("organization_id", "priority").annotate(
        queued=Count("pk", filter=Q(status=Status.QUEUED)), total=Count("pk")
    )
    for organization_pk, priority, queued, total in grouped:
        counts.queued[priority] += queued
        counts.by_organization[organization_pk] += total
    return counts
