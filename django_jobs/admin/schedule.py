"""Schedules: the list, the form with its preview, and the page of one."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.exceptions import DisallowedModelAdminToField
from django.contrib.admin.helpers import AdminForm
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import TO_FIELD_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.base import CappedPaginator, SystemAdminWrites, View, is_system_admin, keys_of
from django_jobs.admin.formatting import ALL, moment, type_title
from django_jobs.admin.lookups import clean_term
from django_jobs.admin.open_pages import OpenPages
from django_jobs.admin.schedule_actions import ScheduleActions
from django_jobs.admin.schedule_columns import ScheduleColumns, ScheduleList, note_pages, note_tenants, state_badge
from django_jobs.admin.schedule_faults import notes_on, remedies_of
from django_jobs.admin.schedule_filters import FILTERS
from django_jobs.admin.schedule_form import OPTIONS, RULE, ScheduleForm, rule_in
from django_jobs.admin.schedule_page import NEXT, facts_of, next_of, read_declared, read_history, shown_runs
from django_jobs.admin.schedule_words import rule_words
from django_jobs.engine.job_types.masking import hidden_from
from django_jobs.engine.schedules.definitions import having, preview, visible_schedules
from django_jobs.engine.store import database
from django_jobs.engine.submission.targets import submittable
from django_jobs.exceptions import InvalidSchedule
from django_jobs.models import JobType, Schedule, ScheduleFiring
from django_jobs.texts import translated

TEMPLATE: Final = "schedule/change_form.html"
#: The heading under which the rule is typed and previewed.
WHEN: Final = gettext_lazy("When")
#: What the history of a schedule says, in JSON, of a change of its organization.
MOVED: Final = '"Organization"'
#: What stands on the buttons that pause a schedule and let it go on.
SWITCH_LABELS: Final = {"pause": gettext_lazy("Pause"), "resume": gettext_lazy("Resume")}


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
        return visible_schedules(request.user).order_by("name").annotate(newest_firing=Subquery(firings[:1]))

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

    def own_views(self) -> dict[str, tuple[str, View]]:
        """Return the views of the buttons and of the preview, by name."""
        return {"preview": ("preview/", self._preview), **self.act_views()}

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
        kinds = submittable(request.user, JobType.primary.order_by("pk"))
        kind = next((item for item in kinds if item.pk == request.GET.get("job_type")), None)
        if kind is None:
            title, named = _("Add a schedule"), [(item, type_title(item)) for item in kinds]
            return self.page(request, "schedule/choose_type.html", title, title, kinds=named)
        form = ScheduleForm(request, kind, None, request.POST if request.method == "POST" else None)
        made = form.save() if form.is_valid() else None
        if made is not None:
            self.message_user(request, _("%(schedule)s was made.") % {"schedule": made}, extra_tags="made")
            return self.go_to(made.pk)
        title = _("Add a schedule: %(type)s") % {"type": kind.pk}
        facts = [(_("Type"), type_title(kind))]
        return self._form_page(request, form, title, title, facts=facts, change=False, add=True)

    def _change(self, request: HttpRequest, schedule: Any) -> HttpResponse:
        note_tenants([schedule])
        note_pages([schedule], OpenPages(request, self.admin_site.name))
        kind = JobType.primary.filter(pk=schedule.job_type_id).first() or JobType(pk=schedule.job_type_id)
        form = ScheduleForm(request, kind, schedule, request.POST if request.method == "POST" else None)
        saved = form.save() if form.is_valid() else None
        if saved is not None:
            self.message_user(request, _("%(schedule)s was saved.") % {"schedule": saved}, extra_tags="saved")
            is_done = "_continue" not in request.POST
            return HttpResponseRedirect(self.url_of("changelist")) if is_done else self.go_to(saved.pk)
        return self._form_page(request, form, schedule.name, schedule, **self._page_of(request, schedule))

    def _page_of(self, request: HttpRequest, schedule: Any) -> dict[str, Any]:
        """Return what stands on a schedule's page around its form."""
        site, whole = self.admin_site.name, ALL in request.GET
        verb = "pause" if schedule.is_enabled else "resume"
        return {
            "change": True,
            "schedule": schedule,
            "badge": state_badge(schedule),
            "remedies": [
                (remedy, self.url_of(remedy.verb, schedule.pk) if remedy.verb else "")
                for remedy in remedies_of(schedule, site)
            ],
            "notes": list(notes_on(schedule, site)),
            "faulty_since": moment(schedule.faulty_since),
            "facts": facts_of(schedule),
            "next": next_of(schedule, database.now()),
            "declared": read_declared(schedule, hidden_from(request.user)),
            "history": read_history(schedule, whole=whole),
            "shows_all": whole,
            "fire_url": self.url_of("fire", schedule.pk),
            "switch": (SWITCH_LABELS[verb], self.url_of(verb, schedule.pk)),
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
            (_("Parameters of its jobs"), {"fields": form.parameter_names}),
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

    def _preview(self, request: HttpRequest) -> JsonResponse:
        """Answer what a rule that is being typed says, or what is wrong with it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rule, errors = rule_in(request.GET)
        key = request.GET.get("schedule", "")
        try:
            found = preview(rule, NEXT, schedule=self.find(request, key) if keys_of([key]) else None)
        except InvalidSchedule as refusal:
            refused = {name: list(map(translated, texts)) for name, texts in refusal.errors.items()}
            return JsonResponse({"errors": {**refused, **errors}})
        shown = {"words": rule_words(found.rule), "runs": shown_runs(found.next_runs)}
        return JsonResponse({"errors": errors} if errors else shown)
