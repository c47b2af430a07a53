"""What a handler gets: the facts of its job, and the methods by which it reports, saves and submits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar, Unpack

from asgiref.sync import sync_to_async

from django_jobs.engine.execution import coroutines, outputs
from django_jobs.engine.execution.durable_work import DurableWork
from django_jobs.engine.job_types import parameters
from django_jobs.engine.json_storage import clean_text
from django_jobs.exceptions import JobCanceled, OrganizationGone

if TYPE_CHECKING:
    from django_jobs.engine.execution.runner import Runner
    from django_jobs.engine.execution.work_notes import Notes
    from django_jobs.engine.submission.fields import ContextFields
    from django_jobs.models import Job, JobType
    from django_jobs.values import BatchStatus

T = TypeVar("T")
#: Submits a job of this type, with these parameters and keywords, from a handler.
Submit = Callable[[Any, Any, Mapping[str, Any]], "Job"]
#: Characters of a progress message.
MAX_MESSAGE: Final = 255


class JobContext(DurableWork):
    """One attempt of a job, for its handler.

    ``parameters`` is what was submitted, as stored JSON; ``metadata`` likewise; ``job_id`` such as
    ``JOB-2026-00001``; ``organization_pk`` the tenant's key, by which a handler finds the tenant's rows;
    ``organization`` the id that the tenant had when this attempt was claimed, for texts; ``attempt`` counts from 1, and
    with the job id makes an idempotency key, since a job may run again after its worker died; ``timeout_seconds`` is
    the attempt's limit.
    """

    def __init__(  # noqa: PLR0913  (all facts of one attempt)
        self,
        *,
        job_id: str,
        job_type: str,
        organization: str,
        organization_pk: Any,
        parameters: Any,
        metadata: Any,
        attempt: int,
        timeout_seconds: int,
        runner: Runner,
        notes: Notes | None = None,
        submit: Submit | None = None,
        worker_name: str = "",
    ) -> None:
        super().__init__(notes)
        self.job_id = job_id
        self.job_type = job_type
        self.organization = organization
        self.parameters = parameters
        self.metadata = metadata
        self.attempt = attempt
        self.timeout_seconds = timeout_seconds
        self.organization_pk = organization_pk
        self._runner = runner
        self._submit = submit
        self._worker_name = worker_name
        self._has_ended = False
        #: Whether the handler began to save a file.
        self.has_saved = False

    @cached_property
    def validated_data(self) -> Any:
        """Return what the type's ``parameters`` serializer makes of the parameters; without one, the parameters.

        Raises PermanentError when they are not valid, as after a deployment that asks for more. A serializer that
        reads the database does so here: from async code, ask for it in ``sync_to_async``.
        """
        return parameters.validated_data(self.job_type, self.parameters)

    def get_organization(self) -> Any:
        """Return the tenant's row as it is now, read by its key from the database that holds the jobs.

        Raises OrganizationGone when the tenant was deleted; that ends the job without a retry. In an async handler the
        event loop waits for the read.
        """
        self._refuse_late()
        with self._runner.shielded():
            tenant = coroutines.outside_loop(self._read_organization)
        if tenant is None:
            raise OrganizationGone(self.organization, self.organization_pk)
        return tenant

    def _read_organization(self) -> Any:
        from django_jobs.engine.store.organization_ids import (
            read_tenants,  # a host imports this class before apps are ready
        )

        return next(iter(read_tenants([self.organization_pk]).values()), None)

    @cached_property
    def parents(self) -> dict[str, Any]:
        """Return the result of each job that this one depends on, by its job id, in the order of their submission.

        Read when first asked for. None stands for a parent that did not complete, or returned nothing; a parent that
        was deleted is missing. Results of up to 1 MB in all are here; in the place of each that does not fit is a
        ``ResultReference``, whose ``load()`` reads that one. In an async handler the event loop waits for the read.
        """
        from django_jobs.engine.execution import parent_results  # a host imports this class before the apps are ready

        return self._read(lambda: parent_results.read(self._pk()))

    @cached_property
    def batch_id(self) -> str | None:
        """Return the id of the batch that this job counts for; None where it counts for none.

        Read when first asked for. In an async handler the event loop waits for the read.
        """
        from django_jobs.engine.batches import status  # a host imports this class before the apps are ready

        return self._read(lambda: status.batch_id_of(self._pk()))

    @property
    def batch(self) -> BatchStatus | None:
        """Return the status of the batch that this job counts for, or that submitted it at its end; None without one.

        Read each time. In an async handler the event loop waits for the read.
        """
        from django_jobs.engine.batches import status  # a host imports this class before the apps are ready

        return self._read(lambda: status.batch_of(self._pk()))

    def _read(self, read: Callable[[], T]) -> T:
        self._refuse_late()
        with self._runner.shielded():
            return coroutines.outside_loop(read)

    def still_owned(self) -> bool:
        """Ask the database, by one statement, whether this attempt still owns the job by a lease that lasts.

        Ask it before an effect that must not happen twice: a worker that was frozen or cut off may go on with an
        attempt whose job runs elsewhere by now. Ask outside transactions: one with repeatable reads would answer as of
        its beginning. Raises Django's database Error where the database gives no answer: nobody can say yes then. In an
        async handler the event loop waits for the answer; :meth:`astill_owned` lets it go on.
        """
        if self._has_ended:
            return False
        with self._runner.shielded():
            return not self._runner.is_lost() and coroutines.outside_loop(self._ask_whether_owned)

    async def astill_owned(self) -> bool:
        """:meth:`still_owned` for async handlers."""
        return await sync_to_async(self.still_owned, thread_sensitive=True)()

    def _ask_whether_owned(self) -> bool:
        from django_jobs.engine.execution import ownership

        return ownership.is_owned(self._pk(), self.attempt, self._worker_name)

    def _pk(self) -> int:
        from django_jobs.models.job import parse_job_id

        parsed = parse_job_id(self.job_id)
        return 0 if parsed is None else parsed[0]

    def update_progress(self, percent: float, message: str | None = None) -> None:
        """Report progress (0 to 100) and what is being done. Cheap: call it as often as you like.

        Raises JobCanceled when the job is to stop.
        """
        self._refuse_late()
        value = min(100, max(0, int(percent)))
        self._runner.report(value, None if message is None else clean_text(message, MAX_MESSAGE))
        self._runner.check()

    def is_canceled(self) -> bool:
        """Return whether the job is to stop; for handlers that want to end in their own way."""
        return self._has_ended or self._runner.is_canceled()

    def shielded(self) -> contextlib.AbstractContextManager[None]:
        """Return a ``with`` block for whose end cancellation and timeout wait, within the grace."""
        return self._runner.shielded()

    def save_output(self, filename: str, content: bytes | str | IO[bytes]) -> str:
        """Store a file for the job's organization and return its reference.

        Return that as ``output_reference`` to make it the job's output.
        """
        # Noted first: a thread that the handler leaves behind either is refused, or is known of when the attempt ends.
        self.has_saved = True
        self._refuse_late()
        with self._runner.shielded():
            return outputs.save(self.organization_pk, self.job_id, filename, content)

    def submit_job(
        self, job_type: str | JobType, parameters: Mapping[str, Any] | None = None, **keywords: Unpack[ContextFields]
    ) -> Job:
        """Submit a job for this job's organization and in the name of its owner; return it.

        The keywords are those of :func:`django_jobs.submit_job`; ``user`` takes the place of the owner, and
        ``user=None`` submits without one. Handler code may submit what ``submit_by`` closes to users, in its owner's
        name too; the owner's other rights are checked. A later attempt that submits the same work gets the job that
        the earlier one submitted, whatever the window. Raises what ``submit_job`` raises.
        """
        self._refuse_late()
        if self._submit is None:
            raise RuntimeError("This context belongs to no running job; django_jobs.testing.make_context makes one.")
        return self._submit(job_type, parameters, keywords)

    async def asubmit_job(
        self, job_type: str | JobType, parameters: Mapping[str, Any] | None = None, **keywords: Unpack[ContextFields]
    ) -> Job:
        """:meth:`submit_job` for async handlers."""
        return await sync_to_async(self.submit_job, thread_sensitive=True)(job_type, parameters, **keywords)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Return a ``with`` block in which the handler may be interrupted; for the engine."""
        try:
            with self._runner.interruptible():
                yield
        finally:
            self._has_ended = True

    def remind(self) -> None:
        """Raise the interruption that is due, if any, unless it was raised just now; for the engine."""
        self._runner.remind()

    def _refuse_late(self) -> None:
        """Stop an attempt that lost its job, and a thread that the handler left behind: its attempt has ended."""
        if self._has_ended:
            raise JobCanceled
        if self._runner.is_lost():
            self._runner.check()
