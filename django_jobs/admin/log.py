"""The Execution Log."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from django_jobs.admin.bar import RANGES, OpenPages
from django_jobs.admin.filters import OfferedTerm, choosing, offering, types_seen
from django_jobs.admin.pages import FAILURES, DeclaredList, NobodyWrites, OwnPages, is_system_admin
from django_jobs.admin.writing import ALL, ARROW, actor, badge, block, line, linked, moment
from django_jobs.engine.insight.search import oldest_key
from django_jobs.engine.scope import scope_of
from django_jobs.engine.store import database
from django_jobs.models import ExecutionLog
from django_jobs.models.job import parse_job_id
from django_jobs.statuses import WITH_ERRORS, Status

# The filters of the Execution Log. No index serves them, so a list with one looks at the newest rows alone.


def became(rows: QuerySet[Any], chosen: str) -> QuerySet[Any]:
    """Return the changes to one status, or the failed attempts."""
    if chosen == FAILURES:
        return rows.filter(from_status=Status.RUNNING, to_status__in=sorted(WITH_ERRORS))
    return rows.filter(to_status=chosen)


class TypeOfJob(OfferedTerm):
    """Narrows the log to the jobs of one type."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        types = self.filters.job_type
        return queryset if types is None else queryset.filter(job__job_type_id__in=types)


LOG_FILTERS: Final = (
    choosing(
        "became",
        gettext_lazy("what it became"),
        lambda: [(FAILURES, capfirst(_("failed attempts"))), *Status.choices],
        became,
    ),
    offering("job_type", types_seen, TypeOfJob),
    choosing(
        "since",
        gettext_lazy("when"),
        lambda: [(item.key, item.label) for item in RANGES.values()],
        lambda rows, chosen: rows.filter(timestamp__gte=RANGES[chosen].begins(database.now())),
    ),
)


# The Execution Log: every change of a job's status, as a list that can be narrowed and searched by a job's id.


#: No index of the log leads to an organization. Members see the history of so many of their newest jobs, or of the
#: job that they search for.
NEWEST_JOBS: Final = 500
#: No index serves the filters either. A list with a filter looks at so many of the newest rows.
RECENT: Final = 100_000


class LogList(DeclaredList):
    """A page of the log.

    ``looks_back`` is the number of newest rows that were looked at, and ``newest_jobs`` the number of newest jobs whose
    rows were. Each is None if there was no such bound.
    """

    looks_back: int | None = None
    newest_jobs: int | None = None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows = super().get_queryset(request, exclude_parameters)
        if not self.query:
            rows = self._of_newest_jobs(rows, request) if not is_system_admin(request) else rows
            rows = self._newest(rows) if self.get_filters_params() else rows
        shown = ("from_status", "to_status", "timestamp", "actor", "actor_kind", "message", "attempt", "worker_name")
        rows = rows.select_related("job")
        # A host's policy judges a job by all that it has.
        return rows.defer("traceback") if scope_of(request).hides_jobs else rows.only(*shown, "job__created_at")

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        admin_class: Any = self.model_admin
        pages = OpenPages(request, admin_class.admin_site.name)
        for log in self.result_list:
            log.pages = pages

    def _of_newest_jobs(self, rows: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        jobs = scope_of(request).jobs().order_by("-pk").values_list("pk", flat=True)
        newest = list(jobs[: NEWEST_JOBS + 1])
        self.newest_jobs = NEWEST_JOBS if len(newest) > NEWEST_JOBS else None
        return rows.filter(job__in=newest[:NEWEST_JOBS])

    def _newest(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        too_old = oldest_key(ExecutionLog, RECENT)
        self.looks_back = RECENT if too_old else None
        return rows.filter(pk__gt=too_old or 0)


@admin.register(ExecutionLog)
class ExecutionLogAdmin(OwnPages, NobodyWrites):
    """The list of the log, and the page of one row."""

    list_display = ("id", "of_job", "change", "when", "who", "what", "attempt", "worker")
    list_display_links = ("id",)
    list_filter = LOG_FILTERS
    search_fields = ("job",)
    search_help_text = gettext_lazy("A job id, such as JOB-2026-00001.")
    fields = ("of_job", "change", "when", "who", "full_message", "attempt")
    change_list_template = "admin/django_jobs/executionlog/change_list.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related("job")
        if is_system_admin(request):
            return rows
        return rows.filter(job__in=scope_of(request).jobs())

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row if the policy shows its job to the user: it tells of a single job, as that job's page does."""
        log = super().get_object(request, object_id, from_field)
        if log is None or not scope_of(request).shows(log.job):
            return None
        log.shows_all, log.pages = ALL in request.GET, OpenPages(request, self.admin_site.name)
        return log

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LogList

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Return the rows of the job with this id. Any other search would read every row."""
        if not search_term.strip():
            return queryset, False
        parsed = parse_job_id(search_term.strip())
        if parsed is None:
            return queryset.none(), False
        return queryset.filter(job_id=parsed[0], job__created_at__year=parsed[1]), False

    def get_list_display(self, request: HttpRequest) -> Any:
        """Return the columns. Workers are called after their machines, so only system admins get them."""
        return [name for name in self.list_display if name != "worker" or is_system_admin(request)]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields. A traceback may quote secrets, so only system admins get it, and the worker."""
        return (*self.fields, "worker", "full_traceback") if is_system_admin(request) else self.fields

    @admin.display(description=gettext_lazy("job"))
    def of_job(self, log: Any) -> SafeString | str:
        """Return the id of the row's job, as a link to its page for a reader to whom the policy shows it."""
        return linked(log.pages.job(log.job), log.job.name)

    @admin.display(description=gettext_lazy("worker"))
    def worker(self, log: Any) -> SafeString | str:
        """Return the worker of the attempt, as a link to its jobs."""
        url = log.pages.of_jobs(log.pages.links.jobs(worker=log.worker_name)) if log.worker_name else ""
        return linked(url, line(log.worker_name, 40))

    @admin.display(description=gettext_lazy("timestamp"))
    def when(self, log: ExecutionLog) -> SafeString | str:
        """Return the moment of the change."""
        return moment(log.timestamp)

    @admin.display(description=gettext_lazy("actor"))
    def who(self, log: ExecutionLog) -> SafeString:
        """Return who changed the status."""
        return actor(log)

    @admin.display(description=gettext_lazy("change"))
    def change(self, log: ExecutionLog) -> SafeString:
        """Return the status before the change and the one after it."""
        before = badge(log.from_status) if log.from_status else pgettext("job", "new")
        return format_html("{} {} {}", before, ARROW, badge(log.to_status))

    @admin.display(description=gettext_lazy("message"))
    def what(self, log: ExecutionLog) -> SafeString | str:
        """Return the message in one line."""
        return line(log.message)

    @admin.display(description=gettext_lazy("message"))
    def full_message(self, log: ExecutionLog) -> SafeString | str:
        """Return the whole message."""
        return block(log.message, whole=getattr(log, "shows_all", False))

    @admin.display(description=gettext_lazy("traceback"))
    def full_traceback(self, log: ExecutionLog) -> SafeString | str:
        """Return the whole traceback."""
        return block(log.traceback, whole=getattr(log, "shows_all", False))
