"""Filters and form fields that lists need beyond those of django-filter."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q
from django_filters.fields import IsoDateTimeField

from django_jobs.engine.json_storage import clean_text, unstorable_part
from django_jobs.models.batch import parse_batch_id
from django_jobs.models.job import parse_job_id
from django_jobs.statuses import BatchState, Priority, Status

#: Values of a parameter that may be repeated.
MAX_VALUES: Final = 100


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
        return qs.filter(with_ids(value)) if value else qs


class OneLineWidget(forms.TextInput):
    """Read every repetition of a parameter, and show one line in a form."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        values = data.getlist(name) if hasattr(data, "getlist") else data.get(name)
        return values if isinstance(values, list) or values is None else [values]

    def format_value(self, value: Any) -> Any:
        return (value[0] if value else "") if isinstance(value, list) else value


def read_status(text: str) -> str:
    """Return the text; ValueError when it is no status."""
    if text not in Status.values:
        raise ValueError(f"{clean_text(text, 50)!r} is not a status; use {', '.join(Status.values)}.")
    return text


def read_job_id(text: str) -> tuple[int, int]:
    """Return the key and the year of a job id; ValueError when the text is none."""
    parsed = parse_job_id(text)
    if parsed is None:
        raise ValueError(f"{clean_text(text, 50)!r} is not a job id such as JOB-2026-00001.")
    return parsed


def with_ids(ids: Iterable[tuple[int, int]]) -> Q:
    """Return the condition for jobs with one of these ids. The year is part of an id and must be right."""
    by_year: dict[int, list[int]] = defaultdict(list)
    for pk, year in ids:
        by_year[year].append(pk)
    found = Q(pk__in=[])
    for year, pks in by_year.items():
        found |= Q(pk__in=pks) & made_in(year)
    return found


def made_in(year: int, column: str = "created_at") -> Q:
    """Return the condition that a moment lies in this year, in UTC; that of no row for a year outside the calendar."""
    if not dt.MINYEAR <= year < dt.MAXYEAR:
        return Q(pk__in=[])
    begin, end = (dt.datetime(number, 1, 1, tzinfo=dt.UTC) for number in (year, year + 1))
    return Q(**{f"{column}__gte": begin, f"{column}__lt": end})


def check_batch_id(text: str) -> None:
    """Raise ValidationError when the text is no batch id."""
    if parse_batch_id(text.strip()) is None:
        raise ValidationError(f"{clean_text(text, 50)!r} is not a batch id such as BATCH-2026-00001.")


def read_state(text: str) -> str:
    """Return the text; ValueError when it is no state of a batch."""
    if text not in BatchState.values:
        raise ValueError(f"{clean_text(text, 50)!r} is not a state; use {', '.join(BatchState.values)}.")
    return text


def read_name(text: str) -> str:
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
