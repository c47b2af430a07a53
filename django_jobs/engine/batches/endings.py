"""What a batch submits at its end: ``then`` if all its jobs completed, ``on_failure`` if not; each once at most."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db import Error
from django.utils.dateparse import parse_datetime

from django_jobs.engine.access import may_hang
from django_jobs.engine.claimed_job import current_job
from django_jobs.engine.json_storage import NotStorable, encoded
from django_jobs.engine.store import database
from django_jobs.engine.store.fresh_reads import fresh_reads
from django_jobs.engine.submission import rights, single
from django_jobs.engine.submission.fields import SubmissionFields, max_parameters_bytes
from django_jobs.engine.submission.rights import Authorizer
from django_jobs.exceptions import (
    InvalidSubmission,
    JobsError,
    JobTypeDisabled,
    OrganizationInactive,
    PermissionDenied,
    PolicyFailed,
    RetryableRefusal,
)
from django_jobs.models import Batch, Job, JobType, get_organization_model
from django_jobs.statuses import BatchState
from django_jobs.texts import said, say

logger = logging.getLogger("django_jobs")

#: What such a submission cannot say: it waits for the whole batch, and counts for none.
_NOT_TAKEN: Final = frozenset({"depends_on", "run_after", "batch"})
_TAKEN: Final = frozenset({"job_type", "parameters", *SubmissionFields.__annotations__}) - _NOT_TAKEN
_MOMENTS: Final = ("run_at", "expires_at")
#: Refusals that end by themselves, or when somebody switches a tenant or a type on again, for which jobs wait too.
_PASSING: Final = (RetryableRefusal, OrganizationInactive, JobTypeDisabled)


def check(name: str, given: object, organization: Any, user: Any) -> dict[str, Any] | None:
    """Return a submission as it is stored until the batch ends. ``name`` is ``then`` or ``on_failure``.

    Raises InvalidSubmission or PermissionDenied for what would be refused now, with the name before each field.
    """
    values = _values(name, given)
    if not values:
        return None
    try:
        single.judge(values.pop("job_type"), organization, values, user)
    except InvalidSubmission as refusal:
        raise type(refusal)({f"{name}.{field}": texts for field, texts in refusal.errors.items()}) from refusal
    return stored(name, given)


def stored(name: str, given: object) -> dict[str, Any] | None:
    """Return the same without judging it. Raises InvalidSubmission for what is no submission."""
    values = _values(name, given)
    if not values:
        return None
    try:
        text: dict[str, Any] = encoded({**values, "job_type": _name_of(values["job_type"])}, name, _max_bytes())[1]
    except NotStorable as error:
        raise InvalidSubmission({name: [said(error)]}) from error
    return text


def _values(name: str, given: object) -> dict[str, Any]:
    """Return what is given by its names; nothing where nothing is to follow."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or "job_type" not in given:
        problem = say("Give an object (a dict) with job_type, and what else the job needs.", code="not_an_object")
        raise InvalidSubmission({name: [problem]})
    unknown = sorted(str(key) for key in given.keys() - _TAKEN)
    if unknown:
        text = f"It takes no %(names)s; known are {', '.join(sorted(_TAKEN))}."
        raise InvalidSubmission({name: [say(text, code="unknown_field", names=", ".join(unknown))]})
    return dict(given)


def _name_of(job_type: Any) -> Any:
    return getattr(job_type, "pk", job_type)


def _max_bytes() -> int:
    return max_parameters_bytes() + 8192


def follow(batch: Batch) -> bool:
    """Submit what follows a batch whose jobs have all ended, unless that was done; its caller owns the row.

    Return False where it cannot be submitted for now, and is to be tried again. ``fault`` says why in words.
    """
    name = "then" if batch.state == BatchState.COMPLETED else "on_failure"
    if getattr(batch, name) is None or getattr(batch, f"{name}_job_id") is not None:
        _write(batch, fault="")
        return True
    token = current_job.set(None)  # the batch submits it, not the job that happens to run here
    try:
        with fresh_reads():  # a refusal is for good
            job = database.in_transaction(lambda: _submit(batch, getattr(batch, name)))
    except _PASSING as refusal:
        _write(batch, fault=f"{name} waits: {refusal}")
        return False
    except JobsError as refusal:
        _write(batch, fault=f"{name}: {refusal}")
    except Error:
        raise
    except Exception as error:
        if not database.goes_on_after(error):
            raise  # the policy hangs, and has taken the transaction with it
        logger.warning("batch_id=%s event=batch_not_followed error=%r", batch.batch_id, error, exc_info=error)
        _write(batch, fault=f"{name} waits: {type(error).__name__}; the log says more")
        return False
    else:
        _write(batch, fault="", **{f"{name}_job_id": job.pk})
    finally:
        current_job.reset(token)
    return True


def ask_ahead(pks: Sequence[int]) -> None:
    """Ask the policy what will be asked where something follows these batches, which are of one organization.

    To be called before the transaction that ends them: what fails or hangs here is told there.
    """
    if not may_hang():
        return
    rows = Batch.primary.filter(pk__in=pks).select_related("organization", "owner")
    with fresh_reads(), contextlib.suppress(PolicyFailed):
        for batch in rows:
            for given in filter(None, (batch.then, batch.on_failure)):
                kind = JobType.primary.filter(pk=given["job_type"]).first()
                rights.ask_ahead(batch.organization, batch.owner, kind)


def _write(batch: Batch, **values: Any) -> None:
    changed = {name: value for name, value in values.items() if getattr(batch, name) != value}
    for name, value in changed.items():
        setattr(batch, name, value)
    if changed:
        Batch.primary.filter(pk=batch.pk).update(**changed)


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
    users = database.rows(get_user_model())
    owner = None if batch.owner_id is None else users.filter(pk=batch.owner_id).first()
    if owner is None:
        text = "%(owner)s, the owner of %(batch)s, no longer exists."
        raise PermissionDenied(say(text, code="owner_gone", owner=batch.owner_name, batch=batch.batch_id))
    return owner
