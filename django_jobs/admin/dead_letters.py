"""Dead letters in groups of like errors: the list of groups, the page of one, and the order to retry or delete it."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path

from django_jobs.admin.base import is_system_admin
from django_jobs.admin.capped_counts import CappedCount
from django_jobs.admin.formatting import ALL, block, line, moment
from django_jobs.admin.job_columns import tenant
from django_jobs.admin.lookups import clean_term
from django_jobs.admin.monitor import SeesJobs
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.replay import replays_seen_by
from django_jobs.engine.control import replays
from django_jobs.engine.insight.dead_letters import BOUND, Group, last_traceback, read_groups
from django_jobs.engine.store import organization_ids
from django_jobs.exceptions import PermissionDenied as MayNot
from django_jobs.models import DeadLetter, Job, Replay
from django_jobs.models.replay import OPEN

MAX_LISTED: Final = 20
MAX_TYPE: Final = 100
MAX_FINGERPRINT: Final = 64
ERROR: Final = 240


class ReplayForm(forms.Form):
    """What to do with a group of dead letters, and at which rate."""

    verb = forms.ChoiceField(choices=Replay.Verb.choices)
    per_minute = forms.IntegerField(
        min_value=1, max_value=replays.MAX_PER_MINUTE, initial=replays.DEFAULT_PER_MINUTE, label="Jobs a minute"
    )


@admin.register(DeadLetter)
class DeadLetterAdmin(SeesJobs):
    """The list of groups, and the page of one group with its newest error."""

    def get_urls(self) -> list[URLPattern]:
        views = [("", self.changelist_view, "changelist"), ("group/", self._group, "group")]
        return [
            path(route, self.admin_site.admin_view(view), name=f"django_jobs_deadletter_{name}")
            for route, view, name in views
        ]

    @property
    def _links(self) -> Links:
        return Links(self.admin_site.name)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        kind = clean_term(request.GET.get("type", ""), MAX_TYPE)
        found = read_groups(request.user, kind)
        return self.page(
            request,
            "dead_letters/list.html",
            "Dead letters",
            "Dead letters",
            rows=[self._row(group, is_cut=found.is_cut) for group in found.groups],
            has_more=found.has_more,
            is_cut=found.is_cut,
            bound=BOUND,
            kind=line(kind, 60) if kind else "",
            open_replays=[
                (replay, self._links.page("django_jobs_replay_change", replay.pk))
                for replay in replays_seen_by(request).filter(state__in=sorted(OPEN)).order_by("-pk")[:MAX_LISTED]
            ],
        )

    def _row(self, group: Group, *, is_cut: bool) -> dict[str, Any]:
        return {
            "kind": line(group.job_type, 60),
            "error": line(group.newest.error_message, ERROR) if group.newest.error_message else "(without a text)",
            "url": self._address(group.job_type, group.error_fingerprint),
            "count": CappedCount(count=group.count, is_cut=is_cut),
            "organizations": CappedCount(count=group.organizations, is_cut=is_cut),
            "first": moment(group.first_seen),
            "last": moment(group.last_seen),
        }

    def _address(self, job_type: str, error_fingerprint: str) -> str:
        return f"{self.url_of('group')}?{urlencode({'type': job_type, 'error': error_fingerprint})}"

    def _group(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        kind = clean_term(request.GET.get("type", ""), MAX_TYPE)
        fingerprint = clean_term(request.GET.get("error", ""), MAX_FINGERPRINT)
        found = read_groups(request.user, kind, fingerprint) if kind else None
        if found is None or not found.groups:
            self.message_user(
                request, "This group is empty by now: its jobs were retried or deleted.", messages.WARNING
            )
            return HttpResponseRedirect(self.url_of("changelist"))
        (group,) = found.groups
        if request.method == "POST":
            return self._start(request, group)
        return self._show(request, group, is_cut=found.is_cut)

    def _show(
        self, request: HttpRequest, group: Group, *, is_cut: bool = False, form: ReplayForm | None = None
    ) -> HttpResponse:
        whole = ALL in request.GET
        # A traceback is not even read for people who may not see it.
        traceback = last_traceback(group.newest) if is_system_admin(request) else ""
        rows = replays.group_of(group.job_type, group.error_fingerprint, request.user)
        newest = list(
            rows.order_by("-pk").only("created_at", "completed_at", "organization", "organization_name")[:MAX_LISTED]
        )
        organization_ids.mark(newest)
        title = f"Dead letters of {group.job_type}"
        return self.page(
            request,
            "dead_letters/group.html",
            title,
            group.job_type,
            parent="Dead letters",
            row=self._row(group, is_cut=is_cut),
            error=block(group.newest.error_message, whole=whole),
            traceback=block(traceback, whole=whole) if traceback else "",
            all_url=f"{self._address(group.job_type, group.error_fingerprint)}&all=1",
            newest=(group.newest.name, self._links.page("django_jobs_job_change", group.newest.pk)),
            is_orphaned=group.newest.is_orphaned,
            is_cut=is_cut,
            jobs=[_named(self._links, job) for job in newest],
            form=form or ReplayForm(),
            verbs=[verb for verb in Replay.Verb.values if replays.may(verb, request.user, group.newest)],
            replays=[
                (replay, self._links.page("django_jobs_replay_change", replay.pk))
                for replay in replays_seen_by(request).filter(
                    job_type=group.job_type, error_fingerprint=group.error_fingerprint
                )[:MAX_LISTED]
            ],
        )

    def _start(self, request: HttpRequest, group: Group) -> HttpResponse:
        form = ReplayForm(request.POST)
        if not form.is_valid():
            return self._show(request, group, form=form)
        try:
            replay = replays.start_replay(
                group.job_type, group.error_fingerprint, user=request.user, **form.cleaned_data
            )
        except MayNot as error:
            raise PermissionDenied from error
        if replay is None:
            self.message_user(request, "This group is empty by now.", messages.WARNING)
            return HttpResponseRedirect(self.url_of("changelist"))
        what = f"Started: {replay.get_verb_display()}, {replay.per_minute} jobs a minute."
        self.remember(request, [replay], what, ADDITION)
        return HttpResponseRedirect(self._links.page("django_jobs_replay_change", replay.pk))


def _named(links: Links, job: Job) -> tuple[str, str, Any, Any]:
    address = links.page("django_jobs_job_change", job.pk)
    return job.name, address, tenant(job), moment(job.completed_at)
