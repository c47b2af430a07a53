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
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from django_jobs.admin.forms import ParametersForm, priorities_of
from django_jobs.admin.pages import DatalistInput, is_system_admin
from django_jobs.admin.writing import DurationField
from django_jobs.engine.schedules.definitions import change_schedule, create_schedule, preview
from django_jobs.models import JobType, Schedule
from django_jobs.models.schedule import CatchUp, Overlap

# A schedule as a form: when it fires, for whom, and with which parameters. Refusals stand beside their fields.


RULE: Final = ("cron", "every", "timezone", "starts_at", "ends_at")
OPTIONS: Final = ("priority", "jitter", "catch_up", "overlap")


def _own(name: str, form_class: Any = forms.CharField, **options: Any) -> Any:
    """Return a form field that is called as the schedule's own field."""
    column: Any = Schedule._meta.get_field(name)
    return form_class(label=capfirst(column.verbose_name), help_text=column.help_text, **options)


def _moment(name: str) -> Any:
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
    starts_at = _moment("starts_at")
    ends_at = _moment("ends_at")
    priority = _own("priority", forms.ChoiceField, required=False)
    jitter = _own("jitter", DurationField, required=False, initial=0)
    catch_up = _own("catch_up", forms.ChoiceField, choices=CatchUp.choices, initial=CatchUp.ONCE)
    overlap = _own("overlap", forms.ChoiceField, choices=Overlap.choices, initial=Overlap.SKIP)

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
