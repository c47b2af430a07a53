"""The list of batches: its columns, its filters, and how far it looks."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.base import OwnPages
from django_jobs.admin.bounded_filters import BoundedFilter
from django_jobs.admin.formatting import NOTHING, ago, badge, line, linked, state_badge
from django_jobs.admin.job_filters import CreatedFilter, OrganizationFilter
from django_jobs.admin.lookups import DeclaredList, clean_term
from django_jobs.admin.monitor_links import Links
from django_jobs.admin.numbers import format_number
from django_jobs.admin.open_pages import owner_jobs
from django_jobs.admin.seen_organizations import tenant
from django_jobs.engine.batches import describe_batches, up_to_date
from django_jobs.engine.insight.search import oldest_key
from django_jobs.engine.store import database, organization_ids
from django_jobs.engine.store.organization_ids import is_gone
from django_jobs.models import Batch
from django_jobs.models.batch import parse_batch_id
from django_jobs.statuses import UNFINISHED_STATES, WITH_ERRORS, BatchState, Status

#: How many of the newest batches are looked at where no index finds those that are asked for.
RECENT: Final = 100_000


class StateFilter(BoundedFilter):
    """Narrows the list to one state."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def needs_bound(self) -> bool:
        """Return whether an ended state is chosen: an index finds what has not ended."""
        return self.chosen() not in {None, *UNFINISHED_STATES}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, str(state.label)) for state in BatchState]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        chosen = self.chosen()
        return queryset if chosen is None else queryset.in_state(chosen)


class BatchCreatedFilter(CreatedFilter):
    """Narrows the list to the batches that were made lately."""

    def needs_bound(self) -> bool:
        """Return whether a time is chosen, which no index finds."""
        return self.chosen() is not None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.chosen()
        if chosen is None:
            return queryset
        return queryset.filter(created_at__gte=database.now() - dt.timedelta(hours=self.hours[chosen]))


class BatchList(DeclaredList):
    """A page of the batches that a user may see, each with its status as ``told``, in a fixed number of statements.

    ``looks_back`` is how many of the newest were looked at; None for all.
    """

    looks_back: int | None = None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows = super().get_queryset(request, exclude_parameters)
        chosen = [item for item in self.filter_specs if isinstance(item, BoundedFilter)]
        is_words = bool(self.query) and parse_batch_id(self.query.strip()) is None
        if not is_words and not any(item.needs_bound() for item in chosen):
            return rows
        too_old = oldest_key(Batch, RECENT)
        self.looks_back = RECENT if too_old else None
        return rows.filter(pk__gt=too_old or 0)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        pks = [batch.pk for batch in self.result_list]
        rows = list(up_to_date(Batch.primary.filter(pk__in=pks)).order_by("-pk")) if pks else []
        self.result_list = with_status(rows)

    @property
    def is_over(self) -> bool:
        """Return whether nothing that is shown goes on."""
        return all(batch.told.state not in UNFINISHED_STATES for batch in self.result_list)


def with_status(batches: list[Any]) -> list[Any]:
    """Note on each of these batches its status, as ``told``, and what its organization is called now."""
    organization_ids.mark(batches)
    for batch, description in zip(batches, describe_batches(batches), strict=True):
        batch.told = description
    return batches


def search(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Return the batch with this id, or those with these words in their name."""
    term = clean_term(text.strip())
    if not term:
        return rows.none() if text.strip() else rows
    parsed = parse_batch_id(term)
    if parsed is not None:
        return rows.filter(pk=parsed[0], created_at__year=parsed[1])
    return rows.filter(name__icontains=term)


class BatchColumns(OwnPages):
    """The columns and filters of the list."""

    list_display = ("batch", "state", "progress", "failed_jobs", "tenant_and_owner", "age")
    list_filter = (StateFilter, OrganizationFilter, BatchCreatedFilter)
    # Django shows the search box only if a field is named here. ``search`` decides what is searched.
    search_fields = ("pk",)
    search_help_text = gettext_lazy("A batch id, or words of a name.")

    @admin.display(description=gettext_lazy("batch"))
    def batch(self, batch: Batch) -> SafeString:
        """Return the batch's id and, below it, its name."""
        return format_html("{}<br><small>{}</small>", batch.batch_id, line(batch.name, 60) if batch.name else "")

    @admin.display(description=gettext_lazy("state"))
    def state(self, batch: Any) -> SafeString:
        """Return the state, and whether something is wrong that the state alone does not tell."""
        return format_html(
            '{}<br><small data-code="{}">{}</small>', state_badge(batch.told.state), note_code(batch), note(batch)
        )

    @admin.display(description=gettext_lazy("organization"))
    def tenant_and_owner(self, batch: Any) -> SafeString:
        """Return the batch's organization, as a link that narrows the list, and its owner, as one to their jobs."""
        url = "" if is_gone(batch) else f"?{urlencode({'organization': batch.organization_id})}"
        name = linked(url, tenant(batch))
        if not batch.owner_name:
            return format_html("{}", name)
        owner = owner_jobs(Links(self.admin_site.name), batch.owner_name, 40)
        return format_html("{}<br><small>{}</small>", name, owner)

    @admin.display(description=gettext_lazy("ended jobs"))
    def progress(self, batch: Any) -> SafeString:
        """Return how many of its jobs have ended."""
        return progress_of(batch)

    @admin.display(description=gettext_lazy("failed"))
    def failed_jobs(self, batch: Any) -> SafeString | str:
        """Return how many of its jobs failed, by status, each as a link to these jobs."""
        links = Links(self.admin_site.name)
        counts = [(status, batch.told.by_status[status]) for status in Status if status in WITH_ERRORS]
        return (
            format_html_join(
                mark_safe("<br>"),
                '<a href="{}">{} {}</a>',
                (
                    (links.jobs_of_batch(batch.batch_id, status), format_number(count), badge(status))
                    for status, count in counts
                    if count
                ),
            )
            or NOTHING
        )

    @admin.display(description=gettext_lazy("created"))
    def age(self, batch: Batch) -> SafeString:
        """Return how long ago the batch was made and, below it, how long ago it ended."""
        if batch.completed_at is None:
            return ago(batch.created_at)
        # Translators: how long ago a batch ended: "ended 3 h ago".
        ended = format_html(_("ended {ago}"), ago=ago(batch.completed_at))
        return format_html("{}<br><small>{}</small>", ago(batch.created_at), ended)


#: What the state alone does not tell, by its code.
NOTES: Final = {
    "stopping": gettext_lazy("stopping"),
    "being_retried": gettext_lazy("being retried"),
    "follow_up_missing": gettext_lazy("what follows is missing"),
    "expired": gettext_lazy("nobody closed it"),
    "": "",
}


def note_code(batch: Batch) -> str:
    """Return the code of what the state alone does not tell; empty where there is nothing."""
    if batch.completed_at is None:
        if batch.canceled_at is not None:
            return "stopping"
        return "being_retried" if batch.retry_position is not None else ""
    if batch.fault:
        return "follow_up_missing"
    return "expired" if batch.expired_at else ""


def note(batch: Batch) -> str:
    """Return what the state alone does not tell."""
    return str(NOTES[note_code(batch)])


def progress_of(batch: Any) -> SafeString:
    """Return a bar and how many of a batch's jobs have ended, of how many."""
    count = _("%(count)s of %(most)s") % {"count": format_number(batch.ended), "most": format_number(batch.total)}
    return format_html(
        '<progress max="{}" value="{}" aria-label="{}"></progress> <small>{}</small>',
        max(1, batch.total),
        batch.ended if batch.total else int(batch.completed_at is not None),
        _("ended jobs"),
        count,
    )
