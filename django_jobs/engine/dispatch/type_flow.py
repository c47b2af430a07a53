"""What of a job type decides whether its jobs may start: its pool, its limits, and whether it is open."""

from __future__ import annotations

import functools
from typing import Any, Final, NamedTuple

from django.db.models import Q

from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.models import JobType


class TypeFlow(NamedTuple):
    """These fields of a job type; see there."""

    type_name: str
    pool: str
    is_enabled: bool
    is_paused: bool
    max_running: int | None
    max_running_per_organization: int | None
    concurrency_key: str
    max_running_per_key: int
    max_starts: int | None
    max_starts_per_key: int | None
    max_starts_window: int
    breaker_failures: int
    keyed_by: str | None

    @property
    def is_open(self) -> bool:
        """Whether its jobs may start, limits aside: not while they come into the lanes of another key."""
        return self.is_enabled and not self.is_paused and self.keyed_by == self.concurrency_key

    @property
    def has_rate(self) -> bool:
        """Whether there is a limit of how many may start in a window of time."""
        return self.max_starts is not None or self.max_starts_per_key is not None

    @property
    def has_limits(self) -> bool:
        """Whether jobs that run or started have a say in whether others may start."""
        limits = (self.max_running, self.max_running_per_organization)
        has_any = any(limit is not None for limit in limits) or self.has_rate
        return has_any or bool(self.concurrency_key or self.breaker_failures)


#: What is so of a type that has neither limits nor a pool of its own.
_PLAIN: Final = Q(
    pool=DEFAULT_POOL,
    is_enabled=True,
    is_paused=False,
    max_running__isnull=True,
    max_running_per_organization__isnull=True,
    concurrency_key="",
    max_starts__isnull=True,
    max_starts_per_key__isnull=True,
    breaker_failures=0,
    keyed_by="",
)


def flow_of(job_type: JobType) -> TypeFlow:
    """Return what is so of a type."""
    return TypeFlow(*(getattr(job_type, name) for name in TypeFlow._fields))


def read_special() -> dict[str, TypeFlow]:
    """Return the types that are not plain: all others are open, in the pool ``default``, and have no limits."""
    rows = store().fetch(*_sql(database.alias()))
    return {row[0]: TypeFlow(row[0], row[1], bool(row[2]), bool(row[3]), *row[4:]) for row in rows}


@functools.cache
def _sql(alias: str) -> tuple[str, tuple[Any, ...]]:
    """Return the statement and its parameters, made once: every pass asks this."""
    rows = JobType.primary.using(alias).exclude(_PLAIN).order_by("pk").values_list(*TypeFlow._fields)
    sql, params = rows.query.get_compiler(alias).as_sql()
    return sql, tuple(params)
