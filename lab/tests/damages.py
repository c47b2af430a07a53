"""Damages that the auditor must find: each breaks rows in one way that the engine never does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from django_jobs import cancel_job, retry_job
from django_jobs.models import DependencyTask, DuplicateKey, ExecutionLog, FileDeletion, Job, JobDependency
from django_jobs.statuses import Status
from django_jobs.testing import run_jobs
from tests.support import verbs
from tests.support.brokers import end, job_in, pending_job, raised, running_job
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import NOW

Damage: TypeAlias = Callable[[], object]

#: A status, what the row is changed to, and what the auditor says of it. NOW stands for the moment of the change.
WRONG_FIELDS: Final[list[tuple[str, dict[str, Any], str]]] = [
    (Status.RUNNING, {"lease_expires_at": None}, "has no lease"),
    (Status.RUNNING, {"worker_name": ""}, "runs for no worker"),
    (Status.RUNNING, {"started_at": None}, "has no start"),
    (Status.RUNNING, {"attempt": 2}, "has attempt 2, and was claimed 1 times"),
    (Status.RUNNING, {"attempt": 0}, "has no attempt"),
    (Status.QUEUED, {"lease_expires_at": NOW}, "has a lease"),
    (Status.QUEUED, {"queued_at": None}, "has no moment at which it was queued"),
    (Status.QUEUED, {"status": Status.FAILED}, "its log ends with Pending → Queued"),
    (Status.FAILED, {"ready_at": None}, "waits for a retry that never comes"),
    (Status.FAILED, {"next_retry_at": None}, "does not say when it is retried"),
    (Status.FAILED, {"error_message": ""}, "is Failed and has no error"),
    (Status.FAILED, {"error_type": ""}, "has no type of error"),
    (Status.FAILED, {"cancel_requested_at": NOW}, "goes on though its cancel was requested"),
    (Status.FAILED, {"retry_count": 0}, "has spent 0 retries, by its log 1"),
    (Status.PENDING, {"next_retry_at": NOW}, "has a moment of retry"),
    (Status.PENDING, {"completed_at": NOW}, "is Pending and has a time of its end"),
    (Status.PENDING, {"canceled_at": NOW}, "has a time of its cancel"),
    (Status.PENDING, {"ready_at": None}, "is Pending and never ready"),
    (Status.COMPLETED, {"completed_at": None}, "is Completed and has no time of its end"),
    (Status.COMPLETED, {"progress": 90}, "has not all of its progress"),
    (Status.COMPLETED, {"error_message": "broken"}, "is Completed and has an error"),
    (Status.CANCELED, {"canceled_at": None}, "is Canceled and has no time of its end"),
    (Status.CANCELED, {"canceled_by": ""}, "was canceled by nobody"),
    (Status.CANCELED, {"is_orphaned": True}, "is marked as dead with a parent"),
    (Status.DEAD_LETTER, {"cancel_requested_at": NOW}, "should be Canceled"),
    (Status.DEAD_LETTER, {"is_orphaned": True}, "is marked as dead with a parent, and has none"),
]


def change(job: Job, **values: Any) -> None:
    Job.objects.filter(pk=job.pk).update(**values)


def log_of(job: Job) -> Any:
    return ExecutionLog.objects.filter(job_id=job.pk)


def family() -> tuple[Job, Job]:
    parent = pending_job()
    return parent, pending_job(organization=parent.organization, depends_on=[parent])


def now() -> dt.datetime:
    return verbs.now()


def no_log() -> None:
    log_of(pending_job()).delete()


def log_of_nobody() -> None:
    Job.objects.filter(pk=pending_job().pk)._raw_delete(verbs.database_alias())


def gap_in_log() -> None:
    log_of(job_in(Status.RUNNING)).filter(to_status=Status.QUEUED).delete()


def wrong_source() -> None:
    log_of(job_in(Status.RUNNING)).filter(to_status=Status.RUNNING).update(from_status=Status.PENDING)


def other_beginning() -> None:
    log_of(pending_job()).update(from_status=Status.FAILED)


def started_over_by_a_worker() -> None:
    job = retry_job(job_in(Status.DEAD_LETTER))
    log_of(job).filter(from_status=Status.DEAD_LETTER).update(actor_kind="worker")


def after_the_end() -> None:
    job = job_in(Status.COMPLETED)
    ExecutionLog.objects.create(
        job=job,
        from_status=Status.COMPLETED,
        to_status=Status.PENDING,
        timestamp=now(),
        actor="x",
        attempt=1,
        organization_id=job.organization_id,
    )


def other_organization() -> None:
    log_of(pending_job()).update(organization_id=make_organization().pk)


def wrong_attempt_in_log() -> None:
    log_of(running_job()[0]).filter(to_status=Status.RUNNING).update(attempt=3)


def ended_too_soon() -> None:
    job, claimed = running_job(max_retries=0)
    end(raised(claimed))
    change(job, max_retries=3)


def ready_before_parent() -> None:
    _, child = family()
    change(child, ready_at=now())


def waits_for_completed() -> None:
    _, child = family()
    run_jobs()
    ExecutionLog.objects.filter(job_id=child.pk).exclude(from_status="").delete()
    change(child, status=Status.PENDING, ready_at=None)


def outlives_dead_parent() -> None:
    parent, child = family()
    cancel_job(parent)
    change(child, status=Status.PENDING)


def unknown_children() -> None:
    parent, _ = family()
    change(parent, has_children=False)


def link_to_nobody() -> None:
    _, child = family()
    JobDependency.objects.create(parent_id=child.pk, child_id=10**6)


def left_task() -> None:
    DependencyTask.objects.create(job_id=pending_job().pk)


def twins() -> None:
    job_type, organization = make_job_type(deduplication_window=60), make_organization()
    pending_job(job_type, organization)
    DuplicateKey.objects.all().delete()
    pending_job(job_type, organization)


def key_of_nobody() -> None:
    DuplicateKey.objects.create(key="0" * 64, job_id=10**6, expires_at=now())


def key_of_other_work() -> None:
    DuplicateKey.objects.create(key="0" * 64, job_id=pending_job().pk, expires_at=now())


def left_files() -> None:
    FileDeletion.objects.create(job_id="JOB-2026-00001", organization_pk="1")


DAMAGES: Final[list[tuple[Damage, str]]] = [
    (no_log, "has no log"),
    (log_of_nobody, "which is not there"),
    (gap_in_log, "Queued → Running follows new → Pending"),
    (wrong_source, "went a way that is none: Pending → Running"),
    (other_beginning, "begins with Failed → Pending"),
    (started_over_by_a_worker, "was started over by worker"),
    (after_the_end, "went a way that is none: Completed → Pending"),
    (other_organization, "names another organization"),
    (wrong_attempt_in_log, "has attempt 3 and not 1"),
    (ended_too_soon, "ended after 0 of 3 retries"),
    (ready_before_parent, "and its parent"),
    (waits_for_completed, "waits for its parents, which have all ended"),
    (outlives_dead_parent, "still waits, and its parent"),
    (unknown_children, "does not know that job"),
    (link_to_nobody, "names jobs that are gone"),
    (left_task, "Nobody has followed up"),
    (twins, "do the same work within its window"),
    (key_of_nobody, "which is not there"),
    (key_of_other_work, "which does other work"),
    (left_files, "The files of the deleted job"),
    (running_job, "still runs for"),
    (pending_job, "is Pending and waits for window"),
]
