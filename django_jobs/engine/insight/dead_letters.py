"""Groups Dead Letters by type and like errors, so that a thousand of them read as the few faults behind them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Max, Min

from django_jobs.engine.insight.inspection import jobs
from django_jobs.engine.lookup import visible_organizations
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import Status

#: How many of the newest Dead Letters are read.
BOUND: Final = 10_000
MAX_GROUPS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Dead Letters of one type with like errors. ``newest`` and the times are those of the jobs that were read."""

    job_type: str
    error_fingerprint: str
    count: int
    first_seen: dt.datetime | None
    last_seen: dt.datetime | None
    newest: Job
    organizations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Groups, the largest first.

    ``is_cut`` says that there are more Dead Letters than were read, ``has_more`` that there are more groups.
    """

    groups: list[Group]
    is_cut: bool
    has_more: bool


def read_groups(user: Any, job_type: str = "", error_fingerprint: str | None = None) -> Groups:
    """Return the groups of the jobs that this user may see, by three statements.

    ``job_type`` and ``error_fingerprint`` narrow them down to one type or one group.
    """
    rows = jobs().filter(status=Status.DEAD_LETTER)
    organizations = visible_organizations(None, user)
    if organizations is not None:
        rows = rows.filter(organization_id__in=organizations)
    if job_type:
        rows = rows.filter(job_type_id=job_type)
    if error_fingerprint is not None:
        rows = rows.filter(error_fingerprint=error_fingerprint)
    last = rows.order_by("-pk").values_list("pk", flat=True)[BOUND - 1 : BOUND + 1]
    keys = list(last)
    found = list(_grouped(rows.filter(pk__gte=keys[0]) if keys else rows)[: MAX_GROUPS + 1])
    newest = _samples([row["newest"] for row in found])
    return Groups(
        groups=[_group(row, newest[row["newest"]]) for row in found[:MAX_GROUPS] if row["newest"] in newest],
        is_cut=len(keys) > 1,
        has_more=len(found) > MAX_GROUPS,
    )


def _grouped(rows: Any) -> Any:
    facts: dict[str, Any] = {
        "total": Count("pk"),
        "newest": Max("pk"),
        "first": Min("completed_at"),
        "last": Max("completed_at"),
        "tenants": Count("organization_id", distinct=True),
    }
    return rows.order_by().values("job_type_id", "error_fingerprint").annotate(**facts).order_by("-total", "-newest")


def _samples(pks: list[int]) -> dict[int, Job]:
    shown = ("created_at", "job_type_id", "organization_id", "organization_name", "error_message", "owner_id")
    return jobs().only(*shown, "is_orphaned", "status").in_bulk(pks)


def _group(row: dict[str, Any], newest: Job) -> Group:
    return Group(
        job_type=row["job_type_id"],
        error_fingerprint=row["error_fingerprint"],
        count=row["total"],
        first_seen=row["first"],
        last_seen=row["last"],
        newest=newest,
        organizations=row["tenants"],
    )


def last_traceback(job: Job) -> str:
    """Return the traceback of the newest error in the job's Execution Log; empty if none. It may hold secrets."""
    # The newest entry may have none: when retries were exhausted, an entry before it has the traceback.
    rows = ExecutionLog.primary.filter(job_id=job.pk).exclude(traceback="").order_by("-pk")
    return rows.values_list("traceback", flat=True).first() or ""
