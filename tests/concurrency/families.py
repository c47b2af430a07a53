"""Many families at once: submitted, ended and followed up by many, and how they must stand afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django_jobs import submit_jobs
from django_jobs.models import DependencyTask, Job, JobDependency, JobType, Organization
from django_jobs.statuses import TERMINAL, RunAfter, Status
from tests.concurrency.crowd import assert_histories_are_chains
from tests.support import verbs
from tests.support.brokers import WORKER, returned
from tests.support.verbs import Claimed

DEAD: Final = {Status.CANCELED, Status.DEAD_LETTER}


def submit_many(kind: JobType, organization: Organization, families: list[list[Job]]) -> list[Job]:
    return submit_jobs([{"job_type": kind, "organization": organization, "depends_on": item} for item in families])


def settler(claimed: list[Claimed], size: int, outcome: Callable[[Claimed], Any] = returned) -> Callable[[], None]:
    def run() -> None:
        for start in range(0, len(claimed), size):
            verbs.settle_all([outcome(item) for item in claimed[start : start + size]], WORKER)

    return run


def follow_up_all() -> None:
    """As the schedulers do, until nothing is left."""
    while verbs.follow_up():
        pass
    assert not DependencyTask.objects.exists()


def assert_families_are_consistent() -> None:
    """Every job stands as the statuses of its parents ask; nobody waits for what will not come."""
    status = dict(Job.objects.values_list("pk", "status"))
    parents: dict[int, set[str]] = {pk: set() for pk in status}
    for child, parent in JobDependency.objects.values_list("child_id", "parent_id"):
        if parent in status:  # it may have been deleted while the submission of its child was not committed yet
            parents[child].add(status[parent])
    for job in Job.objects.all():
        around = parents[job.pk]
        waits = job.status == Status.PENDING and job.ready_at is None
        if job.run_after == RunAfter.ENDED:
            assert not job.is_orphaned
            assert not waits or around - TERMINAL, f"{job} waits though all its parents have ended"
        elif waits:
            assert around - {Status.COMPLETED}, f"{job} waits though all its parents have completed"
            assert not around & DEAD, f"{job} waits though a parent ended as {around & DEAD}"
        elif job.is_orphaned:
            assert job.status == Status.DEAD_LETTER
            assert around & DEAD, f"{job} stays dead though all its parents may complete"
        elif job.status not in DEAD:
            assert around <= {Status.COMPLETED}, f"{job} is {job.status} though its parents are {around}"
    assert_histories_are_chains()
