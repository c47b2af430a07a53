"""Making a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django_jobs.conf import jobs_settings
from django_jobs.engine.access import get_policy
from django_jobs.engine.actors import name_of
from django_jobs.engine.batches import endings
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.store import database
from django_jobs.engine.submission import resubmission, targets
from django_jobs.engine.submission.errors import Errors
from django_jobs.engine.submission.rights import belongs
from django_jobs.exceptions import InvalidSubmission, OrganizationInactive, PermissionDenied
from django_jobs.models import Batch
from django_jobs.statuses import OpenTo
from django_jobs.texts import say

#: Characters.
MAX_NAME: Final = 200


def create_batch(
    organization: Any,
    *,
    name: str = "",
    then: Mapping[str, Any] | None = None,
    on_failure: Mapping[str, Any] | None = None,
    user: Any = None,
    open_to: str = "owner",
) -> Batch:
    """Make a batch of an organization, and return it: add jobs by its ``submit`` and ``submit_many``, then close it.

    As a context manager it closes itself at the end of the block, and cancels itself where the block raises.
    ``organization`` is an id or an instance, or None for the system organization; ``name`` a title of up to 200
    characters; ``user`` the owner of the batch and its jobs, whose rights are checked (None: trusted server code).
    Users add jobs to it where they may cancel it, and none to one of server code. With ``open_to="members"`` every
    member of the organization may. Server code and the batch's own jobs always may.

    ``then`` and ``on_failure`` are submissions: dicts with ``job_type`` and whatever else
    :func:`~django_jobs.submit_job` takes, but for the organization and what waits for jobs. One is submitted when the
    batch is closed and its last job has ended: ``then`` if all completed, else ``on_failure``. Each is submitted once
    at most.

    Inside a handler, a later attempt that makes the same batch again gets that of the earlier attempt. A canceled batch
    is not given back.

    Raises InvalidSubmission, whose ``errors`` name each field, and PermissionDenied.
    """
    tenant = _tenant(organization)
    if not _is_title(name):
        raise InvalidSubmission(
            {"name": [say("Give a text of up to %(most)d characters.", code="too_long", most=MAX_NAME)]}
        )
    if open_to not in OpenTo.values:
        raise InvalidSubmission({"open_to": [say("Use 'owner' or 'members'.", code="invalid_choice")]})
    submitted_by_id, submitted_by_attempt = resubmission.submitter()
    batch = Batch(
        name=name,
        organization=tenant,
        organization_name=str(getattr(tenant, jobs_settings.ORGANIZATION_ID_FIELD)),
        owner_id=getattr(user, "pk", None),
        owner_name=name_of(user),
        open_to=open_to,
        submitted_by_id=submitted_by_id,
        submitted_by_attempt=submitted_by_attempt,
    )
    if resubmission.is_later_attempt():  # what is given back is not judged again
        batch.then, batch.on_failure = endings.stored("then", then), endings.stored("on_failure", on_failure)
        earlier = resubmission.batch_given_back(batch)
        if earlier is not None:
            return earlier
    _check_tenant(tenant, user)
    batch.then = endings.check("then", then, tenant, user)
    batch.on_failure = endings.check("on_failure", on_failure, tenant, user)
    batch.created_at = database.now()
    batch.save(using=database.alias())
    return batch


def _is_title(name: object) -> bool:
    return isinstance(name, str) and len(name) <= MAX_NAME and is_storable_text(name)


def _tenant(organization: Any) -> Any:
    errors = Errors()
    tenant = targets.read_organization(organization, errors)
    if tenant is None:
        raise errors.refusal()
    return tenant


def _check_tenant(tenant: Any, user: Any) -> None:
    if user is not None and not belongs(user, tenant):
        raise PermissionDenied(say("You may not make a batch for this organization.", code="no_part"))
    if not get_policy().is_active(tenant):
        text = say("This organization is not active.", code="organization_inactive")
        raise OrganizationInactive({"organization": [text]})
