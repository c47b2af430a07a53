"""Job types: the list, the page of one, its form and switches."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION
from django.core.validators import MaxValueValidator
from django.db.models import Field, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs import pools
from django_jobs.admin.bar import RANGES, tenant_name
from django_jobs.admin.forms import SubmissionForm
from django_jobs.admin.pages import (
    BaseAdmin,
    DatalistInput,
    OwnPages,
    Switch,
    SystemAdminWrites,
    done,
    is_system_admin,
    view,
)
from django_jobs.admin.reasons import CLOSE, key_words, notice_of
from django_jobs.admin.writing import (
    NOTHING,
    CappedCount,
    DurationField,
    badge,
    brief_duration,
    colored,
    format_duration,
    format_number,
    format_percent,
    line,
    type_title,
    without,
)
from django_jobs.engine.alerts.rules import BREAKER_OPEN, one_line
from django_jobs.engine.control import switches
from django_jobs.engine.dispatch.limits import limits_of
from django_jobs.engine.execution.settle import back_off
from django_jobs.engine.insight import reasons
from django_jobs.engine.insight.inspection import LimitsInUse, has_jobs, jobs, open_breakers, read_in_use, waiting
from django_jobs.engine.insight.problems import unknown_permissions
from django_jobs.engine.insight.rollups import activities
from django_jobs.engine.job_types import types
from django_jobs.engine.job_types.masking import hidden_from
from django_jobs.engine.job_types.parameters import is_rekeyed
from django_jobs.engine.job_types.types import RETRY_FIELDS
from django_jobs.engine.organizations import current_ids
from django_jobs.engine.pausing import set_paused
from django_jobs.engine.scope import scope_of
from django_jobs.engine.store import database
from django_jobs.engine.store.counting import capped_count
from django_jobs.engine.store.values import Lane
from django_jobs.models import JobType, Span
from django_jobs.models.job_type import MAX_RETRIES, MAX_SECONDS
from django_jobs.statuses import IN_FLIGHT, Priority, Status
from django_jobs.texts import Text, translated

# What keeps a type's jobs from starting now: its breaker, with the page that closes it, and its limits in use.


#: Organizations and keys at their limits that are named; the others are counted.
SHOWN: Final = 5


#: A limit's field, a title, names and counts of what is at the limit, and how many more there are.
Full = tuple[str, str, list[tuple[Any, int]], int]


def _closing(kind: JobType) -> Iterator[str]:
    """Yield what holds the jobs of a type whose breaker somebody is about to close, and what happens then."""
    for found in open_breakers([kind.pk]):
        error = one_line(found.error_message)
        facts = {"organization": found.organization, "waiting": found.waiting_words, "error": error}
        yield reasons.told(BREAKER_OPEN, facts)
        yield _("Its waiting jobs may start at once. Until it opens again, each job that fails spends a retry.")
        yield reasons.advice_on(BREAKER_OPEN, facts)


def read_flow(kind: JobType, user: Any) -> dict[str, Any]:
    """Return what a type's page tells of its limits, read in a constant number of statements.

    ``in_flight`` is how many jobs are queued or running, ``rows`` are further rows of a name and a value, and ``full``
    tells of each limit what is at it. Without ``is_rekeyed`` the jobs are held until they are in other lanes.
    """
    in_use = read_in_use(kind)
    return {
        "in_flight": _of(in_use.total, kind.max_running),
        "rows": _rows(kind),
        "full": _full(kind, in_use, user),
        "is_rekeyed": is_rekeyed(kind),
    }


def _of(count: int, most: int | None) -> str:
    return format_number(count) if most is None else reasons.of_all(count, most)


def _rows(kind: JobType) -> list[tuple[str, str]]:
    count = None if kind.max_starts is None else limits_of([kind]).rates.counted(kind.pk)
    if count is None:
        return []
    name = _("Starts in %(duration)s") % {"duration": format_duration(kind.max_starts_window)}
    return [(name, _of(count, kind.max_starts))]


def _full(kind: JobType, in_use: LimitsInUse, user: Any) -> list[Full]:
    groups: list[Full] = []
    if kind.max_running_per_organization is not None:
        full = in_use.full_organizations()
        names = current_ids(_first(full))
        shown = [(line(tenant_name(pk, names.get(pk)), 40), full[pk]) for pk in _first(full)]
        groups.append(_group(kind, "max_running_per_organization", shown, len(full)))
    if kind.concurrency_key and is_rekeyed(kind):
        lanes = in_use.full_keys()
        shown = [(_lane_words(kind, lane, user), lanes[lane]) for lane in _first(lanes)]
        groups.append(_group(kind, "max_running_per_key", shown, len(lanes)))
    return groups


def _group(kind: JobType, field: str, shown: list[tuple[Any, int]], count: int) -> Full:
    column: Any = JobType._meta.get_field(field)
    title = f"{capfirst(str(column.verbose_name))}: {format_number(getattr(kind, field))}"
    return field, title, shown, count - len(shown)


def _first(found: Mapping[Any, int]) -> list[Any]:
    return list(itertools.islice(found, SHOWN))


def _lane_words(kind: JobType, lane: Lane, user: Any) -> Any:
    """Return the value of the key that a lane has, which a job in flight knows."""
    own = {"job_type": kind, "organization_id": lane.organization_pk, "lane_key": lane.key}
    job = jobs().filter(status__in=sorted(IN_FLIGHT), **own).only("input_parameters").first()
    return key_words(kind, job.input_parameters, hidden_from(user)) if job else _("a key")


# The form of a job type: it offers the known handlers, takes durations, and never undoes somebody else's click.


if TYPE_CHECKING:
    BaseForm = forms.ModelForm[JobType]
else:
    BaseForm = forms.ModelForm

MAX_DELAYS: Final = 12
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
        capfirst(gettext_lazy("pool")),
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
            return db_field.formfield(form_class=DurationField, **kwargs)
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


def retry_schedule(kind: JobType) -> list[str]:
    """Return the delays before the first retries, without jitter."""
    numbers = range(1, min(kind.max_retries, MAX_DELAYS) + 1)
    return [format_duration(round(back_off(number, kind.retry_delay, 0))) for number in numbers]


def total_delay(kind: JobType) -> str:
    """Return the sum of all delays before retries; the runs are not counted."""
    delays = (back_off(number, kind.retry_delay, 0) for number in range(1, kind.max_retries + 1))
    return format_duration(round(sum(delays)))


# The switches of a job type that people set by one press: whether it is paused, enabled, held by its breaker.


def _setting(field: str, value: bool, label: Any, code: str) -> Switch:
    return Switch(
        label=label,
        code=code,
        fits=lambda kind: getattr(kind, field) != value,
        perform=lambda kind, user: switches.set_switch(kind, field, value, user=user),
    )


SWITCHES: Final = {
    "pause": _setting("is_paused", True, gettext_lazy("Pause"), "paused"),
    "resume": _setting("is_paused", False, gettext_lazy("Resume"), "resumed"),
    "enable": _setting("is_enabled", True, gettext_lazy("Enable"), "enabled"),
    "disable": _setting("is_enabled", False, gettext_lazy("Disable"), "disabled"),
    "close_breaker": Switch(
        label=CLOSE,
        code="closed",
        fits=lambda kind: bool(kind.breaker_failures and open_breakers([kind.pk])),
        asks=_closing,
        perform=lambda kind, user: set_paused("breaker", kind, False, user=user),
    ),
}


# Job types: their settings, the buttons that pause and disable them, and the form that tries one.


@admin.register(JobType)
class JobTypeAdmin(JobTypeForm, OwnPages, SystemAdminWrites):
    """The list of job types, and the page of one with its last 24 hours."""

    list_display = ("type_name", "title", "state", "handler", "urgency", "time_limit", "max_retries", "pool")
    list_filter = ("is_enabled", "is_paused", "pool")
    search_fields = ("type_name", "display_name", "handler_method")
    search_help_text = gettext_lazy("A part of the name, or of the handler's path.")
    ordering = ("type_name",)
    sortable_by = ("type_name", "max_retries", "pool")
    fieldsets = (
        (None, {"fields": ("type_name", "display_name", "description", "handler_method")}),
        (capfirst(gettext_lazy("jobs")), {"fields": ("default_priority", "default_timeout")}),
        (capfirst(gettext_lazy("submit by")), {"fields": ("submit_by", "requires_permission")}),
        (capfirst(gettext_lazy("retries")), {"fields": (*RETRY_FIELDS, "schedule")}),
        *LIMITS,
        (capfirst(gettext_lazy("state")), {"fields": ("is_enabled", "is_paused")}),
    )
    change_form_template = "admin/django_jobs/jobtype/change_form.html"
    switches, switches_want = SWITCHES, "change"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # The name is the primary key: saving another one would make another type. Buttons set the switches.
        return ("type_name", "schedule", "is_enabled", "is_paused") if obj is not None else ("schedule",)

    def get_list_display(self, request: HttpRequest) -> Any:
        """Return the columns. The paths of handlers are for system admins."""
        return [name for name in self.list_display if name != "handler" or is_system_admin(request)]

    def get_search_fields(self, request: HttpRequest) -> Any:
        return [name for name in self.search_fields if name != "handler_method" or is_system_admin(request)]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        hidden = () if is_system_admin(request) else ("handler_method",)
        return [(title, {**options, "fields": without(options["fields"], hidden)}) for title, options in self.fieldsets]

    @admin.display(description=gettext_lazy("name"), ordering="display_name")
    def title(self, kind: JobType) -> SafeString | str:
        """Return the display name."""
        return line(type_title(kind) if kind.display_name else "", 60)

    @admin.display(description=gettext_lazy("state"))
    def state(self, kind: JobType) -> SafeString:
        """Return whether the type is enabled, disabled or paused."""
        words, name = (_("enabled"), "completed")
        if not kind.is_enabled:
            words, name = (_("disabled"), "canceled")
        elif kind.is_paused:
            words, name = (_("paused"), "timed-out")
        return colored(words, name)

    @admin.display(description=gettext_lazy("handler"), ordering="handler_method")
    def handler(self, kind: JobType) -> SafeString | str:
        """Return the dotted path of the handler."""
        return line(kind.handler_method, 60)

    @admin.display(description=gettext_lazy("priority"), ordering="default_priority")
    def urgency(self, kind: JobType) -> str:
        """Return the label of the default priority."""
        return str(Priority(kind.default_priority).label)

    @admin.display(description=gettext_lazy("time limit"), ordering="default_timeout")
    def time_limit(self, kind: JobType) -> str:
        """Return the default time limit."""
        return format_duration(kind.default_timeout)

    @admin.display(description=gettext_lazy("schedule of retries"))
    def schedule(self, kind: JobType) -> SafeString | str:
        """Return the delays before the retries, as a list."""
        if not kind.max_retries:
            return _("No retry: a failure makes it a Dead Letter.")
        if kind.max_retries > MAX_RETRIES:  # a form that is refused: so many delays are not added up
            return NOTHING
        delays = retry_schedule(kind)
        steps = format_html_join("", "<li><bdi>{}</bdi></li>", ((delay,) for delay in delays))
        left = kind.max_retries - len(delays)
        more = _("and %(count)s more") % {"count": left} if left else ""
        last = _(
            "The last one is %(duration)s after the first failure, the runs not counted; then it is a Dead Letter. "
            "As saved; each delay varies a little."
        ) % {"duration": total_delay(kind)}
        return format_html('<ol class="djobs-schedule">{}</ol>{} {}', steps, more, last)

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Any], change: bool) -> None:
        if "requires_permission" in form.changed_data and unknown_permissions([obj.requires_permission]):
            text = _("There is no permission %(permission)s: only system admins and code may submit jobs of this type.")
            text %= {"permission": obj.requires_permission}
            self.message_user(request, text, messages.WARNING, extra_tags="unknown_permission")
        if not change:
            super().save_model(request, obj, form, change)
            return
        switches.write_type(obj, form.changed_data)

    def get_deleted_objects(self, objs: Iterable[Any], request: HttpRequest) -> Any:
        """Tell that a type with jobs is protected. Django's own collector would load every job to find out."""
        types = list(objs)
        in_use = [kind for kind in types if has_jobs(job_type=kind)]
        protected = [_("%(type)s has jobs; disable it instead.") % {"type": kind.type_name} for kind in in_use]
        return [str(kind) for kind in types], {JobType._meta.verbose_name_plural: len(types)}, set(), protected

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        kind = context["original"]
        if kind is not None and is_system_admin(request):
            held = open_breakers([kind.pk]) if kind.breaker_failures else []
            context |= {
                "day": read_day(kind),
                "flow": read_flow(kind, request.user),
                "rekeying": reasons.REASONS["rekeying"].long,
                "breaker": notice_of(held[0], database.now()) if held else None,
                "switches": self.offered(request, kind),
                "submit_url": self.url_of("submit", kind.pk) if scope_of(request).submittable([kind]) else "",
                "state": self.state(kind),
            }
            links = self.links
            context |= {"failures_url": links.failures(kind.pk), "jobs_url": links.jobs(job_type=kind.pk)}
        return super().render_change_form(request, context, *args, **kwargs)

    @view("<path:object_id>/submit/", "submit", right="change")
    def _submit(self, request: HttpRequest, kind: JobType) -> HttpResponse:
        if not scope_of(request).submittable([kind]):
            text = _("Only code submits %(type)s.") % {"type": kind.pk}
            self.message_user(request, text, messages.WARNING, extra_tags="code_only")
            return self.go_to(kind.pk)
        form = SubmissionForm(request, kind, request.POST if request.method == "POST" else None)
        job = form.submit(kind.pk, form.cleaned_data["organization"]) if form.is_valid() else None
        if job is None:
            title = f"{_('Submit a job')}: {kind.pk}"
            back = self.url_of("change", kind.pk)
            return self.form_page(request, form, title, [(capfirst(_("type")), type_title(kind))], back_url=back)
        self.remember(request, [job], "Submitted in the admin.", ADDITION)
        self.message_user(request, done(_("Submit a job"), job.name), extra_tags="submitted")
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:django_jobs_job_change", args=(job.pk,)))


# What became of a type's jobs in the last 24 hours.


#: How jobs end, and by what the roll-ups count that.
ENDS: Final = {Status.COMPLETED: "completed", Status.DEAD_LETTER: "died", Status.CANCELED: "canceled"}


def read_day(kind: JobType) -> dict[str, Any]:
    """Return the last 24 hours of a type as the roll-ups have them, and how many of its jobs wait now."""
    rows = activities(None, Span.HOUR, RANGES["day"].begins(database.now())).filter(job_type=kind.pk)
    names = ("submitted", *ENDS.values(), "run_seconds")
    counts = rows.aggregate(**{f"sum_{name}": Sum(name, default=0) for name in names})
    submitted, completed, died, _canceled, seconds = counts.values()
    backlog, has_more = capped_count(waiting().filter(job_type=kind))
    return {
        "submitted": format_number(submitted),
        "ends": [(badge(status), format_number(counts[f"sum_{name}"])) for status, name in ENDS.items()],
        "failure_rate": format_percent(died / (died + completed) if died + completed else None),
        "average": brief_duration(seconds / completed if completed else None),
        "waiting": CappedCount(count=backlog, is_cut=has_more),
    }
