"""The parameters of a list of jobs, and which jobs each of them finds."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import QueryDict
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers

from django_jobs.api.fields import refuse_unknown
from django_jobs.api.scope import organizations_named, unknown_organization
from django_jobs.engine.insight.newest import RECENT, among_newest
from django_jobs.engine.json_storage import clean_text, unstorable_part
from django_jobs.engine.lookup import visible_organizations
from django_jobs.engine.store.moments import created_between
from django_jobs.models import Job
from django_jobs.models.job import JobQuerySet, parse_job_id
from django_jobs.statuses import WITH_ERRORS, Priority, Status

MAX_VALUES: Final = 100
#: Where jobs have an error to search in.
#: Parameters of a list that are no filters: the pagination reads the first three, the REST framework ``format``.
PAGE_PARAMETERS: Final = ("limit", "offset", "fields", "format")


class SeveralField(forms.Field):
    """A parameter that may be repeated up to 100 times. ``parse`` reads each value, or raises ValueError."""

    widget = forms.SelectMultiple

    def __init__(self, *, parse: Any, **kwargs: Any) -> None:
        self.parse = parse
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> list[Any]:
        values = [item for item in value or [] if item != ""]
        if len(values) > MAX_VALUES:
            raise ValidationError(f"At most {MAX_VALUES} values are accepted.")
        try:
            return [self.parse(item) for item in values]
        except ValueError as error:
            raise ValidationError(str(error)) from error


class SeveralFilter(django_filters.Filter):  # type: ignore[misc]
    """Find the rows whose column has one of the values."""

    field_class = SeveralField

    def filter(self, qs: Any, value: Any) -> Any:
        return qs.filter(**{f"{self.field_name}__in": value}) if value else qs


class JobIdsFilter(SeveralFilter):
    """Find the jobs with one of the ids."""

    def filter(self, qs: Any, value: Any) -> Any:
        return qs.filter(_with_ids(value)) if value else qs


class OneLineWidget(forms.TextInput):
    """Read every repetition of a parameter, and show one line in a form."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        values = data.getlist(name) if hasattr(data, "getlist") else data.get(name)
        return values if isinstance(values, list) or values is None else [values]

    def format_value(self, value: Any) -> Any:
        return (value[0] if value else "") if isinstance(value, list) else value


def _status(text: str) -> str:
    if text not in Status.values:
        raise ValueError(f"{clean_text(text, 50)!r} is not a status; use {', '.join(Status.values)}.")
    return text


def _job_id(text: str) -> tuple[int, int]:
    parsed = parse_job_id(text)
    if parsed is None:
        raise ValueError(f"{clean_text(text, 50)!r} is not a job id such as JOB-2026-00001.")
    return parsed


def _with_ids(ids: Iterable[tuple[int, int]]) -> Q:
    """The condition for jobs with one of these ids. The year is a part of an id, so it must be right too."""
    by_year: dict[int, list[int]] = defaultdict(list)
    for pk, year in ids:
        by_year[year].append(pk)
    found = Q(pk__in=[])
    for year, pks in by_year.items():
        if dt.MINYEAR <= year < dt.MAXYEAR:
            begin, end = (dt.datetime(number, 1, 1, tzinfo=dt.UTC) for number in (year, year + 1))
            found |= Q(pk__in=pks, created_at__gte=begin, created_at__lt=end)
    return found


def _storable(text: str) -> str:
    """Return the text; ValueError when no row can hold it."""
    if "\x00" in text:
        raise ValueError("Null characters are not allowed.")
    check_encodable(text)
    return text


def check_encodable(text: str) -> None:
    """Raise ValidationError for a lone surrogate; Django's own check of a text refuses null characters alone."""
    if unstorable_part(text.replace("\x00", "")):
        raise ValidationError("Lone surrogates are not allowed.")


class MomentField(IsoDateTimeField):  # type: ignore[misc]
    """A moment; one that lies outside of the calendar in UTC is refused."""

    def to_python(self, value: Any) -> Any:
        moment = super().to_python(value)
        try:
            return moment and moment.astimezone(dt.UTC)
        except OverflowError as error:
            raise ValidationError("This moment is out of range.") from error


class MomentFilter(django_filters.Filter):  # type: ignore[misc]
    """Find rows by a moment (ISO 8601)."""

    field_class = MomentField


class PriorityFormField(forms.CharField):
    """A priority by its label or number; the form offers the labels."""

    widget = forms.Select(choices=[("", "---------"), *((label, label) for label in reversed(Priority.labels))])

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        try:
            return int(Priority.parse(text)) if text else None
        except ValueError as error:
            raise ValidationError(f"Use one of {', '.join(Priority.labels)}.") from error


class PriorityFilter(django_filters.Filter):  # type: ignore[misc]
    """Find rows by their priority."""

    field_class = PriorityFormField


class JobFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Find jobs by the parameters of a list. Only ``status``, ``job_type`` and ``job_id`` may be repeated."""

    organization = django_filters.CharFilter(label="Organization", method="in_organization", help_text="Its id.")
    status = SeveralFilter(label="Status", parse=_status, widget=forms.SelectMultiple(choices=Status.choices))
    job_type = SeveralFilter(label="Job type", parse=_storable, widget=OneLineWidget, help_text="Its name.")
    priority = PriorityFilter(label="Priority")
    owner = django_filters.CharFilter(
        label="Owner", field_name="owner_name", validators=[check_encodable], help_text="A user name."
    )
    job_id = JobIdsFilter(label="Job id", parse=_job_id, widget=OneLineWidget, help_text="E.g. JOB-2026-00001.")
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
            return rows.filter(_with_ids([parsed]))
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
