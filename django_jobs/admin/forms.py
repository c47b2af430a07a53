"""Forms with the parameters of a job type: to submit, to run again, to try, to schedule."""

from __future__ import annotations

import datetime as dt
import json
import logging
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

from django import forms
from django.conf import settings
from django.contrib.admin.models import ADDITION
from django.contrib.admin.widgets import AdminIntegerFieldWidget, AdminTextareaWidget, AdminTextInputWidget
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone as clock
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop
from rest_framework import fields, relations, serializers

from django_jobs.admin.jobs import type_of
from django_jobs.admin.pages import DatalistInput, OwnPages, done, is_system_admin, view
from django_jobs.admin.writing import DurationField, json_of, linked, status_word
from django_jobs.conf import jobs_settings
from django_jobs.engine.access import may_submit
from django_jobs.engine.job_types import types
from django_jobs.engine.job_types.masking import (
    MASK,
    MasksLeft,
    hidden_from,
    masked,
    parameters_to_submit,
    sensitive_names,
)
from django_jobs.engine.organizations import shown_id
from django_jobs.engine.schedules.definitions import change_schedule, create_schedule, preview
from django_jobs.engine.scope import scope_of
from django_jobs.engine.store import database
from django_jobs.engine.submission.submit import submit_job
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, JobNotFound, JobsError
from django_jobs.models import Job, JobType, Schedule, get_organization_model
from django_jobs.models.schedule import CatchUp, Overlap
from django_jobs.statuses import Priority
from django_jobs.texts import code_of, say, told, translated

# Form fields for the fields of a serializer. They only take values: the serializer judges what was typed.


#: A field for texts of more characters is a box instead of a line.
LONG_TEXT: Final = 200
MAX_CHOICES: Final = 200
BOUNDS: Final = ("min_value", "max_value")
JSON_BOX: Final = {"class": "vLargeTextField djobs-code", "spellcheck": "false"}
Asked = TypeVar("Asked")


class JSONValueField(forms.CharField):
    """Any JSON value, typed as text."""

    widget = forms.Textarea(attrs={**JSON_BOX, "rows": 4})

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


def _copying(
    form_class: Any, *names: str, widget: Callable[[], forms.Widget] | None = None
) -> Callable[[Any, dict[str, Any]], forms.Field]:
    """Return what builds a field of this class, with these options of the serializer field."""

    def build(field: Any, options: dict[str, Any]) -> forms.Field:
        own = {name: getattr(field, name) for name in names} | ({"widget": widget()} if widget else {})
        return form_class(**options, **own)  # type: ignore[no-any-return]

    return build


def _moment(form_class: Any, input_type: str, layout: str) -> Callable[[Any, dict[str, Any]], forms.Field]:
    return _copying(form_class, widget=lambda: form_class.widget(format=layout, attrs={"type": input_type}))


_line: Final = _copying(forms.CharField, widget=AdminTextInputWidget)


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
    (fields.IntegerField, _copying(forms.IntegerField, *BOUNDS, widget=AdminIntegerFieldWidget)),
    (fields.FloatField, _copying(forms.FloatField, *BOUNDS)),
    (fields.DecimalField, _copying(forms.DecimalField, "max_digits", "decimal_places")),
    (fields.DateTimeField, _moment(forms.DateTimeField, "datetime-local", "%Y-%m-%dT%H:%M:%S")),
    (fields.DateField, _moment(forms.DateField, "date", "%Y-%m-%d")),
    (fields.TimeField, _moment(forms.TimeField, "time", "%H:%M:%S")),
    (fields.MultipleChoiceField, _choices),
    (fields.ChoiceField, _choice),
)


# One form for the parameters of a job type: to submit, to try, to run again, and of schedules.


logger = logging.getLogger("django_jobs")

PREFIX: Final = "p-"
MAX_OFFERED: Final = 200
MAX_PLACES: Final = 20
MASKED: Final = gettext_lazy(
    "%(mask)s stands for a value that you may not read. It stays only if you change none of the parameters; once you "
    "change one, type the hidden ones anew."
)
TYPE_IT: Final = gettext_noop("Type this value: what was there is hidden from you, and stays only if nothing changes.")
SAME_WORK: Final = gettext_lazy(
    "The same work was submitted as {job} ({status}). "
    "Change the parameters, or wait until the deduplication window of the type is over."
)


class ParametersForm(forms.Form):
    """A form field for each field of the type's serializer, or one for the whole JSON object.

    With ``stored`` parameters it begins with these. Values that the user may not read stay where nothing was changed.
    Refusals of the engine stand beside the fields that they are about.
    """

    def __init__(
        self,
        request: HttpRequest,
        kind: JobType | None,
        data: Any = None,
        *,
        stored: Any = None,
        as_json: bool = False,
        initial: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data, initial=initial)
        self.request, self.stored, self.hidden = request, stored, hidden_from(request.user)
        self.serializer_fields = None if as_json or kind is None else serializer_fields_of(kind)
        # A field for each would not show all of it.
        if stored is not None and not (isinstance(stored, dict) and set(stored) <= set(self.serializer_fields or ())):
            self.serializer_fields = None
        shown = masked(stored, self.hidden)
        if self.serializer_fields is None:
            fields = {"parameters": self._whole_object()}
        else:
            fields = {PREFIX + name: form_field(name, field) for name, field in self.serializer_fields.items()}
            if stored is not None:
                for name in self.serializer_fields:
                    self._fill(fields[PREFIX + name], name, shown)
        self.parameter_names = tuple(fields)
        self.fields.update(fields)
        if "organization" in self.fields:
            self._offer_organizations()

    def _whole_object(self) -> forms.Field:
        text = "{}" if self.stored is None else json_of(self.stored, self.hidden)
        told_of = "" if self.stored else _("An object in JSON.")
        if self.hidden and MASK in text:
            told_of = MASKED % {"mask": MASK}
        box = forms.Textarea(attrs={**JSON_BOX, "rows": 16 if self.stored else 4})
        return JSONValueField(
            required=False, initial=text, label=capfirst(_("parameters")), help_text=told_of, widget=box
        )

    def _fill(self, field: forms.Field, name: str, shown: dict[str, Any]) -> None:
        """Let the field of a stored parameter begin with its value, or with nothing where that is hidden."""
        is_hidden = name.casefold() in self.hidden
        field.initial = None
        if name in shown and is_hidden:
            field.required, field.help_text = False, f"{field.help_text} {MASKED % {'mask': MASK}}".strip()
        elif name in shown:
            field.initial = _to_be_edited((self.serializer_fields or {})[name], shown[name])
        if isinstance(field.widget, forms.PasswordInput) and not is_hidden:
            # Whoever may read the value edits it; one line would lose the line ends.
            field.widget = AdminTextareaWidget() if "\n" in str(shown.get(name)) else AdminTextInputWidget()

    def _offer_organizations(self) -> None:
        offered, field = organization_ids(self.request), self.fields["organization"]
        field.widget = DatalistInput(offered, attrs={"class": "vTextField"})
        if len(offered) == 1 and field.required and self.stored is None:
            field.initial = offered[0]

    def clean_organization(self) -> Any:
        """Return the organization, if the user may know of it; None where none was typed."""
        if not self.cleaned_data["organization"]:
            return None
        try:
            pk = scope_of(self.request).organization(self.cleaned_data["organization"])
        except JobNotFound as error:
            raise forms.ValidationError(_("There is no such organization."), code="unknown_organization") from error
        return database.rows(get_organization_model()).get(pk=pk)

    def clean_priority(self) -> int | None:
        """Return the priority; None for the type's."""
        return int(self.cleaned_data["priority"]) if self.cleaned_data["priority"] else None

    def parameters(self) -> Any:
        """Return the parameters to submit. Raise MasksLeft where values that are hidden have to be typed."""
        if self.serializer_fields is None:
            typed = self.cleaned_data["parameters"]
            typed = {} if typed is None else typed
        else:
            typed = self._typed(self.serializer_fields)
        return typed if self.stored is None else parameters_to_submit(typed, self.stored, self.hidden)

    def _typed(self, serializer_fields: dict[str, Any]) -> dict[str, Any]:
        """Return what was typed, as an API client would send it. Fields that were left empty are left out.

        A stored parameter that was not touched is the one of now: others may have changed it since the page was opened.
        """
        shown, typed = masked(self.stored or {}, self.hidden), {}
        for name, field in serializer_fields.items():
            value = json_value(self.cleaned_data[PREFIX + name])
            is_touched = self.stored is None or PREFIX + name in self.changed_data
            if name in shown and not is_touched:
                typed[name] = shown[name]
            elif not is_empty(value) and (is_touched or field.required):
                typed[name] = _as_before(value, shown.get(name))
            elif field.required:
                typed[name] = None if field.allow_null else value
        return typed

    def ask(self, verb: Callable[[], Asked]) -> Asked | None:
        """Return what the engine's verb returns. Return None where it refuses; then the form says why."""
        try:
            return verb()
        except InvalidSubmission as refusal:
            self.add_errors(refusal.errors)
        except MasksLeft as refusal:
            text = say(TYPE_IT, code="hidden_value")
            self.add_errors({place: [text] for place in refusal.places[:MAX_PLACES]})
        except DuplicateJob as refusal:
            self.add_error(None, forms.ValidationError(self._same_work(refusal), code=refusal.code))
        except JobsError as refusal:
            self.add_error(None, forms.ValidationError(told(refusal), code=refusal.code))
        return None

    def submit(self, job_type: str, tenant: Any) -> Job | None:
        """Submit the job as the request's user and return it. Return None if the engine refused it."""
        priority, user = self.cleaned_data["priority"], self.request.user
        return self.ask(lambda: submit_job(job_type, tenant, self.parameters(), priority, user=user))

    def _same_work(self, refusal: DuplicateJob) -> str:
        if not refusal.is_visible:
            return told(refusal)
        match = self.request.resolver_match
        link = linked(
            reverse(f"{match.namespace if match else 'admin'}:django_jobs_job_change", args=(refusal.existing.pk,)),
            refusal.existing.name,
        )
        return format_html(str(SAME_WORK), job=link, status=status_word(refusal.existing.status))

    def add_errors(self, errors: Mapping[str, Iterable[str]]) -> None:
        """Put the engine's errors beside the fields that they are about."""
        for key, texts in errors.items():
            name, rest = self._place(key.split("."))
            for text in texts:
                shown = f"{rest}: {translated(text)}" if rest else translated(text)
                self.add_error(name, forms.ValidationError(shown, code=code_of(text)))

    def _place(self, path: list[str]) -> tuple[str | None, str]:
        """Return the form field that a refusal is about, and where inside of it."""
        first, *inner = path
        if first == "parameters" and inner and PREFIX + inner[0] in self.fields:
            return PREFIX + inner[0], ".".join(inner[1:])
        if first in self.fields:
            return first, ".".join(inner)
        return None, ".".join(path)


class SubmissionForm(ParametersForm):
    """A submission of one job type."""

    organization = forms.CharField(max_length=140, label=capfirst(gettext_lazy("organization")))
    priority = forms.ChoiceField(required=False, label=capfirst(gettext_lazy("priority")))

    def __init__(self, request: HttpRequest, kind: JobType, data: Any = None) -> None:
        super().__init__(request, kind, data)
        self.fields["priority"].choices = priorities_of(kind)  # type: ignore[attr-defined]


class RerunForm(ParametersForm):
    """A copy of a job's parameters to be edited. Type and organization are the job's own."""

    priority = forms.ChoiceField(choices=Priority.choices, label=capfirst(gettext_lazy("priority")))

    def __init__(self, request: HttpRequest, job: Job, data: Any = None, *, as_json: bool = False) -> None:
        stored, initial = job.input_parameters, {"priority": job.priority}
        super().__init__(request, type_of(job), data, stored=stored, as_json=as_json, initial=initial)
        self.order_fields([*self.parameter_names, "priority"])


def _to_be_edited(field: Any, value: Any) -> Any:
    """Return a stored value as its form field takes it: a moment, a date or a time is stored as text."""
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


def priorities_of(kind: JobType) -> list[tuple[Any, Any]]:
    """Return the choices of a priority, the first of which leaves it to the type."""
    default = _("%(priority)s (the type's)") % {"priority": Priority(kind.default_priority).label}
    return [("", default), *Priority.choices]


def organization_ids(request: HttpRequest) -> list[str]:
    """Return the ids of the first organizations that this user may submit for. Others can be typed."""
    field = jobs_settings.ORGANIZATION_ID_FIELD
    return [str(name) for name in scope_of(request).tenants.order_by(field).values_list(field, flat=True)[:MAX_OFFERED]]


def serializer_fields_of(kind: JobType) -> dict[str, Any] | None:
    """Return the fields of the type's serializer; None if it has no serializer, or one that names no fields."""
    declaration = types.declaration_of(kind.pk)
    if declaration is None or declaration.serializer is None:
        return None

    try:
        accepted = accepted_fields(declaration.serializer())
        for name, field in accepted.items():
            form_field(name, field)
    except Exception:  # the host's code
        logger.exception("event=no_parameters_form job_type=%s", kind.pk)
        return None
    return accepted


# Run again: a new job from an editable copy of another one's parameters.


#: The parameter of the address that asks for the parameters as JSON, where the type has fields for them.
AS_JSON: Final = "json"


class RunAgain(OwnPages):
    """The page behind the button Run again."""

    def may_run_again(self, request: HttpRequest, job: Job) -> bool:
        """Return whether the user may submit a job of this type for this organization."""
        tenant, kind = _tenant_of(job), type_of(job)
        return tenant is not None and kind is not None and may_submit(request.user, tenant, kind)

    @view("<path:object_id>/run-again/", "run_again")
    def _run_again(self, request: HttpRequest, job: Job) -> HttpResponse:
        data = request.POST if request.method == "POST" else None
        form = RerunForm(request, job, data, as_json=AS_JSON in request.GET)
        made = form.submit(job.job_type_id, _tenant_of(job) or "") if form.is_valid() else None
        if made is not None:
            self.remember(request, [made], f"Run again of {job.name}.", ADDITION)
            self.remember(request, [job], f"Run again as {made.name}.")
            self.message_user(request, done(_("Run again"), job.name), extra_tags="submitted")
            return self.go_to(made.pk)
        facts = [(capfirst(_("type")), job.job_type_id), (capfirst(_("organization")), shown_id(job))]
        title = f"{_('Run again')}: {job.name}"
        json_url = f"?{AS_JSON}=1" if form.serializer_fields else ""
        return self.form_page(request, form, title, facts, back_url=self.url_of("change", job.pk), json_url=json_url)


def _tenant_of(job: Job) -> Any:
    """Return the job's organization; None if it was deleted."""
    return database.rows(get_organization_model()).filter(pk=job.organization_id).first()


# A schedule as a form: when it fires, for whom, and with which parameters. Refusals stand beside their fields.


RULE: Final = ("cron", "every", "timezone", "starts_at", "ends_at")
OPTIONS: Final = ("priority", "jitter", "catch_up", "overlap")


def _own(name: str, form_class: Any = forms.CharField, **options: Any) -> Any:
    """Return a form field that is called as the schedule's own field."""
    column: Any = Schedule._meta.get_field(name)
    return form_class(label=capfirst(column.verbose_name), help_text=column.help_text, **options)


def _own_moment(name: str) -> Any:
    """Return a field for a moment in the site's time zone."""
    widget = forms.DateTimeInput(format="%Y-%m-%dT%H:%M:%S", attrs={"type": "datetime-local", "step": "1"})
    return _own(name, forms.DateTimeField, required=False, widget=widget)


class ScheduleForm(ParametersForm):
    """A schedule of one job type: a new one, or the one that is given."""

    name = _own("name", max_length=200, strip=False, widget=forms.TextInput(attrs={"class": "vTextField"}))
    organization = _own("organization", max_length=140, required=False)
    cron = _own(
        "cron",
        required=False,
        strip=False,
        widget=forms.TextInput(attrs={"class": "vTextField djobs-cron", "spellcheck": "false", "autocomplete": "off"}),
    )
    every = _own("every", DurationField, required=False)
    timezone = _own("timezone", required=False)
    starts_at = _own_moment("starts_at")
    ends_at = _own_moment("ends_at")
    priority = _own("priority", forms.ChoiceField, required=False)
    jitter = _own("jitter", DurationField, required=False, initial=0)
    catch_up = _own("catch_up", forms.ChoiceField, choices=CatchUp.choices, initial=CatchUp.ONCE)
    overlap = _own("overlap", forms.ChoiceField, choices=Overlap.choices, initial=Overlap.SKIP)

    def __init__(self, request: HttpRequest, kind: JobType, schedule: Schedule | None = None, data: Any = None) -> None:
        self.schedule, self.kind = schedule, kind
        stored = None if schedule is None else schedule.parameters
        initial = {"timezone": settings.TIME_ZONE} if schedule is None else _initial_of(schedule)
        super().__init__(request, kind, data, stored=stored, initial=initial)
        zones = sorted(zoneinfo.available_timezones())
        self.fields["timezone"].widget = DatalistInput(zones, attrs={"class": "vTextField"})
        within = _("In %(zone)s.") % {"zone": clock.get_current_timezone_name()}
        for name in ("starts_at", "ends_at"):
            self.fields[name].help_text = f"{self.fields[name].help_text} {within}"
        self.fields["priority"].choices = priorities_of(kind)  # type: ignore[attr-defined]
        if schedule is not None:
            del self.fields["name"]
            # The form then knows what the page showed, and a page that is old does not undo what others have changed.
            for field in self.fields.values():
                field.show_hidden_initial = True

    def _offer_organizations(self) -> None:
        if not is_system_admin(self.request):
            field = self.fields["organization"]
            field.required, field.help_text = True, ""
        super()._offer_organizations()

    def clean(self) -> dict[str, Any]:
        """Let the engine judge the rule together with the form, so that all errors are told at once."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        rule = {name: values.get(name) for name in RULE}
        if all(name in values for name in RULE):
            self.ask(lambda: preview(rule, 1))
        return values

    def save(self) -> Schedule | None:
        """Make or change the schedule, and return it. Return None if the engine refused it; then the form says why."""
        user, schedule = self.request.user, self.schedule
        if schedule is None:
            return self.ask(lambda: create_schedule(self._given(), user=user))
        return self.ask(lambda: change_schedule(schedule, self._given(), user=user))

    def _given(self) -> dict[str, Any]:
        """Return the keywords of the engine; of a stored schedule those that were changed on the page."""
        values = self.cleaned_data
        given = {name: values[name] for name in (*RULE, *OPTIONS, "organization")} | {"jitter": values["jitter"] or 0}
        if self.schedule is None:
            return {**given, "name": values["name"], "job_type": self.kind.pk, "parameters": self.parameters()}
        changed = set(self.changed_data)
        given = {name: value for name, value in given.items() if name in changed}
        return {**given, "parameters": self.parameters()} if changed & set(self.parameter_names) else given


def _initial_of(schedule: Any) -> dict[str, Any]:
    """Return what the form shows of a stored schedule."""
    shown = {name: getattr(schedule, name) for name in (*RULE, *OPTIONS)}
    organization = "" if schedule.organization_id is None else schedule.shown_tenant
    return {**shown, "organization": organization, "priority": "" if shown["priority"] is None else shown["priority"]}


def rule_in(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return the fields of a rule as they were typed, for the engine to judge, and what cannot be read of them."""
    rule: dict[str, Any] = {"cron": parameters.get("cron", ""), "timezone": parameters.get("timezone", "")}
    errors: dict[str, list[str]] = {}
    for name in ("every", "starts_at", "ends_at"):
        field = ScheduleForm.base_fields[name]
        clean: Callable[[Any], int | dt.datetime | None] = field.clean
        try:
            rule[name] = clean(parameters.get(name, ""))
        except forms.ValidationError as error:
            errors[name] = [str(text) for text in error.messages]
    return rule, errors
