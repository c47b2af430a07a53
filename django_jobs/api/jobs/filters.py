"""The parameters of a list of jobs, and which jobs each of them finds."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from django import forms
from django.db.models import QuerySet

from django_jobs.api.filter_fields import (
    JobIdsFilter,
    MomentFilter,
    OneLineWidget,
    PriorityFilter,
    SeveralFilter,
    check_batch_id,
    check_encodable,
    made_in,
    read_job_id,
    read_name,
    read_status,
    with_ids,
)
from django_jobs.api.list_filters import ListFilter, ListFilterBackend
from django_jobs.engine.insight.newest_jobs import RECENT, among_newest
from django_jobs.engine.lookup import visible_organizations
from django_jobs.models import Job
from django_jobs.models.batch import parse_batch_id
from django_jobs.models.job import JobQuerySet, parse_job_id
from django_jobs.statuses import WITH_ERRORS, Status


class JobFilter(ListFilter):
    """Find jobs by the parameters of a list. Only ``status``, ``job_type`` and ``job_id`` may be repeated."""

    status = SeveralFilter(label="Status", parse=read_status, widget=forms.SelectMultiple(choices=Status.choices))
    job_type = SeveralFilter(label="Job type", parse=read_name, widget=OneLineWidget, help_text="Its name.")
    priority = PriorityFilter(label="Priority")
    owner = django_filters.CharFilter(
        label="Owner", field_name="owner_name", validators=[check_encodable], help_text="A user name."
    )
    job_id = JobIdsFilter(label="Job id", parse=read_job_id, widget=OneLineWidget, help_text="E.g. JOB-2026-00001.")
    batch = django_filters.CharFilter(
        label="Batch", method="of_batch", validators=[check_batch_id], help_text="E.g. BATCH-2026-00001."
    )
    created_after = MomentFilter(
        label="Created after", method="created", help_text="At this moment (ISO 8601) or later."
    )
    created_before = MomentFilter(label="Created before", method="created", help_text="Before this moment (ISO 8601).")
    search = django_filters.CharFilter(
        label="Search",
        method="having",
        max_length=200,
        validators=[check_encodable],
        help_text=f"A job id, or a part of the error of a job that failed, among the newest {RECENT:,} of your jobs.",
    )
    # Ids are in the order of the submissions, and they have an index.
    ordering = django_filters.ChoiceFilter(
        label="Order",
        method="in_order",
        choices=[("-created_at", "Newest first"), ("created_at", "Oldest first")],
        empty_label=None,
    )

    class Meta:
        model = Job
        fields: list[str] = []

    def of_batch(self, rows: JobQuerySet, name: str, value: str) -> QuerySet[Any]:
        """Return the jobs that count for the batch with this id."""
        pk, year = parse_batch_id(value.strip()) or (0, 0)
        return rows.filter(made_in(year, "batch__created_at"), batch_id=pk)

    def having(self, rows: JobQuerySet, name: str, value: str) -> QuerySet[Any]:
        """Return the job with this id, or the failed ones among the newest whose error contains the text."""
        parsed = parse_job_id(value.strip())
        if parsed is not None:
            return rows.filter(with_ids([parsed]))
        asked = list(self._organizations.values())
        organizations = asked or visible_organizations(None, getattr(self.request, "user", None))
        found = rows.filter(status__in=sorted(WITH_ERRORS), error_message__icontains=value)
        return among_newest(found, organizations, RECENT).rows

    def in_order(self, rows: JobQuerySet, name: str, value: str) -> JobQuerySet:
        """Return the jobs in the order that was asked for."""
        return rows.order_by("pk" if value == "created_at" else "-pk")


class JobFilterBackend(ListFilterBackend):
    """Filter a list by JobFilter, and refuse parameters that it does not have."""

    page_parameters: ClassVar[tuple[str, ...]] = (*ListFilterBackend.page_parameters, "fields")
