"""The filters of the Execution Log. No index serves them, so a list with one looks at the newest rows alone."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.bounded_filters import BoundedFilter
from django_jobs.admin.job_filters import TypeFilter
from django_jobs.admin.lookups import FAILURES
from django_jobs.admin.monitor_range import RANGES
from django_jobs.engine.store import database
from django_jobs.statuses import WITH_ERRORS, Status


class BecameFilter(BoundedFilter):
    """Narrows the log to the changes to one status, or to the failed attempts."""

    title = gettext_lazy("what it became")
    parameter_name = "became"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(FAILURES, _("A failed attempt")), *((status.value, str(status.label)) for status in Status)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.chosen()
        if chosen is None:
            return queryset
        if chosen == FAILURES:
            return queryset.filter(from_status=Status.RUNNING, to_status__in=sorted(WITH_ERRORS))
        return queryset.filter(to_status=chosen)


class LogTypeFilter(TypeFilter):
    """Narrows the log to the jobs of one type."""

    path = "job__job_type_id"


class SinceFilter(BoundedFilter):
    """Narrows the log to one of the monitor's time ranges."""

    title = gettext_lazy("when")
    parameter_name = "since"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(item.key, str(item.label)) for item in RANGES.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.chosen()
        return queryset if chosen is None else queryset.filter(timestamp__gte=RANGES[chosen].begins(database.now()))


LOG_FILTERS: Final = (BecameFilter, LogTypeFilter, SinceFilter)
