"""The list of jobs: columns, pages, live rows, export."""

from __future__ import annotations

import csv
import datetime as dt
import json
import unicodedata
from collections.abc import Callable, Collection, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.paginator import Page
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext as _

from django_jobs.admin.filters import COLUMNS, NEWEST, NO_JOBS, Counts, TermsFilter, of_all_statuses, of_keys, of_newest
from django_jobs.admin.pages import (
    BaseAdmin,
    CappedPaginator,
    DeclaredList,
    Links,
    OwnPages,
    is_system_admin,
    keys_of,
    tenant,
    view,
)
from django_jobs.admin.search import Understood, offered_to, understand, understood
from django_jobs.admin.writing import NOTHING, ago, badge, brief_duration, format_number, line, slug, status_word
from django_jobs.downloads import Download
from django_jobs.engine import organizations
from django_jobs.engine.insight.filter import LIST_TERMS, JobFilter
from django_jobs.engine.insight.search import Newest, among_newest
from django_jobs.engine.job_types.masking import Names, hidden_from, masked
from django_jobs.engine.organizations import is_gone, shown_id
from django_jobs.engine.scope import Scope, scope_of
from django_jobs.engine.store import counting, database
from django_jobs.engine.store.counting import capped_counts, newest_keys
from django_jobs.engine.store.database import store
from django_jobs.models import Batch, Job, JobType, SavedFilter
from django_jobs.models.organization import MAX_NAME
from django_jobs.statuses import AWAITING_TURN, IN_FLIGHT, RARE, TERMINAL, WITH_ERRORS, Priority, Status

# The list of jobs: what it reads, how far it looks, and how it is searched.


class JobList(DeclaredList):
    """A page of the jobs that a user may see. ``looks_back`` is how many of the newest were looked at; None for all."""

    looks_back: int | None = None
    understood: Understood
    #: The primary keys of the list's jobs, where they were looked for one by one; else None.
    keys: list[int] | None = None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        self.request, self.understood = request, understood(request, self.query)
        # The search names jobs as the filters do, and both together say how far the list looks.
        typed, self.query = self.query, ""
        self._rows = super().get_queryset(request, exclude_parameters)
        self.query = typed
        filters = self.job_filter()
        rows, is_bounded = self._narrowed(filters)
        self.looks_back = filters.bound if is_bounded else None
        if is_looked_for(filters):
            # Count, page and the numbers beside the filters would each look for them again.
            self.keys = look_for(rows, filters)
        found: Any = light(rows if self.keys is None or len(self.keys) > FEW else named(self.keys))
        found.keys = self.keys
        found.is_in_order = self.looks_back is None and is_in_order(filters, self._scope(filters))
        return found  # type: ignore[no-any-return]

    def job_filter(self, without: str = "") -> JobFilter:
        """Return the filter that names all jobs of the list, on whatever page they stand; ``without`` one of the terms.

        A list that nothing narrows gives an empty filter, and one that asks for what is not there names no job.
        """
        named = JobFilter() if self.understood.meaning is None else self.understood.meaning.search
        if self.understood.problem:
            named = NO_JOBS
        for item in self.filter_specs:
            if isinstance(item, TermsFilter) and without not in item.names:
                named = named.both(item.filters)
        return named

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        organizations.mark(self.result_list)
        mark_batches(self.result_list)
        for job in self.result_list:
            job.narrowed = self.narrowed

    def narrowed(self, **query: Any) -> str:
        """Return the address of this list narrowed by one filter more, or searched for something else (``q``)."""
        return self.get_query_string({SEARCH_VAR if name == "q" else name: value for name, value in query.items()})

    @cached_property
    def saved(self) -> list[SavedFilter]:
        """Return the saved filters that the user is offered."""
        return offered_to(self.request)

    @cached_property
    def saveable(self) -> str:
        """Return what narrows the list now, as it would be saved; empty if nothing does."""
        admin: Any = self.model_admin
        return str(admin.cleaned_query(self.request, self.request.GET.urlencode()))

    most_name = MAX_NAME

    @property
    def may_share(self) -> bool:
        """Return whether the user may save filters for others."""
        return is_system_admin(self.request)

    @property
    def other_meanings(self) -> list[tuple[str, str]]:
        """Return what else the typed text could mean: words and address of each."""
        return [(other.words, self.narrowed(q=other.text)) for other in self.understood.others]

    @cached_property
    def counts(self) -> dict[str, Counts]:
        """Return how many jobs have each value of the terms that the sidebar counts, by the name of the term."""
        found: dict[str, Counts] = {}
        asked = {name for item in self.filter_specs if isinstance(item, TermsFilter) for name in item.given}
        if not asked and not self.query and scope_of(self.request).organizations is None:
            found["status"] = of_all_statuses()
        left = [name for name in COLUMNS if name not in found]
        # Filters that are not in use see the same jobs.
        if free := [name for name in left if name not in asked]:
            found |= self._counted(free, self.job_filter())
        for name in asked.intersection(left):
            found |= self._counted([name], self.job_filter(without=name))
        self.counts_are_cut = any(counts.is_cut for counts in found.values())
        return found

    counts_are_cut = False

    @property
    def counted_among(self) -> int:
        """Return of how many of the newest jobs the numbers beside the filters tell, where these are cut."""
        return NEWEST

    @property
    def amount(self) -> str:
        """Return how many jobs the list has, for people; a plus means at least so many."""
        is_cut = self.paginator.is_cut or self.looks_back is not None
        return format_number(self.result_count) + ("+" if is_cut else "")

    def _counted(self, names: Collection[str], filters: JobFilter) -> dict[str, Counts]:
        if self.keys is not None and filters == self.job_filter():
            return of_keys(self.keys, names, is_cut=self.looks_back is not None)
        scope = self._scope(filters)
        rows = self._rows.none() if filters.asks_for_hidden(self.request.user) else filters.narrow(self._rows)
        if filters.looks_back:
            rows = among_newest(rows, scope, filters.looks_back).rows
        return of_newest(rows, names, scope, is_selective=filters.is_selective)

    def _narrowed(self, filters: JobFilter) -> Newest:
        """Return those of the rows that the filter names; where no index finds them, of the newest alone."""
        if filters.asks_for_hidden(self.request.user):
            return Newest(self._rows.none(), False)
        return filters.among_newest(from_the_newest(self._rows, filters.status or ()), self._scope(filters))

    def _scope(self, filters: JobFilter) -> Collection[Any] | None:
        """Return the organizations of whose newest jobs is told: those asked for, or all that the user may see."""
        return scope_of(self.request).organizations if filters.organization is None else filters.organization


def from_the_newest(rows: QuerySet[Any], statuses: Collection[str]) -> QuerySet[Any]:
    """Return the jobs from the newest on that is in one of these statuses, where they are several and rare.

    Without that bound the database could walk from the newest job of all past a million others first.
    """
    if len(statuses) < SEVERAL or not RARE.issuperset(statuses):
        return rows
    newest = (rows.filter(status=status).order_by("-pk").values_list("pk", flat=True)[:1] for status in statuses)
    found = [pk for pks in newest for pk in pks]
    return rows.filter(pk__lte=max(found)) if found else rows.none()


def mark_batches(jobs: Collection[Any]) -> None:
    """Note on each of these jobs the batch that it counts for, by one statement; None where it has none."""
    pks = {job.batch_id for job in jobs if job.batch_id is not None}
    found = Batch.primary.only("created_at").in_bulk(pks) if pks else {}
    for job in jobs:
        job.batch_of_list = found.get(job.batch_id)


def search(rows: QuerySet[Any], text: str, scope: Scope) -> QuerySet[Any]:
    """Return those of the jobs that a typed text means; all for none, and none for a text that means nothing."""
    found = understand(text, scope)
    if found.meaning is None:
        return rows.none() if found.problem else rows
    return found.meaning.search.among_newest(rows, scope.organizations)[0]


# Pages of the jobs list: how they are counted and read at the cost of what they show, and not of the history.


if TYPE_CHECKING:
    JobPage = Page[Any]
else:
    JobPage = Page

#: The list needs none of these columns, and reading them for a page of jobs would be slow.
LARGE: Final = ("input_parameters", "metadata", "result", "output_reference", "error_message")
#: Characters of an error that the list reads.
ERROR: Final = 120
#: Up to so many jobs are named one by one in a statement that has them all.
FEW: Final = 500
#: The terms with which an index has the newest jobs first, together with any other of these.
_IN_ORDER: Final = frozenset({"status", "job_type", "organization", "priority", "created_after", "has_error", "owner"})
#: From so many statuses on they are several.
SEVERAL: Final = 2


class JobPaginator(CappedPaginator):
    """Pages of jobs, whose rows are read by their primary keys.

    The queryset says how: with ``keys``, these are all of its jobs; where it ``is_in_order``, an index has them, and is
    walked for count and page. Else the database looks for them as it likes.
    """

    @cached_property
    def _counted(self) -> tuple[int, bool]:
        rows: Any = self.object_list
        keys = getattr(rows, "keys", None)
        if keys is None and not getattr(rows, "is_in_order", False):
            return super()._counted
        count = len(keys) if keys is not None else capped_counts([rows], counting.MAX_COUNT)[0]
        return min(count, counting.MAX_COUNT), count > counting.MAX_COUNT

    def page(self, number: int | str) -> JobPage:
        """Return a page. Of the jobs on the pages before, no more than the primary keys are read."""
        found = super().page(number)
        rows: Any = self.object_list
        sliced: Any = found.object_list
        if (keys := getattr(rows, "keys", None)) is not None:
            found.object_list = light(named(keys[found.start_index() - 1 : found.end_index()]))
        elif getattr(rows, "is_in_order", False):
            found.object_list = light(named([pk for (pk,) in store().read_in_order(sliced.values_list("pk"))]))
        return found


def light(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return the same jobs with what a list shows of them, and nothing that may be large."""
    found: QuerySet[Any] = rows.defer(*LARGE).annotate(error_start=Left("error_message", ERROR + 1))
    return found


def named(keys: Collection[int]) -> QuerySet[Any]:
    """Return the jobs with these primary keys, the newest first."""
    return Job.primary.filter(pk__in=keys).order_by("-pk")


def is_in_order(filters: JobFilter, organizations: Collection[Any] | None) -> bool:
    """Return whether an index has the newest jobs first that the filter leaves.

    ``organizations`` are those whose jobs are listed; None: all. Of several no index has the newest first.
    """
    if organizations is not None and len(organizations) > 1:
        return False
    statuses = filters.status or ()
    if (len(statuses) >= SEVERAL and set(statuses) != WITH_ERRORS) or filters.has_error:
        return False
    return filters.asked().keys() <= _IN_ORDER


def is_looked_for(filters: JobFilter) -> bool:
    """Return whether jobs must be read one by one to see which of them match."""
    return bool(filters.has_error or filters.looks_back or filters.fingerprint_start or filters.error)


def look_for(rows: QuerySet[Any], filters: JobFilter) -> list[int]:
    """Return the primary keys of the jobs, the newest first, up to one more than are counted.

    Completed jobs have no error. Those that failed, and the others that did not complete, are looked for status by
    status, because each has an index of its own.
    """
    most = counting.MAX_COUNT + 1
    if filters.fingerprint_start or filters.error:
        return newest_keys([rows.filter(status=status).order_by("-pk") for status in sorted(WITH_ERRORS)], most)
    if not filters.has_error:
        return list(rows.order_by("-pk").values_list("pk", flat=True)[:most])
    # Those that are tried again and kept the error until now: mostly none.
    in_flight = Job.primary.filter(status__in=sorted(IN_FLIGHT)).exclude(error_message="")
    kept = in_flight.order_by("queued_at").values_list("pk")[:most]
    parts = [rows.filter(status=status).order_by("-pk") for status in sorted(RARE)]
    return newest_keys([*parts, rows.filter(pk__in=[pk for (pk,) in store().read_in_order(kept)])], most)


# The columns of the jobs list and of its export: what each tells, and which of them an open page keeps up to date.
#
# A new column is a method of ``JobColumns`` and its name in ``list_display``; where its text changes while a job runs,
# a ``LiveText``. A new column of the export is an item of ``EXPORTED``. Nothing else lists them.


class LiveText:
    """A column of plain text that an open page keeps up to date: ``job_list.js`` puts the new text in its place."""

    def __init__(self, title: Any, said: Callable[[Job, dt.datetime], str]) -> None:
        self.short_description = title
        self.said = said

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name

    def __call__(self, job: Job) -> SafeString:
        return format_html('<span data-djobs-{}="{}">{}</span>', self.name, job.pk, self.said(job, timezone.now()))


class JobColumns(BaseAdmin):
    """The columns of the jobs list."""

    list_display = ("job_id", "state", "kind", "failed_with", "tenant_and_owner", "times")

    waited = LiveText(gettext_lazy("waited"), lambda job, now: as_text(wait_seconds(job, now)))
    ran = LiveText(gettext_lazy("ran"), lambda job, now: as_text(run_seconds(job, now)))

    @admin.display(description=gettext_lazy("job"))
    def job_id(self, job: Job) -> str:
        """Return the job's id."""
        return job.name

    @admin.display(description=gettext_lazy("type"))
    def kind(self, job: Job) -> SafeString:
        """Return the job's type, its priority where that is not the usual one, and its batch."""
        cell, batch = type_cell(job), batch_cell(job)
        if job.priority != Priority.NORMAL:
            cell = format_html("{} <small>{}</small>", cell, Priority(job.priority).label)
        return format_html("{}<br><small>{}</small>", cell, batch) if batch else cell

    @admin.display(description=gettext_lazy("error"))
    def failed_with(self, job: Job) -> SafeString:
        """Return the first words of the error, where the last attempt failed."""
        return error_cell(self.admin_site.name, job)

    @admin.display(description=gettext_lazy("organization"))
    def tenant_and_owner(self, job: Job) -> SafeString:
        """Return the job's organization and, below it, its owner."""
        name: SafeString | str = tenant(job)
        if not is_gone(job):
            name = narrowing(job, name, gettext("All its jobs"), organization=shown_id(job))
        return (
            format_html("{}<br><small>{}</small>", name, owner_cell(job)) if job.owner_name else format_html("{}", name)
        )

    @admin.display(description=gettext_lazy("status"))
    def state(self, job: Job) -> SafeString:
        """Return the status with a note and, until the job ends, its progress; an open page keeps them up to date."""
        is_ended = job.status in TERMINAL
        is_final = "yes" if is_ended else "no"
        return format_html(
            '<span data-djobs-job="{}" data-djobs-final="{}">{} <small>{}</small></span> {}',
            job.pk,
            is_final,
            badge(job.status),
            note(job),
            "" if is_ended else progress_bar(job),
        )

    @admin.display(description=gettext_lazy("times"))
    def times(self, job: Job) -> SafeString:
        """Return how long ago the job was submitted, how long it waited and how long it ran."""
        lines = ((gettext("waited"), JobColumns.waited(job)), (gettext("ran"), JobColumns.ran(job)))
        return format_html("{}{}", ago(job.created_at), format_html_join("", "<br><small>{} {}</small>", lines))


#: The columns of the export, by title. The export adds the parameters, masked for who may not read all of them.
EXPORTED: Final[dict[str, Callable[[Job], Any]]] = {
    "job": attrgetter("name"),
    "type": attrgetter("job_type_id"),
    "organization": shown_id,
    "owner": attrgetter("owner_name"),
    "status": attrgetter("status"),
    "priority": lambda job: Priority(job.priority).word,
    "progress": attrgetter("progress"),
    "attempt": attrgetter("attempt"),
    "retry_count": attrgetter("retry_count"),
    "created_at": attrgetter("created_at"),
    "run_at": attrgetter("run_at"),
    "queued_at": attrgetter("queued_at"),
    "started_at": attrgetter("started_at"),
    "completed_at": attrgetter("completed_at"),
    "canceled_at": attrgetter("canceled_at"),
    "canceled_by": attrgetter("canceled_by"),
    "error_type": attrgetter("error_type"),
    "error_message": attrgetter("error_message"),
}


def type_of(job: Job) -> JobType | None:
    """Return the job's type, read once for a row of it; None where it is gone."""
    known = job._state.fields_cache
    if "job_type" not in known:
        known["job_type"] = JobType.primary.filter(pk=job.job_type_id).first()
    kind: JobType | None = known["job_type"]
    return kind


def progress_bar(job: Job) -> SafeString:
    """Return the element that the pages' script keeps up to date. It is hidden until there is something to show."""
    is_shown = job.progress or job.status == Status.RUNNING
    return format_html(
        '<span data-djobs-progress="{0}" title="{2}"{3}>'
        '<progress max="100" value="{1}" aria-label="{4}"></progress> <small>{1} %</small></span>',
        job.pk,
        job.progress,
        job.progress_message,
        "" if is_shown else mark_safe(" hidden"),
        gettext("progress"),
    )


def is_stopping(job: Job) -> bool:
    """Return whether the job runs and was asked to stop."""
    return job.status == Status.RUNNING and job.cancel_requested_at is not None


def note(job: Job) -> str:
    """Return what the status alone does not tell: that the job is stopping, or which attempt this is."""
    if is_stopping(job):
        return gettext("stopping")
    return gettext("attempt %(number)s") % {"number": job.attempt} if job.attempt > 1 else ""


def wait_seconds(job: Job, now: dt.datetime) -> float | None:
    """Return how long the latest attempt waited, or has waited until now, since it could have run; None if not yet."""
    since = max(job.created_at, job.run_at) if job.run_at else job.created_at
    if job.attempt > 1 and job.queued_at:
        since = job.queued_at
    if job.status in AWAITING_TURN:
        return max(0.0, (now - since).total_seconds()) if now >= since else None
    return (job.started_at - since).total_seconds() if job.started_at else None


def run_seconds(job: Job, now: dt.datetime) -> float | None:
    """Return how long the latest attempt ran, or has run until now; None if it has not started."""
    if job.started_at is None or job.status in AWAITING_TURN:
        return None
    until = now if job.status == Status.RUNNING else (job.completed_at or job.canceled_at)
    return max(0.0, (until - job.started_at).total_seconds()) if until else None


def as_text(seconds: float | None) -> str:
    """Return a measured time for people, or a dash for none."""
    return NOTHING if seconds is None else brief_duration(seconds)


def live_facts(site: str, job: Job, now: dt.datetime) -> dict[str, Any]:
    """Return what changes of a job while a page of this admin site is open, in plain values.

    ``texts`` are those of each LiveText, ``links`` the addresses that belong to them.
    """
    columns = [column for column in vars(JobColumns).values() if isinstance(column, LiveText)]
    return {
        "status": str(job.status),
        "word": status_word(job.status),
        "slug": slug(job.status),
        "note": note(job),
        "final": job.status in TERMINAL,
        "links": {"error": error_link(site, job)},
        "progress": job.progress,
        "message": job.progress_message,
        "texts": {"error": cut(error_text(job)), **{column.name: column.said(job, now) for column in columns}},
    }


# Cells of the jobs list that lead somewhere: the error, and whatever a click narrows the list to.


NAME: Final = 40


def narrowing(job: Job, text: Any, title: str, **query: Any) -> SafeString:
    """Return a text as a link that narrows the list to the rows that have it in common, on top of what narrows it."""
    make = getattr(job, "narrowed", None) or (lambda **asked: f"?{urlencode(asked)}")
    return format_html('<a href="{}" title="{}">{}</a>', make(**query), title, text)


def error_text(job: Any) -> str:
    """Return the first characters of the error of a job whose last attempt failed; empty for others."""
    return str(getattr(job, "error_start", "")) if job.status in WITH_ERRORS else ""


def error_link(site: str, job: Any) -> str:
    """Return the address of the jobs that failed in the same way; empty for a job that did not fail."""
    return Links(site).failure_group(job.job_type_id, job.error_fingerprint) if error_text(job) else ""


def error_cell(site: str, job: Any) -> SafeString:
    """Return the error as a link to those like it. The page's script fills it when a job fails while one looks."""
    text = error_text(job)
    address = error_link(site, job)
    target = format_html(' href="{}"', address) if address else ""
    return format_html('<a class="djobs-error" data-djobs-error="{}"{}>{}</a>', job.pk, target, cut(text))


def cut(text: str) -> str:
    """Return the text in one line, with a mark where it goes on."""
    flat = " ".join(text.split())
    return flat if len(text) <= ERROR else f"{flat[:ERROR]}…"


def type_cell(job: Job) -> SafeString:
    """Return the type, as a link to the jobs of it."""
    name = line(job.job_type_id, NAME)
    return narrowing(job, name, _("All its jobs"), job_type=job.job_type_id)


def owner_cell(job: Job) -> SafeString | str:
    """Return the owner's name, as a link to their jobs; a dash without one."""
    if not job.owner_name:
        return NOTHING
    return narrowing(job, line(job.owner_name, NAME), _("All its jobs"), owner=job.owner_name)


def batch_cell(job: Any) -> SafeString | str:
    """Return the batch, as a link to its jobs; nothing where the job is in none."""
    batch = getattr(job, "batch_of_list", None)
    return narrowing(job, batch.batch_id, _("All its jobs"), batch=batch.batch_id) if batch else ""


# What an open list asks for while its jobs run: how they stand now.


#: Keys of jobs that one request may ask for; the others are not looked at.
MAX_ASKED: Final = 200


class JobLive(OwnPages):
    """Answers for ``job_list.js``."""

    @view("live/", "live")
    def _live(self, request: HttpRequest) -> HttpResponse:
        """Return ``{"jobs": {"<key>": {…}}}`` of the asked jobs that are there and that the user may see."""
        pks = keys_of(request.GET.get("ids", "").split(","))[:MAX_ASKED]
        site, now = self.admin_site.name, database.now()
        jobs = light(self.get_queryset(request).filter(pk__in=pks)) if pks else []
        return JsonResponse({"jobs": {str(job.pk): live_facts(site, job, now) for job in jobs}})


# Jobs as CSV, sent piece by piece, in cells that no spreadsheet takes for formulas.


BATCH: Final = 500
MAX_ROWS: Final = 100_000
#: The last column; the others are ``EXPORTED``.
PARAMETERS: Final = "parameters"
_LARGE: Final = ("result", "metadata", "output_reference")
#: A formula begins with one of these, in ASCII or as what Unicode holds for the same, behind what nobody sees: blanks,
#: controls, marks, and letters and symbols without a picture.
_SIGNS: Final = frozenset("=+-@")
_UNSEEN: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")


class _Echo:
    """A file that returns what is written to it."""

    def write(self, text: str) -> str:
        return text


def csv_of(request: HttpRequest, queryset: QuerySet[Any]) -> Download:
    """Return the newest MAX_ROWS of these jobs as a download, read in batches so that they are never all in memory.

    Jobs that the policy hides from the user are left out: a row has parameters, which no list shows.
    """
    name = f"jobs-{dt.datetime.now(dt.UTC):%Y-%m-%d-%H%M}.csv"
    return Download(_parts(queryset, scope_of(request), hidden_from(request.user)), name, "text/csv; charset=utf-8")


def _parts(queryset: QuerySet[Any], scope: Scope, hidden: Names) -> Iterator[str]:
    echo: Any = _Echo()
    writer: Any = csv.writer(echo)
    yield writer.writerow([*EXPORTED, PARAMETERS])
    left, last = MAX_ROWS, None
    # A connection pool may keep no cursor between pages, so each page begins where the one before ended, by key.
    rows = queryset.order_by("-pk").defer(None).defer(*_LARGE)
    while left > 0:
        page = list((rows if last is None else rows.filter(pk__lt=last))[: min(BATCH, left)])
        if not page:
            return
        organizations.mark(page)
        yield "".join(writer.writerow(map(_cell, _values(job, hidden))) for job in page if scope.shows(job))
        left, last = left - len(page), page[-1].pk


def _values(job: Job, hidden: Names) -> list[Any]:
    return [*(value_of(job) for value_of in EXPORTED.values()), _parameters(job, hidden)]


def _parameters(job: Job, hidden: Names) -> str:
    return json.dumps(masked(job.input_parameters, hidden), ensure_ascii=False)


def _cell(value: Any) -> str:
    """Return a value as text.

    An apostrophe before a text that begins like a formula keeps a spreadsheet from running it.
    """
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return value.isoformat()
    text = str(value)
    first = next((char for char in text if unicodedata.category(char)[0] not in "CMZ" and char not in _UNSEEN), "")
    is_formula = text[:1] in {"\t", "\r", "\n"} or unicodedata.normalize("NFKC", first)[:1] in _SIGNS
    return f"'{text}" if is_formula and not isinstance(value, int) else text


def filter_of(jobs: JobList) -> JobFilter:
    """Return the filter that names all jobs of the list.

    Raises TypeError where a host's own filter narrows the list: to leave it out would name more jobs than it shows.
    """
    if others := jobs.get_filters_params().keys() - LIST_TERMS.keys():
        raise TypeError(f"No filter of jobs has these names: {', '.join(sorted(others))}.")
    return jobs.job_filter()
