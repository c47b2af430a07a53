"""How many jobs of an organization wait and run, beside how many may."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, QuerySet
from django.http import HttpRequest

from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.lookups import DeclaredList
from django_jobs.admin.numbers import format_number
from django_jobs.conf import jobs_settings
from django_jobs.engine.dispatch.tenant_shares import default_limit
from django_jobs.engine.insight.inspection import jobs, waiting
from django_jobs.engine.store.counting import MAX_COUNT
from django_jobs.engine.submission.limits import waiting as waiting_of
from django_jobs.statuses import IN_FLIGHT, WITH_ERRORS, Status

#: A page of organizations counts so many waiting jobs, of all its organizations together, and so many that failed.
MAX_LOOKED_AT: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One organization's load. ``waiting`` is counted up to a bound. A limit of None is no limit."""

    waiting: CappedCount
    queued: int
    running: int
    most_in_flight: int
    most_waiting: int | None


def read_load(organization_pk: Any) -> Load:
    """Return one organization's load, read in three statements."""
    count = waiting_of(organization_pk, MAX_COUNT + 1)
    rows = jobs().filter(organization_id=organization_pk, status__in=sorted(IN_FLIGHT))
    counted = dict(rows.values_list("status").annotate(count=Count("pk")))
    return Load(
        waiting=CappedCount(count=min(count, MAX_COUNT), is_cut=count > MAX_COUNT),
        queued=counted.get(str(Status.QUEUED), 0),
        running=counted.get(str(Status.RUNNING), 0),
        most_in_flight=default_limit(),
        most_waiting=jobs_settings.MAX_BACKLOG_PER_ORGANIZATION,
    )


class OrganizationList(DeclaredList):
    """A page of organizations with their loads, read in three statements for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        pks = [organization.pk for organization in self.result_list]
        backlogs = _counted(waiting(), pks)
        failures = _counted(jobs().filter(status__in=sorted(WITH_ERRORS)), pks)
        rows = jobs().filter(organization_id__in=pks, status__in=sorted(IN_FLIGHT))
        in_flight = dict(rows.values_list("organization_id").annotate(count=Count("pk")))
        for organization in self.result_list:
            organization.shown_backlog = backlogs[organization.pk]
            organization.shown_failed = failures[organization.pk]
            organization.shown_in_flight = format_number(in_flight.get(organization.pk, 0))


def _counted(rows: QuerySet[Any], pks: list[Any]) -> dict[Any, CappedCount]:
    """Return how many of the jobs each of these organizations has."""
    found = list(rows.filter(organization_id__in=pks).values_list("organization_id", flat=True)[: MAX_LOOKED_AT + 1])
    counts = Counter(found)
    # If the bound was reached, each organization may have more than were counted.
    return {pk: CappedCount(count=counts[pk], is_cut=len(found) > MAX_LOOKED_AT) for pk in pks}
