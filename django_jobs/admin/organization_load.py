"""How many jobs of an organization wait and run, beside how many may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.formatting import linked, status_word
from django_jobs.admin.lookups import RETRYING, DeclaredList
from django_jobs.admin.numbers import format_number
from django_jobs.conf import jobs_settings
from django_jobs.engine.dispatch.tenant_shares import default_limit
from django_jobs.engine.insight.inspection import jobs, waiting
from django_jobs.engine.store.counting import MAX_COUNT, capped_counts
from django_jobs.engine.submission.same_work import waiting as waiting_of
from django_jobs.statuses import AWAITING_RETRY, IN_FLIGHT, WITH_ERRORS, Status

#: A page of organizations counts so many waiting jobs, of all its organizations together, and so many that failed.
MAX_LOOKED_AT: Final = 10_000
#: The statuses of failed jobs: of those that are tried again by themselves, and of the others.
FAILED: Final = (AWAITING_RETRY, frozenset({Status.DEAD_LETTER}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One organization's load. All but what is in flight is counted up to a bound; ``waiting`` has ``retrying`` in it.
    A limit of None is no limit.
    """

    waiting: CappedCount
    retrying: CappedCount
    dead: CappedCount
    queued: int
    running: int
    most_in_flight: int
    most_waiting: int | None

    @property
    def pending(self) -> CappedCount:
        """Return how many of those that wait are no failed ones."""
        return CappedCount(count=max(0, self.waiting.count - self.retrying.count), is_cut=self.waiting.is_cut)


def read_load(organization_pk: Any) -> Load:
    """Return one organization's load, read in four statements."""
    count = waiting_of(organization_pk, MAX_COUNT + 1)
    rows = jobs().filter(organization_id=organization_pk, status__in=sorted(IN_FLIGHT))
    counted = dict(rows.values_list("status").annotate(count=Count("pk")))
    failed = [jobs().filter(organization_id=organization_pk, status__in=sorted(group)) for group in FAILED]
    retrying, dead = map(_capped, capped_counts(failed, MAX_COUNT))
    return Load(
        waiting=_capped(count),
        retrying=retrying,
        dead=dead,
        queued=counted.get(str(Status.QUEUED), 0),
        running=counted.get(str(Status.RUNNING), 0),
        most_in_flight=default_limit(),
        most_waiting=jobs_settings.MAX_BACKLOG_PER_ORGANIZATION,
    )


def _capped(count: int) -> CappedCount:
    return CappedCount(count=min(count, MAX_COUNT), is_cut=count > MAX_COUNT)


def load_rows(load: Load, address_of: Callable[[str], str] = lambda _status: "") -> list[tuple[str, SafeString]]:
    """Return how many jobs are in each status that has not ended well: words, and the number as a link to them."""
    rows: list[tuple[str, str, Any]] = [
        (status_word(Status.PENDING), str(Status.PENDING), load.pending),
        (_("To be retried"), RETRYING, load.retrying),
        (status_word(Status.QUEUED), str(Status.QUEUED), format_number(load.queued)),
        (status_word(Status.RUNNING), str(Status.RUNNING), format_number(load.running)),
        (status_word(Status.DEAD_LETTER), str(Status.DEAD_LETTER), load.dead),
    ]
    return [(words, format_html("{}", linked(address_of(status), str(count)))) for words, status, count in rows]


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
