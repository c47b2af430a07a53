"""The forms of Run again: a copy of a job's parameters to be edited, as fields where the type has a serializer."""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.masking import json_of
from django_jobs.admin.submission_form import PREFIX, parameter_fields, place, serializer_fields_of, typed_parameters
from django_jobs.engine.job_types.masking import MASK, MasksLeft, Names, masked, parameters_to_submit
from django_jobs.models import Job, JobType
from django_jobs.statuses import Priority

logger = logging.getLogger("django_jobs")

HELP: Final = gettext_lazy(
    "%(mask)s stands for a value that you may not read. It goes along only if you change none of the parameters; once "
    "you change one, type the hidden ones anew."
)
HIDDEN: Final = gettext_lazy(
    "You may not read what it was. It goes along only if you leave this empty and change none of the parameters."
)
TYPE_IT: Final = gettext_lazy(
    "%(place)s: type this value. What %(job)s has there is hidden from you, and goes to no job that differs."
)
MAX_PLACES: Final = 20


class RerunForm(forms.Form):
    """Base: the priority; type and organization are the job's own. ``hidden`` are the keys that the user may not read.

    Once it is valid, ``cleaned_data["parameters"]`` is what is to be submitted.
    """

    priority = forms.ChoiceField(choices=Priority.choices, label=gettext_lazy("Priority"))

    def __init__(self, job: Job, hidden: Names, data: Any, initial: dict[str, Any]) -> None:
        super().__init__(data, initial={**initial, "priority": job.priority})
        self.job = job
        self.hidden = hidden

    def clean_priority(self) -> int:
        return int(self.cleaned_data["priority"])

    def to_submit(self, edited: Any) -> Any:
        """Return the parameters to submit; where values have to be typed, say so beside their fields."""
        try:
            return parameters_to_submit(edited, self.job.input_parameters, self.hidden)
        except MasksLeft as error:
            for path in error.places[:MAX_PLACES]:
                field, _rest = place(self, path.split("."))
                text = TYPE_IT % {"place": path, "job": self.job.name}
                self.add_error(field, forms.ValidationError(text, code="hidden_value"))
            return None


class JSONForm(RerunForm):
    """The parameters as JSON."""

    parameters = forms.CharField(
        required=False,
        strip=False,
        label=gettext_lazy("Parameters"),
        widget=forms.Textarea(attrs={"rows": 16, "class": "vLargeTextField djobs-code", "spellcheck": "false"}),
    )
    field_order = ("parameters", "priority")

    def __init__(self, job: Job, hidden: Names, data: Any = None) -> None:
        shown = json_of(job.input_parameters, hidden)
        super().__init__(job, hidden, data, {"parameters": shown})
        if MASK in shown and hidden:
            self.fields["parameters"].help_text = HELP % {"mask": MASK}

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if "parameters" in values:
            try:
                values["parameters"] = self.to_submit(json.loads(values["parameters"] or "{}"))
            except json.JSONDecodeError as error:
                text = _("This is no JSON: %(error)s.") % {"error": error}
                self.add_error("parameters", forms.ValidationError(text, code="not_json"))
            except RecursionError:
                self.add_error("parameters", forms.ValidationError(_("This is nested too deeply."), code="too_deep"))
        return values


class FieldsForm(RerunForm):
    """The parameters as a field for each of the serializer's, filled in with what the job has."""

    def __init__(self, job: Job, hidden: Names, serializer_fields: dict[str, Any], data: Any = None) -> None:
        self.serializer_fields = serializer_fields
        original = masked(job.input_parameters, hidden)
        initial = {
            PREFIX + name: _to_be_edited(field, original[name])
            for name, field in serializer_fields.items()
            if name in original and name.casefold() not in hidden
        }
        super().__init__(job, hidden, data, initial)
        own = parameter_fields(serializer_fields)
        for name in serializer_fields:
            self._prepare(own[PREFIX + name], name)
        self.fields = {**own, "priority": self.fields["priority"]}

    def _prepare(self, field: forms.Field, name: str) -> None:
        """Fit a field of a new submission to one that is to be edited."""
        is_there = name in self.job.input_parameters
        if name.casefold() in self.hidden and is_there:
            field.required = False
            field.help_text = f"{field.help_text} {HIDDEN}".strip()
        elif isinstance(field.widget, forms.PasswordInput) and name.casefold() not in self.hidden:
            # Whoever may read the value edits it; one line would lose the line ends.
            has_lines = "\n" in str(self.job.input_parameters.get(name))
            field.widget = AdminTextareaWidget() if has_lines else AdminTextInputWidget()
        if not is_there:
            field.initial = None  # the job ran without it

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if not self.errors:
            values["parameters"] = self.to_submit(self._edited())
        return values

    def _edited(self) -> dict[str, Any]:
        """Return what was typed, with masks where hidden values were left as they were, in the order of the job's."""
        shown = masked(self.job.input_parameters, self.hidden)
        if all(name == "priority" for name in self.changed_data):
            return shown  # type: ignore[no-any-return]
        typed = typed_parameters(self, self.serializer_fields)
        for name in self.serializer_fields:
            if name in shown and name.casefold() in self.hidden and PREFIX + name not in self.changed_data:
                typed[name] = MASK
        return {name: _as_before(value, shown.get(name)) for name, value in typed.items()}


def make_form(job: Job, kind: JobType | None, hidden: Names, data: Any = None, *, as_json: bool = False) -> RerunForm:
    """Return the form with fields, or that with JSON where it is asked for or the fields would not show all of it."""
    serializer_fields = None if as_json or kind is None else serializer_fields_of(kind)
    is_shown = isinstance(job.input_parameters, dict) and set(job.input_parameters) <= set(serializer_fields or ())
    if not serializer_fields or not is_shown:
        return JSONForm(job, hidden, data)
    try:
        return FieldsForm(job, hidden, serializer_fields, data)
    except Exception:  # the host's serializer
        logger.exception("event=no_parameters_form job_type=%s", job.job_type_id)
        return JSONForm(job, hidden, data)


def _to_be_edited(field: Any, value: Any) -> Any:
    """Return a stored value as its form field takes it: a moment, a date or a time is stored as text."""
    from rest_framework import fields, serializers

    if not isinstance(field, fields.DateTimeField | fields.DateField | fields.TimeField):
        return value
    try:
        return field.to_internal_value(value)
    except serializers.ValidationError:
        return value


def _as_before(value: Any, before: Any) -> Any:
    """Return the value as it was, where it differs only by the line ends that browsers send."""
    is_same = isinstance(value, str) and isinstance(before, str) and value.replace("\r\n", "\n") == before
    return before if is_same else value
