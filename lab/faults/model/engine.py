"""The real engine under the model's commands: its rows, its broker, and a clock that is moved by moving all rows."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.apps import apps
from django.db import models
from django.db.models import F

from django_jobs import submit_job, submit_jobs
from django_jobs.models import EngineLease, Job, JobType, Organization, Worker
from lab.faults.model.table import LEASE, RETRY_DELAY
from tests.support import verbs
from tests.support.brokers import ALL_QUEUES, MemoryBroker
from tests.support.tuning import forget_everything
from tests.support.verbs import Claimed, Loss, Ticket, outcomes

#: Job types by their windows of equal work.
KINDS: Final[Mapping[str, int]] = {"plain": 0, "unique": 500}
ORGANIZATIONS: Final = ("ORG-A", "ORG-B")
WORKERS: Final = ("worker-1", "worker-2", "worker-3")
SETTINGS: Final[Mapping[str, Any]] = {
    "HANDLER_MODULES": ("tests.support.handlers",),
    "LEASE_SECONDS": LEASE,
    "RETRY_JITTER": 0,
    "MAX_IN_FLIGHT_PER_ORGANIZATION": 10_000,
}
#: Moved with the clock: a worker that wants many tickets is always there.
_STILL: Final = frozenset({"worker"})


class Row(NamedTuple):
    """What is compared of a job."""

    pk: int
    status: str
    attempt: int
    begun_attempt: int
    retry_count: int
    max_retries: int
    priority: int
    worker_name: str
    is_orphaned: bool
    error_fingerprint: str
    job_type_id: str
    run_after: str
    ready_at: dt.datetime | None
    next_retry_at: dt.datetime | None
    expires_at: dt.datetime | None
    lease_expires_at: dt.datetime | None
    cancel_requested_at: dt.datetime | None
    started_at: dt.datetime | None


@dataclass(slots=True)
class Attempt:
    """A claimed attempt, whether it still owns its job or not."""

    claimed: Claimed
    worker: str


class Engine:
    """The engine, empty at first."""

    def __init__(self) -> None:
        empty()
        forget_everything()
        verbs.forget_targets()
        self.broker = MemoryBroker()
        verbs.use_broker(self.broker)
        for name in ORGANIZATIONS:
            Organization.objects.create(name=name)
        for name, window in KINDS.items():
            JobType.objects.create(
                type_name=name,
                handler_method="tests.support.handlers.do_nothing",
                deduplication_window=window,
                retry_delay=RETRY_DELAY,
            )
        now = verbs.now()
        fields = {"hostname": "model", "pid": 1, "slots": 1_000, "started_at": now, "last_seen": now}
        Worker.objects.create(name="model", queues=",".join(ALL_QUEUES), **fields)
        self.attempts: list[Attempt] = []

    def close(self) -> None:
        verbs.use_broker(None)
        empty()

    def rows(self) -> dict[int, Row]:
        """Every job as it is."""
        found = [Row(*values) for values in Job.primary.order_by("pk").values_list(*Row._fields)]
        return {row.pk: row for row in found}

    def submit(self, fields: Mapping[str, Any]) -> int:
        return int(submit_job(**self._moments(fields)).pk)

    def submit_many(self, items: Iterable[Mapping[str, Any]]) -> list[int]:
        return [int(job.pk) for job in submit_jobs([self._moments(fields) for fields in items])]

    def _moments(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Seconds from now as moments, and parents as jobs."""
        now, given = verbs.now(), dict(fields)
        for name in ("run_at", "expires_at"):
            if given.get(name) is not None:
                given[name] = now + dt.timedelta(seconds=given[name])
        given["depends_on"] = [Job.primary.get(pk=pk).name for pk in given.get("depends_on", ())]
        return given

    def claim(self, tickets: list[Ticket], worker: str) -> None:
        """Claim as a process that has just started: it remembers no answer of the policy."""
        forget_everything()
        self.attempts += [Attempt(item, worker) for item in verbs.claim(tickets, worker)]

    def tickets_of(self, pks: Iterable[int]) -> list[Ticket]:
        """The tickets of these jobs' next attempts."""
        rows = Job.primary.filter(pk__in=list(pks)).order_by("pk")
        return [Ticket(job.pk, job.created_at.year, job.attempt + 1, job.priority) for job in rows]

    def attempts_of(self, pk: int) -> list[Attempt]:
        """The attempts of a job, the newest last."""
        return [attempt for attempt in self.attempts if attempt.claimed.pk == pk]

    def settle(self, attempt: Attempt, how: str) -> None:
        """Store how the attempt ended, in the words of the model."""
        verbs.settle([OUTCOMES[how](attempt.claimed)], attempt.worker)

    def lose_worker(self, worker: str, started: Iterable[tuple[int, int]]) -> None:
        verbs.end_lost_worker(Loss(worker_name=worker, started=frozenset(started), reason="the model says so"))

    def move_clock(self, seconds: int) -> None:
        """Let so many seconds pass for all rows at once, whatever the database's clock says."""
        by = dt.timedelta(seconds=seconds)
        for model in apps.get_app_config("django_jobs").get_models():
            names = [field.name for field in model._meta.concrete_fields if isinstance(field, models.DateTimeField)]
            if names and not model._meta.proxy and model._meta.model_name not in _STILL:
                model._base_manager.update(**{name: F(name) - by for name in names})
        # The dispatcher's marks in the backlog are moments, too.
        EngineLease.primary.update(state={})
        forget_everything()


def empty() -> None:
    """Delete all rows of the app, but for what a migration made."""
    for model in apps.get_app_config("django_jobs").get_models():
        if model._meta.model_name not in {"duplicategate", "installation"}:
            model._base_manager.all()._raw_delete("default")


def _raised(kind: str) -> Any:
    return lambda claimed: outcomes.Raised(claimed=claimed, kind=kind, text="it failed", started=time.monotonic())


OUTCOMES: Final[Mapping[str, Any]] = {
    "returned": lambda claimed: outcomes.Returned(claimed=claimed, result={}, started=time.monotonic()),
    "failed": _raised("Transient"),
    "failed for good": _raised("Permanent"),
    "timed out": lambda claimed: outcomes.TimedOut(claimed=claimed, started=time.monotonic()),
    "later": lambda claimed: outcomes.Postponed(claimed=claimed, delay=100.0, text="later", started=time.monotonic()),
    "interrupted": lambda claimed: outcomes.Interrupted(claimed=claimed, text="shutdown", started=time.monotonic()),
}
