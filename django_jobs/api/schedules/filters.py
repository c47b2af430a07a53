"""The parameters of a list of schedules."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet

from django_jobs.api.filter_fields import FlagFilter, check_encodable
from django_jobs.api.list_filters import ListFilter
from django_jobs.engine.schedules.definitions import having
from django_jobs.models import Schedule


class ScheduleFilter(ListFilter):
    """Find schedules by the parameters of a list."""

    job_type = django_filters.CharFilter(
        label="Job type", field_name="job_type_id", validators=[check_encodable], help_text="Its name."
    )
    is_enabled = FlagFilter(label="Enabled", help_text="False: the paused ones.")
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

    def having(self, rows: QuerySet[Schedule], name: str, value: str) -> QuerySet[Schedule]:
        """Return the schedules whose name, or whose type's name, has the text."""
        return having(rows, value)
