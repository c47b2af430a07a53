"""Organizations and their members."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.utils import help_text_for_field
from django.contrib.auth import get_user_model
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from django_jobs.admin.pages import (
    CappedPaginator,
    DeclaredList,
    OwnPages,
    Switch,
    SystemAdminWrites,
    is_system_admin,
    sees_jobs,
)
from django_jobs.admin.writing import CappedCount, colored, format_number, line, linked, status_word
from django_jobs.conf import DEFAULT_ORGANIZATION_MODEL, jobs_settings, organization_model_name
from django_jobs.engine.dispatch.tenant_shares import default_limit
from django_jobs.engine.insight.inspection import jobs, waiting
from django_jobs.engine.organizations import id_of
from django_jobs.engine.pausing import set_paused
from django_jobs.engine.scope import scope_of
from django_jobs.engine.store import database
from django_jobs.engine.store.counting import MAX_COUNT, capped_counts
from django_jobs.engine.submission.same_work import waiting as waiting_of
from django_jobs.models import Membership, Organization
from django_jobs.statuses import AWAITING_RETRY, IN_FLIGHT, WITH_ERRORS, Status
from django_jobs.texts import comma

# The built-in organizations and their members. A host's own organization model has the host's admin.


def _suspending(organization: Organization) -> list[Any]:
    return [
        _("What waits starts once it is active again; what runs finishes. New submissions are refused."),
        _("Its members can read no results and outputs until it is active again."),
        _loaded(organization),
    ]


def _reactivating(organization: Organization) -> list[Any]:
    return [
        _("What waits may start at once."),
        _("It takes submissions again, and its members can read its results and outputs."),
        _loaded(organization),
    ]


def _loaded(organization: Organization) -> SafeString:
    return format_html_join(comma(), "{}: {}", load_rows(organization.pk))


SWITCHES: Final = {
    "suspend": Switch(
        code="suspended",
        label=gettext_lazy("Suspend"),
        fits=lambda row: row.is_active,
        asks=_suspending,
        perform=lambda row, user: set_paused("organization", row.pk, True, user=user),
    ),
    "reactivate": Switch(
        code="reactivated",
        label=gettext_lazy("Reactivate"),
        fits=lambda row: not row.is_active,
        asks=_reactivating,
        perform=lambda row, user: set_paused("organization", row.pk, False, user=user),
    ),
}


class OrganizationAdmin(OwnPages, SystemAdminWrites):
    """The list of organizations with their loads, and the page of one with the button that suspends it."""

    list_display = ("name", "shown_title", "state", "backlog", "in_flight", "failed")
    list_filter = ("is_active",)
    search_fields = ("name", "title")
    ordering = ("name",)
    paginator = CappedPaginator
    show_full_result_count = False
    list_max_show_all = 0
    change_form_template = "admin/django_jobs/organization/change_form.html"
    switches, switches_want = SWITCHES, "change"
    fields = ("name", "title", "is_active")
    #: Whoever may open its pages finds all organizations whose jobs they see.
    shows_all_seen = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        scope = scope_of(request)
        return super().get_queryset(request) if scope.is_system_admin else scope.tenants

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return OrganizationList

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # Suspending has a page of its own, which says what happens to the jobs.
        return ("is_active",) if obj is not None else ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        # The admin shows a help text as HTML, also to who may only look, and ours has words in angle brackets.
        text = escape(help_text_for_field("name", self.model))
        return super().get_form(request, obj, change, help_texts={"name": text}, **kwargs)

    @admin.display(description=gettext_lazy("title"), ordering="title")
    def shown_title(self, organization: Organization) -> SafeString | str:
        """Return the title in one line."""
        return line(organization.title, 60)

    @admin.display(description=gettext_lazy("state"), ordering="is_active")
    def state(self, organization: Organization) -> SafeString:
        """Return whether the organization is active or suspended."""
        words, name = (
            (pgettext("organization", "active"), "completed")
            if organization.is_active
            else (_("suspended"), "timed-out")
        )
        return colored(words, name)

    @admin.display(description=gettext_lazy("backlog"))
    def backlog(self, organization: Any) -> str:
        """Return how many of its jobs wait."""
        return str(organization.shown_backlog)

    @admin.display(description=gettext_lazy("queued or running"))
    def in_flight(self, organization: Any) -> str:
        """Return how many of its jobs are queued or running."""
        return str(organization.shown_in_flight)

    @admin.display(description=gettext_lazy("failed"))
    def failed(self, organization: Any) -> SafeString | str:
        """Return how many of its jobs failed, as a link to their list, where all can be retried."""
        found = organization.shown_failed
        address = self.links.jobs(status=sorted(WITH_ERRORS), organization=id_of(organization))
        if not (found.count or found.is_cut):
            return str(found)
        return format_html('<a href="{}">{}</a>', address, found)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        organization = context["original"]
        if organization is not None:
            context |= {
                "most_in_flight": default_limit(),
                "most_waiting": jobs_settings.MAX_BACKLOG_PER_ORGANIZATION,
            }
            if sees_jobs(request):
                jobs_of = partial(self.links.jobs, organization=id_of(organization))
                failures_url = self.links.failures(organization=id_of(organization))
                context |= {"jobs_url": jobs_of(), "failures_url": failures_url}
                context["load_rows"] = load_rows(organization.pk, jobs_of)
            else:  # who sees organizations, and no jobs
                context["load_rows"] = load_rows(organization.pk)
            if is_system_admin(request):
                context["switches"] = self.offered(request, organization)
        return super().render_change_form(request, context, *args, **kwargs)


class MembershipAdmin(OwnPages, SystemAdminWrites):
    """Who belongs to which organization, in which role."""

    list_display = ("user", "organization", "role")
    list_filter = ("role",)
    ordering = ("organization", "user")
    # Autocompletion would need the host's user model in the admin.
    raw_id_fields = ("user", "organization")
    paginator = CappedPaginator
    show_full_result_count = False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "organization":
            kwargs["using"] = database.alias()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return [f"user__{get_user_model().USERNAME_FIELD}", "organization__name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related("user", "organization")
        return scope_of(request).within(rows)


if organization_model_name() == DEFAULT_ORGANIZATION_MODEL:
    admin.site.register(Organization, OrganizationAdmin)
    admin.site.register(Membership, MembershipAdmin)


# How many jobs of an organization wait and run, beside how many may.


#: A page of organizations counts so many waiting jobs, of all its organizations together, and so many that failed.
MAX_LOOKED_AT: Final = 10_000
#: The statuses of failed jobs: of those that are tried again by themselves, and of the others.
FAILED: Final = (AWAITING_RETRY, frozenset({Status.DEAD_LETTER}))


def load_rows(pk: Any, jobs_of: Callable[..., str] = lambda **_query: "") -> list[tuple[str, SafeString]]:
    """Return how many of an organization's jobs are in each status that has not ended well.

    These are words, and the number as a link to the jobs. All but what is in flight is counted up to a bound. They are
    read in four statements.
    """
    waiting_jobs = CappedCount.up_to(MAX_COUNT, waiting_of(pk, MAX_COUNT + 1))
    flight = jobs().filter(organization_id=pk, status__in=sorted(IN_FLIGHT))
    counted = dict(flight.values_list("status").annotate(count=Count("pk")))
    failed = [jobs().filter(organization_id=pk, status__in=sorted(group)) for group in FAILED]
    retrying, dead = (CappedCount.up_to(MAX_COUNT, found) for found in capped_counts(failed, MAX_COUNT))
    rows: list[tuple[frozenset[Status], Any]] = [
        # Those that are tried again wait, too.
        (
            frozenset({Status.PENDING}),
            CappedCount(count=max(0, waiting_jobs.count - retrying.count), is_cut=waiting_jobs.is_cut),
        ),
        (AWAITING_RETRY, retrying),
        (frozenset({Status.QUEUED}), format_number(counted.get(str(Status.QUEUED), 0))),
        (frozenset({Status.RUNNING}), format_number(counted.get(str(Status.RUNNING), 0))),
        (frozenset({Status.DEAD_LETTER}), dead),
    ]
    return [
        (
            _("To be retried") if group == AWAITING_RETRY else status_word(*group),
            format_html("{}", linked(jobs_of(status=sorted(group)), str(count))),
        )
        for group, count in rows
    ]


class OrganizationList(DeclaredList):
    """A page of organizations with their loads, read in three statements for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        pks = [organization.pk for organization in self.result_list]
        backlogs = _counted(waiting(), pks)
        failures = _counted(jobs().filter(status__in=sorted(WITH_ERRORS)), pks)
        rows = jobs().filter(organization_id__in=pks, status__in=sorted(IN_FLIGHT))
        in_flight = dict(rows.values_list("organization_id").annotate(count=Count("pk")))
        for organization in self.result_list:
            organization.shown_backlog = backlogs[organization.pk]
            organization.shown_failed = failures[organization.pk]
            organization.shown_in_flight = format_number(in_flight.get(organization.pk, 0))


def _counted(rows: QuerySet[Any], pks: list[Any]) -> dict[Any, CappedCount]:
    """Return how many of the jobs each of these organizations has."""
    found = list(rows.filter(organization_id__in=pks).values_list("organization_id", flat=True)[: MAX_LOOKED_AT + 1])
    counts = Counter(found)
    # If the bound was reached, each organization may have more than were counted.
    return {pk: CappedCount(count=counts[pk], is_cut=len(found) > MAX_LOOKED_AT) for pk in pks}
