"""The filters of the jobs list."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, gettext_lazy

from django_jobs.admin.bounded_filters import CountedFilter, ListedJobsFilter
from django_jobs.admin.lookups import FAILED_ALL, RETRYING
from django_jobs.admin.seen_organizations import seen_by
from django_jobs.conf import jobs_settings
from django_jobs.engine.insight.filter import JobFilter
from django_jobs.engine.store import database
from django_jobs.models import get_organization_model
from django_jobs.statuses import AWAITING_RETRY, WITH_ERRORS, Priority, Status

#: At most so many choices are offered. The list's search finds any organization.
MAX_LISTED: Final = 50
MAX_TYPES: Final = 200
SEVERAL: Final[Mapping[str, frozenset[Status]]] = {FAILED_ALL: WITH_ERRORS, RETRYING: AWAITING_RETRY}


class StatusFilter(CountedFilter):
    """Narrows the list to one status, to all that failed, or to those of them that will be retried by themselves."""

    title: Any = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        single = [(status.value, str(status.label)) for status in Status]
        return [
            *single,
            (FAILED_ALL, gettext("Failed (all)")),
            (RETRYING, gettext("Failed or Timed Out, to be retried")),
        ]

    def is_selective(self) -> bool:
        """Return whether the status is a rare one: each but Completed has an index of its own."""
        return self.chosen() not in {None, str(Status.COMPLETED)}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        several = SEVERAL.get(self.chosen() or "")
        return super().queryset(request, queryset) if several is None else _in_several(queryset, several)

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for this choice."""
        return JobFilter(status=tuple(sorted(SEVERAL.get(asked, {asked}))))


def _in_several(rows: QuerySet[Any], wanted: Collection[Status]) -> QuerySet[Any]:
    """Return the jobs in these rare statuses, from the newest of them on.

    Without that bound the database could walk from the newest job of all past a million others first.
    """
    statuses = sorted(wanted)
    newest = (rows.filter(status=status).order_by("-pk").values_list("pk", flat=True)[:1] for status in statuses)
    found = [pk for pks in newest for pk in pks]
    return rows.filter(status__in=statuses, pk__lte=max(found)) if found else rows.none()


class TypeFilter(CountedFilter):
    """Narrows the list to one job type."""

    title: Any = gettext_lazy("type")
    parameter_name = "type"

    #: The look-up that leads from a row of the list to the name of its type.
    path = "job_type_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = seen_by(request).types.order_by("pk").values_list("pk", flat=True)
        names = list(rows[: MAX_TYPES + 1])
        if len(names) > MAX_TYPES:
            self.title = gettext("type (the first %(count)s)") % {"count": MAX_TYPES}
        names = names[:MAX_TYPES]
        if (asked := self.value()) not in {None, *names}:
            names += rows.filter(pk=asked)[:1]
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.chosen()
        return queryset if chosen is None else queryset.filter(**{self.path: chosen})

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for this type."""
        return JobFilter(job_type=(asked,))


class OrganizationFilter(CountedFilter):
    """Narrows the list to one organization."""

    title: Any = gettext_lazy("organization")
    parameter_name = "organization"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        field = jobs_settings.ORGANIZATION_ID_FIELD
        names = seen_by(request).tenants.order_by(field).values_list("pk", field)
        found = list(names[: MAX_LISTED + 1])
        if len(found) > MAX_LISTED:
            self.title = gettext("organization (the first %(count)s; search finds any)") % {"count": MAX_LISTED}
        found = found[:MAX_LISTED]
        if self.value() not in {None, *(str(pk) for pk, _ in found)}:
            found += self._one(names)
        return [(str(pk), str(name)) for pk, name in found]

    def _one(self, names: QuerySet[Any, Any]) -> list[Any]:
        """Return the organization that the address asks for, if there is one that the user may see."""
        try:
            return list(names.filter(pk=self.value())[:1])
        except (TypeError, ValueError, ValidationError, OverflowError, DataError):  # no value that a key could have
            return []

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for this organization."""
        return JobFilter(organization_pk=(get_organization_model()._meta.pk.to_python(asked),))


class PriorityFilter(CountedFilter):
    """Narrows the list to one priority."""

    title: Any = gettext_lazy("priority")
    parameter_name = "priority"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(priority.value), str(priority.label)) for priority in sorted(Priority, reverse=True)]

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for this priority."""
        return JobFilter(priority=(int(asked),))


class CreatedFilter(ListedJobsFilter):
    """Narrows the list to the jobs that were submitted lately."""

    title: Any = gettext_lazy("created")
    parameter_name = "created"

    hours: Final = {"1h": 1, "24h": 24, "7d": 168, "30d": 720}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("1h", gettext("In the last hour")),
            ("24h", gettext("In the last 24 hours")),
            ("7d", gettext("In the last 7 days")),
            ("30d", gettext("In the last 30 days")),
        ]

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for the time since then."""
        return JobFilter(created_after=database.now() - dt.timedelta(hours=self.hours[asked]))


class ErrorFilter(ListedJobsFilter):
    """Narrows the list to the jobs that have an error, or have none."""

    title: Any = gettext_lazy("has error")
    parameter_name = "error"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", gettext("Yes")), ("no", gettext("No"))]

    def job_filter(self, asked: str) -> JobFilter:
        """Return the filter for jobs with an error, or without one."""
        return JobFilter(has_error=asked == "yes")


FILTERS: Final = (StatusFilter, TypeFilter, OrganizationFilter, PriorityFilter, CreatedFilter, ErrorFilter)
