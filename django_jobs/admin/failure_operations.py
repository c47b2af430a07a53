"""Operations on failures: what the buttons for all jobs of a group start, and what is under way or was done before."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext as _

from django_jobs.admin.failure_filters import Chosen
from django_jobs.engine.control import operations
from django_jobs.engine.control.operations import MAX_PER_MINUTE, OperationRequest, under_way
from django_jobs.engine.insight.filter import JobFilter
from django_jobs.models import Operation
from django_jobs.statuses import AWAITING_RETRY, WITH_ERRORS, Status
from django_jobs.texts import listed

MAX_RATE: Final = MAX_PER_MINUTE
#: The button that wants a rate: without one it would retry at full speed what somebody meant to spare.
RETRY_AT_RATE: Final = "retry_at_rate"
#: By button: what is done, and to which of the failed jobs. A dead letter has ended, and so cannot be canceled.
BUTTONS: Final[dict[str, tuple[str, frozenset[Status]]]] = {
    "retry_all": (Operation.Action.RETRY, WITH_ERRORS),
    RETRY_AT_RATE: (Operation.Action.RETRY, WITH_ERRORS),
    "cancel_all": (Operation.Action.CANCEL, AWAITING_RETRY),
    "delete_all": (Operation.Action.DELETE, frozenset({Status.DEAD_LETTER})),
}
#: So many of the newest operations are looked at for those that are about failures.
LOOKED_AT: Final = 200


def request_of(button: str, chosen: Chosen, rate: int | None = None) -> OperationRequest:
    """Return what this button asks for, of what is chosen; ``rate`` is in jobs a minute, None as fast as it goes."""
    action, statuses = BUTTONS[button]
    filters = JobFilter(
        status=tuple(sorted(statuses & chosen.statuses)),
        job_type=(chosen.job_type,),
        organization_pk=None if chosen.organization is None else (chosen.organization.pk,),
        error_fingerprint=chosen.fingerprint,
    )
    return OperationRequest(action=action, filters=filters, rate=rate)


def failures_under_way(user: Any, job_type: str = "") -> list[Operation]:
    """Return the operations on failures that are open, and that this user may see, the latest first.

    With a type, those on jobs of this type alone, or of all types.
    """
    return [item for item in under_way(user) if is_about_failures(item) and (not job_type or is_on(item, job_type))]


def of_group(user: Any, job_type: str, fingerprint: str) -> list[Operation]:
    """Return the operations on this group that this user may see, open ones and those that ended, the latest first."""
    rows = operations.operations_seen_by(user)[:LOOKED_AT]
    return [item for item in rows if is_about_failures(item) and is_about(item, job_type, fingerprint)]


def title_of(operation: Operation) -> str:
    """Return what the operation does, and to jobs of which types."""
    types = listed(operation.filters.get("job_type") or [_("all types")])
    return _("%(action)s: %(types)s") % {"action": operation.get_action_display(), "types": types}


def is_about_failures(operation: Operation) -> bool:
    """Return whether the operation names jobs that failed."""
    statuses = operation.filters.get("status")
    return statuses is not None and WITH_ERRORS.issuperset(statuses)


def is_on(operation: Operation, job_type: str) -> bool:
    """Return whether jobs of this type may be among those that the operation names."""
    types = operation.filters.get("job_type")
    return types is None or job_type in types


def is_about(operation: Operation, job_type: str, fingerprint: str) -> bool:
    """Return whether jobs of this group may be among those that the operation names."""
    return is_on(operation, job_type) and operation.filters.get("error_fingerprint") in (None, fingerprint)
