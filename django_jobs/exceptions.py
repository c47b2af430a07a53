"""The exceptions. A docstring says what one means; its facts are attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.core.exceptions import ObjectDoesNotExist
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import IntegrityError

from django_jobs.texts import Text, code_of, say
from django_jobs.texts import marked as _

if TYPE_CHECKING:
    from django_jobs.models import Job
    from django_jobs.values import JobStatus


class JobsError(Exception):
    """Base of everything that django_jobs raises on purpose.

    ``code`` says in a word why, such as ``"already_closed"``; where no closer one is known, it is that of the class.
    ``facts`` has the values that the text names. ``refused_call`` names the submission that was refused, such as
    ``submit_job('send_letter')``; else it is empty.
    """

    code: str = "error"
    facts: Mapping[str, Any] = {}
    refused_call = ""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        text = args[0] if args else None
        self.code = code_of(text, self.code)
        self.facts = dict(text.values) if isinstance(text, Text) else {}


class InvalidValues(JobsError):
    """What was asked for has wrong values; ``errors`` maps each field to its messages, and ``codes`` to their codes."""

    code = "invalid"

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__("; ".join(f"{field}: {' '.join(texts)}" for field, texts in errors.items()))
        self.errors = errors

    @property
    def codes(self) -> dict[str, list[str]]:
        return {field: [code_of(text) for text in texts] for field, texts in self.errors.items()}


class InvalidSubmission(InvalidValues):
    """The submission was refused.

    Of a bulk submission, ``by_index`` has the errors of each bad item by its place, and ``errors`` has them all, with
    fields such as ``3.parameters``.
    """

    def __init__(self, errors: dict[str, list[str]], by_index: dict[int, dict[str, list[str]]] | None = None) -> None:
        super().__init__(errors)
        self.by_index = by_index or {}


class JobTypeNotFound(InvalidSubmission):
    """There is no such job type, or none that this user may submit."""

    code = "unknown_job_type"


class OrganizationNotFound(InvalidSubmission):
    """There is no such organization."""

    code = "unknown_organization"


class JobTypeDisabled(InvalidSubmission):
    """The job type takes no submissions now."""

    code = "job_type_disabled"


class OrganizationInactive(InvalidSubmission):
    """The organization submits nothing until it is active again."""

    code = "organization_inactive"


class DuplicateJob(JobsError):
    """The same work was submitted moments ago; ``existing`` is that job, ``index`` the place in a bulk submission.

    ``is_visible`` says whether the user who submits may know of that job. If not, the text does not name the job, and
    only server code may use ``existing``.
    """

    code = "duplicate_job"

    def __init__(self, existing: Job, index: int = 0, *, is_visible: bool = True) -> None:
        text = say(_("The same work was submitted moments ago."))
        if is_visible:
            named = {"job": existing.name, "status": existing.status}
            text = say(_("The same work was submitted as %(job)s (%(status)s)."), **named)
        super().__init__(text)
        self.existing = existing
        self.index = index
        self.is_visible = is_visible


class RetryableRefusal(JobsError):
    """A refusal that will pass: try again after ``retry_after`` seconds.

    ``index`` is the place in a bulk submission.
    """

    def __init__(self, message: str, retry_after: float, index: int = 0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.index = index


class QueueFull(RetryableRefusal):
    """The organization's backlog is as long as it may get."""

    code = "queue_full"


class RateLimited(RetryableRefusal):
    """The organization submitted as many jobs of this type as it may for now."""

    code = "rate_limited"


CANNOT: Final = {
    "cancel": _("Cannot cancel %(job)s: %(reason)s."),
    "close": _("Cannot close %(job)s: %(reason)s."),
    "retry": _("Cannot retry %(job)s: %(reason)s."),
}


class InvalidTransition(JobsError):
    """The job is in a status that does not allow this."""

    code = "invalid_transition"

    def __init__(self, job_id: str, status: str, verb: str, reason: str = "") -> None:
        pattern = CANNOT.get(verb, f"Cannot {verb} %(job)s: %(reason)s.")
        self.reason = reason or say(_("it is %(status)s"), status=say(status))
        super().__init__(say(pattern, job=job_id, reason=self.reason))
        self.code = code_of(reason, self.code)
        self.job_id = job_id
        self.status = status
        self.verb = verb


class OperationOver(JobsError):
    """An operation that has come to its end can be neither paused nor resumed nor stopped, and has no other rate."""

    code = "over"


class JobFailed(JobsError):
    """The awaited job ended without completing; ``status`` tells how."""

    code = "job_failed"

    def __init__(self, status: JobStatus) -> None:
        super().__init__(f"{status.job_id} ended as {status.status}: {status.error_message or 'no reason given'}")
        self.status = status


class JobNotFound(JobsError, ObjectDoesNotExist):
    """There is no such job, or this user may not know of it."""

    code = "not_found"


class BatchNotFound(JobsError, ObjectDoesNotExist):
    """There is no such batch, or this user may not know of it."""

    code = "not_found"


class ScheduleNotFound(JobsError, ObjectDoesNotExist):
    """There is no such schedule, or this user may not know of it."""

    code = "not_found"


class InvalidSchedule(InvalidSubmission):
    """The schedule was refused."""


class InvalidOperation(InvalidValues):
    """The operation on many jobs was refused."""


class InvalidFilter(InvalidOperation):
    """The filter of jobs was refused; the fields of ``errors`` are its names."""


class PermissionDenied(JobsError, DjangoPermissionDenied):
    """The user may not do this."""

    code = "permission_denied"


class PolicyFailed(RuntimeError):
    """The host's access policy raised, or gave no answer; what it raised, or a TypeError, is the cause (``__cause__``).

    It is no JobsError, and nothing that Django or the REST framework turn into an answer. Whatever a policy raises (a
    missing row, a missing attribute, even PermissionDenied) is its failure and decides nothing.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"The access policy failed: {error!r}")


class TransientError(JobsError):
    """Raised by a handler: it may work next time, so retry."""


class PermanentError(JobsError):
    """Raised by a handler: it will never work, so do not retry."""


class InvalidStep(PermanentError):
    """A step of a handler, or its checkpoint, that cannot be: its name, its result, or where it is done."""


class StepOrderChanged(InvalidStep):
    """A later attempt takes other steps than the one before it, in another order, or with other arguments."""


class OrganizationGone(PermanentError, ObjectDoesNotExist):
    """The tenant of the running job was deleted; ``organization_pk`` is the key that it had."""

    code = "organization_gone"

    def __init__(self, organization: str, organization_pk: object) -> None:
        super().__init__(f"The organization {organization!r} (key {organization_pk}) was deleted while this job ran.")
        self.organization_pk = organization_pk


class KeyInUse(JobsError, IntegrityError):
    """A new tenant would take the primary key of a deleted one whose jobs are still there, and get them with it."""

    code = "key_in_use"


class RetryLater(JobsError):
    """Raised by a handler: run me again after ``seconds`` (at most a year), without spending a retry."""

    MAX_SECONDS = 365 * 24 * 3600.0

    def __init__(self, seconds: float, message: str = "") -> None:
        # NaN compares as false, so it becomes 0.
        self.seconds = min(float(seconds), self.MAX_SECONDS) if seconds > 0 else 0.0
        super().__init__(message or f"asked to run again in {self.seconds:g} s")


class Interruption(BaseException):
    """Base of what stops a handler from outside. It is no ``Exception``, so that no handler catches it by accident."""


class JobCanceled(Interruption):
    """The job is to stop: it was canceled, or this attempt no longer owns it."""


class AttemptLost(JobCanceled):
    """This attempt seems to have lost the job. If it still owns it, the job is requeued."""


class JobTimedOut(Interruption):
    """The handler ran past its ``timeout_seconds``."""


class WorkerStopping(Interruption):
    """The worker shuts down and its grace is over; the job is requeued."""


class BrokerUnavailable(JobsError):
    """The broker could not be reached in time."""

    code = "broker_unavailable"


class WorkersSuspended(BrokerUnavailable):
    """RQ's workers are suspended, so nothing may start."""

    code = "workers_suspended"


class ForeignBroker(JobsError):
    """This broker belongs to another database's installation."""

    code = "foreign_broker"

    advice: ClassVar[str] = (
        "Give each installation a Redis database of its own. Where the other one is gone, as after its database was "
        "made anew, take its mark away: redis-cli -n N del rq:django_jobs:installation"
    )
