"""What a batch submits at its end: ``then`` if all its jobs completed, ``on_failure`` if not; each once at most."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.utils.dateparse import parse_datetime

from django_jobs.engine.claimed_job import current_job
from django_jobs.engine.json_storage import NotStorable, encoded
from django_jobs.engine.submission import single
from django_jobs.engine.submission.fields import SubmissionFields, max_parameters_bytes
from django_jobs.engine.submission.rights import Authorizer
from django_jobs.exceptions import InvalidSubmission, JobsError, PermissionDenied, RetryableRefusal
from django_jobs.models import Batch, Job, get_organization_model
from django_jobs.statuses import BatchState

logger = logging.getLogger("django_jobs")

#: What such a submission cannot say: it waits for the whole batch, and counts for none.
_NOT_TAKEN: Final = frozenset({"depends_on", "run_after", "batch"})
_TAKEN: Final = frozenset({"job_type", "parameters", *SubmissionFields.__annotations__}) - _NOT_TAKEN
_MOMENTS: Final = ("run_at", "expires_at")


def check(name: str, given: object, organization: Any, user: Any) -> dict[str, Any] | None:
    """Return a submission as it is stored until the batch ends. ``name`` is ``then`` or ``on_failure``.

    Raises InvalidSubmission or PermissionDenied for what would be refused now, with the name before each field.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping) or "job_type" not in given:
        raise InvalidSubmission({name: ["Give an object (a dict) with job_type, and what else the job needs."]})
    unknown = sorted(str(key) for key in given.keys() - _TAKEN)
    if unknown:
        raise InvalidSubmission({name: [f"It takes no {', '.join(unknown)}; known are {', '.join(sorted(_TAKEN))}."]})
    values = {key: value for key, value in given.items() if key != "job_type"}
    try:
        single.judge(given["job_type"], organization, values, user)
        stored: dict[str, Any] = encoded({**given, "job_type": _name_of(given["job_type"])}, name, _max_bytes())[1]
    except InvalidSubmission as refusal:
        raise type(refusal)({f"{name}.{field}": texts for field, texts in refusal.errors.items()}) from refusal
    except NotStorable as error:
        raise InvalidSubmission({name: [str(error)]}) from error
    return stored


def _name_of(job_type: Any) -> Any:
    return getattr(job_type, "pk", job_type)


def _max_bytes() -> int:
    return max_parameters_bytes() + 8192


def end(batch: Batch, now: dt.datetime) -> bool:
    """End a batch whose jobs have all ended, in the transaction that owns its row; its caller writes when.

    Return False where it cannot end yet, since what follows it cannot be submitted for now.
    """
    batch.completed_at = now
    name = "then" if batch.state == BatchState.COMPLETED else "on_failure"
    if getattr(batch, name) is not None and getattr(batch, f"{name}_job_id") is None:
        token = current_job.set(None)  # the batch submits it, not the job that happens to run here
        try:
            setattr(batch, f"{name}_job_id", _submit(batch, getattr(batch, name)).pk)
            batch.fault = ""
            batch.save(update_fields=[f"{name}_job_id", "fault"])
        except RetryableRefusal:
            batch.completed_at = None
            return False
        except JobsError as refusal:
            batch.fault = f"{name}: {refusal}"
            batch.save(update_fields=["fault"])
        finally:
            current_job.reset(token)
    level = logging.WARNING if batch.fault else logging.INFO
    text = "batch_id=%s event=batch_ended state=%s total=%s organization=%s %s"
    logger.log(level, text, batch.batch_id, batch.state, batch.total, batch.organization_name, batch.fault)
    return True


def _submit(batch: Batch, given: dict[str, Any]) -> Job:
    owner = owner_of(batch)
    values = {key: value for key, value in given.items() if key != "job_type"}
    for name in _MOMENTS:
        if isinstance(values.get(name), str):
            values[name] = parse_datetime(values[name])
    # What follows one batch is not the same work as what follows another, though its parameters may be equal.
    if values.get("unique_key") is None:
        values["deduplication_window"] = 0
    values.setdefault("on_duplicate", "return")
    return single.submit(given["job_type"], tenant_of(batch), values, owner, Authorizer(owner))


def tenant_of(batch: Batch) -> Any:
    """Return an instance with the key of the batch's tenant, which a submission reads anew."""
    return get_organization_model()(pk=batch.organization_id)


def owner_of(batch: Batch) -> Any:
    """Return the user in whose name the batch's jobs are submitted; None: nobody's. Raises PermissionDenied if gone."""
    if batch.owner_id is None and not batch.owner_name:
        return None
    users = get_user_model()._default_manager
    owner = None if batch.owner_id is None else users.filter(pk=batch.owner_id).first()
    if owner is None:
        raise PermissionDenied(f"{batch.owner_name}, the owner of {batch.batch_id}, no longer exists.")
    return owner
