"""The form of a schedule."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Callable, Mapping
from typing import Any, Final

from django import forms
from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone as clock
from django.utils.dateparse import parse_datetime
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from django_jobs.admin.forms import (
    PREFIX,
    add_errors,
    organization_ids,
    parameter_fields,
    serializer_fields_of,
    type_default,
    typed_parameters,
)
from django_jobs.admin.pages import DatalistInput, is_system_admin
from django_jobs.admin.writing import HELP, DurationField, json_of
from django_jobs.engine.access import find_organization_pk
from django_jobs.engine.job_types.masking import (
    MASK,
    MasksLeft,
    hidden_from,
    masked,
    parameters_to_submit,
    sensitive_names,
)
from django_jobs.engine.schedules.definitions import change_schedule, create_schedule, preview
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidSchedule, JobNotFound, JobsError
from django_jobs.models import JobType, Schedule, get_organization_model
from django_jobs.models.schedule import CatchUp, Overlap
from django_jobs.statuses import Priority
from django_jobs.texts import say, told

# A schedule as a form: when it fires, for whom, and with which parameters. Refusals stand beside their fields.


RULE: Final = ("cron", "every", "timezone", "starts_at", "ends_at")
OPTIONS: Final = ("priority", "jitter", "catch_up", "overlap")
HIDDEN: Final = gettext_lazy(
    "%(mask)s stands for a value that you may not read. It stays only if you change none of the parameters; once you "
    "change one, type the hidden ones anew."
)


def moment_field(label: Any, help_text: Any) -> forms.DateTimeField:
    """Return a field for a moment in the site's time zone."""
    widget = forms.DateTimeInput(format="%Y-%m-%dT%H:%M:%S", attrs={"type": "datetime-local", "step": "1"})
    return forms.DateTimeField(label=label, required=False, widget=widget, help_text=help_text)


class ScheduleForm(forms.Form):
    """A schedule of one job type: a new one, or the one that is given."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=200,
        strip=False,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )
    organization = forms.CharField(
        label=gettext_lazy("Organization"),
        max_length=140,
        required=False,
        help_text=gettext_lazy("Its id. Left empty: one job for each active organization."),
    )
    cron = forms.CharField(
        label=gettext_lazy("Cron"),
        required=False,
        strip=False,
        widget=forms.TextInput(attrs={"class": "vTextField djobs-cron", "spellcheck": "false", "autocomplete": "off"}),
        help_text=gettext_lazy("Minute, hour, day of the month, month, day of the week, such as 0 2 * * MON-FRI."),
    )
    every = DurationField(
        label=gettext_lazy("Every"),
        required=False,
        help_text=format_lazy("{} {}", gettext_lazy("The interval, in the place of cron."), HELP),
    )
    timezone = forms.CharField(
        label=gettext_lazy("Time zone"), required=False, help_text=gettext_lazy("The clock that cron goes by.")
    )
    starts_at = moment_field(gettext_lazy("Starts at"), gettext_lazy("No firing before it."))
    ends_at = moment_field(gettext_lazy("Ends at"), gettext_lazy("No firing after it."))
    priority = forms.ChoiceField(label=gettext_lazy("Priority"), required=False)
    jitter = DurationField(
        label=gettext_lazy("Jitter"),
        required=False,
        help_text=format_lazy("{} {}", gettext_lazy("The time over which the jobs of one firing are spread."), HELP),
        initial=0,
    )
    catch_up = forms.ChoiceField(
        label=gettext_lazy("Catch up"),
        choices=CatchUp.choices,
        initial=CatchUp.ONCE,
        help_text=gettext_lazy("What happens to firings that nobody was there for."),
    )
    overlap = forms.ChoiceField(
        label=gettext_lazy("Overlap"),
        choices=Overlap.choices,
        initial=Overlap.SKIP,
        help_text=gettext_lazy("What a firing does while the last job is unfinished."),
    )

    def __init__(self, request: HttpRequest, kind: JobType, schedule: Schedule | None = None, data: Any = None) -> None:
        super().__init__(data, initial={"timezone": settings.TIME_ZONE} if schedule is None else _initial(schedule))
        self.request, self.kind, self.schedule = request, kind, schedule
        self.hidden = hidden_from(request.user)
        if schedule is not None:
            del self.fields["name"]
        self._offer_organizations()
        zones = sorted(zoneinfo.available_timezones())
        self.fields["timezone"].widget = DatalistInput(zones, attrs={"class": "vTextField"})
        zone = clock.get_current_timezone_name()
        for name in ("starts_at", "ends_at"):
            within = _("In %(zone)s.") % {"zone": zone}
            self.fields[name].help_text = f"{self.fields[name].help_text} {within}"
        self.fields["priority"].choices = [("", type_default(kind)), *Priority.choices]  # type: ignore[attr-defined]
        self._add_parameters()
        if schedule is not None:
            # The form then knows what the page showed, and a page that is old does not undo what others have changed.
            for field in self.fields.values():
                field.show_hidden_initial = True

    def _offer_organizations(self) -> None:
        offered, field = organization_ids(self.request), self.fields["organization"]
        field.widget = DatalistInput(offered, attrs={"class": "vTextField"})
        if not is_system_admin(self.request):
            field.required, field.help_text = True, _("Its id.")
            if len(offered) == 1 and self.schedule is None:
                field.initial = offered[0]

    def _add_parameters(self) -> None:
        """Add a field for each of the serializer's, or one for the whole object, also where it holds a secret."""
        stored = {} if self.schedule is None else self.schedule.parameters
        has_secrets = masked(stored, sensitive_names()) != stored
        self.serializer_fields = None if has_secrets else serializer_fields_of(self.kind)
        fields = parameter_fields(self.serializer_fields)
        if self.schedule is not None:
            for name, field in fields.items():
                field.initial = _typed(field, stored.get(name.removeprefix(PREFIX), field.initial))
            if self.serializer_fields is None:
                fields["parameters"].initial = json_of(stored, self.hidden)
        if has_secrets and self.hidden:
            fields["parameters"].help_text = HIDDEN % {"mask": MASK}
        self.parameter_names = tuple(fields)
        self.fields.update(fields)

    def clean_organization(self) -> Any:
        """Return the organization, if the user may know of it; None for each active one."""
        if not self.cleaned_data["organization"]:
            return None
        try:
            pk = find_organization_pk(self.cleaned_data["organization"], self.request.user)
        except JobNotFound as error:
            raise forms.ValidationError(_("There is no such organization."), code="unknown_organization") from error
        return database.rows(get_organization_model()).get(pk=pk)

    def clean(self) -> dict[str, Any]:
        """Let the engine judge the rule together with the form, so that all errors are told at once."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        rule = {name: values.get(name) for name in RULE}
        if all(name in values for name in RULE):
            try:
                preview(rule, 1)
            except InvalidSchedule as refusal:
                add_errors(self, refusal.errors)
        return values

    def save(self) -> Schedule | None:
        """Make or change the schedule, and return it. Return None if the engine refused it; then the form says why."""
        try:
            given = self._given()
            if self.schedule is None:
                return create_schedule(given, user=self.request.user)
            return change_schedule(self.schedule, given, user=self.request.user)
        except InvalidSchedule as refusal:
            add_errors(self, refusal.errors)
        except MasksLeft as refusal:
            text = gettext_noop(
                "Type this value: what the schedule has there is hidden from you, and stays only if nothing changes."
            )
            add_errors(self, {place: [say(text, code="hidden_value")] for place in refusal.places})
        except JobsError as refusal:
            self.add_error(None, forms.ValidationError(told(refusal), code=refusal.code))
        return None

    def _given(self) -> dict[str, Any]:
        """Return the keywords of the engine; of a stored schedule those that were changed on the page."""
        values = self.cleaned_data
        given = {name: values[name] for name in (*RULE, *OPTIONS, "organization")}
        given["priority"] = int(values["priority"]) if values["priority"] else None
        given["jitter"] = values["jitter"] or 0
        if self.schedule is None:
            return {**given, "name": values["name"], "job_type": self.kind.pk, "parameters": self._parameters()}
        changed = set(self.changed_data)
        given = {name: value for name, value in given.items() if name in changed}
        return {**given, "parameters": self._parameters()} if changed & set(self.parameter_names) else given

    def _parameters(self) -> dict[str, Any]:
        typed = typed_parameters(self, self.serializer_fields)
        if self.schedule is None:
            return typed
        stored, changed = self.schedule.parameters, set(self.changed_data)
        for name in self.serializer_fields or ():
            if PREFIX + name not in changed:  # others may have changed it since the page was opened
                typed.pop(name, None)
                typed |= {name: stored[name]} if name in stored else {}
        submitted: dict[str, Any] = parameters_to_submit(typed, stored, self.hidden)
        return submitted


def _initial(schedule: Any) -> dict[str, Any]:
    """Return what the form shows of a stored schedule."""
    shown = {name: getattr(schedule, name) for name in (*RULE, *OPTIONS)}
    organization = "" if schedule.organization_id is None else schedule.shown_tenant
    return {**shown, "organization": organization, "priority": "" if shown["priority"] is None else shown["priority"]}


def _typed(field: forms.Field, value: Any) -> Any:
    """Return a stored JSON value as the form field knows it."""
    if isinstance(field, forms.DateTimeField) and isinstance(value, str):
        read = parse_datetime(value)
        return value if read is None else read
    return value


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
