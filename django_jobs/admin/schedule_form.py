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
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext as _

from django_jobs.admin.forms import ParametersForm, priorities_of
from django_jobs.admin.pages import DatalistInput, is_system_admin
from django_jobs.admin.writing import HELP, DurationField
from django_jobs.engine.schedules.definitions import change_schedule, create_schedule, preview
from django_jobs.models import JobType, Schedule
from django_jobs.models.schedule import CatchUp, Overlap

# A schedule as a form: when it fires, for whom, and with which parameters. Refusals stand beside their fields.


RULE: Final = ("cron", "every", "timezone", "starts_at", "ends_at")
OPTIONS: Final = ("priority", "jitter", "catch_up", "overlap")


def _label(name: str) -> Any:
    return capfirst(Schedule._meta.get_field(name).verbose_name)  # type: ignore[union-attr]


def _help(name: str) -> Any:
    return Schedule._meta.get_field(name).help_text  # type: ignore[union-attr]


def moment_field(name: str) -> forms.DateTimeField:
    """Return a field for a moment in the site's time zone."""
    widget = forms.DateTimeInput(format="%Y-%m-%dT%H:%M:%S", attrs={"type": "datetime-local", "step": "1"})
    return forms.DateTimeField(label=_label(name), required=False, widget=widget, help_text=_help(name))


class ScheduleForm(ParametersForm):
    """A schedule of one job type: a new one, or the one that is given."""

    name = forms.CharField(
        label=_label("name"),
        max_length=200,
        strip=False,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )
    organization = forms.CharField(
        label=_label("organization"),
        max_length=140,
        required=False,
        help_text=_help("organization"),
    )
    cron = forms.CharField(
        label=_label("cron"),
        required=False,
        strip=False,
        widget=forms.TextInput(attrs={"class": "vTextField djobs-cron", "spellcheck": "false", "autocomplete": "off"}),
        help_text=_help("cron"),
    )
    every = DurationField(
        label=_label("every"),
        required=False,
        help_text=format_lazy("{} {}", _help("every"), HELP),
    )
    timezone = forms.CharField(label=_label("timezone"), required=False, help_text=_help("timezone"))
    starts_at = moment_field("starts_at")
    ends_at = moment_field("ends_at")
    priority = forms.ChoiceField(label=_label("priority"), required=False)
    jitter = DurationField(
        label=_label("jitter"),
        required=False,
        help_text=format_lazy("{} {}", _help("jitter"), HELP),
        initial=0,
    )
    catch_up = forms.ChoiceField(
        label=_label("catch_up"),
        choices=CatchUp.choices,
        initial=CatchUp.ONCE,
        help_text=_help("catch_up"),
    )
    overlap = forms.ChoiceField(
        label=_label("overlap"),
        choices=Overlap.choices,
        initial=Overlap.SKIP,
        help_text=_help("overlap"),
    )

    def __init__(self, request: HttpRequest, kind: JobType, schedule: Schedule | None = None, data: Any = None) -> None:
        self.schedule, self.kind = schedule, kind
        stored = None if schedule is None else schedule.parameters
        initial = {"timezone": settings.TIME_ZONE} if schedule is None else _initial(schedule)
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


def _initial(schedule: Any) -> dict[str, Any]:
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
