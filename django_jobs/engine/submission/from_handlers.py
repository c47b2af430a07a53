"""Submitting from a handler, through its context: for its job's organization, in the name of its job's owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model

from django_jobs.engine.claimed_job import current_job
from django_jobs.engine.store.fresh_reads import fresh_reads
from django_jobs.engine.submission import single
from django_jobs.engine.submission.fields import refuse_unknown
from django_jobs.engine.submission.rights import Authorizer
from django_jobs.exceptions import PermissionDenied
from django_jobs.models import Job, get_organization_model
from django_jobs.texts import say

if TYPE_CHECKING:
    from django_jobs.engine.claimed_job import Claimed


def submit(claimed: Claimed, job_type: object, parameters: Any, keywords: Mapping[str, Any]) -> Job:
    """Submit a job for the organization of the running one, and return it.

    ``user`` among the keywords takes the place of the owner, and is checked like any user. The organization is found by
    its key, so that it may have another id by now.
    """
    given = {name: value for name, value in keywords.items() if name != "user"}
    refuse_unknown("context.submit_job", given)
    token = current_job.set(claimed)  # threads that the handler started do not know the job
    try:
        with fresh_reads():  # a refusal would end the running job
            owner = keywords["user"] if "user" in keywords else _owner(claimed)
            authorizer = Authorizer(owner, is_code="user" not in keywords)
            organization = get_organization_model()(pk=claimed.organization_pk)
            return single.submit(job_type, organization, {**given, "parameters": parameters}, owner, authorizer)
    finally:
        current_job.reset(token)


def _owner(claimed: Claimed) -> Any:
    if claimed.owner_id is None and not claimed.owner_name:
        return None
    owner = get_user_model()._default_manager.filter(pk=claimed.owner_id).first()
    if owner is None:
        text = "%(owner)s, the owner of %(job)s, no longer exists."
        raise PermissionDenied(say(text, code="owner_gone", owner=claimed.owner_name, job=claimed.job_id))
    return owner
