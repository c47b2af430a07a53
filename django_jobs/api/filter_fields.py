"""Filters and form fields that lists need beyond those of django-filter."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django_filters.fields import IsoDateTimeField
from rest_framework.fields import BooleanField

from django_jobs.engine.json_storage import clean_text, unstorable_part
from django_jobs.models.batch import parse_batch_id
from django_jobs.statuses import BatchState, Priority
from django_jobs.texts import said, say

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
            raise ValidationError(f"At most {MAX_VALUES} values are accepted.", code="too_many")
        try:
            return [self.parse(item) for item in values]
        except ValueError as error:
            raise ValidationError(str(error), code=said(error).code) from error


class SeveralFilter(django_filters.Filter):  # type: ignore[misc]
    """Find the rows whose column has one of the values."""

    field_class = SeveralField

    def filter(self, qs: Any, value: Any) -> Any:
        return qs.filter(**{f"{self.field_name}__in": value}) if value else qs


class OneLineWidget(forms.TextInput):
    """Read every repetition of a parameter, and show one line in a form."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        values = data.getlist(name) if hasattr(data, "getlist") else data.get(name)
        return values if isinstance(values, list) or values is None else [values]

    def format_value(self, value: Any) -> Any:
        return (value[0] if value else "") if isinstance(value, list) else value


def check_batch_id(text: str) -> None:
    """Raise ValidationError when the text is no batch id."""
    if parse_batch_id(text.strip()) is None:
        raise ValidationError(f"{clean_text(text, 50)!r} is not a batch id such as BATCH-2026-00001.", "not_a_batch_id")


def read_state(text: str) -> str:
    """Return the text; ValueError when it is no state of a batch."""
    if text not in BatchState.values:
        pattern = "%(value)r is not a state; use %(choices)s."
        raise ValueError(
            say(pattern, code="not_a_state", value=clean_text(text, 50), choices=", ".join(BatchState.values))
        )
    return text


def check_encodable(text: str) -> None:
    """Raise ValidationError for a lone surrogate; Django's own check of a text refuses null characters alone."""
    if unstorable_part(text.replace("\x00", "")):
        raise ValidationError("Lone surrogates are not allowed.", code="unstorable_text")


class MomentField(IsoDateTimeField):  # type: ignore[misc]
    """A moment; one that lies outside of the calendar in UTC is refused."""

    def to_python(self, value: Any) -> Any:
        moment = super().to_python(value)
        try:
            return moment and moment.astimezone(dt.UTC)
        except OverflowError as error:
            raise ValidationError("This moment is out of range.", code="out_of_range") from error


class MomentFilter(django_filters.Filter):  # type: ignore[misc]
    """Find rows by a moment (ISO 8601)."""

    field_class = MomentField


class FlagWidget(forms.NullBooleanSelect):
    """Offer yes, no and neither, and hand on what was given: Django's own takes every word that it does not know for
    neither.
    """

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        return data.get(name)


class FlagField(forms.Field):
    """True or false, in the words that the REST framework takes for them. A form sends ``unknown`` for neither."""

    widget = FlagWidget

    def to_python(self, value: Any) -> bool | None:
        word = str(value or "").strip().lower()
        if word in {"", "unknown"}:
            return None
        if word not in BooleanField.TRUE_VALUES | BooleanField.FALSE_VALUES:
            raise ValidationError("Give true or false.", code="not_true_or_false")
        return word in BooleanField.TRUE_VALUES


class FlagFilter(django_filters.BooleanFilter):  # type: ignore[misc]
    """Find rows for which something is so, or is not. What is neither true nor false is refused, not ignored."""

    field_class = FlagField


class PriorityFormField(forms.CharField):
    """A priority by its label or number; the form offers the labels."""

    widget = forms.Select(choices=[("", "---------"), *((label, label) for label in reversed(Priority.words()))])

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        try:
            return int(Priority.parse(text)) if text else None
        except ValueError as error:
            raise ValidationError(f"Use one of {', '.join(Priority.words())}.") from error


class PriorityFilter(django_filters.Filter):  # type: ignore[misc]
    """Find rows by their priority."""

    field_class = PriorityFormField
