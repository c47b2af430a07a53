"""The values that say what a new job is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django_jobs.engine.actors import Actor, submitter_of
from django_jobs.engine.store.transition_values import Condition, Moved
from django_jobs.models import Job


class Versions(NamedTuple):
    """Of the rows of a job type and an organization, the versions that were read, as PostgreSQL names them."""

    kind_ctid: str
    kind_xmin: str
    tenant_ctid: str
    tenant_xmin: str


class TargetRows(NamedTuple):
    """The values of a job type and of an organization, by the names of their attributes, and their versions."""

    kind: dict[str, Any]
    tenant: dict[str, Any]
    versions: Versions


@dataclass(slots=True, kw_only=True)
class NewJob:
    """A job that is not stored yet, and what is stored beside its row.

    With ``versions``, it may be inserted only while these are the valid ones. ``parents`` are the keys of the jobs
    that it waits for, ``window`` the seconds in which the same work is refused, 0 for none. ``encoded`` has the JSON
    text of those columns that are encoded already, by their names. ``at_once`` is the condition under which the job is
    stored as Queued, where the store ``queues_new_jobs``. Once it is stored, ``log_id`` and ``queued`` are known; its
    instance is as it was before it was queued.
    """

    job: Job
    versions: Versions | None = None
    parents: Sequence[int] = ()
    window: int = 0
    encoded: Mapping[str, str] = field(default_factory=dict)
    at_once: Condition | None = None
    log_id: int = 0
    queued: Moved | None = None

    @property
    def submitter(self) -> Actor:
        return submitter_of(self.job)


class LostRace(Exception):
    """Somebody submitted the same work in between."""
