"""Filters that an address leads to, from a page or a cell. They are shown only then: each has too many values."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs import pools
from django_jobs.admin.base import is_system_admin, keys_of
from django_jobs.admin.bounded_filters import NOTHING, ListedJobsFilter, cut
from django_jobs.admin.numbers import format_number
from django_jobs.admin.seen_organizations import organizations_of
from django_jobs.engine.insight.filter import LOOKED_AT, JobFilter
from django_jobs.engine.insight.search import among_newest, holding
from django_jobs.engine.schedules.definitions import visible_schedules
from django_jobs.models import Schedule
from django_jobs.models.job import parse_job_id
from django_jobs.statuses import IN_FLIGHT, WITH_ERRORS


class AddressedFilter(ListedJobsFilter):
    """Narrows the list to the jobs that have the value in the address."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        asked = self.value()
        if asked is None or not (asked or self.takes_blank):
            return []
        return [(asked, self.label_of(asked))]

    def label_of(self, asked: str) -> str:
        """Return the words for the asked value."""
        return cut(asked)


class OwnerFilter(AddressedFilter):
    """Narrows the list to the jobs of one user."""

    title = gettext_lazy("user")
    parameter_name = "owner"

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for this value."""
        return JobFilter(owner=asked)


class FingerprintFilter(AddressedFilter):
    """Narrows the list to the jobs that failed with like errors; blank, to those whose errors have no text."""

    title = gettext_lazy("like errors")
    parameter_name = "fingerprint"
    takes_blank = True

    def label_of(self, asked: str) -> str:
        return super().label_of(asked) or _("an error without a text")

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for this value. Every fingerprint begins with nothing, so blank means blank."""
        if asked:
            return JobFilter(fingerprint_start=asked)
        return JobFilter(status=tuple(sorted(WITH_ERRORS)), error_fingerprint="")


class WorkerFilter(AddressedFilter):
    """Narrows the list to the jobs of one worker: of those in flight all, else those among the newest.

    It finds nothing for who is to know no names of machines.
    """

    title = gettext_lazy("worker")
    parameter_name = "worker"

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for this value."""
        return JobFilter(worker=asked)

    def label_of(self, asked: str) -> str:
        facts = {"worker": super().label_of(asked), "count": format_number(LOOKED_AT)}
        return _("%(worker)s, among the newest %(count)s jobs") % facts

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        asked = self.chosen()
        if asked is None:
            return queryset
        if not is_system_admin(request):
            return queryset.none()
        search = self.job_filter(asked)
        if request.GET.get("status") in IN_FLIGHT:
            return search.narrow(queryset)
        rows, is_bounded = search.among_newest(queryset, organizations_of(request))
        self.looks_back = search.looks_back if is_bounded else None
        return rows


class SubmittedByFilter(AddressedFilter):
    """Narrows the list to the jobs that one job submitted."""

    title = gettext_lazy("submitted by")
    parameter_name = "submitted_by"

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for this job's id."""
        parsed = parse_job_id(asked)
        return NOTHING if parsed is None else JobFilter(submitted_by=parsed[0])


class ScheduleFilter(AddressedFilter):
    """Narrows the list to the jobs of one schedule, by its primary key, among the newest."""

    title = gettext_lazy("schedule")
    parameter_name = "schedule"
    _found: Schedule | None = None

    def label_of(self, asked: str) -> str:
        self._found = visible_schedules(self.request.user).filter(pk__in=keys_of([asked])).first()
        if self._found is None:
            return _("There is no such schedule.")
        facts = {"schedule": self._found, "count": format_number(LOOKED_AT)}
        return _("%(schedule)s, among the newest %(count)s jobs") % facts

    def needs_bound(self) -> bool:
        """Return False: the filter looks at the newest alone."""
        return False

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for the schedule that was read, by its name, type and organization."""
        if self._found is None:
            return NOTHING
        tenants = None if self._found.organization_id is None else (self._found.organization_id,)
        return JobFilter(schedule=self._found.name, job_type=(self._found.job_type_id,), organization_pk=tenants)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.chosen() is None:
            return queryset
        if self._found is None:
            return queryset.none()
        kind, tenant = self._found.job_type_id, self._found.organization_id
        rows = queryset.filter(job_type_id=kind, **({} if tenant is None else {"organization_id": tenant}))
        scope = organizations_of(request) if tenant is None else [tenant]
        rows, is_bounded = among_newest(rows, scope, LOOKED_AT)
        self.looks_back = LOOKED_AT if is_bounded else None
        return holding(rows, "metadata", ("schedule",), [self._found.name])


class PoolFilter(ListedJobsFilter):
    """Narrows the list to the jobs of one pool's types. It is there where pools are configured."""

    title = gettext_lazy("pool")
    parameter_name = "pool"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = pools.names()
        return [(name, name) for name in names] if len(names) > 1 else []

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for this pool."""
        return JobFilter(pool=asked)


FILTERS: Final = (PoolFilter, OwnerFilter, WorkerFilter, FingerprintFilter, ScheduleFilter, SubmittedByFilter)
