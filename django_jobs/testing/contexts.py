"""Contexts for handlers under test, and capturing what they submit."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

from django.utils import timezone

from django_jobs.conf import DEFAULT_POOL, jobs_settings
from django_jobs.engine.claimed_job import Claimed
from django_jobs.engine.execution import context
from django_jobs.engine.execution import steps as work
from django_jobs.engine.execution.context import JobContext, ResultReference, Runner
from django_jobs.engine.execution.steps import MAX_BYTES as MAX_CHECKPOINT_BYTES
from django_jobs.engine.execution.steps import MAX_BYTES as MAX_STEP_BYTES
from django_jobs.engine.execution.steps import MAX_STEPS, SavedWork
from django_jobs.engine.insight import events
from django_jobs.engine.json_storage import storable
from django_jobs.engine.organizations import id_of
from django_jobs.engine.ports import Ticket, broker_in_place
from django_jobs.engine.store.values import AttemptKey, JobRow, NewStep, StoredStep
from django_jobs.engine.submission.values import Errors, check_fields, refuse_unknown, shown
from django_jobs.exceptions import AttemptLost
from django_jobs.models import Job
from django_jobs.testing.memory_broker import MemoryBroker
from django_jobs.values import BatchStatus

# A context for calling a handler like any function, without a job and without a database.


#: The primary key of the first job that a recording context submits.
FIRST_SUBMITTED: Final = 900_001
_DEFAULTS: Final[dict[str, Any]] = {
    "job_id": "JOB-2026-00001",
    "job_type": "test",
    "organization": "ORG-2026-00001",
    "metadata": {},
    "attempt": 1,
    "timeout_seconds": 300,
}


class MemoryWork(SavedWork):
    """What the attempts of no job have saved."""

    def __init__(self, claimed: Claimed, steps: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> None:
        """``steps`` are the results of those that an earlier attempt has done, by name and in their order."""
        super().__init__(claimed, has_earlier=True)
        self.thread = None
        self.steps = [StoredStep(place, *step) for place, step in enumerate(steps.items(), start=1)]
        self.saved = dict(checkpoint)
        #: Whether another worker has the job by now.
        self.is_lost = False

    def require_commits(self, what: str) -> None:
        """Nothing is committed here."""

    def steps_from(self, position: int) -> list[StoredStep]:
        """Return a page of the steps in memory."""
        return [step for step in self.steps if step.position >= position][: work.PAGE]

    def store_step(self, step: NewStep) -> Any:
        """Keep a step."""
        self._require_job()
        self.steps.append(StoredStep(step.position, step.name, json.loads(step.result), step.digest))
        return json.loads(step.result)

    def stored_checkpoint(self) -> dict[str, Any]:
        """Return a copy of the checkpoint."""
        return json.loads(json.dumps(self.saved))  # type: ignore[no-any-return]

    def store_checkpoint(self, data: str) -> None:
        """Keep the checkpoint."""
        self._require_job()
        self.saved = json.loads(data)

    def _require_job(self) -> None:
        if self.is_lost:
            raise AttemptLost


class RecordingContext(JobContext):
    """A context that keeps what the handler reports, saves and submits, for the test to look at.

    ``progress`` holds each (percent, message) in order, ``outputs`` the bytes of each saved file by its reference,
    ``submitted`` the jobs that the handler submitted through the context. They are not saved. ``steps`` are the results
    of the steps that are done, by name and in the order of their ends, ``saved_checkpoint`` is what was saved last.
    """

    _runner: RecordingRunner
    _work: MemoryWork

    def __init__(self, claimed: Claimed, tenant: Any, saved: MemoryWork, batch: BatchStatus | None) -> None:
        super().__init__(claimed, RecordingRunner(), saved)
        self._tenant = tenant
        self._batch = batch
        self.progress = self._runner.progress
        self.outputs: dict[str, bytes] = {}
        self.submitted: list[Job] = []

    @property
    def batch(self) -> BatchStatus | None:
        """Return the status that the test gave."""
        return self._batch

    @property
    def steps(self) -> dict[str, Any]:
        """Return the results of the steps that are done by now, in earlier attempts or in this one."""
        return {step.name: step.result for step in self._work.steps}

    @property
    def saved_checkpoint(self) -> dict[str, Any]:
        """Return the checkpoint as the next attempt would find it if this one ended in an error now."""
        return self._work.stored_checkpoint()

    def get_organization(self) -> Any:
        """Return the instance that the test gave, else the row with the key; the latter needs a database."""
        return super().get_organization() if self._tenant is None else self._tenant

    def save_output(self, filename: str, content: bytes | str | IO[bytes]) -> str:
        """Keep the content in ``outputs`` and return its reference."""
        folder = context.output_folder(self.organization_pk, self.job_id)
        reference = f"{folder}/{secrets.token_urlsafe(16)}/{context.safe_basename(filename)}"
        data = content if isinstance(content, bytes | str) else content.read()
        self.outputs[reference] = data.encode() if isinstance(data, str) else data
        return reference

    def _submit(self, job_type: Any, parameters: Any, keywords: Mapping[str, Any]) -> Job:
        """Check the values as a submission does, except for what only the database knows, and keep the job."""
        fields = {name: value for name, value in keywords.items() if name != "user"}
        refuse_unknown("context.submit_job", fields)
        errors = Errors()
        values = check_fields({**fields, "parameters": parameters}, errors)
        if errors:
            raise errors.refusal()
        job = Job(
            pk=FIRST_SUBMITTED + len(self.submitted),
            job_type_id=shown(job_type),
            organization_name=self.organization,
            created_at=timezone.now(),
            **values.columns,
        )
        self.submitted.append(job)
        return job

    def cancel(self) -> None:
        """Cancel the job: ``is_canceled()`` is true from now on, and ``update_progress`` raises JobCanceled."""
        self._runner.canceled = True

    def lose(self) -> None:
        """Give the job to another worker: ``still_owned()`` is false from now on, and no step is stored any more."""
        self._work.is_lost = True

    def still_owned(self) -> bool:
        """Return whether :meth:`lose` has not been called. The database is not asked."""
        return not self._work.is_lost


class RecordingRunner(Runner):
    """Stands in for a worker."""

    def __init__(self) -> None:
        self.progress: list[tuple[int, str | None]] = []
        self.canceled = False

    def report(self, key: AttemptKey, percent: int, message: str | None) -> None:
        """Keep the progress."""
        self.progress.append((percent, message))

    def is_canceled(self) -> bool:
        """Return whether the test has canceled the job."""
        return self.canceled


def make_context(
    parameters: Mapping[str, Any] | None = None,
    *,
    parents: Mapping[str, Any] | None = None,
    steps: Mapping[str, Any] | None = None,
    checkpoint: Mapping[str, Any] | None = None,
    batch: BatchStatus | None = None,
    batch_id: str | None = None,
    **fields: Any,
) -> RecordingContext:
    """Return a context with these parameters, in the form in which a job stores them.

    ``parents`` are the results of the jobs that it depends on, by job id; None for one that did not complete. ``steps``
    are the results of the steps that an earlier attempt has done, by name and in their order, and ``checkpoint`` is
    what it saved. ``batch_id`` is the batch that the job counts for, and ``batch`` the status of that one, or of the
    one that submitted the job at its end.
    ``fields`` are ``job_id``, ``job_type``, ``organization`` (an id, or an instance, which may be unsaved),
    ``organization_pk`` (its key; by default the instance's, else the id), ``metadata``, ``attempt`` and
    ``timeout_seconds``. Raise TypeError for any other.
    """
    stored = storable(dict(parameters or {}), "parameters", int(jobs_settings.MAX_PARAMETERS_BYTES))
    results = {name: None if result is None else _result(name, result) for name, result in (parents or {}).items()}
    stored_steps = storable(dict(steps or {}), "steps", MAX_STEPS * MAX_STEP_BYTES)
    stored_checkpoint = storable(dict(checkpoint or {}), "checkpoint", MAX_CHECKPOINT_BYTES)
    if unknown := fields.keys() - {*_DEFAULTS, "organization_pk"}:
        raise TypeError(f"A job context has no {', '.join(sorted(unknown))}.")
    values = {**_DEFAULTS, **fields}
    tenant = None if isinstance(values["organization"], str) else values["organization"]
    if tenant is not None:
        values["organization"] = id_of(tenant)
    values.setdefault("organization_pk", values["organization"] if tenant is None else tenant.pk)
    ticket = Ticket(0, 0, values["attempt"], 0, DEFAULT_POOL)
    row = JobRow._make([None] * len(JobRow._fields))  # nobody asks it of a job that is in no database
    claimed = Claimed(pk=0, ticket=ticket, handler=_no_handler, parameters=stored, worker_name="", row=row, **values)
    saved = MemoryWork(claimed, stored_steps, stored_checkpoint)
    context = RecordingContext(claimed, tenant, saved, batch)
    context.parents, context.batch_id = results, batch_id
    return context


def _no_handler(context: Any) -> None:
    """Do nothing: the test calls its handler itself."""


def _result(name: str, result: Any) -> Any:
    """Return a parent's result in the form in which a job stores it; a reference stays one."""
    if isinstance(result, ResultReference):
        return result
    return storable(result, f"The result of {name}", int(jobs_settings.MAX_RESULT_BYTES))


# Catch the jobs that are submitted.


@contextlib.contextmanager
def captured_jobs() -> Iterator[list[Job]]:
    """Yield a list that gets each job submitted inside the block; none of them is dispatched, Redis is left alone.

    They are real rows, and stay Pending: :func:`~django_jobs.testing.run_jobs` may run them. At the end of the block
    those whose transaction was rolled back leave the list.
    """
    jobs: list[Job] = []
    events.watchers.append(jobs.append)
    try:
        # A job stays Pending as long as the broker cannot be reached.
        with broker_in_place(MemoryBroker(is_down=True)):
            yield jobs
    finally:
        events.watchers.remove(jobs.append)
    # The key of a job that was rolled back may have been used again: the later job counts.
    latest = {job.pk: job for job in jobs}
    kept = set(Job.primary.filter(pk__in=latest).values_list("pk", flat=True))
    jobs[:] = [job for pk, job in latest.items() if pk in kept]
