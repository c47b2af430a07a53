"""Forms with the parameters of a job type: to submit, to run again, to try."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.contrib.admin.models import ADDITION
from django.contrib.admin.widgets import AdminIntegerFieldWidget, AdminTextareaWidget, AdminTextInputWidget
from django.core.exceptions import PermissionDenied
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import fields, relations, serializers

from django_jobs.admin.jobs import type_of
from django_jobs.admin.pages import DatalistInput, OwnPages, View, is_system_admin
from django_jobs.admin.writing import json_of, status_word
from django_jobs.conf import jobs_settings
from django_jobs.engine.access import find_organization_pk, organizations_seen_by
from django_jobs.engine.job_types import types
from django_jobs.engine.job_types.masking import (
    MASK,
    MasksLeft,
    Names,
    hidden_from,
    masked,
    parameters_to_submit,
    sensitive_names,
)
from django_jobs.engine.organizations import shown_id
from django_jobs.engine.store import database
from django_jobs.engine.submission.submit import submit_job
from django_jobs.engine.submission.targets import may_submit
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, JobNotFound, JobsError
from django_jobs.models import Job, JobType, get_organization_model
from django_jobs.statuses import Priority
from django_jobs.texts import code_of, told, translated

# Form fields for the fields of a serializer. They only take values: the serializer judges what was typed.


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


# The forms of Run again: a copy of a job's parameters to be edited, as fields where the type has a serializer.


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


# A submission as a form: for which organization and with which parameters. Refusals stand beside their fields.


PREFIX: Final = "p-"
MAX_OFFERED: Final = 200
SAME_WORK: Final = gettext_lazy(
    "The same work was submitted as {job} ({status}). "
    "Change the parameters, or wait until the deduplication window of the type is over."
)


class SubmissionForm(forms.Form):
    """A submission of one job type: one form field for each of its serializer's, or one for the whole JSON object."""

    organization = forms.CharField(max_length=140, label=gettext_lazy("Organization"))
    priority = forms.ChoiceField(required=False, label=gettext_lazy("Priority"))

    def __init__(self, request: HttpRequest, kind: JobType, data: Any = None) -> None:
        super().__init__(data)
        self.request = request
        self.kind = kind
        offered = organization_ids(request)
        self.fields["organization"].widget = DatalistInput(offered, attrs={"class": "vTextField"})
        if len(offered) == 1:
            self.fields["organization"].initial = offered[0]
        default = type_default(kind)
        self.fields["priority"].choices = [("", default), *Priority.choices]  # type: ignore[attr-defined]
        self.serializer_fields = serializer_fields_of(kind)
        self.fields.update(parameter_fields(self.serializer_fields))

    def clean_organization(self) -> Any:
        """Return the organization, if the user may know of it."""
        try:
            pk = find_organization_pk(self.cleaned_data["organization"], self.request.user)
        except JobNotFound as error:
            raise forms.ValidationError(_("There is no such organization."), code="unknown_organization") from error
        return database.rows(get_organization_model()).get(pk=pk)

    def parameters(self) -> dict[str, Any]:
        """Return what was typed as an API client would send it; fields that were left empty are left out."""
        return typed_parameters(self, self.serializer_fields)

    def submit(self) -> Job | None:
        """Submit the job and return it. Return None if the engine refused it; then the form says why."""
        values = self.cleaned_data
        priority = int(values["priority"]) if values["priority"] else None
        return submit(self, self.kind.pk, values["organization"], self.parameters(), priority, self.request)


def type_default(kind: JobType) -> str:
    """Return the choice of a form that leaves the priority to the type."""
    return _("%(priority)s (the type's)") % {"priority": Priority(kind.default_priority).label}


def organization_ids(request: HttpRequest) -> list[str]:
    """Return the ids of the first organizations that this user may submit for. Others can be typed."""
    seen = None if is_system_admin(request) else organizations_seen_by(request.user)
    rows = database.rows(get_organization_model()) if seen is None else seen
    field = jobs_settings.ORGANIZATION_ID_FIELD
    return [str(name) for name in rows.order_by(field).values_list(field, flat=True)[:MAX_OFFERED]]


def serializer_fields_of(kind: JobType) -> dict[str, Any] | None:
    """Return the fields of the type's serializer; None if it has no serializer, or one that names no fields."""
    declaration = types.declaration_of(kind.pk)
    if declaration is None or declaration.serializer is None:
        return None

    try:
        return accepted_fields(declaration.serializer())
    except Exception:  # the host's code
        logger.exception("event=no_parameters_form job_type=%s", kind.pk)
        return None


def parameter_fields(serializer_fields: dict[str, Any] | None) -> dict[str, forms.Field]:

    if serializer_fields is None:
        return {"parameters": _whole_object()}
    return {PREFIX + name: form_field(name, field) for name, field in serializer_fields.items()}


def _whole_object() -> forms.Field:

    return JSONValueField(required=False, initial="{}", label=_("Parameters"), help_text=_("An object in JSON."))


def typed_parameters(form: forms.Form, serializer_fields: dict[str, Any] | None) -> dict[str, Any]:
    """Return the parameters that were typed into a form, as an API client would send them.

    Fields that were left empty are left out.
    """
    if serializer_fields is None:
        return form.cleaned_data["parameters"] or {}
    found = {}
    for name, field in serializer_fields.items():
        value = json_value(form.cleaned_data[PREFIX + name])
        if not is_empty(value):
            found[name] = value
        elif field.required:
            found[name] = None if field.allow_null else value
    return found


def add_errors(form: forms.Form, errors: Mapping[str, Iterable[str]]) -> None:
    """Put the engine's errors beside the fields of a form that they are about."""
    for key, texts in errors.items():
        name, rest = place(form, key.split("."))
        for text in texts:
            shown = f"{rest}: {translated(text)}" if rest else translated(text)
            form.add_error(name, forms.ValidationError(shown, code=code_of(text)))


def submit(
    form: forms.Form, job_type: str, tenant: Any, parameters: Any, priority: int | None, request: HttpRequest
) -> Job | None:
    """Submit a job as the request's user and return it.

    Return None if the engine refuses it; then the form says why.
    """
    try:
        return submit_job(job_type, tenant, parameters, priority, user=request.user)
    except InvalidSubmission as refusal:
        add_errors(form, refusal.errors)
    except DuplicateJob as refusal:
        if not refusal.is_visible:
            form.add_error(None, forms.ValidationError(told(refusal), code=refusal.code))
            return None
        site = request.resolver_match.namespace if request.resolver_match else "admin"
        address = reverse(f"{site}:django_jobs_job_change", args=(refusal.existing.pk,))
        link = format_html('<a href="{}">{}</a>', address, refusal.existing.name)
        text = format_html(str(SAME_WORK), job=link, status=status_word(refusal.existing.status))
        form.add_error(None, forms.ValidationError(text, code=refusal.code))
    except JobsError as refusal:
        form.add_error(None, forms.ValidationError(told(refusal), code=refusal.code))
    return None


def place(form: forms.Form, path: list[str]) -> tuple[str | None, str]:
    """Return the form field that a refusal is about, and where inside of it."""
    first, *inner = path
    if first == "parameters" and inner and PREFIX + inner[0] in form.fields:
        return PREFIX + inner[0], ".".join(inner[1:])
    if first in form.fields:
        return first, ".".join(inner)
    return None, ".".join(path)


# Run again: a new job from an editable copy of another one's parameters.


#: The parameter of the address that asks for the parameters as JSON, where the type has fields for them.
AS_JSON: Final = "json"


class RunAgain(OwnPages):
    """The page behind the button Run again."""

    def rerun_views(self) -> dict[str, tuple[str, View]]:
        """Return the route and the view of the page, by name."""
        return {"run_again": ("<path:object_id>/run-again/", self._run_again)}

    def may_run_again(self, request: HttpRequest, job: Job) -> bool:
        """Return whether the user may submit a job of this type for this organization."""
        tenant, kind = _tenant_of(job), type_of(job)
        return tenant is not None and kind is not None and may_submit(request.user, tenant, kind)

    def _run_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        job = self.find(request, object_id) if self.has_view_permission(request) else None
        if not self.has_view_permission(request):
            raise PermissionDenied
        if job is None:
            return self.gone(request, object_id)
        data = request.POST if request.method == "POST" else None
        form = make_form(job, type_of(job), hidden_from(request.user), data, as_json=AS_JSON in request.GET)
        made = self._submit(request, job, form) if form.is_valid() else None
        if made is not None:
            self.remember(request, [made], f"Run again of {job.name}.", ADDITION)
            self.remember(request, [job], f"Run again as {made.name}.")
            names = {"made": made.name, "job": job.name}
            text = _("%(made)s was submitted, a copy of %(job)s.") % names
            self.message_user(request, text, extra_tags="submitted")
            return self.go_to(made.pk)
        facts = [(_("Type"), job.job_type_id), (_("Organization"), shown_id(job))]
        title = _("Run %(job)s again") % {"job": job.name}
        json_url = f"?{AS_JSON}=1" if isinstance(form, FieldsForm) else ""
        return self.form_page(request, form, title, facts, back_url=self.url_of("change", job.pk), json_url=json_url)

    @staticmethod
    def _submit(request: HttpRequest, job: Job, form: RerunForm) -> Job | None:
        values = form.cleaned_data
        return submit(form, job.job_type_id, _tenant_of(job) or "", values["parameters"], values["priority"], request)


def _tenant_of(job: Job) -> Any:
    """Return the job's organization; None if it was deleted."""
    return database.rows(get_organization_model()).filter(pk=job.organization_id).first()
