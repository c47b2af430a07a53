"""Storing steps and checkpoints in the name of an attempt, as long as it owns its job."""

from __future__ import annotations

import json

from django_jobs.engine.store.base.transactions import Transactions
from django_jobs.engine.store.step_values import Attempt, NewStep, StoredStep
from django_jobs.models import Job, JobCheckpoint, JobStep
from django_jobs.statuses import Status


class Steps(Transactions):
    """What is stored here and the end of the attempt exclude each other: both lock the job's row."""

    def insert_step(self, attempt: Attempt, step: NewStep) -> StoredStep | None:
        """Store a step and return it as it will be read; None where the attempt owns its job no longer.

        Storing the same step of the same attempt again changes nothing: the answer to the first try may be lost.
        """

        def insert() -> StoredStep:
            row = JobStep(
                job_id=attempt.pk,
                position=step.position,
                name=step.name,
                result=json.loads(step.result),
                attempt=attempt.number,
                done_at=self.now(),
                seconds=step.seconds,
                digest=step.digest,
            )
            JobStep.primary.bulk_create([row], ignore_conflicts=True)
            stored = JobStep.primary.filter(job_id=attempt.pk, position=step.position)
            return StoredStep(*stored.values_list(*StoredStep._fields).get())

        return self.in_transaction(lambda: insert() if self._holds(attempt) else None)

    def save_checkpoint(self, attempt: Attempt, data: str) -> bool:
        """Store JSON as the job's checkpoint; return False where the attempt owns the job no longer."""

        def save() -> bool:
            self.write_checkpoint(attempt, data)
            return True

        return self.in_transaction(lambda: self._holds(attempt) and save())

    def write_checkpoint(self, attempt: Attempt, data: str) -> None:
        """Store JSON as the checkpoint of a job of which the caller has locked the row."""
        row = JobCheckpoint(job_id=attempt.pk, data=json.loads(data), attempt=attempt.number, saved_at=self.now())
        row.save(using=self.alias)

    def _holds(self, attempt: Attempt) -> bool:
        """Lock the job and return whether the attempt owns it by a lease that lasts."""
        rows = Job.primary.filter(
            pk=attempt.pk, attempt=attempt.number, worker_name=attempt.worker_name, status=Status.RUNNING
        )
        lasting = rows.extra(where=[f"lease_expires_at > {self.sql_now()}"])  # noqa: S610  (no value is in it)
        return bool(self.locked(lasting.only("pk")))
