"""The jobs that a job waits for, and those that wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet

from django_jobs.admin.formatting import badge
from django_jobs.engine.store.counting import capped_count
from django_jobs.models import Job, JobDependency

ROWS: Final = 10
ALL_ROWS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Relative:
    """A related job in one line."""

    pk: int
    name: str
    job_type: str
    badge: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Relatives:
    """The first of a job's parents or children.

    ``count`` is how many there are, ``is_counted_out`` if it is a bound.
    """

    title: str
    jobs: list[Relative]
    count: int
    is_counted_out: bool

    @property
    def is_cut(self) -> bool:
        """Return whether there are more than are shown."""
        return self.count > len(self.jobs)


def read_relatives(job: Job, *, whole: bool) -> list[Relatives]:
    """Return parents and children, read in a statement each, and one more where they are many."""
    links = JobDependency.primary.all()
    return [
        _read("Waits for", links.filter(child_id=job.pk), "parent", whole),
        _read("Others that wait for it", links.filter(parent_id=job.pk), "child", whole),
    ]


def _read(title: str, links: QuerySet[JobDependency], end: str, whole: bool) -> Relatives:
    limit = ALL_ROWS if whole else ROWS
    names = (f"{end}__{name}" for name in ("pk", "created_at", "job_type_id", "status"))
    found = list(links.order_by(f"{end}_id").values_list(*names)[: limit + 1])
    count, is_counted_out = (len(found), False) if len(found) <= limit else capped_count(links)
    jobs = [
        Relative(pk=pk, name=Job(pk=pk, created_at=created_at).name, job_type=kind, badge=badge(status))
        for pk, created_at, kind, status in found[:limit]
    ]
    return Relatives(title=title, jobs=jobs, count=count, is_counted_out=is_counted_out)
