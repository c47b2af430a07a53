"""The parameters of a list of schedules."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers

from django_jobs.api.fields import refuse_unknown
from django_jobs.api.jobs.filter_fields import check_encodable
from django_jobs.api.scope import organizations_named, unknown_organization
from django_jobs.engine.schedules.schedule_rights import having
from django_jobs.models import Schedule

PAGE_PARAMETERS = ("limit", "offset", "format")


class ScheduleFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Find schedules by the parameters of a list."""

    organization = django_filters.CharFilter(label="Organization", method="in_organization", help_text="Its id.")
    job_type = django_filters.CharFilter(
        label="Job type", field_name="job_type_id", validators=[check_encodable], help_text="Its name."
    )
    is_enabled = django_filters.BooleanFilter(label="Enabled", help_text="False: the paused ones.")
    search = django_filters.CharFilter(
        label="Search",
        method="having",
        max_length=200,
        validators=[check_encodable],
        help_text="A part of the name or of the job type's name.",
    )

    class Meta:
        model = Schedule
        fields: list[str] = []

    def in_organization(self, rows: QuerySet[Schedule], name: str, value: str) -> QuerySet[Schedule]:
        """Return the organization's schedules. One that the user may not know of is refused as if it did not exist."""
        found = organizations_named({value}, self.request.user)
        if value not in found:
            raise serializers.ValidationError({"organization": [unknown_organization(value)]})
        return rows.filter(organization_id=found[value])

    def having(self, rows: QuerySet[Schedule], name: str, value: str) -> QuerySet[Schedule]:
        """Return the schedules whose name, or whose type's name, has the text."""
        return having(rows, value)


class ScheduleFilterBackend(DjangoFilterBackend):  # type: ignore[misc]
    """Filter a list by ScheduleFilter, and refuse parameters that it does not have."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        refuse_unknown(request.query_params, [*ScheduleFilter.base_filters, *PAGE_PARAMETERS])
        found = self.get_filterset(request, queryset, view)
        if not found.is_valid():
            raise serializers.ValidationError({name: list(map(str, texts)) for name, texts in found.errors.items()})
        return found.qs
