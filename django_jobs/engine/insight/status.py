"""What jobs are doing and why they wait: one, many, a page of them, their history, and waiting for an end."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple, TypeVar

from django.db.models import QuerySet, Window
from django.db.models.functions import RowNumber

from django_jobs.engine import timing
from django_jobs.engine.access import get_policy, may_start
from django_jobs.engine.claimed_job import current_job
from django_jobs.engine.dispatch.in_flight import count_in_flight
from django_jobs.engine.dispatch.limits import limits_of, may_hold
from django_jobs.engine.dispatch.tenant_shares import shares_of
from django_jobs.engine.insight.filter import JobFilter, read_status
from django_jobs.engine.insight.inspection import held_types, is_held
from django_jobs.engine.job_types import handlers
from django_jobs.engine.job_types.masking import MASK, Names, hidden_from, masked
from django_jobs.engine.json_storage import clean_text, is_storable_text
from django_jobs.engine.organizations import id_of, read_tenants
from django_jobs.engine.scope import Scope
from django_jobs.engine.store import database
from django_jobs.engine.store.values import Lane
from django_jobs.engine.submission.submit import is_uncommitted
from django_jobs.exceptions import JobFailed
from django_jobs.models import ExecutionLog, Job, JobDependency, JobType
from django_jobs.models.job import format_job_id
from django_jobs.statuses import DISPATCHABLE, TERMINAL, WAITING, Priority, Status
from django_jobs.texts import say
from django_jobs.values import JobStatus

# Reads what happened to a job: its Execution Log.


#: The most rows of a page, and the most characters of messages in it: a page of long messages has fewer rows.
MAX_ROWS: Final = 1_000
MAX_CHARACTERS: Final = 250_000

Row = dict[str, Any]


class HistoryPage(NamedTuple):
    """Some rows, in order. ``after`` is the id of the last one if more rows follow, else None."""

    rows: list[Row]
    after: int | None


def get_job_history(job_id: str | Job, *, user: Any = None) -> list[Row]:
    """Return the job's whole Execution Log, in order, as dicts.

    Their keys are ``id``, ``from_status`` (empty in the first), ``to_status``, ``timestamp``, ``actor``,
    ``actor_kind``, ``message`` and ``attempt``. Raises JobNotFound.
    """
    return list(_rows(Scope(user).job(job_id)))


def history_page(job: Job, after: int = 0) -> HistoryPage:
    """Return the rows that follow the one with the id ``after``: as many as an answer should hold, at least one."""
    rows = list(_rows(job).filter(id__gt=after)[: MAX_ROWS + 1])
    lengths = accumulate(len(row["message"]) for row in rows[:MAX_ROWS])
    count = max(1, sum(length <= MAX_CHARACTERS for length in lengths))
    return HistoryPage(rows[:count], rows[count - 1]["id"] if len(rows) > count else None)


def _rows(job: Job) -> Any:
    names = ("id", "from_status", "to_status", "timestamp", "actor", "actor_kind", "message", "attempt")
    return ExecutionLog.primary.filter(job=job).order_by("id").values(*names)


# What jobs are doing and why they wait: one or many, by the same number of statements.


#: In lists: characters of an error, and ids of parents.
MAX_LISTED_ERROR: Final = 500
MAX_LISTED_PARENTS: Final = 100


def get_job_status(job_id: str | Job, *, user: Any = None) -> JobStatus:
    """Return what the job is doing now. JobNotFound when there is no such job, or ``user`` may not know of it.

    With a ``user``, the result and the output reference are None while the job's organization is not active. What
    ``SENSITIVE_PARAMETERS`` names is masked, unless the user has the permission ``django_jobs.view_sensitive``.
    """
    return describe(Scope(user).job(job_id), user=user)


def describe(job: Job, *, user: Any = None) -> JobStatus:
    """Return the status of a job whose row was just read; see ``describe_all``."""
    return describe_all([job], user=user)[0]


def describe_all(jobs: Sequence[Job], *, user: Any = None, listed: bool = False) -> list[JobStatus]:
    """Return the status of each of these rows. The number of statements does not depend on how many they are.

    With a ``user``, results and outputs of organizations that are not active are withheld, and what is sensitive is
    masked. The caller has checked that the user may see the jobs at all.

    ``listed`` keeps a list small: an error is cut after 500 characters and the parents' ids after 100, each with an
    ellipsis, and ``result`` is None where its column was deferred.
    """
    parents = _parents(jobs, listed=listed)
    around = _Circumstances(jobs, user)
    return [_describe(job, parents[job.pk], around, listed=listed) for job in jobs]


def _describe(job: Job, parents: list[str], around: _Circumstances, *, listed: bool) -> JobStatus:
    withheld = around.withhold and job.organization_id in around.inactive
    reference = MASK if job.output_reference and "output_reference" in around.hidden else job.output_reference
    return JobStatus(
        job_id=job.name,
        job_type=job.job_type_id,
        organization=around.organization(job),
        owner=job.owner_name,
        status=str(job.status),
        priority=Priority(job.priority).word,
        progress=job.progress,
        progress_message=job.progress_message,
        created_at=job.created_at,
        run_at=job.run_at,
        queued_at=job.queued_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        canceled_at=job.canceled_at,
        attempt=job.attempt,
        retry_count=job.retry_count,
        max_retries=job.max_retries,
        next_retry_at=job.next_retry_at,
        output_reference=None if withheld else reference or None,
        result=None if withheld else _result(job, around.hidden),
        error_message=clean_text(job.error_message, MAX_LISTED_ERROR) if listed else job.error_message,
        error_type=job.error_type,
        cancel_requested=job.cancel_requested_at is not None,
        depends_on=parents,
        waiting_for=around.reason(job),
    )


def _result(job: Job, hidden: Names) -> Any:
    """What the handler returned; None where the column was not read, which lists do not."""
    return None if "result" in job.get_deferred_fields() else masked(job.result, hidden)


def _parents(jobs: Sequence[Job], *, listed: bool) -> dict[int, list[str]]:
    """The ids of the parents of each of these jobs, in the order of their submission.

    In a list these are the first ones, and an ellipsis where there are more.
    """
    links = JobDependency.primary.filter(child_id__in=[job.pk for job in jobs])
    if listed:
        number = Window(RowNumber(), partition_by="child_id", order_by="parent_id")
        links = links.annotate(number=number).filter(number__lte=MAX_LISTED_PARENTS + 1)
    names_by_child: dict[int, list[str]] = defaultdict(list)
    rows = links.order_by("parent_id").values_list("child_id", "parent_id", "parent__created_at")
    for child, parent, created_at in rows if jobs else ():
        is_beyond = listed and len(names_by_child[child]) == MAX_LISTED_PARENTS
        names_by_child[child].append("…" if is_beyond else format_job_id(parent, created_at.year))
    return names_by_child


class _Circumstances:
    """What a status says beyond the job's own row, read for all jobs at once: the tenant, and why the job waits."""

    def __init__(self, jobs: Sequence[Job], user: Any) -> None:
        self.withhold = user is not None
        self.hidden = hidden_from(user)
        waiting = [job for job in jobs if job.status in WAITING]
        self._now = database.now() if any(job.ready_at is not None for job in waiting) else None
        self._tenants = read_tenants({job.organization_id for job in jobs})
        self.inactive = self._inactive(jobs if self.withhold else waiting)
        self._types = _types(waiting)
        self._held = _held(self._types)
        ready = [job for job in waiting if job.status in DISPATCHABLE and job.ready_at is not None]
        self._in_flight = count_in_flight(has_lock=False).by_organization if ready else {}
        pks = {job.organization_id for job in ready} & self._in_flight.keys() & self._tenants.keys()
        self._shares = shares_of([self._tenants[pk] for pk in pks])
        self._limits = limits_of(self._types[pk] for pk in {job.job_type_id for job in ready} & self._types.keys())
        self._unloadable = handlers.unloadable_reasons(waiting)

    def organization(self, job: Job) -> str:
        """Return the id that the job's tenant has now, or the one at the submission when the tenant is gone."""
        tenant = self._tenants.get(job.organization_id)
        return job.organization_name if tenant is None else id_of(tenant)

    def _inactive(self, jobs: Sequence[Job]) -> set[Any]:
        """The organizations of these jobs that exist and are not active."""
        is_active = get_policy().is_active if self.withhold else may_start
        organization_pks = {job.organization_id for job in jobs} & self._tenants.keys()
        return {pk for pk in organization_pks if not is_active(self._tenants[pk])}

    def reason(self, job: Job) -> str | None:
        """Return why the job does not run yet: the first of WAITING_REASONS that holds. None when it does not wait.

        What people hold back comes before a moment that is not due, since the job would not run when it is due.
        """
        if job.status not in WAITING:
            return None
        if job.status == Status.PENDING and job.ready_at is None:
            return "dependency"
        if held_back := self._held_back(job):
            return held_back
        # A job whose handler a worker could not load is due again in some seconds; that is not why it waits.
        is_unloadable = job.pk in self._unloadable
        if not is_unloadable and job.ready_at is not None and self._now is not None and job.ready_at > self._now:
            return self._moment(job)
        return "handler" if is_unloadable else self._place(job)

    def _moment(self, job: Job) -> str:
        """For which moment to come a job waits. Of a held type, one whose try failed lets others try for a while."""
        if job.status != Status.PENDING:
            return "retry"
        return "breaker" if job.run_at != job.ready_at and self._is_held(job) else "run_at"

    def _is_held(self, job: Job) -> bool:
        return is_held(self._held, job.job_type_id, job.organization_id)

    def _held_back(self, job: Job) -> str | None:
        """The reason when people hold the job back."""
        if job.organization_id in self.inactive:
            return "organization_inactive"
        kind = self._types.get(job.job_type_id)
        if kind is not None and not kind.is_enabled:
            return "type_disabled"
        return "type_paused" if kind is not None and kind.is_paused else None

    def _place(self, job: Job) -> str:
        """Where a job waits for its turn when nothing holds it back."""
        if job.status == Status.QUEUED:
            return "broker"
        if self._is_held(job):
            return "breaker"
        if self._limits.left(Lane(job.organization_id, job.job_type_id, job.lane_key)) <= 0:
            return "concurrency"
        share = self._shares.get(job.organization_id)
        return "limit" if share is not None and self._in_flight[job.organization_id] >= share.limit else "window"


def _types(jobs: Sequence[Job]) -> dict[str, JobType]:
    return JobType.primary.in_bulk({job.job_type_id for job in jobs}) if jobs else {}


def _held(types: Mapping[str, JobType]) -> dict[str, Any]:
    """Return those of these types whose breakers hold jobs, and whose; a statement only where one has a breaker."""
    type_names = [pk for pk, kind in types.items() if may_hold(kind)]
    return held_types(type_names) if type_names else {}


# Reads a page of jobs, newest first.


MAX_LIMIT: Final = 1_000
#: The most jobs of a page with results, each of which may have ``MAX_RESULT_BYTES``.
MAX_RESULTS: Final = 20
#: The largest offset. Filters find what lies further back.
MAX_OFFSET: Final = 10_000


Jobs = TypeVar("Jobs", bound=QuerySet[Job])


def for_list(queryset: Jobs, *, results: bool = False) -> Jobs:
    """Return the same jobs without the columns that may be large, since a page reads many rows."""
    queryset = queryset.defer("input_parameters", "metadata")
    return queryset if results else queryset.defer("result")


def list_jobs(
    organization: Any = None,
    status: str | Iterable[str] | None = None,
    job_type: str | JobType | Iterable[str | JobType] | None = None,
    limit: int = 20,
    offset: int = 0,
    *,
    user: Any = None,
    results: bool = False,
) -> list[JobStatus]:
    """Return a page of the jobs that match, newest first; with a ``user``, of those that the user may see.

    ``organization`` is an id or an instance; ``status`` and ``job_type`` are one or several. ``result`` is None unless
    ``results`` asks for it, errors are cut after 500 characters, and at most 100 parents are named;
    ``get_job_status`` returns all. Raises ValueError for an unknown status, for a ``limit`` outside 1 to 1,000 (with
    ``results`` to 20) or an ``offset`` outside 0 to 10,000; JobNotFound for an organization that does not exist, or of
    which the user may see nothing.
    """
    _check_range("limit", limit, 1, MAX_RESULTS if results else MAX_LIMIT)
    _check_range("offset", offset, 0, MAX_OFFSET)
    wanted = [status] if isinstance(status, str) else status
    filters = JobFilter(
        organization=None if organization is None else (Scope(user).organization(organization),),
        status=None if wanted is None else tuple(map(read_status, wanted)),
        job_type=None if job_type is None else _type_names(job_type),
    )
    page = for_list(filters.queryset(user), results=results).order_by("-pk")[offset : offset + limit]
    return describe_all(list(page), user=user, listed=True)


def _check_range(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        text = "%(name)s must be a number from %(least)d to %(most)d, not %(value)r."
        raise ValueError(say(text, code="out_of_range", name=name, least=least, most=most, value=value))


def _type_names(wanted: str | JobType | Iterable[str | JobType]) -> tuple[str, ...]:
    """Return the types' names, without those that no row can have: PostgreSQL fails at them."""
    items = [wanted] if isinstance(wanted, str | JobType) else wanted
    names = [item.pk if isinstance(item, JobType) else item for item in items]
    return tuple(name for name in names if is_storable_text(str(name)))


# Waits for a job's end, in a thread or in an event loop.


def wait_for_job(job_id: str | Job, timeout: float = 300, *, user: Any = None) -> JobStatus:
    """Wait until the job is Completed and return its status; ``timeout`` is in seconds.

    Raises JobFailed when it ended otherwise, TimeoutError when time ran out, and RuntimeError at once where waiting
    would never end: inside a handler, or in the transaction that submitted the job.
    """
    wait = Wait(job_id, timeout, user)
    while isinstance(seen := wait.look(), float):
        time.sleep(seen)
    return seen


class Wait:
    """One wait. It does not sleep itself; it says for how long to, since threads and event loops differ in that."""

    def __init__(self, job_id: str | Job, timeout: float, user: Any) -> None:
        self._job_id = job_id
        self._timeout = timeout
        self._user = user
        self._deadline = time.monotonic() + timeout
        self._pause = timing.STATUS_LOOK_SECONDS
        self._first = True

    def look(self) -> JobStatus | float:
        """Return the job's status if it is Completed, else the seconds until the next look.

        Raises what :func:`wait_for_job` raises.
        """
        job = Scope(self._user).job(self._job_id)
        if self._first:
            _refuse_where_endless(job)
            self._first = False
        if job.status in TERMINAL:
            return self._ended(job)
        left = self._deadline - time.monotonic()
        if left <= 0:
            text = "%(job)s did not complete in %(timeout)g s; it is %(status)s."
            raise TimeoutError(
                say(text, code="not_completed", job=job.name, timeout=self._timeout, status=str(job.status))
            )
        pause, self._pause = min(self._pause, left), min(self._pause * 1.5, timing.LONGEST_STATUS_LOOK_SECONDS)
        return pause

    def _ended(self, job: Job) -> JobStatus:
        status = describe(job, user=self._user)
        if status.status != Status.COMPLETED:
            raise JobFailed(status)
        return status


def _refuse_where_endless(job: Job) -> None:
    if current_job.get() is not None:
        text = "A handler cannot wait for another job: it would hold a worker. Let the job depend on it."
        raise RuntimeError(say(text, code="in_handler"))
    if is_uncommitted(job.pk):
        text = "%(job)s was submitted in this open transaction; no worker sees it before the commit."
        raise RuntimeError(say(text, code="in_transaction", job=job.name))
