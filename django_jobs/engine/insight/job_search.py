"""What a search for jobs asks for, as data, and how that becomes a query of bounded cost."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, Final

from django.db.models import QuerySet

from django_jobs.engine.insight.job_filter import JobFilter
from django_jobs.engine.insight.newest_jobs import RECENT, among_newest
from django_jobs.models import Job

#: How many of the newest jobs are searched for a parameter or a worker: each of their rows is read.
LOOKED_AT: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSearch:
    """Which jobs are searched for: those that match all that is given here."""

    #: Primary key and, of a job id or a batch id, the year in it.
    job: tuple[int, int | None] | None = None
    batch: tuple[int, int] | None = None
    job_types: tuple[str, ...] = ()
    #: Primary keys.
    organizations: tuple[Any, ...] = ()
    owner_name: str = ""
    #: The whole name or its beginning.
    worker_name: str = ""
    #: The whole fingerprint or its beginning.
    fingerprint: str = ""
    error_words: str = ""
    #: Path and text of each value.
    parameters: tuple[tuple[tuple[str, ...], str], ...] = ()

    def told(self) -> dict[str, Any]:
        """Return what is asked for, by field."""
        return {item.name: value for item in fields(self) if (value := getattr(self, item.name))}

    @property
    def looks_back(self) -> int | None:
        """Return how many of the newest jobs are read one by one for it; None where an index finds them."""
        return LOOKED_AT if self.parameters or self.worker_name else None

    @property
    def needs_bound(self) -> bool:
        """Return whether finding a page of these jobs could mean to read all jobs."""
        return bool(self.job_types or self.fingerprint or self.error_words)

    @property
    def is_selective(self) -> bool:
        """Return whether an index leaves so few jobs that other conditions need no bound."""
        return bool(self.job or self.batch or self.organizations)

    def as_filter(self) -> JobFilter:
        """Return the filter that finds the same jobs."""
        return JobFilter(
            job_ids=None if self.job is None else _ids_of(*self.job),
            batch=self.batch,
            job_types=self.job_types or None,
            organizations=self.organizations or None,
            owner=self.owner_name or None,
            worker=self.worker_name or None,
            fingerprint_start=self.fingerprint or None,
            error_text=self.error_words or None,
            parameters=self.parameters or None,
        )

    def narrow(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return those of the jobs that match, however old."""
        return self.as_filter().narrow(rows)

    def among_newest(self, rows: QuerySet[Any], organizations: Collection[Any] | None) -> tuple[QuerySet[Any], bool]:
        """Return those of the jobs that match and are among the newest of these organizations (None: of all), and
        whether older ones were left out. ``rows`` must be jobs of these organizations already.
        """
        found = self.narrow(rows)
        most = self.looks_back or (RECENT if self.needs_bound and not self.is_selective else None)
        return (found, False) if most is None else among_newest(found, organizations, most)


def _ids_of(pk: int, year: int | None) -> tuple[tuple[int, int], ...]:
    """Return the id of the job in a tuple; of one without a year, that of the job that there is."""
    if year is not None:
        return ((pk, year),)
    job = Job.primary.filter(pk=pk).only("created_at").first()
    return () if job is None else ((pk, job.created_at.year),)
