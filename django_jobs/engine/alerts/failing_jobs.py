"""The newest jobs of job types whose last attempts failed: the commonest error, and whose jobs fail.

Of each error the newest are read, up to a page, however many there are. So a number is the least that there is.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from django_jobs.engine.insight.inspection import jobs
from django_jobs.statuses import WITH_ERRORS

PAGE: Final = 1_000
MAX_PAGES: Final = 5
#: How many organizations of one alarm are kept, those with the most jobs first.
MAX_ORGANIZATIONS: Final = 1_000
_READ: Final = ("pk", "error_fingerprint", "organization_id", "started_at")


class FailingJob(NamedTuple):
    """A job whose last attempt failed. ``started_at`` is when that attempt began."""

    pk: int
    fingerprint: str
    organization: Any
    started_at: dt.datetime | None


def failing_jobs(job_types: Iterable[str], since: dt.datetime) -> tuple[list[FailingJob], bool]:
    """Return failing jobs of these types whose last attempts began since, and whether there may be more.

    A statement reads a page of one type by the index of failures, error by error, the newest of each first. Where a
    page is full, the next one begins with the next error.
    """
    found: list[FailingJob] = []
    is_cut = False
    for name in job_types:
        rows = jobs().filter(job_type=name, status__in=sorted(WITH_ERRORS)).order_by("error_fingerprint", "-pk")
        last = ""
        for _ in range(MAX_PAGES):
            page = [FailingJob(*row) for row in rows.filter(error_fingerprint__gt=last).values_list(*_READ)[:PAGE]]
            found += [row for row in page if row.started_at and row.started_at >= since]
            if len(page) < PAGE:
                break
            is_cut, last = True, page[-1].fingerprint
    return found, is_cut


def commonest_fingerprint(rows: list[FailingJob]) -> str | None:
    """Return the fingerprint that most of these jobs have; None where there is none."""
    found = Counter(row.fingerprint for row in rows).most_common(1)
    return found[0][0] if found else None


def newest_with(rows: list[FailingJob], fingerprint: str) -> FailingJob:
    """Return the newest of these jobs that has the fingerprint; there must be one."""
    return max((row for row in rows if row.fingerprint == fingerprint), key=lambda row: row.pk)


def counts_by_organization(organizations: Iterable[Any]) -> dict[str, int]:
    """Return how often each organization's key comes, as facts have it: by the key's text, the most frequent first.

    A Counter of keys is taken as it is.
    """
    return {str(pk): count for pk, count in Counter(organizations).most_common(MAX_ORGANIZATIONS)}
