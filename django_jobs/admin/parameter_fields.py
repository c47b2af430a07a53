"""Form fields for the fields of a serializer. They only take values: the serializer judges what was typed."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.contrib.admin.widgets import AdminIntegerFieldWidget, AdminTextareaWidget, AdminTextInputWidget
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.translation import gettext as _
from rest_framework import fields, relations, serializers

from django_jobs.engine.job_types.masking import sensitive_names

#: A field for texts of more characters is a box instead of a line.
LONG_TEXT: Final = 200
MAX_CHOICES: Final = 200


class JSONValueField(forms.CharField):
    """Any JSON value, typed as text."""

    widget = forms.Textarea(attrs={"rows": 4, "class": "vLargeTextField djobs-code", "spellcheck": "false"})

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            text = _("This is no JSON: %(error)s.")
            raise forms.ValidationError(text, code="not_json", params={"error": error}) from error

    def prepare_value(self, value: Any) -> Any:
        return value if value is None or isinstance(value, str) else _json(value)

    def validate(self, value: Any) -> None:
        if value is None and self.required:
            raise forms.ValidationError(self.error_messages["required"], code="required")

    def run_validators(self, value: Any) -> None:
        """Check nothing: any JSON value is one."""


def accepted_fields(serializer: Any) -> dict[str, Any]:
    """Return the fields that a person may fill in, by name."""
    return {
        name: field
        for name, field in serializer.fields.items()
        if not field.read_only and not isinstance(field, fields.HiddenField)
    }


def form_field(name: str, field: Any) -> forms.Field:
    """Return a form field that takes what this serializer field takes."""
    is_sensitive = name.casefold() in sensitive_names()
    options: dict[str, Any] = {
        "label": str(field.label or name),
        "help_text": str(field.help_text or ""),
        "required": field.required and not getattr(field, "allow_blank", False) and not field.allow_null,
        "initial": None if is_sensitive else _initial(field),
    }
    if is_sensitive and isinstance(field, fields.CharField):
        return forms.CharField(**options, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "off"}))
    for kind, build in _BUILDERS:
        if isinstance(field, kind):
            return build(field, options)
    return _json_field(field, options)


def json_value(value: Any) -> Any:
    """Return what was typed as the JSON value that an API client would send."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return value


def is_empty(value: Any) -> bool:
    """Return whether nothing was typed or chosen."""
    return value is None or value == "" or (isinstance(value, list) and not value)


def _initial(field: Any) -> Any:
    default = field.default
    return None if default is fields.empty or callable(default) else default


def _json(value: Any) -> str:
    try:
        return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
    except (TypeError, ValueError):
        return ""


def _text(field: Any, options: dict[str, Any]) -> forms.Field:
    limit = field.max_length
    is_long = field.style.get("base_template") == "textarea.html" or (limit is not None and limit > LONG_TEXT)
    if field.style.get("input_type") == "password":
        widget: forms.Widget = forms.PasswordInput(attrs={"autocomplete": "off"})
    else:
        widget = AdminTextareaWidget() if is_long else AdminTextInputWidget()
    return forms.CharField(**options, max_length=limit, strip=field.trim_whitespace, widget=widget)


def _line(_: Any, options: dict[str, Any]) -> forms.Field:
    return forms.CharField(**options, widget=AdminTextInputWidget())


def _integer(field: Any, options: dict[str, Any]) -> forms.Field:
    return forms.IntegerField(
        **options, min_value=field.min_value, max_value=field.max_value, widget=AdminIntegerFieldWidget()
    )


def _float(field: Any, options: dict[str, Any]) -> forms.Field:
    return forms.FloatField(**options, min_value=field.min_value, max_value=field.max_value)


def _decimal(field: Any, options: dict[str, Any]) -> forms.Field:
    return forms.DecimalField(**options, max_digits=field.max_digits, decimal_places=field.decimal_places)


def _boolean(field: Any, options: dict[str, Any]) -> forms.Field:
    if field.required and not field.allow_null:
        return forms.BooleanField(**{**options, "required": False})
    return forms.NullBooleanField(**{**options, "required": False})


def _choice(field: Any, options: dict[str, Any]) -> forms.Field:
    choices = list(field.choices.items())
    if len(choices) > MAX_CHOICES:
        return _line(field, options)
    # A form gives texts. The choices' own values go on, since JSON tells 1 from "1".
    empty = [] if options["required"] and options["initial"] is not None else [("", "---------")]
    by_text = {str(value): value for value, _ in choices}
    return forms.TypedChoiceField(
        **options, choices=[*empty, *choices], coerce=lambda text: by_text.get(text, text), empty_value=""
    )


def _choices(field: Any, options: dict[str, Any]) -> forms.Field:
    by_text = {str(value): value for value in field.choices}
    options["initial"] = list(options["initial"] or ())
    return forms.TypedMultipleChoiceField(
        **options, choices=list(field.choices.items()), coerce=lambda text: by_text.get(text, text)
    )


def _typed(form_class: Any, input_type: str, layout: str | None = None) -> Callable[[Any, dict[str, Any]], forms.Field]:
    def build(_: Any, options: dict[str, Any]) -> forms.Field:
        widget_class = form_class.widget
        return form_class(**options, widget=widget_class(format=layout, attrs={"type": input_type}))  # type: ignore[no-any-return]

    return build


def _primary_key(field: Any, options: dict[str, Any]) -> forms.Field:
    """Return a field to type the key into. A list of the host's rows would show one organization's rows to another."""
    kind = field.queryset.model._meta.pk.get_internal_type() if field.queryset is not None else ""
    is_number = kind.endswith(("AutoField", "IntegerField"))
    return forms.IntegerField(**options, widget=AdminIntegerFieldWidget()) if is_number else _line(field, options)


def _json_field(field: Any, options: dict[str, Any]) -> forms.Field:
    is_list = isinstance(field, fields.ListField | serializers.ListSerializer)
    shape = _("A list in JSON.") if is_list else _("A value in JSON.")
    options["help_text"] = f"{options['help_text']} {shape}".strip()
    return JSONValueField(**options)


#: The first class that fits builds the field, so subclasses come before their bases.
_BUILDERS: Final[tuple[tuple[Any, Callable[[Any, dict[str, Any]], forms.Field]], ...]] = (
    (relations.PrimaryKeyRelatedField, _primary_key),
    ((relations.SlugRelatedField, relations.HyperlinkedRelatedField, fields.UUIDField, fields.DurationField), _line),
    (fields.BooleanField, _boolean),
    (fields.CharField, _text),
    (fields.IntegerField, _integer),
    (fields.FloatField, _float),
    (fields.DecimalField, _decimal),
    (fields.DateTimeField, _typed(forms.DateTimeField, "datetime-local", "%Y-%m-%dT%H:%M:%S")),
    (fields.DateField, _typed(forms.DateField, "date", "%Y-%m-%d")),
    (fields.TimeField, _typed(forms.TimeField, "time", "%H:%M:%S")),
    (fields.MultipleChoiceField, _choices),
    (fields.ChoiceField, _choice),
)
