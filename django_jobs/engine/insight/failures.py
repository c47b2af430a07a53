"""The exceptions that jobs failed with, as the tracebacks in their Execution Logs tell them. They may hold secrets."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Max, QuerySet
from django.db.models.functions import Left, Right

from django_jobs.engine.insight.filter import JobFilter
from django_jobs.engine.insight.inspection import jobs
from django_jobs.engine.transitions import exception_in
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import AWAITING_RETRY, WITH_ERRORS

#: Characters at the end of a traceback that are read of each of many jobs.
TAIL: Final = 4_000
#: The last parts of a path that tell people which file it is.
_SHOWN_PARTS: Final = 3
_FRAME: Final = re.compile(
    r'^\s*File "(?P<path>[^"\n]+)", line (?P<line>\d+), in (?P<function>[^\n]+)\n?', re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisedError:
    """An exception: its class, its text, and the frame that raised it, with its line of source.

    Each is empty where the traceback does not tell.
    """

    error_class: str = ""
    text: str = ""
    path: str = ""
    line: int = 0
    function: str = ""
    source: str = ""

    @property
    def file(self) -> str:
        """Return the end of the path, which tells people which file it is."""
        return "/".join(self.path.replace("\\", "/").split("/")[-_SHOWN_PARTS:])

    @property
    def place(self) -> str:
        """Return the frame as Python writes it; empty where it is not known."""
        return f'File "{self.path}", line {self.line}, in {self.function}' if self.path else ""

    @property
    def error(self) -> str:
        """Return the exception as Python writes it; empty where it is not known."""
        return ": ".join(part for part in (self.error_class, self.text) if part)


def raised_error(traceback: str) -> RaisedError:
    """Return what a traceback, or the last part of one, tells of its last exception."""
    exception, frames = exception_in(traceback), list(_FRAME.finditer(traceback))
    if not frames:
        return RaisedError()
    last = frames[-1]
    source = traceback[last.end() :].partition("\n")[0]
    name, text = _split(exception)
    return RaisedError(
        error_class=name,
        text=text,
        path=last["path"],
        line=int(last["line"]),
        function=last["function"],
        source=source.strip() if source[:1].isspace() else "",
    )


def _split(exception: str) -> tuple[str, str]:
    """Return the class and the text of an exception as Python writes it; blank ones for what is none."""
    name, _, text = exception.partition(": ")
    if "\n" in name:
        name, text = exception.split("\n", 1)
    # A class that a function makes has that in its path.
    return (name, text) if name.replace("<locals>.", "").replace(".", "").isidentifier() else ("", "")


def read_raised_errors(job_pks: Collection[int]) -> dict[int, RaisedError]:
    """Return the last exception of each of these jobs that has one, by primary key, in two statements."""
    # The newest entry may have no traceback: when retries were exhausted, an entry before it has one.
    rows = ExecutionLog.primary.filter(job_id__in=job_pks).exclude(traceback="").order_by()
    last = list(rows.values("job_id").annotate(last=Max("pk")).values_list("last", flat=True))
    tails = ExecutionLog.primary.filter(pk__in=last).annotate(tail=Right("traceback", TAIL)).order_by()
    errors = {job_pk: raised_error(tail) for job_pk, tail in tails.values_list("job_id", "tail")}
    return {job_pk: error for job_pk, error in errors.items() if error.error_class}


def last_traceback(job: Job) -> str:
    """Return the whole traceback of the newest error in the job's Execution Log; empty if none."""
    rows = ExecutionLog.primary.filter(job_id=job.pk).exclude(traceback="").order_by("-pk")
    return rows.values_list("traceback", flat=True).first() or ""


# Groups the jobs that failed by type and like errors, so that a thousand of them read as the few faults behind them.
#
# They are Failed and Timed Out, which wait for their next try, and Dead Letter. The newest are read, in a few
# statements that indexes serve, and grouped here: one pass gives each group's statuses, organizations and hours.


#: How many of the newest failed jobs are read.
BOUND: Final = 10_000
#: The hours of a group's chart.
HOURS: Final = 24
_COLUMNS: Final = (
    "pk",
    "job_type_id",
    "error_fingerprint",
    "status",
    "organization_id",
    "completed_at",
    "started_at",
    "next_retry_at",
)
#: A job by these columns.
Row = tuple[Any, ...]
_SHOWN: Final = (
    "created_at",
    "job_type_id",
    "organization_id",
    "organization_name",
    "owner_id",
    "is_orphaned",
    "status",
)
#: Characters of an error's text that are read of each of many jobs.
TEXT: Final = 2_000


@dataclass(slots=True, kw_only=True)
class Group:
    """Failed jobs of one type with like errors, of those that were read.

    ``first`` and ``last`` are when the attempts failed; of jobs that wait for their next try, when the failed attempt
    began. ``hours`` counts the failures of each of the last HOURS hours, the latest last. ``next_retry_at`` is when the
    first of them is tried again by itself.
    """

    job_type: str
    error_fingerprint: str
    newest_pk: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    organizations: Counter[Any] = field(default_factory=Counter)
    hours: list[int] = field(default_factory=lambda: [0] * HOURS)
    first: dt.datetime | None = None
    last: dt.datetime | None = None
    next_retry_at: dt.datetime | None = None

    @property
    def count(self) -> int:
        """Return how many jobs it has."""
        return self.statuses.total()

    @property
    def waiting(self) -> int:
        """Return how many of its jobs wait for their next try."""
        return sum(self.statuses[status] for status in AWAITING_RETRY)

    def add(self, row: Row, now: dt.datetime) -> None:
        """Count a job, given by its columns."""
        pk, _, _, status, organization_pk, completed_at, started_at, next_retry_at = row
        self.newest_pk = max(self.newest_pk, pk)
        self.statuses[status] += 1
        self.organizations[organization_pk] += 1
        if next_retry_at is not None and status in AWAITING_RETRY:
            self.next_retry_at = min(next_retry_at, self.next_retry_at or next_retry_at)
        at = completed_at or started_at
        if at is None:
            return
        self.first = min(at, self.first or at)
        self.last = max(at, self.last or at)
        hours_ago = int((now - at).total_seconds() // 3600)
        if hours_ago < HOURS:
            self.hours[HOURS - 1 - max(0, hours_ago)] += 1


@dataclass(frozen=True, slots=True)
class Failures:
    """The newest failed jobs in groups, the largest first. ``is_cut`` says that there are more jobs."""

    groups: Sequence[Group] = ()
    is_cut: bool = False

    @property
    def count(self) -> int:
        """Return how many jobs were read."""
        return sum(group.count for group in self.groups)


def read_failures(user: Any, now: dt.datetime, filters: JobFilter) -> Failures:
    """Return the groups of the failed jobs that this user may see, by at most one statement for each status."""
    rows, is_bounded = dataclasses.replace(filters, status=None).listed(user)
    newest, is_cut = _newest(rows.order_by(), sorted(WITH_ERRORS.intersection(filters.status or WITH_ERRORS)))
    groups: dict[tuple[str, str], Group] = {}
    for row in newest:
        key = job_type, fingerprint = row[1:3]
        if key not in groups:
            groups[key] = Group(job_type=job_type, error_fingerprint=fingerprint)
        groups[key].add(row, now)
    # Of equal groups the newest comes first, as the rows do.
    return Failures(sorted(groups.values(), key=lambda group: -group.count), is_cut or is_bounded)


def _newest(rows: QuerySet[Job], statuses: Iterable[str]) -> tuple[list[Row], bool]:
    """Return the columns of the newest jobs of all these statuses, and whether there are more.

    Each status has an index in the order of ids, all of them together have none.
    """
    rows_read: list[Row] = []
    for status in statuses:
        newest = rows.filter(status=status).order_by("-pk").values_list(*_COLUMNS)
        if len(rows_read) > BOUND:
            newest = newest.filter(pk__gt=rows_read[BOUND][0])
        rows_read = sorted([*rows_read, *newest[: BOUND + 1]], reverse=True)[: BOUND + 1]
    return rows_read[:BOUND], len(rows_read) > BOUND


def newest_jobs(groups: Iterable[Group]) -> dict[int, Job]:
    """Return the newest job of each group, by primary key, with the start of its error's text as ``error_start``."""
    shown: QuerySet[Any] = jobs().only(*_SHOWN).annotate(error_start=Left("error_message", TEXT))
    return shown.in_bulk([group.newest_pk for group in groups])
