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
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.forms import ParametersForm, priorities_of
from django_jobs.admin.pages import DatalistInput, is_system_admin
from django_jobs.admin.writing import HELP, DurationField
from django_jobs.engine.schedules.definitions import change_schedule, create_schedule, preview
from django_jobs.models import JobType, Schedule
from django_jobs.models.schedule import CatchUp, Overlap

# A schedule as a form: when it fires, for whom, and with which parameters. Refusals stand beside their fields.


RULE: Final = ("cron", "every", "timezone", "starts_at", "ends_at")
OPTIONS: Final = ("priority", "jitter", "catch_up", "overlap")


def moment_field(label: Any, help_text: Any) -> forms.DateTimeField:
    """Return a field for a moment in the site's time zone."""
    widget = forms.DateTimeInput(format="%Y-%m-%dT%H:%M:%S", attrs={"type": "datetime-local", "step": "1"})
    return forms.DateTimeField(label=label, required=False, widget=widget, help_text=help_text)


class ScheduleForm(ParametersForm):
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
            field.required, field.help_text = True, _("Its id.")
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
