"""Pause, resume, fire and take over schedules: in the list or on a schedule's page, each by the engine's own verb."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_jobs.admin.base import OwnPages, View, keys_of
from django_jobs.admin.numbers import format_number
from django_jobs.admin.open_pages import OpenPages
from django_jobs.admin.schedule_columns import job_link, job_names, state_badge
from django_jobs.admin.schedule_faults import TAKE_OVER
from django_jobs.engine.schedules.definitions import pause_schedule, resume_schedule, take_over, unschedule
from django_jobs.engine.schedules.firing import fire_now
from django_jobs.exceptions import JobsError
from django_jobs.models import Schedule, ScheduleFiring
from django_jobs.texts import told

#: Schedules that one request changes.
MAX_AT_ONCE: Final = 100
CONFIRMED: Final = "confirmed"
#: By button: what it does, and the code and the text of what is said of the schedule afterwards.
SWITCH: Final[dict[str, tuple[Callable[..., Schedule], str, Any]]] = {
    "pause": (pause_schedule, "paused", gettext_lazy("%(schedule)s is paused: it fires only by hand.")),
    "resume": (
        resume_schedule,
        "resumed",
        gettext_lazy("%(schedule)s goes on: what was due meanwhile is not caught up."),
    ),
    TAKE_OVER: (
        take_over,
        "taken_over",
        gettext_lazy(
            "%(schedule)s is yours: it submits in your name from now on. Fire it now to see whether all is well."
        ),
    ),
}
Outcome = ScheduleFiring.Outcome


class ScheduleActions(OwnPages):
    """The actions of the list and the buttons of a schedule's page. The engine decides who may."""

    actions = ("pause_schedules", "resume_schedules", "fire_schedules")

    @admin.action(description=gettext_lazy("Pause selected schedules"), permissions=["view"])
    def pause_schedules(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Pause what was chosen."""
        self._switch_all(request, queryset, "pause")

    @admin.action(description=gettext_lazy("Resume selected schedules"), permissions=["view"])
    def resume_schedules(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Let what was chosen go on."""
        self._switch_all(request, queryset, "resume")

    @admin.action(description=gettext_lazy("Fire selected schedules now"), permissions=["view"])
    def fire_schedules(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Return the page that asks before it fires, or fire what was confirmed."""
        if not request.POST.get(CONFIRMED):
            found = list(queryset[:MAX_AT_ONCE])
            return self._confirm(request, found, action="fire_schedules", back_url=request.get_full_path())
        keys = keys_of(request.POST.getlist(ACTION_CHECKBOX_NAME))[:MAX_AT_ONCE]
        for schedule in self.get_queryset(request).filter(pk__in=keys):
            self._fire(request, schedule)
        return HttpResponseRedirect(request.get_full_path())

    def act_views(self) -> dict[str, tuple[str, View]]:
        """Return the views of the buttons on a schedule's page, by name."""
        switches = {verb: (f"<path:object_id>/{verb}/", partial(self._switch, verb=verb)) for verb in SWITCH}
        return {**switches, "fire": ("<path:object_id>/fire/", self._fire_one)}

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

    def _switch_all(self, request: HttpRequest, queryset: QuerySet[Any], verb: str) -> None:
        for schedule in queryset[:MAX_AT_ONCE]:
            self._perform(request, schedule, verb)
        if queryset[MAX_AT_ONCE:].exists():
            text = ngettext(
                "At most %(count)d schedule is changed at once. Do it again for the others.",
                "At most %(count)d schedules are changed at once. Do it again for the others.",
                MAX_AT_ONCE,
            )
            self.message_user(request, text % {"count": MAX_AT_ONCE}, messages.WARNING, extra_tags="too_many")

    def _perform(self, request: HttpRequest, schedule: Schedule, verb: str) -> None:
        act, code, words = SWITCH[verb]
        try:
            act(schedule, user=request.user)
        except JobsError as error:
            self.message_user(request, f"{schedule}: {told(error)}", messages.ERROR, extra_tags=error.code)
        else:
            self.message_user(request, words % {"schedule": schedule}, extra_tags=code)

    def _switch(self, request: HttpRequest, object_id: str, *, verb: str) -> HttpResponse:
        schedule = self._found(request, object_id)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if schedule is None:
            return self.gone(request, object_id)
        self._perform(request, schedule, verb)
        return self.go_to(schedule.pk)

    def _fire_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        schedule = self._found(request, object_id)
        if schedule is None:
            return self.gone(request, object_id)
        if request.method != "POST":
            return self._confirm(request, [schedule], back_url=self.url_of("change", schedule.pk))
        self._fire(request, schedule)
        return self.go_to(schedule.pk)

    def _found(self, request: HttpRequest, object_id: str) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.find(request, object_id)

    def _confirm(self, request: HttpRequest, schedules: list[Any], **context: Any) -> HttpResponse:
        title = _title(schedules)
        rows = [(item.pk, str(item), self.url_of("change", item.pk), state_badge(item), item) for item in schedules]
        context |= {"schedules": rows, "checkbox": ACTION_CHECKBOX_NAME, "confirmed": CONFIRMED}
        return self.page(request, "schedule/confirm.html", title, title, **context)

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
        text, level = _("%(schedule)s: the firing failed. %(note)s"), messages.ERROR
        if firing.outcome == Outcome.SKIPPED:
            text, level = _("%(schedule)s: the firing was skipped. %(note)s"), messages.WARNING
        text %= {"schedule": schedule, "note": firing.note}
        self.message_user(request, text, level, extra_tags=firing.outcome)

    def _submitted(self, request: HttpRequest, schedule: Schedule, firing: ScheduleFiring) -> SafeString:
        link = job_link(OpenPages(request, self.admin_site.name), firing, job_names([firing]).get(firing.job_id))
        text = ngettext(
            "{schedule} submitted {count} job: {link}.", "{schedule} submitted {count} jobs: {link}.", firing.submitted
        )
        count = format_number(firing.submitted)
        return format_html("{} {}", format_html(text, schedule=schedule, count=count, link=link), firing.note)


def _title(schedules: list[Any]) -> str:
    if len(schedules) == 1:
        return _("Fire %(schedule)s now?") % {"schedule": schedules[0]}
    text = ngettext("Fire %(count)d schedule now?", "Fire %(count)d schedules now?", len(schedules))
    return text % {"count": len(schedules)}
