"""How much of their limits job types use now, and which limit a waiting job has reached. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db.models import Count

from django_jobs.engine.dispatch import type_flow
from django_jobs.engine.dispatch.type_flow import TypeFlow
from django_jobs.engine.insight.inspection import jobs, waiting
from django_jobs.engine.store.counting import capped_count
from django_jobs.engine.store.lane_values import Lane
from django_jobs.models import JobType
from django_jobs.statuses import IN_FLIGHT, Status

#: Types at their limits that are told.
MAX_FULL: Final = 5


class Reached(NamedTuple):
    """A limit that is reached: the job type's field that sets it, how many are queued or running, and the limit."""

    field: str
    number: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsInUse:
    """What of one job type is queued or running, lane by lane, beside the type's limits."""

    flow: TypeFlow
    lanes: Counter[Lane]
    running: int = 0

    @property
    def total(self) -> int:
        """How many are queued or running."""
        return self.lanes.total()

    @property
    def is_full(self) -> bool:
        """Whether the type may have no more of any organization queued or running."""
        return self.flow.max_running is not None and self.total >= self.flow.max_running

    @property
    def is_any_reached(self) -> bool:
        """Whether the type, or one of its organizations or keys, may have no more queued or running."""
        return self.is_full or bool(self.full_organizations() or self.full_keys())

    def full_organizations(self) -> dict[Any, int]:
        """Return how many the organizations have that are at their limits, by primary key, the most first."""
        limit = self.flow.max_running_per_organization
        return {} if limit is None else {pk: n for pk, n in self._by_organization().most_common() if n >= limit}

    def full_keys(self) -> dict[Lane, int]:
        """Return how many the keys have that are at their limits, the most first."""
        limit = self.flow.max_running_per_key
        return {lane: n for lane, n in self.lanes.most_common() if self.flow.concurrency_key and n >= limit}

    def reached_by(self, lane: Lane) -> Reached | None:
        """Return the first limit that keeps a job of this lane from being queued; None where only a rate may."""
        flow = self.flow
        own = self._by_organization()[lane.organization_pk]
        limits = [
            Reached("max_running", self.total, flow.max_running or 0),
            Reached("max_running_per_organization", own, flow.max_running_per_organization or 0),
            Reached("max_running_per_key", self.lanes[lane], flow.max_running_per_key if flow.concurrency_key else 0),
        ]
        return next((item for item in limits if item.limit and item.number >= item.limit), None)

    def _by_organization(self) -> Counter[Any]:
        found: Counter[Any] = Counter()
        for lane, count in self.lanes.items():
            found[lane.organization_pk] += count
        return found


class FullType(NamedTuple):
    """A type with a limit that is reached, and how many of its jobs wait, counted up to a bound."""

    in_use: LimitsInUse
    waiting: int
    has_more: bool


def read_in_use(kind: JobType) -> LimitsInUse:
    """Return how much of its limits a type uses, read in one statement."""
    return _read([type_flow.flow_of(kind)])[0]


def read_full_types() -> list[FullType]:
    """Return the types of which jobs wait since a limit is reached, by name, MAX_FULL and one more of them at most.

    Rates of starts are not looked at.
    """
    flows = [flow for _, flow in sorted(type_flow.read_special().items()) if flow.is_open and _limits_running(flow)]
    found: list[FullType] = []
    for in_use in _read(flows) if flows else ():
        if in_use.is_any_reached and len(found) <= MAX_FULL:
            count, has_more = capped_count(waiting().filter(job_type_id=in_use.flow.type_name))
            found += [FullType(in_use, count, has_more)] if count else []
    return found


def _limits_running(flow: TypeFlow) -> bool:
    limits = (flow.max_running, flow.max_running_per_organization)
    return bool(flow.concurrency_key) or any(limit is not None for limit in limits)


def _read(flows: Collection[TypeFlow]) -> list[LimitsInUse]:
    lanes: dict[str, Counter[Lane]] = {flow.type_name: Counter() for flow in flows}
    running: Counter[str] = Counter()
    names = ("job_type_id", "organization_id", "lane_key", "status")
    rows = jobs().filter(status__in=sorted(IN_FLIGHT), job_type_id__in=list(lanes)).values(*names)
    for job_type, organization_pk, key, status, count in rows.annotate(n=Count("pk")).values_list(*names, "n"):
        lanes[job_type][Lane(organization_pk, job_type, key)] += count
        running[job_type] += count if status == Status.RUNNING else 0
    return [LimitsInUse(flow=flow, lanes=lanes[flow.type_name], running=running[flow.type_name]) for flow in flows]
