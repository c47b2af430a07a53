"""Jobs that are followed together, and what happened to their counts since these were last added up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

from asgiref.sync import sync_to_async
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from django_jobs.models.base import (
    PrimaryManager,
    RowId,
    TenantRows,
    WordField,
    hooks,
    in_words,
    organization_key,
    user_key,
    with_database_defaults,
)
from django_jobs.statuses import TERMINAL, BatchState, OpenTo, Status

BATCH_ID: Final = RowId("BATCH")
format_batch_id: Final = BATCH_ID.format
parse_batch_id: Final = BATCH_ID.parse


class BatchQuerySet(TenantRows["Batch"]):
    """Look-ups of batches."""

    ids = BATCH_ID

    def in_state(self, state: str) -> BatchQuerySet:
        """Return the batches that are in this state, as far as their counts are added up."""
        ended, open_ = Q(completed_at__isnull=False), Q(closed_at__isnull=True)
        canceled, complete = Q(canceled_at__isnull=False), Q(completed=F("total"), expired_at__isnull=True)
        chosen = {
            BatchState.OPEN: open_,
            BatchState.RUNNING: ~open_ & ~ended,
            BatchState.CANCELED: ended & canceled,
            BatchState.COMPLETED: ended & ~canceled & complete,
            BatchState.FAILED: ended & ~canceled & ~complete,
        }
        return self.filter(chosen[BatchState(state)])


@in_words(_("batch"), _("batches"), name=_("name"))
@with_database_defaults
class Batch(models.Model):
    """Jobs of an organization that are followed together. ``name`` is a title; the id is ``batch_id``.

    The counts are those of the jobs in the statuses that count (:data:`COUNTED`), added up from :class:`BatchChange`.
    """

    name = models.CharField(max_length=200, blank=True)
    organization = organization_key()
    organization_name = models.CharField(max_length=140)
    owner = user_key(blank=True)
    owner_name = models.CharField(max_length=150, blank=True)
    open_to = WordField(max_length=8, choices=OpenTo.choices, default=OpenTo.OWNER)
    #: The job whose handler made it, and in which attempt; that job may be deleted by now.
    submitted_by_id = models.BigIntegerField(null=True, blank=True, editable=False)
    submitted_by_attempt = models.PositiveIntegerField(null=True, blank=True, editable=False)
    #: What is submitted once all its jobs completed, or once all ended and some did not; without the organization.
    then = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)
    on_failure = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)
    #: The jobs that were submitted so; they may be deleted by now.
    then_job_id = models.BigIntegerField(null=True, blank=True, editable=False)
    on_failure_job_id = models.BigIntegerField(null=True, blank=True, editable=False)
    #: Why one of them could not be submitted, in words; blank where all is well.
    fault = models.TextField(blank=True, editable=False)
    #: Whether the scheduler tries again to submit it.
    is_fault_passing = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    canceled_at = models.DateTimeField(null=True, blank=True)
    canceled_by = models.CharField(max_length=150, blank=True)
    retried_by = models.CharField(max_length=150, blank=True)
    #: The user who canceled or retried it last: the access policy is asked whether they may, job by job.
    asked_by = user_key(editable=False)
    #: How many of its jobs the policy kept from that.
    refused = models.PositiveIntegerField(default=0, editable=False)
    #: Whether somebody held some of its jobs when they were to be canceled, so that all are looked at again.
    met_held = models.BooleanField(default=False, editable=False)
    #: When it was closed because nobody else had done so.
    expired_at = models.DateTimeField(null=True, blank=True)
    total = models.PositiveIntegerField(default=0)
    completed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    timed_out = models.PositiveIntegerField(default=0)
    canceled = models.PositiveIntegerField(default=0)
    dead_letter = models.PositiveIntegerField(default=0)
    #: When its changes were last added up.
    counted_at = models.DateTimeField(null=True, blank=True, editable=False)
    #: While all its jobs are canceled or retried: those up to this key have been looked at.
    cancel_position = models.BigIntegerField(null=True, blank=True, editable=False)
    retry_position = models.BigIntegerField(null=True, blank=True, editable=False)

    objects = BatchQuerySet.as_manager()
    primary = PrimaryManager.from_queryset(BatchQuerySet)()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "batches"
        indexes = [
            # An organization's newest batches.
            models.Index(fields=["organization", "-id"], name="djobs_batch_newest"),
            # What has not ended, the oldest first: what was never closed. And what ended long ago.
            models.Index(fields=["completed_at", "id"], name="djobs_batch_open"),
            # What is being canceled or retried: the scheduler asks at each tick.
            models.Index(fields=["cancel_position"], name="djobs_batch_cancels"),
            models.Index(fields=["retry_position"], name="djobs_batch_retries"),
            # What an earlier attempt of a job made.
            models.Index(fields=["submitted_by_id"], name="djobs_batch_submitted_by"),
            # The batch of which a job is the ``then`` or the ``on_failure``.
            models.Index(fields=["then_job_id"], name="djobs_batch_then"),
            models.Index(fields=["on_failure_job_id"], name="djobs_batch_on_failure"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.batch_id})" if self.name else self.batch_id

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Close the batch, unless that was done in the block. Where the block raised, cancel it too.

        A worker that stops leaves it as it is: the handler's next attempt gets the batch back.
        """
        hooks.batch_verbs().leave(self, kind)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        await sync_to_async(self.__exit__, thread_sensitive=True)(kind, *rest)

    @property
    def batch_id(self) -> str:
        """Return the batch's id, such as ``BATCH-2026-00001``."""
        return format_batch_id(self.pk, self.created_at.year)

    @property
    def ended(self) -> int:
        """Return how many of its jobs have ended."""
        return sum(getattr(self, COUNTED[status]) for status in TERMINAL)

    @property
    def state(self) -> BatchState:
        """Return what it does, as far as its counts are added up."""
        if self.completed_at is None:
            return BatchState.RUNNING if self.closed_at is not None else BatchState.OPEN
        if self.canceled_at is not None:
            return BatchState.CANCELED
        is_complete = self.completed == self.total and self.expired_at is None
        return BatchState.COMPLETED if is_complete else BatchState.FAILED

    def submit(
        self,
        job_type: Any,
        parameters: Mapping[str, Any] | None = None,
        priority: str | int | None = None,
        depends_on: Any = None,
        **keywords: Any,
    ) -> Any:
        """Submit a job of this batch, for its organization and in the name of its owner; return the job.

        The keywords are those of :func:`django_jobs.submit_job`, which says what is raised, too. The same work that is
        there already does not come into the batch by that.
        """
        named = {"priority": priority, "depends_on": depends_on}
        return hooks.batch_verbs().submit_to_batch(self, job_type, {**keywords, **named, "parameters": parameters})

    def submit_many(self, submissions: Iterable[Mapping[str, Any]]) -> list[Any]:
        """Submit many jobs of this batch, all or nothing, in a few statements.

        Each item is one of :func:`django_jobs.submit_jobs`, without the organization.
        """
        return hooks.batch_verbs().submit_many(self, submissions)

    def close(self) -> None:
        """Say that nobody but its own jobs adds jobs any more: it ends with the last of them.

        Waits for those who add a job at this moment. Raises InvalidTransition where it is closed already, but for the
        handler that gets it back from an earlier attempt.
        """
        hooks.batch_verbs().close(self)

    async def asubmit(
        self, job_type: Any, parameters: Mapping[str, Any] | None = None, *args: Any, **keywords: Any
    ) -> Any:
        """:meth:`submit` for async code."""
        return await sync_to_async(self.submit, thread_sensitive=True)(job_type, parameters, *args, **keywords)

    async def asubmit_many(self, submissions: Iterable[Mapping[str, Any]]) -> list[Any]:
        """:meth:`submit_many` for async code."""
        return await sync_to_async(self.submit_many, thread_sensitive=True)(submissions)

    async def aclose(self) -> None:
        """:meth:`close` for async code."""
        await sync_to_async(self.close, thread_sensitive=True)()


#: The statuses whose jobs are counted, and the column of each. How many are in another one is told by the rest.
COUNTED: Final = {
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.TIMED_OUT: "timed_out",
    Status.CANCELED: "canceled",
    Status.DEAD_LETTER: "dead_letter",
}


class BatchChange(models.Model):
    """By how much a batch's counts changed in one transaction; deleted when it is added to them.

    A row of its own, so that those whose jobs end at once do not wait for each other.
    """

    batch_id = models.BigIntegerField()
    changed_at = models.DateTimeField()
    #: The earliest start of a job that moved.
    started_at = models.DateTimeField(null=True)
    total = models.IntegerField(default=0, db_default=0)
    completed = models.IntegerField(default=0, db_default=0)
    failed = models.IntegerField(default=0, db_default=0)
    timed_out = models.IntegerField(default=0, db_default=0)
    canceled = models.IntegerField(default=0, db_default=0)
    dead_letter = models.IntegerField(default=0, db_default=0)

    objects = models.Manager()
    primary: PrimaryManager[BatchChange] = PrimaryManager()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["batch_id"], name="djobs_batch_changes")]

    def __str__(self) -> str:
        return f"change of {self.batch_id}"
