"""Schedules: the list, the page of one, what people do to them, what keeps them from firing."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.exceptions import DisallowedModelAdminToField
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, AdminForm
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import TO_FIELD_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.utils import timezone
from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import get_language, gettext_lazy, pgettext_lazy
from django.utils.translation import gettext as _

from django_jobs.admin.bar import OpenPages, tenant_name
from django_jobs.admin.filters import MAX_TYPES, Choice, NarrowingTerm, choosing, offering, organizations_seen
from django_jobs.admin.forms import OPTIONS, RULE, ScheduleForm, rule_in
from django_jobs.admin.pages import (
    CONFIRMED,
    BaseAdmin,
    CappedPaginator,
    DeclaredList,
    Links,
    Notice,
    OwnPages,
    Switch,
    SystemAdminWrites,
    clean_term,
    done,
    is_system_admin,
    keys_of,
    nothing_to_do,
    sentence,
    view,
)
from django_jobs.admin.reasons import notice
from django_jobs.admin.writing import (
    ALL,
    NOTHING,
    ago,
    as_json,
    brief_duration,
    colored,
    format_duration,
    format_number,
    line,
    linked,
    moment,
    type_title,
    zone_of,
)
from django_jobs.engine import organizations
from django_jobs.engine.access import is_active, may_submit
from django_jobs.engine.insight.inspection import leader
from django_jobs.engine.job_types import parameters
from django_jobs.engine.job_types.declared_types import changed_from
from django_jobs.engine.job_types.masking import Names, hidden_from, masked
from django_jobs.engine.organizations import current_ids
from django_jobs.engine.pausing import set_paused
from django_jobs.engine.schedules import timetable
from django_jobs.engine.schedules.declared_schedules import is_declared
from django_jobs.engine.schedules.definitions import having, preview, take_over, unschedule
from django_jobs.engine.schedules.firing import fire_now
from django_jobs.engine.schedules.timetable import rule_of
from django_jobs.engine.scope import Scope, scope_of
from django_jobs.engine.store import database
from django_jobs.exceptions import InvalidSchedule, JobsError
from django_jobs.models import Job, JobType, Schedule, ScheduleFiring, get_organization_model
from django_jobs.texts import comma, in_clauses, left_to_right, told, translated

# Why a schedule cannot fire, or why what it submits does not run, and what to do about it.


MAX_ERRORS: Final = 5
#: The verb of the button that makes its presser the owner.
TAKE_OVER: Final = "take-over"


def remedies_of(schedule: Schedule, links: Links) -> list[Notice]:
    """Return what is wrong with a schedule now, and what to do. With a fault there is always something to do."""
    kind = JobType.primary.filter(pk=schedule.job_type_id).first()
    tenants = database.rows(get_organization_model())
    tenant = tenants.filter(pk=schedule.organization_id).first() if schedule.organization_id is not None else None
    found = [*_of_type(schedule, kind, links), *_of_tenant(schedule, tenant), *_of_owner(schedule, kind, tenant, links)]
    if kind is not None:
        found += _of_parameters(schedule)
    return found or ([notice("unclear")] if schedule.fault else [])


def notes_on(schedule: Schedule, links: Links) -> Iterator[Notice]:
    """Yield why nothing comes of a schedule that is on, although it has no fault."""
    if not schedule.is_enabled:
        yield notice("schedule_paused")
        return
    if not leader(database.now()).is_alive:
        yield notice("no_scheduler", links=((capfirst(_("monitor")), links.list("monitor")),))
    kind = JobType.primary.filter(pk=schedule.job_type_id).only("is_paused").first()
    if kind is not None and kind.is_paused:
        address = links.change("jobtype", kind.pk)
        yield notice("type_paused", subject=kind.pk, links=((_("Resume the type"), address),))


def _of_type(schedule: Schedule, kind: JobType | None, links: Links) -> Iterator[Notice]:
    if kind is None:
        yield notice("unknown_job_type", facts={"type": schedule.job_type_id})
    elif not kind.is_enabled:
        address = links.change("jobtype", kind.pk)
        yield notice("type_disabled", subject=kind.pk, links=((_("Enable the type"), address),))


def _of_tenant(schedule: Schedule, tenant: Any) -> Iterator[Notice]:
    if schedule.organization_id is None:
        if not organizations.without(database.rows(get_organization_model())).exists():
            yield notice("no_organization")
    elif tenant is None:
        yield notice("organization_gone")
    elif not is_active(tenant):
        yield notice("organization_inactive")


def _of_owner(schedule: Schedule, kind: JobType | None, tenant: Any, links: Links) -> Iterator[Notice]:
    name, owner, code = schedule.owner_name, schedule.owner, ""
    if name and (owner is None or not owner.is_active):
        code = "owner_gone"
    elif name and kind is not None and not _may_submit(owner, tenant, kind, schedule):
        code = "permission_denied"
    if code:
        button = (str(SWITCHES[TAKE_OVER].label), links.page(f"schedule_{TAKE_OVER}", schedule.pk))
        yield notice(code, facts={"user": name, "type": schedule.job_type_id}, buttons=(button,))


def _may_submit(owner: Any, tenant: Any, kind: JobType, schedule: Schedule) -> bool:
    if schedule.organization_id is None:
        return Scope(owner).is_system_admin
    return tenant is None or may_submit(owner, tenant, kind)


def _of_parameters(schedule: Schedule) -> Iterator[Notice]:
    errors = parameters.validate(schedule.job_type_id, schedule.parameters)
    if errors:
        texts = [f"{key}: {' '.join(messages)}" for key, messages in list(errors.items())[:MAX_ERRORS]]
        yield notice("invalid_parameters", facts={"error": in_clauses(texts)})


# Pause, resume, fire and take over schedules: in the list or on a schedule's page, each by the engine's own verb.


#: Schedules that one request changes.
MAX_AT_ONCE: Final = 100
SWITCHES: Final = {
    "pause": Switch(
        code="paused",
        label=gettext_lazy("Pause"),
        perform=lambda schedule, user: set_paused("schedule", schedule, True, user=user) or True,
    ),
    "resume": Switch(
        code="resumed",
        label=gettext_lazy("Resume"),
        perform=lambda schedule, user: set_paused("schedule", schedule, False, user=user) or True,
    ),
    TAKE_OVER: Switch(
        code="taken_over",
        label=gettext_lazy("Take over"),
        perform=lambda schedule, user: bool(take_over(schedule, user=user)),
    ),
}
Outcome = ScheduleFiring.Outcome
FIRE: Final = gettext_lazy("Fire now")


def _switching(verb: str) -> Callable[..., Any]:
    """Return the action of the list that presses this button of chosen schedules."""

    def run(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        model_admin.switch_all(request, queryset, verb)

    run.__name__ = f"{verb}_schedules"
    return admin.action(run, permissions=["view"], description=SWITCHES[verb].label)


class ScheduleActions(OwnPages):
    """The actions of the list and the buttons of a schedule's page. The engine decides who may."""

    actions = (_switching("pause"), _switching("resume"), "fire_schedules")
    switches = SWITCHES

    @admin.action(description=FIRE, permissions=["view"])
    def fire_schedules(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Return the page that asks before it fires, or fire what was confirmed."""
        if not request.POST.get(CONFIRMED):
            found = list(queryset[:MAX_AT_ONCE])
            hidden = [(ACTION_CHECKBOX_NAME, item.pk) for item in found]
            hidden += [("action", "fire_schedules"), ("select_across", "0")]
            return self._confirm(request, found, hidden=hidden, back_url=request.get_full_path())
        keys = keys_of(request.POST.getlist(ACTION_CHECKBOX_NAME))[:MAX_AT_ONCE]
        for schedule in self.get_queryset(request).filter(pk__in=keys):
            self._fire(request, schedule)
        return HttpResponseRedirect(request.get_full_path())

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        unschedule(obj, user=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for schedule in queryset:
            unschedule(schedule, user=request.user)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Write nothing: the engine does, with the deletion."""

    def get_deleted_objects(self, objs: Iterable[Any], request: HttpRequest) -> Any:
        """Tell what is deleted. Django's own collector would load the whole history to find out."""
        text = _("%(schedule)s, with the history of its firings. Its jobs stay.")
        names = [text % {"schedule": schedule} for schedule in objs]
        return names, {Schedule._meta.verbose_name_plural: len(names)}, set(), []

    def switch_all(self, request: HttpRequest, queryset: QuerySet[Any], verb: str) -> None:
        """Press a button of each of the schedules."""
        for schedule in queryset[:MAX_AT_ONCE]:
            self.switch(request, schedule, SWITCHES[verb])
        if queryset[MAX_AT_ONCE:].exists():
            text = _("At most %(count)d are changed at once. Do it again for the others.")
            self.message_user(request, text % {"count": MAX_AT_ONCE}, messages.WARNING, extra_tags="too_many")

    @view("<path:object_id>/fire/", "fire")
    def _fire_one(self, request: HttpRequest, schedule: Schedule) -> HttpResponse:
        if request.method != "POST":
            return self._confirm(request, [schedule], back_url=self.url_of("change", schedule.pk))
        self._fire(request, schedule)
        return self.go_to(schedule.pk)

    def _confirm(self, request: HttpRequest, schedules: list[Any], **context: Any) -> HttpResponse:
        what = schedules[0] if len(schedules) == 1 else f"{_('schedules')} ({len(schedules)})"
        title = _("%(act)s: %(name)s?") % {"act": FIRE, "name": what}
        rows = [(str(x), self.url_of("change", x.pk), state_badge(x), x.job_type_id) for x in schedules]
        consequences = [
            _("Its jobs are submitted at once, paused or not, in its owner's name. Its next firing stays when it is."),
        ]
        nothing = None if schedules else nothing_to_do(_("deleted"))
        context |= {"rows": rows, "consequences": consequences, "nothing": nothing, "yes": FIRE}
        return self.page(request, "confirm.html", title, title, **context)

    def _fire(self, request: HttpRequest, schedule: Schedule) -> None:
        """Fire a schedule, and tell what came of it with a link to the job."""
        try:
            firing = fire_now(schedule, user=request.user)
        except JobsError as error:
            self.message_user(request, f"{schedule}: {told(error)}", messages.ERROR, extra_tags=error.code)
            return
        if firing.outcome == Outcome.SUBMITTED:
            told_of = self._submitted(request, schedule, firing)
            self.message_user(request, told_of, messages.SUCCESS, extra_tags="submitted")
            return
        level = messages.WARNING if firing.outcome == Outcome.SKIPPED else messages.ERROR
        text = sentence(f"{schedule}: {Outcome(firing.outcome).label}", firing.note)
        self.message_user(request, text, level, extra_tags=firing.outcome)

    def _submitted(self, request: HttpRequest, schedule: Schedule, firing: ScheduleFiring) -> SafeString:
        link = job_link(OpenPages(request, self.admin_site.name), firing, job_names([firing]).get(firing.job_id))
        return format_html("{}: {} {} {}", schedule, Outcome.SUBMITTED.label, link, firing.note)


# The columns of the list of schedules, and the words in which its pages tell a schedule.


EACH_ORGANIZATION: Final = gettext_lazy("each active organization")
#: The states: how each is called, the class of its color, and the condition of a schedule that is in it.
STATES: Final = {
    "on": (pgettext_lazy("schedule", "on"), "completed", Q(is_enabled=True, fault="", next_run_at__isnull=False)),
    "paused": (gettext_lazy("paused"), "timed-out", Q(is_enabled=False)),
    "faulty": (gettext_lazy("cannot fire"), "dead-letter", Q(is_enabled=True) & ~Q(fault="")),
    "over": (pgettext_lazy("schedule", "over"), "canceled", Q(is_enabled=True, fault="", next_run_at__isnull=True)),
}
#: By outcome, the class of its color.
COLORS: Final = {Outcome.SUBMITTED: "completed", Outcome.SKIPPED: "canceled", Outcome.FAILED: "dead-letter"}


class ScheduleList(DeclaredList):
    """A page of schedules with tenants and last firings, read in three statements for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        note_tenants(self.result_list)
        admin_class: Any = self.model_admin
        note_pages(self.result_list, OpenPages(request, admin_class.admin_site.name))
        pks = [row.newest_firing for row in self.result_list if row.newest_firing]
        firings = ScheduleFiring.primary.in_bulk(pks)
        names = job_names(list(firings.values()))
        for row in self.result_list:
            row.shown_firing = firings.get(row.newest_firing)
            row.shown_job = names.get(getattr(row.shown_firing, "job_id", None))


def note_tenants(schedules: list[Any]) -> None:
    """Note on each schedule the id of its organization, or words for it."""
    ids = current_ids({row.organization_id for row in schedules} - {None})
    for row in schedules:
        pk = row.organization_id
        row.tenant_is_gone = pk is not None and pk not in ids
        row.shown_tenant = str(EACH_ORGANIZATION) if pk is None else tenant_name(pk, ids.get(pk))


def note_pages(schedules: list[Any], pages: OpenPages) -> None:
    """Note on each schedule the pages of its type and its organization, or the lists of their jobs.

    A schedule for each organization, and one for an organization that is gone, has none for that.
    """
    kinds = JobType.primary.in_bulk({row.job_type_id for row in schedules})
    there = {row.organization_id for row in schedules if not row.tenant_is_gone} - {None}
    tenants = pages.organizations(there)
    for row in schedules:
        row.pages = pages
        jobs_url = pages.of_jobs(pages.links.jobs(job_type=row.job_type_id))
        row.type_url = pages.job_type(kinds.get(row.job_type_id)) or jobs_url
        is_there = row.organization_id in there
        jobs_url = pages.of_jobs(pages.links.jobs(organization=row.shown_tenant)) if is_there else ""
        row.tenant_url = tenants.get(row.organization_id) or jobs_url


def job_names(firings: list[ScheduleFiring]) -> dict[Any, str]:
    """Return the ids of the firings' jobs by their keys; a job that was deleted is missing."""
    pks = {firing.job_id for firing in firings if firing.job_id is not None}
    jobs = Job.primary.filter(pk__in=pks).only("pk", "created_at").order_by() if pks else ()
    return {job.pk: job.name for job in jobs}


class ScheduleColumns(BaseAdmin):
    """The columns of the list."""

    list_display = ("name_shown", "state", "fires", "last_firing", "what")

    @admin.display(description=gettext_lazy("name"), ordering="name")
    def name_shown(self, schedule: Schedule) -> SafeString | str:
        """Return the name."""
        return line(schedule.name, 60)

    @admin.display(description=gettext_lazy("submits"), ordering="job_type_id")
    def what(self, schedule: Any) -> SafeString:
        """Return the name of the job type and, below it, for which organization."""
        kind = linked(schedule.type_url, line(schedule.job_type_id, 40))
        tenant = linked(schedule.tenant_url, line(schedule.shown_tenant, 60))
        return format_html("{}<br><small>{}</small>", kind, tenant)

    @admin.display(description=gettext_lazy("fires"), ordering="next_run_at")
    def fires(self, schedule: Schedule) -> SafeString | str:
        """Return the rule in words, with its time zone where that is another one, and below it when it fires next."""
        is_own = schedule.cron and schedule.timezone != timezone.get_current_timezone_name()
        rule = rule_words(rule_of(schedule))
        # Without a letter, the fields of a rule that nobody has words for would be read from right to left.
        direction = mark_safe(' dir="ltr"') if rule == schedule.cron else ""
        words = format_html("<bdi{}>{}</bdi>{}", direction, rule, f" ({schedule.timezone})" if is_own else "")
        if schedule.next_run_at is None:
            return words
        return format_html(
            "{}<br><small>{}{}{}</small>", words, until(schedule.next_run_at), comma(), moment(schedule.next_run_at)
        )

    @admin.display(description=gettext_lazy("last firing"))
    def last_firing(self, schedule: Any) -> SafeString | str:
        """Return what came of the last firing, and how long ago it was."""
        firing = schedule.shown_firing
        if firing is None:
            return NOTHING
        text = format_html("{}<br><small>{}</small>", outcome_badge(firing), ago(firing.fired_at))
        link = job_link(schedule.pages, firing, schedule.shown_job)
        return format_html("{}<br><small>{}</small>", text, link) if link else text

    @admin.display(description=gettext_lazy("state"))
    def state(self, schedule: Schedule) -> SafeString:
        """Return whether it is on, and why it cannot fire."""
        fault = format_html("<br><small>{}</small>", line(schedule.fault, 80)) if schedule.fault else ""
        return format_html("{}{}", state_badge(schedule), fault)


def state_badge(schedule: Schedule) -> SafeString:
    """Return the state of a schedule as a colored word."""
    state = "on"
    if not schedule.is_enabled:
        state = "paused"
    elif schedule.fault:
        state = "faulty"
    elif schedule.next_run_at is None:
        state = "over"
    words, color, _which = STATES[state]
    return colored(words, color)


def outcome_badge(firing: ScheduleFiring) -> SafeString:
    """Return the outcome of a firing as a colored word."""
    outcome = Outcome(firing.outcome)
    return colored(outcome.label, COLORS[outcome])


def job_link(pages: OpenPages, firing: ScheduleFiring, name: str | None) -> SafeString:
    """Return a link to the job of a firing, or to the first of them; nothing for a job that is gone."""
    if name is None or firing.job_id is None:
        return SafeString("")
    address = pages.of_jobs(pages.links.change("job", firing.job_id))
    link = format_html("{}", linked(address, name))
    others = firing.submitted - 1
    if others < 1:
        return link
    return format_html("{} {}", link, _("and %(count)s more") % {"count": format_number(others)})


def until(value: dt.datetime) -> str:
    """Return in how long a moment comes."""
    seconds = (value - timezone.now()).total_seconds()
    # Translators: in how long something comes: "in 3 min 20 s".
    return _("in %(duration)s") % {"duration": brief_duration(seconds)} if seconds > 0 else _("now")


# The filters of the list of schedules.


EACH: Final = "each"


class TenantTerm(NarrowingTerm):
    """Narrows the list to one organization, or to what is for each active one."""

    def offers(self) -> list[Choice]:
        return [Choice((EACH,), capfirst(str(EACH_ORGANIZATION))), *organizations_seen(self)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.given.get(self.parameter_name) == [EACH]:
            return queryset.filter(organization__isnull=True)
        return super().queryset(request, queryset)


def scheduled_types(item: NarrowingTerm) -> list[Choice]:
    """Return the job types that the schedules submit."""
    rows = scope_of(item.request).schedules().order_by("job_type_id")
    names = rows.values_list("job_type_id", flat=True).distinct()[:MAX_TYPES]
    return [Choice((name,), name) for name in names]


FILTERS: Final = (
    choosing(
        "state",
        gettext_lazy("state"),
        lambda: [(key, capfirst(str(words))) for key, (words, *_) in STATES.items()],
        lambda rows, chosen: rows.filter(STATES[chosen][2]),
    ),
    offering("job_type", scheduled_types, NarrowingTerm),
    offering("organization", TenantTerm.offers, TenantTerm),
)


# Schedules: the list, the form with its preview, and the page of one.


TEMPLATE: Final = "schedule/change_form.html"
#: The heading under which the rule is typed and previewed.
WHEN: Final = capfirst(gettext_lazy("when"))
#: What the history of a schedule says, in JSON, of a change of its organization.
MOVED: Final = '"Organization"'


@admin.register(Schedule)
class ScheduleAdmin(ScheduleActions, ScheduleColumns, SystemAdminWrites):
    """Puts together what the ``schedule_*`` files give. The engine decides who sees and who changes a schedule."""

    class Media:
        css = {"all": ["django_jobs/schedules.css"]}
        js = ["django_jobs/schedule_preview.js"]

    list_filter = FILTERS
    search_fields = ("name",)
    search_help_text = gettext_lazy("A part of the name or of the job type's name.")
    ordering = ("name",)
    sortable_by = ("name_shown", "what", "fires")
    paginator = CappedPaginator
    show_full_result_count = False
    list_max_show_all = 0
    list_per_page = 50
    change_list_template = "admin/django_jobs/schedule/change_list.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        firings = ScheduleFiring.primary.filter(schedule_id=OuterRef("pk")).order_by("-pk").values("pk")
        return scope_of(request).schedules().order_by("name").annotate(newest_firing=Subquery(firings[:1]))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ScheduleList]:
        return ScheduleList

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        rows, may_repeat = super().get_search_results(request, queryset, "")
        term = search_term.strip()
        return (having(rows, clean_term(term)) if term else rows), may_repeat

    def get_paginator(self, request: HttpRequest, queryset: Any, per_page: int, *args: Any, **kwargs: Any) -> Any:
        """Return the pages of the list, or of a schedule's history: what another organization's people did is not told
        to those of the one that the schedule was moved to.
        """
        if queryset.model is LogEntry and not is_system_admin(request):
            moves = queryset.filter(change_message__contains=MOVED).order_by("-pk")
            queryset = queryset.filter(pk__gte=moves.values_list("pk", flat=True).first() or 0)
        return super().get_paginator(request, queryset, per_page, *args, **kwargs)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Return the page of a new schedule or of one that is there, or change it. The engine writes and notes it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if TO_FIELD_VAR in request.GET and not self.to_field_allowed(request, request.GET[TO_FIELD_VAR]):
            raise DisallowedModelAdminToField
        if object_id is None:
            return self._add(request)
        schedule = self.find(request, object_id)
        return self.gone(request, object_id) if schedule is None else self._change(request, schedule)

    def _add(self, request: HttpRequest) -> HttpResponse:
        kinds = scope_of(request).submittable(JobType.primary.order_by("pk"))
        kind = next((item for item in kinds if item.pk == request.GET.get("job_type")), None)
        if kind is None:
            title, named = _("Add a schedule"), [(item, type_title(item)) for item in kinds]
            return self.page(request, "schedule/choose_type.html", title, title, kinds=named)
        form = ScheduleForm(request, kind, None, request.POST if request.method == "POST" else None)
        made = form.save() if form.is_valid() else None
        if made is not None:
            self.message_user(request, done(_("Add a schedule"), made), extra_tags="made")
            return self.go_to(made.pk)
        title = f"{_('Add a schedule')}: {kind.pk}"
        facts = [(capfirst(_("type")), type_title(kind))]
        return self._form_page(request, form, title, title, facts=facts, change=False, add=True)

    def _change(self, request: HttpRequest, schedule: Any) -> HttpResponse:
        note_tenants([schedule])
        note_pages([schedule], OpenPages(request, self.admin_site.name))
        kind = JobType.primary.filter(pk=schedule.job_type_id).first() or JobType(pk=schedule.job_type_id)
        form = ScheduleForm(request, kind, schedule, request.POST if request.method == "POST" else None)
        saved = form.save() if form.is_valid() else None
        if saved is not None:
            self.message_user(request, done(_("Save"), saved), extra_tags="saved")
            is_done = "_continue" not in request.POST
            return HttpResponseRedirect(self.url_of("changelist")) if is_done else self.go_to(saved.pk)
        return self._form_page(request, form, schedule.name, schedule, **self._page_of(request, schedule))

    def _page_of(self, request: HttpRequest, schedule: Any) -> dict[str, Any]:
        """Return what stands on a schedule's page around its form."""
        links, whole = self.links, ALL in request.GET
        verb = "pause" if schedule.is_enabled else "resume"
        return {
            "change": True,
            "schedule": schedule,
            "badge": state_badge(schedule),
            "remedies": remedies_of(schedule, links),
            "notes": list(notes_on(schedule, links)),
            "faulty_since": moment(schedule.faulty_since),
            "facts": facts_of(schedule),
            "next": next_of(schedule, database.now()),
            "declared": read_declared(schedule, hidden_from(request.user)),
            "history": read_history(schedule, whole=whole),
            "shows_all": whole,
            "fire_url": self.url_of("fire", schedule.pk),
            "switch": (SWITCHES[verb].label, self.url_of(verb, schedule.pk)),
            "history_url": self.url_of("history", schedule.pk),
            "delete_url": self.url_of("delete", schedule.pk),
        }

    def _form_page(
        self, request: HttpRequest, form: ScheduleForm, title: str, place: Any, **context: Any
    ) -> HttpResponse:
        first = [name for name in ("name", "organization") if name in form.fields]
        fieldsets: Any = [
            (None, {"fields": first}),
            (WHEN, {"fields": RULE}),
            (capfirst(_("parameters")), {"fields": form.parameter_names}),
            (_("How"), {"fields": OPTIONS}),
        ]
        context |= {
            "form": form,
            "adminform": AdminForm(form, fieldsets, {}, model_admin=self),  # type: ignore[arg-type]
            "errors": form.errors,
            "preview_url": self.url_of("preview") + (f"?schedule={form.schedule.pk}" if form.schedule else ""),
            "when": WHEN,
        }
        return self.page(request, TEMPLATE, title, place, **context)

    @view("preview/", "preview")
    def _preview(self, request: HttpRequest) -> JsonResponse:
        """Answer what a rule that is being typed says, or what is wrong with it."""
        rule, errors = rule_in(request.GET)
        key = request.GET.get("schedule", "")
        try:
            known, next_runs = preview(rule, NEXT, schedule=self.find(request, key) if keys_of([key]) else None)
        except InvalidSchedule as refusal:
            refused = {name: list(map(translated, texts)) for name, texts in refusal.errors.items()}
            return JsonResponse({"errors": {**refused, **errors}})
        shown = {"words": rule_words(known), "runs": shown_runs(next_runs)}
        return JsonResponse({"errors": errors} if errors else shown)


# What stands on a schedule's page beside its form: how it is, its history, and what the code says of it.


#: Firings that a page shows; with "show all", as many as are kept.
ROWS: Final = 20
ALL_ROWS: Final = 1_100
NEXT: Final = 5


def read_history(schedule: Any, *, whole: bool) -> dict[str, Any]:
    """Return the newest firings, each with its outcome and its jobs as they are shown, read in two statements."""
    limit = ALL_ROWS if whole else ROWS
    rows: list[Any] = list(ScheduleFiring.primary.filter(schedule_id=schedule.pk).order_by("-pk")[: limit + 1])
    names = job_names(rows[:limit])
    for row in rows[:limit]:
        row.badge, row.jobs = outcome_badge(row), job_link(schedule.pages, row, names.get(row.job_id))
    return {"firings": rows[:limit], "is_cut": len(rows) > limit}


def next_of(schedule: Schedule, now: dt.datetime) -> dict[str, Any]:
    """Return the stored rule in words, and its next firings as the preview of a form has them.

    A rule that can no longer be read has none: its time zone may have left the IANA database of this machine.
    """
    rule = rule_of(schedule)
    try:
        runs = shown_runs(rule.upcoming(now, NEXT))
    except InvalidSchedule:
        runs = []
    return {"words": rule_words(rule), "runs": runs}


def shown_runs(runs: list[dt.datetime]) -> list[dict[str, str]]:
    """Return firings for people: the local time with its zone, and in how long it comes."""
    return [{"moment": _local(run), "until": until(run)} for run in runs]


def _local(run: dt.datetime) -> str:
    """Return a firing in its own time zone. Where people read from right to left, its numbers keep their order."""
    numbers = left_to_right(f"{run:%Y-%m-%d %H:%M:%S}")
    return f"{date_format(run, 'D')} {numbers} {zone_of(run)}"


def facts_of(schedule: Any) -> list[tuple[str, Any]]:
    """Return the facts that no form changes."""
    owner = line(schedule.owner_name, 60) if schedule.owner_name else _("server code")
    kind = linked(schedule.type_url, line(schedule.job_type_id, 60))
    return [(capfirst(_("type")), kind), (capfirst(_("owner")), owner)]


def read_declared(schedule: Schedule, names: Names) -> dict[str, Any] | None:
    """Return which fields an administrator changed, with both values, and which follow the code.

    Return None where no code declared it.
    """
    if not isinstance(schedule.declared, dict):
        return None
    by_hand = changed_from(schedule, schedule.declared)
    changed = [
        (_page_title(name), _shown(name, getattr(schedule, name), names), _shown(name, said, names))
        for name, said in by_hand.items()
    ]
    follows = [_page_title(name) for name in schedule.declared if name not in by_hand and name != "job_type_id"]
    return {"is_in_code": is_declared(schedule.name), "follows": follows, "changed": changed}


def _page_title(name: str) -> str:
    field: Any = Schedule._meta.get_field(name.removesuffix("_id"))
    return str(field.verbose_name)


def _shown(name: str, value: Any, names: Names) -> SafeString | str:
    if name == "parameters":
        return as_json(masked(value, names), names)
    if isinstance(value, dt.datetime):
        return moment(value)
    return _("(none)") if value in (None, "") else line(str(value), 100)


# What a schedule's rule says, in the language of who reads it.


def rule_words(rule: Any) -> str:
    """Return a rule in words, such as "At 02:00, Monday to Friday" or "Every 5 minutes".

    A cron expression stays as it is where nobody has words for it in the active language.
    """
    if rule.cron:
        return _with_names(timetable.cron_words(rule.cron, get_language() or "en"))
    return _("Every %(duration)s") % {"duration": format_duration(rule.every or 1)}


def _with_names(text: str) -> str:
    """Return the text with the names of days and months in the active language; the library leaves them English."""
    names = {calendar.day_name[number]: str(name) for number, name in WEEKDAYS.items()}
    names |= {calendar.month_name[number]: str(name) for number, name in MONTHS.items()}
    return re.sub(r"\w+", lambda found: names.get(found[0], found[0]), text)
