"""How many more jobs may be queued now: of a type, of an organization, for a key.

What is queued counts as running, since it may run at any moment. Jobs of types with limits become Queued under the
dispatcher's lock alone. So the limits hold exactly, however many workers there are. Rates of starts are counted by
:mod:`.start_rates`; what a breaker lets go, :mod:`.breakers` says.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from django_jobs.engine.dispatch.breakers import Held
from django_jobs.engine.dispatch.start_rates import StartRates
from django_jobs.engine.dispatch.type_flow import TypeFlow
from django_jobs.engine.store.lane_values import Candidate, Lane

#: As good as no limit.
MANY: Final = sys.maxsize
NOTHING: Final[Mapping[Lane, int]] = MappingProxyType({})


class Limits:
    """What one pass of the dispatcher may queue of each lane."""

    def __init__(
        self,
        kinds: Mapping[str, TypeFlow],
        in_flight: Mapping[Lane, int] = NOTHING,
        rates: StartRates | None = None,
        held: Held | None = None,
    ) -> None:
        """Make one for the types that are not plain, with how many jobs of each lane are in flight.

        ``rates`` are those of starts, and ``held`` the breakers that are not closed.
        """
        self._kinds = kinds
        self._of_type: Counter[str] = Counter()
        self._of_organization: Counter[tuple[Any, str]] = Counter()
        self._of_key: Counter[Lane] = Counter()
        for lane, count in in_flight.items():
            if lane.job_type in kinds:
                self._count(lane, count)
        self._rates, self._held = rates or StartRates({}, 0), held or Held()
        self._allowed = self._held.more_allowed(self._of_type)
        self._allowed_of_one = self._held.more_allowed_of_one(self._of_organization)
        self._taken: Counter[str] = Counter()
        self._taken_of_one: Counter[tuple[Any, str]] = Counter()

    def is_open(self, job_type: str) -> bool:
        """Return whether any job of a type may be queued."""
        kind = self._kinds.get(job_type)
        if kind is None:
            return True
        return kind.is_open and self.left_of_type(job_type) > 0

    def left_of_type(self, job_type: str) -> int:
        """Return how many more jobs of a type may be queued, whoever's they are."""
        kind = self._kinds.get(job_type)
        return MANY if kind is None else min(self._left_of_type(kind), self._rates.left_of_type(job_type))

    def left_of_organization(self, job_type: str, organization_pk: Any) -> int:
        """Return how many more jobs of a type an organization may have queued, by the limit of each organization."""
        kind = self._kinds.get(job_type)
        if kind is None or kind.max_running_per_organization is None:
            return MANY
        return max(0, kind.max_running_per_organization - self._of_organization[organization_pk, job_type])

    def is_at_ease(self, job_type: str) -> bool:
        """Return whether a type has neither a rate of starts nor a breaker that is not closed."""
        kind = self._kinds.get(job_type)
        return kind is None or not (kind.has_rate or job_type in self._held.rows)

    def left(self, lane: Lane) -> int:
        """Return how many more jobs of a lane may be queued."""
        kind = self._kinds.get(lane.job_type)
        if kind is None:
            return MANY
        if not kind.is_open:
            return 0
        left = min(self._left_of_type(kind), self._left_of_one((lane.organization_pk, lane.job_type)))
        if kind.max_running_per_organization is not None:
            own = self._of_organization[lane.organization_pk, lane.job_type]
            left = min(left, kind.max_running_per_organization - own)
        if kind.concurrency_key:
            left = min(left, kind.max_running_per_key - self._of_key[lane])
        if left > 0 and kind.has_rate:
            left = min(left, self._rates.left(lane.job_type, lane.organization_pk, lane.key))
        return max(0, left)

    def starts(self, job_type: str) -> int | None:
        """Return how many are queued or started in the window of a type's rate of starts; None without such a limit."""
        return self._rates.counted(job_type)

    def take(self, item: Candidate) -> None:
        """Count one more job, which is about to be queued."""
        kind = self._kinds.get(item.lane.job_type)
        if kind is not None and kind.has_limits:
            self._count(item.lane)
            self._taken[item.lane.job_type] += 1
            self._taken_of_one[item.lane.organization_pk, item.lane.job_type] += 1
            self._rates.take(item.lane.job_type, item.lane.organization_pk, item.lane.key, item.pk, item.attempt)

    def settle(self, picked: Iterable[Candidate], moved: Collection[int]) -> None:
        """Take back the starts of what was picked and did not move, whose row was in use; note what goes to try.

        What else was counted of it ends with the pass.
        """
        tries: Counter[str] = Counter()
        for item in picked:
            lane = item.lane
            if item.pk in moved:
                tries[lane.job_type] += self._held.may_try(lane.job_type, lane.organization_pk)
            elif lane.job_type in self._kinds:
                self._rates.put_back(lane.job_type, lane.organization_pk, lane.key, item.pk, item.attempt)
        self._held.note_tries(tries)

    def next_at(self) -> float | None:
        """Return when more may go though nothing else happens, in seconds since the epoch; None if nothing waits so."""
        found = [self._rates.next_at()]
        change = self._held.next_change()
        if change is not None and self._held.now is not None:
            found.append(self._held.now.timestamp() + change)
        return min((moment for moment in found if moment is not None), default=None)

    def rates_to_keep(self) -> dict[str, Any]:
        """Return what the next pass has to know of the rates; empty if that is nothing."""
        return self._rates.to_keep()

    def _count(self, lane: Lane, count: int = 1) -> None:
        self._of_type[lane.job_type] += count
        self._of_organization[lane.organization_pk, lane.job_type] += count
        self._of_key[lane] += count

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
        found = [key for key in self._allowed_of_one if self._left_of_one(key) <= 0]
        for (organization_pk, job_type), count in self._of_organization.items():
            limit = self._kinds[job_type].max_running_per_organization
            if limit is not None and count >= limit:
                found.append((organization_pk, job_type))
        return frozenset(found)

    def _left_of_one(self, key: tuple[Any, str]) -> int:
        return self._allowed_of_one[key] - self._taken_of_one[key] if key in self._allowed_of_one else MANY

    def _left_of_type(self, kind: TypeFlow) -> int:
        name = kind.type_name
        left = MANY if kind.max_running is None else kind.max_running - self._of_type[name]
        return min(left, self._allowed[name] - self._taken[name]) if name in self._allowed else left
