"""How much is in flight: what the window and the limits are measured against."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Q

from django_jobs.models import Job
from django_jobs.statuses import IN_FLIGHT, Status


@dataclass(slots=True)
class Load:
    """What is in flight: tickets by priority, jobs by organization."""

    queued: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    in_flight: dict[Any, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, priority: int, organization_pk: Any) -> None:
        self.queued[priority] += 1
        self.in_flight[organization_pk] += 1


def read_load() -> Load:
    """Count what is queued and running, over the index that holds nothing else."""
    load = Load()
    rows = Job.primary.filter(status__in=sorted(IN_FLIGHT)).order_by()
    counted = rows.values_list("organization_id", "priority").annotate(
        queued=Count("pk", filter=Q(status=Status.QUEUED)), total=Count("pk")
    )
    for organization_pk, priority, queued, total in counted:
        load.queued[priority] += queued
        load.in_flight[organization_pk] += total
    return load
