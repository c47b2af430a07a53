"""Batches: the list, the page of one, what people do to them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Collection
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy
from django.utils.translation import gettext as _

from django_jobs.admin.bar import OpenPages, jobs_of, organization_line
from django_jobs.admin.filters import NarrowingTerm, ages, choosing, offering, organizations_seen
from django_jobs.admin.graph import Box, draw_graph, read_graph
from django_jobs.admin.pages import (
    DeclaredList,
    Links,
    News,
    Notice,
    SeesJobs,
    Switch,
    clean_term,
    sentence,
    tenant,
)
from django_jobs.admin.reasons import MORE, notice
from django_jobs.admin.writing import (
    NOTHING,
    Fact,
    FactGroup,
    ago,
    as_json,
    badge,
    format_number,
    line,
    linked,
    moment,
    state_badge,
)
from django_jobs.engine import organizations
from django_jobs.engine.batches import describe_batches, up_to_date
from django_jobs.engine.control import batches
from django_jobs.engine.insight.failures import Group, newest_jobs, read_failures
from django_jobs.engine.insight.filter import JobFilter
from django_jobs.engine.insight.problems import trouble, troubled_batches
from django_jobs.engine.insight.reasons import REASONS, of_all
from django_jobs.engine.insight.search import oldest_key
from django_jobs.engine.job_types.masking import Names, hidden_from
from django_jobs.engine.organizations import is_gone, shown_id
from django_jobs.engine.scope import scope_of
from django_jobs.engine.store import database
from django_jobs.engine.submission.targets import may_cancel_batch, may_manage_batch
from django_jobs.exceptions import JobsError
from django_jobs.models import Batch, Job, JobType
from django_jobs.models.batch import parse_batch_id
from django_jobs.statuses import (
    RETRYABLE_BY_HAND,
    UNFINISHED,
    UNFINISHED_STATES,
    WITH_ERRORS,
    BatchState,
    OpenTo,
    Status,
)
from django_jobs.texts import comma, listed, say

# What people do to a batch from its page: each button asks first, acts by the engine's own verb, and reports.


def _act(verb: Callable[..., Batch]) -> Callable[[Any, Any], bool]:
    return lambda batch, user: bool(verb(batch, user=user))


def _submit_what_follows(batch: Any, user: Any) -> bool:
    changed = batches.retry_batch(batch, user=user)
    if changed.fault:
        raise JobsError(say(_("Not submitted yet: %(reason)s"), code="not_submitted", reason=changed.fault))
    return True


def _told_of(text: Any, concerns: frozenset[str] = frozenset()) -> Callable[[Any], list[Any]]:
    """Return what tells the consequence, and how many jobs of a batch it is about, by these statuses."""

    def tell(batch: Any) -> list[Any]:
        counts = [
            (format_number(count), badge(status))
            for status, count in batch.told.by_status.items()
            if count and status in concerns
        ]
        concerned = format_html("{}: {}", capfirst(_("jobs")), format_html_join(comma(), "{} {}", counts))
        return [text, *([concerned] if counts else [])]

    return tell


SWITCHES: Final = {
    "retry": Switch(
        code="retried",
        label=gettext_lazy("Retry failed"),
        asks=_told_of(
            gettext_lazy(
                "Each of its failed jobs starts over with all its retries; error, result and times are cleared. "
                "What has completed is not run again. Once all have completed, what follows the batch is submitted."
            ),
            RETRYABLE_BY_HAND,
        ),
        perform=_act(batches.retry_batch),
        may=may_manage_batch,
        fits=lambda batch: batch.canceled_at is None and count_in(batch, RETRYABLE_BY_HAND) > 0,
    ),
    "follow-up": Switch(
        code="submitted",
        label=gettext_lazy("Submit what follows"),
        asks=_told_of(
            gettext_lazy(
                "What should have followed this batch, and could not be submitted when it ended, is submitted now. "
                "Mend the cause first: it is told again if it is still there."
            )
        ),
        perform=_submit_what_follows,
        may=may_manage_batch,
        fits=lambda batch: (
            bool(batch.fault)
            and batch.completed_at is not None
            and batch.canceled_at is None
            and not count_in(batch, RETRYABLE_BY_HAND)
        ),
    ),
    "close": Switch(
        code="closed",
        label=pgettext_lazy("to end a batch", "Close"),
        asks=_told_of(
            gettext_lazy(
                "It takes no more jobs, but for those that its own jobs add. When the last of them has ended, what "
                "follows the batch is submitted. It cannot be opened again."
            )
        ),
        perform=_act(batches.close_batch),
        may=may_cancel_batch,
        fits=lambda batch: batch.closed_at is None,
    ),
    "cancel": Switch(
        code="canceled",
        label=gettext_lazy("Cancel"),
        asks=_told_of(
            gettext_lazy(
                "Its waiting jobs end at once. Running ones are asked to stop and end within moments. It takes no "
                "more jobs, and cannot be retried as a whole afterwards."
            ),
            UNFINISHED,
        ),
        perform=lambda batch, user: batches.cancel_batch_once(batch, user=user)[1],
        may=may_cancel_batch,
        fits=lambda batch: batch.completed_at is None and batch.canceled_at is None,
    ),
}


def count_in(batch: Any, statuses: frozenset[str]) -> int:
    """Return how many of a batch's jobs are in these statuses."""
    return sum(batch.told.by_status[status] for status in statuses)


# What follows a batch, as a line of its page.


def _follow_up(pages: OpenPages, names: Names, given: dict[str, Any], pk: int | None) -> SafeString:
    """Return a link to the job that was submitted, or what will be, with sensitive values masked."""
    type_name = str(given["job_type"])
    kind = linked(pages.job_type(JobType.primary.filter(pk=type_name).first()), line(type_name, 60))
    if pk is None:
        values = {name: value for name, value in given.items() if name != "job_type"}
        # Translators: the name of a job type, and what is submitted of it.
        text = gettext("{type}, not submitted yet {parameters}")
        return format_html(text, type=kind, parameters=as_json(values, names) if values else "")
    found = Job.primary.filter(pk=pk).first()
    if found is None:
        return format_html("{}: {}", kind, gettext("deleted"))
    return format_html("{}: {}", kind, linked(pages.job(found), found.name))


# The list of batches: its columns, its filters, and how far it looks.


#: How many of the newest batches are looked at where no index finds those that are asked for.
RECENT: Final = 100_000


StateFilter: Final = choosing(
    "state", gettext_lazy("state"), lambda: BatchState.choices, lambda rows, chosen: rows.in_state(chosen)
)
OrganizationFilter: Final = offering("organization", organizations_seen, NarrowingTerm)
CreatedFilter: Final = offering("created_after", ages, NarrowingTerm, gettext_lazy("created"))


class BatchList(DeclaredList):
    """A page of the batches that a user may see, each with its status as ``told``, in a fixed number of statements.

    ``looks_back`` is how many of the newest were looked at; None for all.
    """

    looks_back: int | None = None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows = super().get_queryset(request, exclude_parameters)
        is_words = bool(self.query) and parse_batch_id(self.query.strip()) is None
        # An index finds what has not ended.
        if not is_words and request.GET.get(str(StateFilter.parameter_name), "") in {"", *UNFINISHED_STATES}:
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
    organizations.mark(batches)
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
    code = note_code(batch)
    return str(REASONS[code].short) if code else ""


def progress_of(batch: Any) -> SafeString:
    """Return a bar and how many of a batch's jobs have ended, of how many."""
    count = of_all(batch.ended, batch.total)
    return format_html(
        '<progress max="{}" value="{}" aria-label="{}"></progress> <small>{}</small>',
        max(1, batch.total),
        batch.ended if batch.total else int(batch.completed_at is not None),
        _("ended jobs"),
        count,
    )


# Batches: the list, the page of one, and what people do to them.


#: Characters of an error.
ERROR: Final = 400
#: Groups of failures that are shown, and of which causes are told from consequences.
MAX_GROUPS: Final = 5
GROUPS_READ: Final = 100
#: Milliseconds after which an open page asks again, and jobs of a batch up to which that is soon.
QUICK_PAUSE: Final = 2_000
PAUSE: Final = 5_000
MAX_QUICK: Final = 1_000


@admin.register(Batch)
class BatchAdmin(SeesJobs):
    """The list of batches, and the page of one with its facts, buttons, failures and graph."""

    list_display = ("batch", "state", "progress", "failed_jobs", "tenant_and_owner", "age")
    list_filter = (StateFilter, OrganizationFilter, CreatedFilter)
    # Django shows the search box only if a field is named here. ``search`` decides what is searched.
    search_fields = ("pk",)
    search_help_text = gettext_lazy("A batch id, or words of a name.")
    # Django shows no field of its own.
    fieldsets = ((None, {"fields": ()}),)
    change_list_template = "admin/django_jobs/batch/change_list.html"
    change_form_template = "admin/django_jobs/batch/change_form.html"
    switches = SWITCHES

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
        url = "" if is_gone(batch) else f"?{urlencode({'organization': shown_id(batch)})}"
        name = linked(url, tenant(batch))
        if not batch.owner_name:
            return format_html("{}", name)
        owner = jobs_of(self.links, "owner", batch.owner_name, 40)
        return format_html("{}<br><small>{}</small>", name, owner)

    @admin.display(description=gettext_lazy("ended jobs"))
    def progress(self, batch: Any) -> SafeString:
        """Return how many of its jobs have ended."""
        return progress_of(batch)

    @admin.display(description=gettext_lazy("failed"))
    def failed_jobs(self, batch: Any) -> SafeString | str:
        """Return how many of its jobs failed, by status, each as a link to these jobs."""
        links = self.links
        counts = [(status, batch.told.by_status[status]) for status in Status if status in WITH_ERRORS]
        return (
            format_html_join(
                mark_safe("<br>"),
                '<a href="{}">{} {}</a>',
                (
                    (links.jobs(batch=batch.batch_id, status=status), format_number(count), badge(status))
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
        ended = format_html("{}: {}", _("ended"), ago(batch.completed_at))
        return format_html("{}<br><small>{}</small>", ago(batch.created_at), ended)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return scope_of(request).batches().order_by("-pk")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BatchList

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        return search(queryset, search_term), False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the batch with this primary key or this batch id, with its status, if the user may see it."""
        parsed = parse_batch_id(object_id)
        batch = super().get_object(request, str(parsed[0]) if parsed else object_id, from_field)
        if batch is None or (parsed and batch.created_at.year != parsed[1]):
            return None
        found = with_status(list(up_to_date(Batch.primary.filter(pk=batch.pk))))
        return found[0] if found else None

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        batch = context["original"]
        context |= self._page_of(request, batch) if batch is not None else {}
        return super().render_change_form(request, context, *args, **kwargs)

    def _page_of(self, request: HttpRequest, batch: Any) -> dict[str, Any]:
        """Return what stands on a batch's page around its facts."""
        batch.pages = OpenPages(request, self.admin_site.name)
        links = self.links
        notices, failed = notices_of(batch), self._failures(request, batch)
        return {
            "subtitle": None,
            "facts": self.facts_of(batch.pages, batch),
            "title": str(batch),
            "state_badge": state_badge(batch.told.state),
            "note": note(batch),
            "note_code": note_code(batch),
            "notices": notices,
            "news": _news_of(batch, failed.get("failures", []), [str(notice.text) for notice in notices]),
            "progress": progress_of(batch),
            "pause": QUICK_PAUSE if batch.total <= MAX_QUICK else PAUSE,
            "is_over": batch.told.state not in UNFINISHED_STATES,
            "jobs_url": links.jobs(batch=batch.batch_id),
            "counts": [
                (links.jobs(batch=batch.batch_id, status=status), format_number(count), badge(status))
                for status, count in batch.told.by_status.items()
                if count
            ],
            "switches": self.offered(request, batch),
            **failed,
            **self._graph(links, batch),
        }

    @staticmethod
    def facts_of(pages: OpenPages, batch: Any) -> list[FactGroup]:
        """Return the facts for the reader of these pages."""
        names = hidden_from(pages.user)
        open_to = str(batch.get_open_to_display())  # beside those of server code
        if batch.open_to == OpenTo.OWNER and not batch.owner_name:
            open_to = gettext("server code")

        def follow_up(pk: int | None) -> Callable[[Any], SafeString]:
            return lambda given: _follow_up(pages, names, given, pk)

        groups = (
            FactGroup(
                None,
                [
                    Fact("of_organization", _("organization"), organization_line(pages, batch)),
                    Fact("owned_by", _("owner"), batch.owner_name, lambda name: jobs_of(pages.links, "owner", name)),
                    Fact("takes_jobs_of", _("open to"), open_to),
                ],
            ),
            FactGroup(
                _("What follows"),
                [Fact("if_completed", _("if all complete"), batch.then, follow_up(batch.then_job_id))],
                [Fact("if_failed", _("if not"), batch.on_failure, follow_up(batch.on_failure_job_id))],
            ),
            FactGroup(
                capfirst(_("times")),
                [
                    Fact("created", _("created"), batch.created_at, moment),
                    Fact("started", _("started"), batch.started_at, moment),
                    Fact("closed", _("closed"), batch.closed_at, moment),
                    Fact("expired", _("expired"), batch.expired_at, moment),
                    Fact("ended_at", _("ended"), batch.completed_at, moment),
                ],
            ),
            FactGroup(
                _("Changes"),
                [
                    Fact("canceled_on", Status.CANCELED.label, batch.canceled_at, moment),
                    Fact("canceler", _("by"), batch.canceled_by, line),
                ],
                [Fact("retrier", _("last retried by"), batch.retried_by, line)],
                [Fact("kept", _("jobs that the access policy refused"), batch.refused, format_number)],
            ),
        )
        return [group for group in groups if group]

    @staticmethod
    def _failures(request: HttpRequest, batch: Any) -> dict[str, Any]:
        """Return what failed, in groups of like errors: causes before those that died because of them, and the dead
        before what is tried again. Nothing is read where nothing did.
        """
        if not count_in(batch, WITH_ERRORS):
            return {}
        found = read_failures(request.user, database.now(), JobFilter(batch=(batch.pk, batch.created_at.year)))
        groups = found.groups[:GROUPS_READ]
        newest = newest_jobs(groups)
        rows = [(newest[group.newest_pk], group) for group in groups if group.newest_pk in newest]
        rows.sort(key=lambda row: (row[0].is_orphaned, row[1].count == row[1].waiting))
        kinds = JobType.primary.in_bulk({job.job_type_id for job, _group in rows[:MAX_GROUPS]})
        return {
            "failures": [_failure_row(batch, *row, kinds.get(row[0].job_type_id)) for row in rows[:MAX_GROUPS]],
            "more_failures": max(0, len(found.groups) - MAX_GROUPS),
            "failures_are_cut": found.is_cut,
            "parent_failed": REASONS["parent_failed"].long,
        }

    @staticmethod
    def _graph(links: Links, batch: Any) -> dict[str, Any]:
        """Return the drawing of the dependencies among its jobs, where there are some."""
        graph = read_graph(batch.pk, batch.total)
        if graph is None:
            return {}

        def address_of(box: Box) -> str:
            if box.count == 1:
                return links.change("job", box.node.pk)
            return links.jobs(batch=batch.batch_id, status=box.node.status or None, job_type=box.node.job_type or None)

        return {"graph": graph, "drawing": draw_graph(graph, address_of), "unlinked": max(0, batch.total - graph.jobs)}


def _news_of(batch: Any, failures: list[dict[str, Any]], notices: list[str]) -> News:
    """Return how far the batch is, and what is wrong first: the error of its largest group, or else a notice."""
    state = str(BatchState(batch.told.state).label)
    failed = count_in(batch, WITH_ERRORS)
    facts = [state, f"{_('ended jobs')}: {of_all(batch.ended, batch.total)}"]
    facts += [f"{_('failed')}: {format_number(failed)}"] if failed else []
    told = f"{batch.name or batch.batch_id}: {listed(facts)}"
    reasons = [row["said"] for row in failures[:1]] or notices[:1]
    return News(text=sentence(told, note(batch), *reasons), state=f"{state} {note(batch)} {reasons}")


def _failure_row(batch: Any, job: Any, group: Group, kind: JobType | None) -> dict[str, Any]:
    """Return what the page tells of a group, whose newest job this is."""
    pages = batch.pages
    # A host's policy may hide single jobs from people who see the organization.
    url = pages.job(job)
    error = (job.error_start or _("(without a text)")) if url else _("(its error is not shown to you)")
    return {
        "kind": linked(pages.job_type(kind) or pages.links.jobs(job_type=job.job_type_id), line(job.job_type_id, 60)),
        "count": group.count,
        "error": line(error, ERROR),
        "said": error[:ERROR],
        "name": job.name,
        "url": url,
        "badge": badge(job.status),
        "list_url": pages.links.failure_group(group.job_type, group.error_fingerprint, batch=batch.batch_id),
        "is_consequence": job.is_orphaned,
        "is_retried": group.count == group.waiting,
    }


# What is wrong with a batch, or what it waits for, in words that say what to do: on its page, and on the monitor.


def notices_of(batch: Any) -> list[Notice]:
    """Return what people should know of a batch that has its status as ``told``, the most urgent first."""
    return [*_missing(batch), *_expired(batch), *_failed(batch), *_open(batch)]


def _missing(batch: Any) -> list[Notice]:
    if not batch.fault or batch.completed_at is None:
        return []
    found = notice(
        trouble(batch), level="warning" if batch.is_fault_passing else "error", facts={"reason": batch.fault}
    )
    return [found if SWITCHES["follow-up"].fits(batch) else dataclasses.replace(found, advice="")]


def _expired(batch: Any) -> list[Notice]:
    return [notice("expired")] if batch.expired_at is not None else []


def _failed(batch: Any) -> list[Notice]:
    if batch.told.state != BatchState.FAILED:
        return []
    counts = {
        "jobs_failed": count_in(batch, RETRYABLE_BY_HAND),
        "jobs_canceled": batch.told.by_status[Status.CANCELED],
    }
    levels = {"jobs_failed": "error"}
    return [
        notice(code, level=levels.get(code, "warning"), facts={"count": count})
        for code, count in counts.items()
        if count
    ]


def _open(batch: Any) -> list[Notice]:
    if batch.told.state != BatchState.OPEN:
        return []
    return [notice("all_ended") if batch.total and batch.ended >= batch.total else notice("open", level="info")]


def monitor_notices(moment: dt.datetime, organizations: Collection[Any] | None, links: Links) -> list[Notice]:
    """Return a notice for each batch of these tenants that expired or lacks its follow-up since a day ago."""
    found, has_more = troubled_batches(moment, organizations)
    notices = [_troubled(batch, links) for batch in found]
    return [*notices, Notice(level="warning", code="more_batches", text=str(MORE))] if has_more else notices


def _troubled(batch: Any, links: Links) -> Notice:
    return notice(trouble(batch), subject=str(batch), facts={"reason": batch.fault}, links=_link(links, batch.pk))


def _link(links: Links, pk: int) -> tuple[tuple[str, str], ...]:
    return ((_("See what to do"), links.change("batch", pk)),)
