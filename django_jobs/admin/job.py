"""The page of one job."""

from __future__ import annotations

import datetime as dt
import json
import mimetypes
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied, SuspiciousFileOperation
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_jobs.admin.acts import JobActions
from django_jobs.admin.bar import OpenPages, jobs_of, organization_line
from django_jobs.admin.filters import JOB_FILTERS
from django_jobs.admin.forms import RunAgain
from django_jobs.admin.graph import Box, Node, draw_graph, make_graph
from django_jobs.admin.job_history import JobLogs, read_history
from django_jobs.admin.jobs import (
    JobColumns,
    JobList,
    JobLive,
    JobPaginator,
    is_stopping,
    note,
    progress_bar,
    search,
    type_of,
)
from django_jobs.admin.pages import (
    Links,
    NobodyWrites,
    OwnPages,
    is_system_admin,
    socket_url,
    view,
)
from django_jobs.admin.reasons import waits_in_words
from django_jobs.admin.search import SavedFilters
from django_jobs.admin.writing import (
    ALL,
    CUT,
    Fact,
    FactGroup,
    as_json,
    badge,
    block,
    brief_duration,
    format_duration,
    line,
    linked,
    moment,
)
from django_jobs.conf import output_storage
from django_jobs.downloads import Download
from django_jobs.engine.access import is_active
from django_jobs.engine.execution import context
from django_jobs.engine.execution.outcomes import PERMANENT
from django_jobs.engine.execution.steps import title_of
from django_jobs.engine.insight.failures import RaisedError, raised_error
from django_jobs.engine.insight.reasons import REASONS, of_all, told
from django_jobs.engine.insight.status import describe
from django_jobs.engine.job_types.masking import Names, hidden_from, masked
from django_jobs.engine.observers import without_carried
from django_jobs.engine.schedules.definitions import may_manage
from django_jobs.engine.scope import Scope, scope_of
from django_jobs.engine.store import database
from django_jobs.engine.store.counting import capped_count
from django_jobs.models import (
    Batch,
    Job,
    JobCheckpoint,
    JobDependency,
    JobStep,
    Operation,
    Schedule,
    get_organization_model,
)
from django_jobs.models.job import parse_job_id
from django_jobs.statuses import (
    AWAITING_RETRY,
    FINAL,
    UNFINISHED,
    WITH_ERRORS,
    Priority,
    RunAfter,
    Status,
)

# The read-only facts on a job's page: what ``values.JobStatus`` tells of it, and what else its row has.


class JobFacts(OwnPages):
    """The facts of a job's page, in groups of lines. A fact that is empty for the job is left out."""

    # Django shows no field of its own.
    fieldsets = ((None, {"fields": ()}),)

    def facts_of(self, request: HttpRequest, job: Job, names: Names, *, whole: bool, results: bool) -> list[FactGroup]:
        """Return the facts. What lies under the keys ``names`` is masked; without ``results`` none is told."""
        pages, links = OpenPages(request, self.admin_site.name), self.links
        kind, is_admin = type_of(job), is_system_admin(request)
        type_url = pages.job_type(kind)
        type_name, worker = line(job.job_type_id, 60), job.worker_name if is_admin else ""
        retries = of_all(job.retry_count, job.max_retries)
        starts_after: SafeString | str = ""
        if job.run_after == RunAfter.ENDED:
            starts_after = _("The jobs that it waits for have ended, whatever became of them.")
        progress: SafeString | str = ""
        if job.progress or job.status == Status.RUNNING:
            message = format_html('<bdi data-djobs-message="{}">{}</bdi>', job.pk, job.progress_message)
            progress = format_html("{} {}", progress_bar(job), message)

        def waits(reason: str) -> SafeString:
            own_url = type_url if is_admin else ""  # who may change it
            told = waits_in_words(job, reason, names, own_url, is_for_system_admin=is_admin)
            return format_html('<span data-code="{}">{}</span>', *told)

        def written(value: Any) -> SafeString | str:
            return as_json(value, names, whole=whole)

        groups = (
            FactGroup(
                None,
                [
                    Fact("type_name", _("type"), linked(type_url or links.jobs(job_type=job.job_type_id), type_name)),
                    Fact("tenant", _("organization"), organization_line(pages, job)),
                    Fact("owned_by", _("owner"), jobs_of(links, "owner", job.owner_name, 40)),
                ],
                [
                    Fact("urgency", _("priority"), Priority(job.priority).label),
                    Fact("attempts_left", _("retries"), retries),
                ],
                [Fact("waits_because", _("why it waits"), describe(job).waiting_for, waits)],
                [Fact("starts_after", _("starts after"), starts_after)],
                [Fact("of_batch", _("batch"), batch_line(links, job))],
                [Fact("submitter", _("submitted by"), submitter_line(links, scope_of(request), job))],
                [Fact("followed_batch", _("submitted by"), followed_line(links, job))],
                [Fact("scheduled_by", _("submitted by"), schedule_line(links, request.user, job))],
                [Fact("acted_on_by", _("changed by"), job.operation_id, lambda pk: operation_line(pages, pk))],
                [Fact("progress_now", _("progress"), progress)],
            ),
            FactGroup(
                _("Work"),
                [Fact("parameters", _("input parameters"), written(job.input_parameters))],
                [Fact("outcome", _("result"), job.result if results else None, written)],
                [Fact("output", _("output"), job.output_reference if results else "", lambda _name: output_line(job))],
                [Fact("correlation", _("metadata"), without_carried(job.metadata), written)],
            ),
            _times(job),
            _cancellation(job),
            _latest_attempt(pages, job, worker),
        )
        return [group for group in groups if group]


def _times(job: Job) -> FactGroup:
    return FactGroup(
        capfirst(_("times")),
        [
            Fact("created", _("created"), job.created_at, moment),
            Fact("due", _("due at"), job.run_at, moment),
            Fact("expires", _("expires at"), job.expires_at, moment),
            Fact("queued", Status.QUEUED.label, job.queued_at, moment),
            Fact("started", _("started"), job.started_at, moment),
            Fact("ended_at", _("ended"), job.completed_at, moment),
        ],
        [
            Fact("waited", _("waited"), JobColumns.waited(job)),
            Fact("ran", _("ran"), JobColumns.ran(job)),
            Fact("time_limit", _("time limit"), job.timeout_seconds, format_duration),
            Fact("next_retry", _("next retry"), job.next_retry_at, moment),
        ],
    )


def _cancellation(job: Job) -> FactGroup:
    return FactGroup(
        _("Cancellation"),
        [
            Fact("cancel_requested", _("cancel requested"), job.cancel_requested_at, moment),
            Fact("canceled", Status.CANCELED.label, job.canceled_at, moment),
            Fact("canceler", _("by"), job.canceled_by, line),
        ],
    )


def _latest_attempt(pages: OpenPages, job: Job, worker: str) -> FactGroup:
    return FactGroup(
        capfirst(_("worker")),
        [
            Fact("latest_attempt", _("attempt"), job.attempt),
            Fact("worker", _("worker"), worker, lambda name: worker_line(pages, name)),
            Fact("lease", _("lease until"), job.lease_expires_at, moment),
        ],
        is_collapsible=True,
    )


def output_line(job: Job) -> SafeString | str:
    """Return a link to the file that the handler saved, or the reference if it is not the name of one."""
    reference = job.output_reference
    if not context.output_belongs_to(reference, job.organization_id, job.name):
        return line(reference)
    name = format_html("<bdi>{}</bdi>", PurePosixPath(reference).name)
    return format_html('<a href="../output/">{}</a>', format_html(_("Download {name}"), name=name))


def operation_line(pages: OpenPages, pk: int) -> SafeString | str:
    """Return the operation that acted on a job last, with a link; it may be deleted by now."""
    return linked(pages.rows(Operation, [pk]).get(pk, ""), _("operation %(number)s") % {"number": pk})


def worker_line(pages: OpenPages, worker_name: str) -> SafeString | str:
    """Return the worker of the latest attempt, with links to its jobs and to the workers."""
    name, workers = jobs_of(pages.links, "worker", worker_name, 120), pages.workers()
    if not workers:
        return name
    return format_html('{} <a class="djobs-own-page" href="{}">{}</a>', name, workers, _("workers"))


# What stands on a job's page around its facts, and how often an open page asks for it.


#: Milliseconds after which an open page asks again: while its job goes on; while only its relatives may change, or
#: somebody may retry it; once nothing changes but that it is deleted.
PAUSE: Final = 2_000
CALM_PAUSE: Final = 5_000
FINAL_PAUSE: Final = 10_000
#: With everything shown a page may be large.
WHOLE_PAUSE: Final = 15_000


class JobPage(JobFacts, JobLogs):
    """Puts together what the ``job_*`` files tell of one job."""

    def page_of(self, request: HttpRequest, job: Any, buttons: list[tuple[Any, str]]) -> dict[str, Any]:
        """Return what the template of a job's page shows around the fields."""
        whole, is_admin, now = ALL in request.GET, is_system_admin(request), database.now()
        names, results = hidden_from(request.user), may_read_results(request, job)
        links = self.links
        logs = self.read_logs(job, scope_of(request), whole=whole)
        history = read_history(job, now, links, whole=whole, is_for_admins=is_admin, logs=logs)
        error = read_error(job, history["traceback"], now, links, whole=whole)
        relatives = read_relatives(job, scope_of(request), whole=whole)
        return {
            "subtitle": None,
            "title": job.name,
            "badge": badge(job.status),
            "note": note(job),
            "news": _news(job, error),
            "facts": self.facts_of(request, job, names, whole=whole, results=results),
            "error": error,
            "history": history,
            "work": read_work(job, names, whole=whole, results=results),
            "relatives": [found for found in relatives if found.jobs],
            "family": draw_family(job, relatives[0], relatives[1], links),
            "undrawn": [(found.undrawn, found) for found in relatives[:2] if found.undrawn],
            "shows_all": whole,
            "buttons": buttons,
            "pause": WHOLE_PAUSE if whole else _pause(job, relatives),
            "socket_url": socket_url(request),
        }


def _news(job: Job, error: dict[str, Any] | None) -> str:
    """Return what is read out once it changes, and so tells no time: which job is in which status, and why."""
    status = _("stopping") if is_stopping(job) else job.status
    said = f"{job.name}: {status}."
    why = error["title"] if error is not None and not error["is_earlier"] else ""
    return f"{said} {why}".strip()


def _pause(job: Any, relatives: list[Relatives]) -> int:
    if job.status in UNFINISHED:
        return PAUSE
    return FINAL_PAUSE if job.status in FINAL and not any(found.goes_on for found in relatives) else CALM_PAUSE


# What a job made: who may see it, and its file as a download.


def may_read_results(request: HttpRequest, job: Job) -> bool:
    """Return whether this user may see now what the job returned and saved."""
    if not scope_of(request).may("can_read_output", job):
        return False
    if is_system_admin(request):
        return True
    tenant = database.rows(get_organization_model()).filter(pk=job.organization_id).first()
    return tenant is not None and is_active(tenant)


class JobOutput(OwnPages):
    """The download behind the link on a job's page."""

    @view("<path:object_id>/output/", "output")
    def _output(self, request: HttpRequest, job: Job) -> Any:
        if not may_read_results(request, job):
            raise PermissionDenied
        file = _open(job)
        if file is None:
            text = _("%(job)s has no file, or it is not there any more.") % {"job": job.name}
            self.message_user(request, text, messages.WARNING, extra_tags="no_file")
            return self.go_to(job.pk)
        name = PurePosixPath(job.output_reference).name
        kind, encoding = mimetypes.guess_type(name)
        # The type that was guessed for a compressed file is that of its content.
        kind = "application/octet-stream" if kind is None or encoding else kind
        return Download(file, name, kind)


def _open(job: Job) -> Any:
    """Return the file that ``save_output`` made for this job; None when there is none."""
    if not context.output_belongs_to(job.output_reference, job.organization_id, job.name):
        return None
    try:
        return output_storage().open(job.output_reference)
    except (OSError, SuspiciousFileOperation):
        return None


# Jobs: the list, the page of one, and what people do to them.


@admin.register(Job)
class JobAdmin(SavedFilters, JobActions, RunAgain, JobLive, JobOutput, JobPage, JobColumns, NobodyWrites):
    """Puts together what the ``job_*`` files give: columns, filters, facts, actions, live answers and the download."""

    paginator = JobPaginator
    list_filter = JOB_FILTERS
    # Django shows the search box only if a field is named here. ``search`` decides what is searched.
    search_fields = ("pk",)
    search_help_text = gettext_lazy(
        "A job, a type, an organization, a user, a batch, a worker, a fingerprint or words of an error; "
        "customer_id:17 for a parameter (of the newest 10,000 jobs)."
    )
    change_list_template = "admin/django_jobs/job/change_list.html"
    change_form_template = "admin/django_jobs/job/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return scope_of(request).jobs().order_by("-pk")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return JobList

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        return search(queryset, search_term, scope_of(request)), False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the job with this primary key or this job id, if the user may see it."""
        parsed = parse_job_id(object_id)
        job = super().get_object(request, str(parsed[0]) if parsed else object_id, from_field)
        if job is None or (parsed and job.created_at.year != parsed[1]) or not scope_of(request).shows(job):
            return None
        return job

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        job = context["original"]
        context |= self.page_of(request, job, self._buttons(request, job)) if job is not None else {}
        return super().render_change_form(request, context, *args, **kwargs)

    def _buttons(self, request: HttpRequest, job: Job) -> list[tuple[Any, str]]:
        """Return what this user may do to this job now: the words and the address of each button."""
        again = [(gettext_lazy("Run again"), self.url_of("run_again", job.pk))]
        return self.act_buttons(request, job) + (again if self.may_run_again(request, job) else [])


# What a job's page begins with when the job failed: the error, what happens next, and where to go from here.


def read_error(job: Job, traceback: str, now: dt.datetime, links: Links, *, whole: bool) -> dict[str, Any] | None:
    """Return the error of a job; None where it has none, or none that matters any more.

    ``traceback`` is that of the newest error, empty for who may not see it; then its place and code are not told.
    ``is_earlier`` says that it is the error of an attempt before the present one.
    """
    is_failed = job.status in WITH_ERRORS
    if job.status == Status.COMPLETED or not (is_failed or job.error_message):
        return None
    raised = raised_error(traceback)
    title, text = _told(job, raised)
    next_code, next_words = next_of(job, now) if is_failed else ("", "")
    return {
        "title": title,
        "text": block(text, whole=whole) if text else "",
        "place": raised.place,
        "code": raised.source,
        "traceback": block(traceback, whole=whole) if traceback else "",
        "next_code": next_code,
        "next_words": next_words,
        "group_url": links.failure_group(job.job_type_id, job.error_fingerprint) if is_failed else "",
        "is_earlier": not is_failed and job.status != Status.CANCELED,
    }


def _told(job: Job, raised: RaisedError) -> tuple[str, str]:
    """Return the error in a line, and the whole of it where that says more."""
    text = job.error_message or _("(without a text)")
    # Of an unexpected error its message is told only where the traceback may be read.
    error = raised.error if raised.error and job.status != Status.TIMED_OUT else text
    first, _line, rest = error.strip().partition("\n")
    parts = [first if len(first) > CUT or rest else "", rest, "" if text in error or error in text else text]
    return first[:CUT], "\n".join(part for part in parts if part)


def next_of(job: Job, now: dt.datetime) -> tuple[str, str]:
    """Return what becomes of a job whose last attempt failed, if nobody does anything: a code, and words."""
    if job.status in AWAITING_RETRY:
        seconds = (job.next_retry_at - now).total_seconds() if job.next_retry_at else 0.0
        due = _("in %(duration)s") % {"duration": brief_duration(seconds)} if seconds > 0 else _("now")
        facts = {"next_try": due, "attempt": of_all(job.retry_count + 1, job.max_retries + 1)}
        return "retry" if seconds > 0 else "retry_due", told("", facts)
    code = "retries_spent" if job.max_retries else "no_retries"
    if job.is_orphaned:
        code = "parent_failed"
    elif job.error_type == PERMANENT:
        code = "permanent"
    return code, str(REASONS.get(code, REASONS["no_retries"]).long)


# What a job's handler has stored of its work: its steps and its checkpoint.


#: Up to so many steps are unfolded.
FEW: Final = 10
MAX_STEPS: Final = 50
ALL_STEPS: Final = 500
#: Characters of a result that stand in its line; a longer one is folded.
SHORT: Final = 80


def read_work(job: Job, names: Names, *, whole: bool, results: bool) -> dict[str, Any]:
    """Return what a job's handler has stored: the latest steps, the last one first, and the checkpoint.

    It is read in two statements, and one more where the steps are many. What lies under the keys ``names`` is masked.
    Without ``results``, neither results nor checkpoint are told.
    """
    limit = ALL_STEPS if whole else MAX_STEPS
    rows = JobStep.primary.filter(job_id=job.pk)
    found: list[Any] = list((rows if results else rows.defer("result")).order_by("-position")[: limit + 1])
    count, is_counted_out = (len(found), False) if len(found) <= limit else capped_count(rows)
    steps = found[:limit]
    for step in steps:
        text = json.dumps(masked(step.result, names), ensure_ascii=False) if results else ""
        step.title, step.shown_result = title_of(step.name, step.digest), line(text, SHORT)
        step.folded = as_json(step.result, names) if len(text) > SHORT else ""
    saved: Any = JobCheckpoint.primary.filter(pk=job.pk).first() if results else None
    if saved is not None:
        saved.shown_data = as_json(saved.data, names, whole=whole)
    return {
        "steps": steps,
        "count": count,
        "is_counted_out": is_counted_out,
        "is_cut": count > len(steps),
        "is_short": count <= FEW,
        "checkpoint": saved,
    }


# The batch that a job belongs to, and what submitted it, as lines of its page; empty where there is none.


def batch_line(links: Links, job: Job) -> SafeString | str:
    """Return the batch that a job counts for."""
    if job.batch_id is None:
        return ""
    found = Batch.primary.filter(pk=job.batch_id).only("name", "created_at").first()
    return _("deleted") if found is None else _named(links, found)


def followed_line(links: Links, job: Job) -> SafeString | str:
    """Return the batch at whose end a job was submitted, and the reason."""
    if job.submitted_by_id is not None or job.batch_id is not None:
        return ""
    rows = Batch.primary.filter(Q(then_job_id=job.pk) | Q(on_failure_job_id=job.pk))
    found = rows.only("name", "created_at", "then_job_id").first()
    if found is None:
        return ""
    code, words = ("then", _("if all complete")) if found.then_job_id == job.pk else ("on_failure", _("if not"))
    return format_html("{} ({})", _named(links, found, code), words)


def _named(links: Links, batch: Batch, code: str = "batch") -> SafeString:
    """Return a batch as a link to its page; ``code`` says what it is to the job."""
    return format_html('<a href="{}" data-code="{}">{}</a>', links.change("batch", batch.pk), code, batch)


def submitter_line(links: Links, scope: Scope, job: Job) -> SafeString | str:
    """Return the job whose handler submitted a job, and in which attempt.

    Of a job of another organization nothing is told to who does not see that organization's jobs.
    """
    if job.submitted_by_id is None:
        return ""
    found = Job.primary.filter(pk=job.submitted_by_id).only("created_at", "organization_id").first()
    name: SafeString | str = _("deleted")
    if found is not None:
        if found.organization_id != job.organization_id and not scope.includes(found.organization_id):
            return ""
        name = linked(links.change("job", found.pk), found.name)
    attempt = _("attempt %(number)s") % {"number": job.submitted_by_attempt}
    return format_html("{} ({})", name, attempt) if job.submitted_by_attempt else name


def schedule_line(links: Links, user: Any, job: Job) -> SafeString | str:
    """Return the schedule that submitted a job, and for which moment, for a user who manages the schedule.

    Whoever submits a job writes its metadata. So they are believed only where there is such a schedule, which submits
    this type for this organization.
    """
    said: Any = job.metadata if isinstance(job.metadata, dict) else {}
    name, due = said.get("schedule"), _moment(said.get("scheduled_for"))
    if not isinstance(name, str) or due is None:
        return ""
    rows = Schedule.primary.filter(name=name, job_type_id=job.job_type_id)
    for found in rows.filter(organization_key__in=[str(job.organization_id), ""]).order_by("-organization_key"):
        if found.name == name and may_manage(user, found):
            schedule = linked(links.change("schedule", found.pk), format_html("<bdi>{}</bdi>", found.name))
            return format_html("{} ({})", schedule, moment(due))
    return ""


def _moment(value: object) -> dt.datetime | None:
    try:
        found = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and timezone.is_aware(found) else None


# The jobs that a job waits for, those that wait for it, and those that its handler submitted.


MAX_RELATIVES: Final = 10
ALL_RELATIVES: Final = 1_000
#: Boxes on each side of the job in its graph.
DRAWN: Final = 6
#: Submitted jobs among which the newest are looked for: an index finds those of a job, but in another order.
LOOKED_AT: Final = 1_000
_COLUMNS: Final = ("pk", "job_type_id", "status", "created_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Relatives:
    """The first of a job's parents or children, or the newest of those that it submitted.

    ``count`` is how many there are, ``is_counted_out`` if it is a bound.
    """

    key: str
    title: str
    jobs: list[Node]
    count: int
    is_counted_out: bool

    @property
    def is_cut(self) -> bool:
        """Return whether there are more than are shown."""
        return self.count > len(self.jobs)

    @property
    def undrawn(self) -> int:
        """Return how many of them have no box in the graph."""
        return self.count - min(len(self.jobs), DRAWN)

    @property
    def goes_on(self) -> bool:
        """Return whether one of those that are shown may still change by itself."""
        return any(job.status in UNFINISHED for job in self.jobs)


def read_relatives(job: Job, scope: Scope, *, whole: bool) -> list[Relatives]:
    """Return parents, children and what the job submitted.

    The keys of each are read in a statement, their jobs in one, and they are counted in one more where they are many.
    Of what it submitted, which may be for another organization, only what the user may see.
    """
    links = JobDependency.primary.all()
    parents = links.filter(child_id=job.pk).order_by("child_id", "parent_id").values_list("parent_id", flat=True)
    children = links.filter(parent_id=job.pk).order_by("parent_id", "child_id").values_list("child_id", flat=True)
    return [
        _depending("parents", _("Waits for"), parents, whole),
        _depending("children", _("Others that wait for it"), children, whole),
        _submitted(job, scope, whole),
    ]


def _depending(key: str, title: str, keys: QuerySet[Any, int], whole: bool) -> Relatives:
    limit = ALL_RELATIVES if whole else MAX_RELATIVES
    pks = list(keys[: limit + 1])
    count, is_counted_out = (len(pks), False) if len(pks) <= limit else capped_count(keys)
    # Not by a join: a planner without statistics may walk all jobs for the first few in their order.
    rows = Job.primary.filter(pk__in=pks[:limit]).order_by().values_list(*_COLUMNS)
    found = {row[0]: Node(*row) for row in rows}
    # A link is left for a moment of a job that is gone.
    jobs = [found[pk] for pk in pks[:limit] if pk in found]
    count -= len(pks[:limit]) - len(jobs)
    return Relatives(key=key, title=title, jobs=jobs, count=count, is_counted_out=is_counted_out)


def _submitted(job: Job, scope: Scope, whole: bool) -> Relatives:
    rows = scope.jobs().filter(submitted_by_id=job.pk).order_by("submitted_by_id", "job_hash")
    found = sorted(rows.values_list(*_COLUMNS)[: LOOKED_AT + 1], reverse=True)
    shown = found[: LOOKED_AT if whole else MAX_RELATIVES]
    return Relatives(
        key="submitted",
        title=_("Submitted by its handler"),
        jobs=[Node(*row) for row in shown],
        count=min(len(found), LOOKED_AT),
        is_counted_out=len(found) > LOOKED_AT,
    )


def draw_family(job: Job, parents: Relatives, children: Relatives, links: Links) -> SafeString | str:
    """Return the job between the first of its parents and of its children as a drawing; empty where it has none."""
    before, after = parents.jobs[:DRAWN], children.jobs[:DRAWN]
    if not before and not after:
        return ""
    own = Node(job.pk, job.job_type_id, job.status, job.created_at)
    nodes = {node.pk: node for node in (*before, own, *after)}
    lines = [(item.pk, job.pk) for item in before] + [(job.pk, item.pk) for item in after]

    def address_of(box: Box) -> str:
        return links.change("job", box.node.pk)

    return draw_graph(make_graph(nodes, lines), address_of, here=job.pk)
