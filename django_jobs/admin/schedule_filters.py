"""The filters of the list of schedules."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from django_jobs.admin.bounded_filters import BoundedFilter
from django_jobs.admin.job_filters import MAX_TYPES, OrganizationFilter
from django_jobs.engine.schedules.definitions import visible_schedules

STATES: Final = {
    "on": (pgettext_lazy("schedule", "On"), Q(is_enabled=True, fault="", next_run_at__isnull=False)),
    "paused": (pgettext_lazy("schedule", "Paused"), Q(is_enabled=False)),
    "faulty": (gettext_lazy("Cannot fire"), Q(is_enabled=True) & ~Q(fault="")),
    "over": (gettext_lazy("Over: it fires no more"), Q(is_enabled=True, fault="", next_run_at__isnull=True)),
}
EACH: Final = "each"


class StateFilter(BoundedFilter):
    """Narrows the list to the schedules that are on, paused, over, or cannot fire."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(key, str(item[0])) for key, item in STATES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.chosen()
        return queryset if chosen is None else queryset.filter(STATES[chosen][1])


class ScheduledTypeFilter(BoundedFilter):
    """Narrows the list to one of the job types that the schedules submit."""

    title = gettext_lazy("type")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = visible_schedules(request.user).order_by("job_type_id").values_list("job_type_id", flat=True).distinct()
        names = list(rows[:MAX_TYPES])
        if (asked := self.value()) not in {None, *names}:
            names += rows.filter(job_type_id=asked)[:1]
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.chosen()
        return queryset if chosen is None else queryset.filter(job_type_id=chosen)


class TenantFilter(OrganizationFilter):
    """Narrows the list to one organization, or to what is for each active one."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(EACH, _("Each active one")), *super().lookups(request, model_admin)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == EACH:
            return queryset.filter(organization__isnull=True)
        return super().queryset(request, queryset)


FILTERS: Final = (StateFilter, ScheduledTypeFilter, TenantFilter)
