"""The parameters of a list of jobs, and which jobs each of them finds."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import django_filters
from django import forms
from django.db.models import QuerySet
from django.http import QueryDict
from django.template import loader
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers

from django_jobs.api.fields import refuse_unknown
from django_jobs.api.jobs.filter_fields import (
    JobIdsFilter,
    MomentFilter,
    OneLineWidget,
    PriorityFilter,
    SeveralFilter,
    check_encodable,
    read_job_id,
    read_name,
    read_status,
    with_ids,
)
from django_jobs.api.scope import organizations_named, unknown_organization
from django_jobs.engine.insight.newest_jobs import RECENT, among_newest
from django_jobs.engine.lookup import visible_organizations
from django_jobs.engine.store.submission_times import created_between
from django_jobs.models import Job
from django_jobs.models.job import JobQuerySet, parse_job_id
from django_jobs.statuses import WITH_ERRORS, Status

#: Parameters of a list that are no filters: the pagination reads the first three, the REST framework ``format``.
PAGE_PARAMETERS: Final = ("limit", "offset", "fields", "format")


class JobFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Find jobs by the parameters of a list. Only ``status``, ``job_type`` and ``job_id`` may be repeated."""

    organization = django_filters.CharFilter(label="Organization", method="in_organization", help_text="Its id.")
    status = SeveralFilter(label="Status", parse=read_status, widget=forms.SelectMultiple(choices=Status.choices))
    job_type = SeveralFilter(label="Job type", parse=read_name, widget=OneLineWidget, help_text="Its name.")
    priority = PriorityFilter(label="Priority")
    owner = django_filters.CharFilter(
        label="Owner", field_name="owner_name", validators=[check_encodable], help_text="A user name."
    )
    job_id = JobIdsFilter(label="Job id", parse=read_job_id, widget=OneLineWidget, help_text="E.g. JOB-2026-00001.")
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

    def in_organization(self, rows: JobQuerySet, name: str, value: str) -> JobQuerySet:
        """Return the organization's jobs. ``is_valid`` has read its key."""
        return rows.filter(organization_id=self._organizations[value])

    def created(self, rows: JobQuerySet, name: str, value: dt.datetime) -> JobQuerySet:
        """Return the jobs that were submitted at or after a moment, or before it, as the parameter's name says."""
        return created_between(rows, **{name.removeprefix("created_"): value})

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

    def matching(self) -> JobQuerySet:
        """Return the jobs that match. The REST framework's ValidationError names the parameters that are wrong.

        The errors are translated here, because django-filter's own way fails at a percent sign in a message.
        """
        wrong = {} if self.is_valid() else {name: list(map(str, texts)) for name, texts in self.errors.items()}
        wrong |= self._repeated()
        if wrong:
            raise serializers.ValidationError(wrong)
        rows: JobQuerySet = self.qs
        return rows

    def _repeated(self) -> dict[str, list[str]]:
        """The errors of parameters that were given twice but have one value: to choose one would be a guess."""
        several = {name for name, item in self.base_filters.items() if isinstance(item, SeveralFilter)}
        given = self.data.lists() if isinstance(self.data, QueryDict) else ()
        return {name: ["Give one value."] for name, values in given if len(values) > 1 and name not in several}

    def is_valid(self) -> bool:
        """Return whether all parameters are right.

        An organization that the user may not know of is refused like one that does not exist.
        """
        self._organizations: dict[str, Any] = {}
        valid = bool(super().is_valid())
        name = self.form.cleaned_data.get("organization")
        if name:
            self._organizations = organizations_named({name}, getattr(self.request, "user", None))
            if name not in self._organizations:
                self.form.add_error("organization", unknown_organization(name))
                return False
        return valid


class JobFilterBackend(DjangoFilterBackend):  # type: ignore[misc]
    """Filter a list by JobFilter, and refuse parameters that it does not have."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        refuse_unknown(request.query_params, [*JobFilter.base_filters, *PAGE_PARAMETERS])
        return self.get_filterset(request, queryset, view).matching()

    def to_html(self, request: Any, queryset: Any, view: Any) -> str:
        """Return the filters as a form that shows beside each what is wrong with it, an unknown organization too."""
        filterset = self.get_filterset(request, queryset, view)
        filterset.is_valid()
        return loader.get_template(self.template).render({"filter": filterset}, request)
