"""Replays of dead letters: how far each has come, and its buttons."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.html import format_html
from django.utils.safestring import SafeString

from django_jobs.admin.base import View, is_system_admin
from django_jobs.admin.durations import brief_duration
from django_jobs.admin.formatting import line, moment
from django_jobs.admin.monitor import SeesJobs
from django_jobs.engine.control import replays
from django_jobs.engine.insight.inspection import leader
from django_jobs.engine.store import database
from django_jobs.models import Replay

#: By button: what it does, and the word for the replay's state afterwards.
SWITCHES: Final[dict[str, tuple[Callable[[Replay], bool], str]]] = {
    "pause": (replays.pause, "paused"),
    "resume": (replays.resume, "resumed"),
    "stop": (replays.stop, "stopped"),
}
COLORS: Final = {"running": "running", "paused": "timed-out", "stopped": "canceled", "done": "completed"}
PAST: Final = {Replay.Verb.RETRY: "retried", Replay.Verb.DELETE: "deleted"}


def replays_seen_by(request: HttpRequest) -> QuerySet[Replay]:
    """Return all replays for system admins, since their numbers are of all organizations; for others their own."""
    rows = Replay.primary.order_by("-pk")
    user: Any = request.user
    return rows if is_system_admin(request) else rows.filter(user_id=user.pk)


@admin.register(Replay)
class ReplayAdmin(SeesJobs):
    """The list of replays, and the page of one."""

    list_display = ("id", "what", "error", "progress", "condition", "by", "started_at")
    list_filter = ("state", "verb")
    fields = ("what", "error", "rate", "by", "started", "ended", "note")
    change_form_template = "admin/django_jobs/replay/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return replays_seen_by(request)

    def own_views(self) -> dict[str, tuple[str, View]]:
        """Return the views of the buttons, by name."""
        return {verb: (f"<path:object_id>/{verb}/", partial(self._switch, verb=verb)) for verb in SWITCHES}

    @admin.display(description="replay")
    def what(self, replay: Replay) -> SafeString:
        """Return what the replay does, and to which job type."""
        return format_html("{} {}", replay.get_verb_display(), line(replay.job_type, 60))

    @admin.display(description="error")
    def error(self, replay: Replay) -> SafeString | str:
        """Return the error of the group in one line."""
        return line(replay.error_message)

    @admin.display(description="progress")
    def progress(self, replay: Replay) -> str:
        """Return how many jobs were changed, of how many."""
        return (
            f"{replay.changed:,} of {replay.total:,}{'+' if replay.has_more else ''} {PAST[Replay.Verb(replay.verb)]}"
        )

    @admin.display(description="state")
    def condition(self, replay: Replay) -> SafeString:
        """Return the state as a colored word."""
        return state_badge(replay)

    @admin.display(description="started by")
    def by(self, replay: Replay) -> SafeString | str:
        """Return who started the replay."""
        return line(replay.user_name, 60)

    @admin.display(description="rate")
    def rate(self, replay: Replay) -> str:
        """Return how many jobs are changed in a minute."""
        return f"{replay.per_minute:,} jobs a minute"

    @admin.display(description="started")
    def started(self, replay: Replay) -> SafeString | str:
        """Return when the replay was started."""
        return moment(replay.started_at)

    @admin.display(description="ended")
    def ended(self, replay: Replay) -> SafeString | str:
        """Return when the replay ended."""
        return moment(replay.ended_at)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        replay = context["original"]
        if replay is not None:
            context |= {"title": f"Replay {replay.pk}", "subtitle": None, **describe(replay)}
            context["switches"] = [(verb.capitalize(), self.url_of(verb, replay.pk)) for verb in _switches(replay)]
            context["is_waiting"] = replay.is_open and not leader(database.now()).is_alive
        return super().render_change_form(request, context, *args, **kwargs)

    def _switch(self, request: HttpRequest, object_id: str, *, verb: str) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        replay = self.find(request, object_id)
        if replay is None:
            return self.gone(request, object_id)
        act, past = SWITCHES[verb]
        if act(replay):
            self.remember(request, [replay], f"{past.capitalize()}.")
            self.message_user(request, f"It is {past}.")
        else:
            replay.refresh_from_db(using=database.alias())
            state = replay.get_state_display().lower()
            self.message_user(request, f"Nothing was changed: it is {state} already.", messages.WARNING)
        return self.go_to(replay.pk)


def _switches(replay: Replay) -> list[str]:
    if not replay.is_open:
        return []
    return ["pause" if replay.state == Replay.State.RUNNING else "resume", "stop"]


def state_badge(replay: Replay) -> SafeString:
    """Return a replay's state as a colored word."""
    return format_html(
        '<span class="djobs-badge djobs-{}">{}</span>', COLORS[replay.state], replay.get_state_display().lower()
    )


def describe(replay: Replay) -> dict[str, Any]:
    """Return how far the replay has come, as values for the template."""
    seen = replay.changed + replay.refusals
    left = max(0, replay.total - seen)
    goes_on = replay.state == Replay.State.RUNNING and left
    return {
        "state_badge": state_badge(replay),
        "past": PAST[Replay.Verb(replay.verb)],
        "seen": seen,
        "left": left,
        "time_left": brief_duration(60 * left / replay.per_minute) if goes_on else "",
        "refused": sorted(replay.refused.items(), key=lambda item: -item[1]),
    }
