"""The parameters of a list of jobs, and the filter that they mean."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, ClassVar, Final

import django_filters
from django import forms
from django.db.models import QuerySet

from django_jobs.api.filter_fields import (
    MomentFilter,
    OneLineWidget,
    PriorityFilter,
    SeveralFilter,
    check_batch_id,
    check_encodable,
)
from django_jobs.api.list_filters import ListFilter, ListFilterBackend
from django_jobs.api.throttles import count_search
from django_jobs.engine.access import visible_organizations
from django_jobs.engine.insight.filter import JobFilter, read_batch_id, read_job_id, read_name, read_status, searched
from django_jobs.engine.insight.search import RECENT, among_newest, walked_in_time
from django_jobs.models import Job
from django_jobs.models.job import JobQuerySet
from django_jobs.statuses import Status

#: By parameter: the field of the filter, and what makes its value. The organization and the search are looked up.
TERMS: Final[dict[str, tuple[str, Any]]] = {
    "status": ("status", tuple),
    "job_type": ("job_type", tuple),
    "priority": ("priority", lambda value: (value,)),
    "owner": ("owner", str),
    "job_id": ("job_id", tuple),
    "batch": ("batch", read_batch_id),
    "created_after": ("created_after", lambda value: value),
    "created_before": ("created_before", lambda value: value),
}


class JobListFilter(ListFilter):
    """Find jobs by the parameters of a list. Only ``status``, ``job_type`` and ``job_id`` may be repeated."""

    status = SeveralFilter(label="Status", parse=read_status, widget=forms.SelectMultiple(choices=Status.choices))
    job_type = SeveralFilter(label="Job type", parse=read_name, widget=OneLineWidget, help_text="Its name.")
    priority = PriorityFilter(label="Priority")
    owner = django_filters.CharFilter(
        label="Owner", field_name="owner_name", validators=[check_encodable], help_text="A user name."
    )
    job_id = SeveralFilter(label="Job id", parse=read_job_id, widget=OneLineWidget, help_text="E.g. JOB-2026-00001.")
    batch = django_filters.CharFilter(label="Batch", validators=[check_batch_id], help_text="E.g. BATCH-2026-00001.")
    created_after = MomentFilter(label="Created after", help_text="At this moment (ISO 8601) or later.")
    created_before = MomentFilter(label="Created before", help_text="Before this moment (ISO 8601).")
    search = django_filters.CharFilter(
        label="Search",
        max_length=200,
        validators=[check_encodable],
        help_text=f"A job id, or a part of the error of a job that failed, among the newest {RECENT:,} of your jobs.",
    )
    # Ids are in the order of the submissions, and they have an index.
    ordering = django_filters.ChoiceFilter(
        label="Order",
        choices=[("-created_at", "Newest first"), ("created_at", "Oldest first")],
        empty_label=None,
    )

    class Meta:
        model = Job
        fields: list[str] = []

    def filter_queryset(self, queryset: JobQuerySet) -> QuerySet[Any]:
        """Return those of the jobs that match, in the order that was asked for."""
        filters = self._job_filter()
        rows: QuerySet[Any] = filters.narrow(queryset)
        if filters.is_walked:
            user = getattr(self.request, "user", None)
            rows = among_newest(rows, filters.organization_pk or visible_organizations(None, user), RECENT).rows
        order = {"created_at": "pk", "-created_at": "-pk"}.get(self.form.cleaned_data["ordering"])
        return rows.order_by(order) if order else rows

    def _job_filter(self) -> JobFilter:
        """Return the filter that the parameters mean. ``is_valid`` has read them."""
        given = self.form.cleaned_data
        found = {field: make(given[name]) for name, (field, make) in TERMS.items() if given[name] not in (None, "", [])}
        if self._organizations:
            found["organization_pk"] = tuple(self._organizations.values())
        return JobFilter(**found).both(searched(given["search"]))


def searching(request: Any, text: object) -> AbstractContextManager[None]:
    """Count a search against its rate, and bound the time of what is read in the block.

    Nothing is done where the text is blank, or a job's id, which an index finds.
    """
    is_walked = isinstance(text, str) and searched(text).is_walked
    if is_walked:
        count_search(request)
    return walked_in_time("search", is_walked=is_walked)


class JobFilterBackend(ListFilterBackend):
    """Filter a list by JobListFilter, and refuse parameters that it does not have."""

    page_parameters: ClassVar[tuple[str, ...]] = (*ListFilterBackend.page_parameters, "fields")
