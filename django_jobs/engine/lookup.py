"""Finds a job, or the organizations that are meant, on behalf of a user."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import ValidationError

from django_jobs.conf import jobs_settings
from django_jobs.engine.access import may_view, organizations_seen_by
from django_jobs.engine.json_storage import clean_text, is_storable_text
from django_jobs.engine.store import database
from django_jobs.exceptions import BatchNotFound, JobNotFound
from django_jobs.models import Batch, Job, get_organization_model
from django_jobs.models.job import JobQuerySet
from django_jobs.texts import say

#: Of a number that every database can compare with a primary key.
MAX_DIGITS: Final = 18


def key_in(text: str) -> int | None:
    """Return the primary key that a text says; None where it says none that a row could have."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else None


def find_job(job_id: str | Job, user: Any = None) -> Job:
    """Return the job with this id, read anew. Raises JobNotFound when there is none that ``user`` may know of."""
    rows = Job.primary.all()
    name = job_id.name if isinstance(job_id, Job) else job_id
    return find_among(rows if user is None else rows.visible_to(user), name, user)


def find_among(rows: JobQuerySet, job_id: str, user: Any = None) -> Job:
    """Return the job with this id among rows that belong to organizations which ``user`` may know of."""
    not_found = JobNotFound(say("There is no job %(job)r.", code="unknown_job", job=job_id))
    try:
        job = rows.by_id(job_id)
    except Job.DoesNotExist as error:
        raise not_found from error
    if user is not None and not may_view(user, job):
        raise not_found
    return job


def find_batch(batch_id: str | Batch, user: Any = None) -> Batch:
    """Return the batch with this id, read anew. Raises BatchNotFound when there is none that ``user`` may know of."""
    rows = Batch.primary.all()
    name = batch_id.batch_id if isinstance(batch_id, Batch) else batch_id
    try:
        return (rows if user is None else rows.visible_to(user)).by_id(name)
    except Batch.DoesNotExist as error:
        text = say("There is no batch %(batch)r.", code="unknown_batch", batch=clean_text(name, 140))
        raise BatchNotFound(text) from error


def find_organization_pk(organization: Any, user: Any = None) -> Any:
    """Return the primary key of the organization with this id, or of this instance.

    Raises JobNotFound when there is none, or when ``user`` may know of none of its jobs.
    """
    model = get_organization_model()
    seen = None if user is None else organizations_seen_by(user)
    rows = database.rows(model) if seen is None else seen
    field = "pk" if isinstance(organization, model) else jobs_settings.ORGANIZATION_ID_FIELD
    key = organization.pk if isinstance(organization, model) else organization
    try:
        # PostgreSQL fails at NUL, and the caller's transaction with it.
        is_asked = not isinstance(key, str) or is_storable_text(key)
        pk = rows.filter(**{field: key}).values_list("pk", flat=True).first() if is_asked else None
    except (TypeError, ValueError, ValidationError):  # no value of that field at all
        pk = None
    if pk is None:
        raise JobNotFound(unknown_organization(key))
    return pk


def visible_organizations(organization: Any, user: Any) -> list[Any] | None:
    """Return the primary keys of the organizations whose jobs are meant; None means all of them.

    They are read before the jobs, so that the database sees how few they are when it chooses an index.
    """
    if organization is not None:
        return [find_organization_pk(organization, user)]
    seen = None if user is None else organizations_seen_by(user)
    return None if seen is None else list(seen.values_list("pk", flat=True))


def organizations_named(names: set[str], user: Any, *, is_trusted: bool = False) -> dict[str, Any]:
    """Return the primary keys of those of these organizations that the user may know of, by the id as it was given.

    ``is_trusted`` server code knows of all; a missing user knows of none.
    """
    seen = None if is_trusted else organizations_seen_by(user)
    rows = database.rows(get_organization_model()) if seen is None else seen
    field = str(jobs_settings.ORGANIZATION_ID_FIELD)
    keys = {name: key for name in names if (key := _key(field, name)) is not None}
    if not keys:
        return {}
    found = dict(rows.filter(**{f"{field}__in": set(keys.values())}).values_list(field, "pk"))
    return {name: found[key] for name, key in keys.items() if key in found}


def _key(field: str, text: str) -> Any:
    """The value of the id field that a text stands for; None when the field cannot have it."""
    if not text or not is_storable_text(text):
        return None
    meta = get_organization_model()._meta
    column: Any = meta.pk if field == "pk" else meta.get_field(field)
    try:
        value = column.to_python(text)
        column.run_validators(value)
    except (ValidationError, ValueError, TypeError, OverflowError):
        return None
    return value


def unknown_organization(name: Any) -> str:
    """Return the one error for an organization that does not exist and for one that the user may not know of."""
    return say("There is no organization %(name)r.", code="unknown_organization", name=clean_text(name, 140))
