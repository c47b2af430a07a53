"""The form of a job type: it offers the known handlers, takes durations, and never undoes somebody else's click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.core.validators import MaxValueValidator
from django.db.models import Field
from django.http import HttpRequest
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs import pools
from django_jobs.admin.base import BaseAdmin
from django_jobs.admin.durations import HELP, DurationField, format_duration
from django_jobs.admin.widgets import DatalistInput
from django_jobs.engine.execution.retry_policy import back_off
from django_jobs.engine.job_types import types
from django_jobs.models import JobType
from django_jobs.models.job_type import MAX_SECONDS
from django_jobs.texts import Text, translated

if TYPE_CHECKING:
    BaseForm = forms.ModelForm[JobType]
else:
    BaseForm = forms.ModelForm

MAX_DELAYS: Final = 12
#: What is said of a field whose seconds people see and type as a duration.
DURATION_HELPS: Final = {
    "default_timeout": gettext_lazy("The time that one attempt may take."),
    "retry_delay": gettext_lazy("The time before the first retry; doubled for each further one."),
    "deduplication_window": gettext_lazy("The time in which the same work is refused; 0 switches it off."),
    "max_starts_window": gettext_lazy("The time of the window."),
    "breaker_pause": gettext_lazy("The time between two tries while they are held."),
}
#: What keeps jobs from being submitted, from starting and from being kept: titles, what that means, and the fields.
LIMITS: Final[tuple[tuple[Any, Any], ...]] = (
    (
        gettext_lazy("Limits of submissions"),
        {
            "description": gettext_lazy("A submission beyond these is refused."),
            "fields": ("deduplication_window", ("rate_limit", "rate_limit_window")),
        },
    ),
    (
        gettext_lazy("Limits of what runs"),
        {
            "description": gettext_lazy(
                "Jobs beyond these are accepted, and wait until others have ended. They hold up no other "
                "type. The narrowest limit decides. To stop a type altogether, pause it."
            ),
            "fields": ("max_running", "max_running_per_organization", ("concurrency_key", "max_running_per_key")),
        },
    ),
    (
        gettext_lazy("Rate of starts"),
        {
            "description": gettext_lazy(
                "Jobs beyond these wait, too: for a service that takes so many calls a minute."
            ),
            "fields": (("max_starts", "max_starts_window"), "max_starts_per_key"),
        },
    ),
    (
        gettext_lazy("Breaker"),
        {
            "description": gettext_lazy(
                "For a service that may fail as a whole: its jobs wait until one of them gets through, "
                "instead of spending their retries."
            ),
            "fields": (("breaker_failures", "breaker_pause"),),
        },
    ),
    (
        gettext_lazy("Pool"),
        {
            "description": gettext_lazy(
                "Workers serve the pool that they were started for, by jobs_worker --pool. "
                "What waits moves along when another pool is chosen."
            ),
            "fields": ("pool",),
        },
    ),
    (
        gettext_lazy("Retention"),
        {
            "description": gettext_lazy("Deleted jobs take their history and the files that they saved with them."),
            "fields": ("retention_days",),
        },
    ),
)


class TypeForm(BaseForm):
    """Tells what is wrong with a type in the language of who reads it."""

    def add_error(self, field: str | None, error: Any) -> None:
        for item in [item for items in getattr(error, "error_dict", {}).values() for item in items]:
            if isinstance(item.message, Text):
                item.code, item.message = item.message.code, translated(item.message)
        super().add_error(field, error)


class JobTypeForm(BaseAdmin):
    """Chooses the form field of each field of a job type."""

    form = TypeForm

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        if _is_duration(db_field):
            field = db_field.formfield(form_class=DurationField, **kwargs)
            own = DURATION_HELPS.get(db_field.name, db_field.help_text)
            field.help_text = format_lazy("{} {}", own, HELP)  # type: ignore[union-attr]
            return field
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "handler_method" and field is not None:
            field.widget = DatalistInput(registered_handlers, attrs={"class": "vTextField", "maxlength": "255"})
            field.help_text = _("%(help)s The declared ones are offered.") % {"help": db_field.help_text}
        return field

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Offer the pools that there are, and the one that the type has."""
        form = super().get_form(request, obj, change, **kwargs)
        if "pool" in form.base_fields:
            own = form.base_fields["pool"]
            form.base_fields["pool"] = forms.ChoiceField(
                label=own.label, choices=pool_choices(obj), help_text=own.help_text
            )
        if obj is not None:
            # The form then knows what the page showed, and a page that is old does not undo what others have changed.
            for field in form.base_fields.values():
                field.show_hidden_initial = True
        return form


def pool_choices(kind: JobType | None) -> list[tuple[str, str]]:
    """Return the pools to choose from, with labels; that of the type is among them, whatever the settings say."""
    choices = [(name, name) for name in pools.names()]
    if kind is not None and kind.pool not in pools.names():
        choices.append((kind.pool, _("%(pool)s (not in the settings)") % {"pool": kind.pool}))
    return choices


def _is_duration(field: Field[Any, Any]) -> bool:
    """Return whether the field holds seconds: those are the numbers that are bounded by 30 days."""
    return any(isinstance(item, MaxValueValidator) and item.limit_value == MAX_SECONDS for item in field.validators)


def registered_handlers() -> list[str]:
    """Return the dotted paths of the functions that code declares as handlers, sorted."""
    return sorted({declaration.path for declaration in types.declared_types()})


def changed_values(form: forms.ModelForm[JobType]) -> dict[str, Any]:
    """Return the fields that the user changed, without those that differ because the page was old."""
    names = {field.attname for field in JobType._meta.concrete_fields}
    return {name: form.cleaned_data[name] for name in form.changed_data if name in names}


def retry_schedule(kind: JobType) -> list[str]:
    """Return the delays before the first retries, without jitter."""
    numbers = range(1, min(kind.max_retries, MAX_DELAYS) + 1)
    return [format_duration(round(back_off(number, kind.retry_delay, 0))) for number in numbers]


def total_delay(kind: JobType) -> str:
    """Return the sum of all delays before retries; the runs are not counted."""
    delays = (back_off(number, kind.retry_delay, 0) for number in range(1, kind.max_retries + 1))
    return format_duration(round(sum(delays)))
