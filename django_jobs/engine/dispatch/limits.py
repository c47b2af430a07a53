"""How many more jobs may be queued now: of a type, of an organization, for a key.

What is queued counts as running, since it may run at any moment. Jobs of types with limits become Queued under the
dispatcher's lock alone. So the limits hold exactly, however many workers there are.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django_jobs.engine.dispatch.type_flow import TypeFlow
from django_jobs.engine.store.in_flight_values import InFlightJob
from django_jobs.engine.store.lane_values import Lane

#: As good as no limit.
MANY: Final = sys.maxsize


class Limits:
    """What one pass of the dispatcher may queue of each lane."""

    def __init__(self, kinds: Mapping[str, TypeFlow], in_flight: Iterable[InFlightJob] = ()) -> None:
        """Make one for the types that are not plain, with what is in flight of those that have limits."""
        self._kinds = kinds
        self._of_type: Counter[str] = Counter()
        self._of_organization: Counter[tuple[Any, str]] = Counter()
        self._of_key: Counter[Lane] = Counter()
        for item in in_flight:
            self.take(item.lane)

    def is_open(self, job_type: str) -> bool:
        """Return whether any job of a type may be queued."""
        kind = self._kinds.get(job_type)
        return kind is None or (kind.is_open and self._left_of_type(kind) > 0)

    def left(self, lane: Lane) -> int:
        """Return how many more jobs of a lane may be queued."""
        kind = self._kinds.get(lane.job_type)
        if kind is None:
            return MANY
        if not kind.is_open:
            return 0
        left = self._left_of_type(kind)
        if kind.max_running_per_organization is not None:
            own = self._of_organization[lane.organization_pk, lane.job_type]
            left = min(left, kind.max_running_per_organization - own)
        if kind.concurrency_key:
            left = min(left, kind.max_running_per_key - self._of_key[lane])
        return max(0, left)

    def take(self, lane: Lane) -> None:
        """Count one more job of a lane."""
        kind = self._kinds.get(lane.job_type)
        if kind is not None and kind.has_limits:
            self._of_type[lane.job_type] += 1
            self._of_organization[lane.organization_pk, lane.job_type] += 1
            self._of_key[lane] += 1

    def full(self) -> frozenset[Lane]:
        """Return the lanes whose keys are at their limits."""
        found = []
        for lane, count in self._of_key.items():
            kind = self._kinds[lane.job_type]
            if kind.concurrency_key and count >= kind.max_running_per_key:
                found.append(lane)
        return frozenset(found)

    def passed(self) -> frozenset[tuple[Any, str]]:
        """Return the organizations and types of which no more jobs may be queued."""
        found = []
        for (organization_pk, job_type), count in self._of_organization.items():
            limit = self._kinds[job_type].max_running_per_organization
            if limit is not None and count >= limit:
                found.append((organization_pk, job_type))
        return frozenset(found)

    def _left_of_type(self, kind: TypeFlow) -> int:
        return MANY if kind.max_running is None else kind.max_running - self._of_type[kind.type_name]
