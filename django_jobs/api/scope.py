"""What of the database a user's request may touch at all."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import ValidationError

from django_jobs.conf import jobs_settings
from django_jobs.engine.access import organizations_seen_by
from django_jobs.engine.json_storage import clean_text, is_storable_text
from django_jobs.engine.store import database
from django_jobs.engine.submission.rights import ASKED, submittable
from django_jobs.models import Job, JobType, get_organization_model
from django_jobs.models.job import JobQuerySet

#: So many keys are written into the statement, where the database sees how few they are; more stay a subquery.
FEW: Final = 1_000


def jobs_seen_by(user: Any) -> JobQuerySet:
    """The jobs that this user may know of. Every route starts from here."""
    rows = Job.primary.all()
    organizations = organizations_seen_by(user)
    if organizations is None:
        return rows
    pks = list(organizations.values_list("pk", flat=True)[: FEW + 1])
    if len(pks) > FEW:
        return rows.filter(organization_id__in=organizations.values("pk"))
    return rows.filter(organization_id__in=pks)


def organizations_named(names: set[str], user: Any) -> dict[str, Any]:
    """Those of these organizations that the user may know of: id as given -> primary key."""
    seen = organizations_seen_by(user)
    rows = database.rows(get_organization_model()) if seen is None else seen
    field = str(jobs_settings.ORGANIZATION_ID_FIELD)
    keys = {name: key for name in names if (key := _key(field, name)) is not None}
    if not keys:
        return {}
    found = dict(rows.filter(**{f"{field}__in": set(keys.values())}).values_list(field, "pk"))
    return {name: found[key] for name, key in keys.items() if key in found}


def _key(field: str, text: str) -> Any:
    """The value of the id field that a text stands for; None for one that it could not have."""
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
    """What is said of an organization that is not there, and of one that is not the user's."""
    return f"There is no organization {clean_text(name, 140)!r}."


def organization_ids(user: Any) -> list[str]:
    """The ids of the first organizations that the user may know of, to choose from; one beyond, if there are more."""
    seen = organizations_seen_by(user)
    rows = database.rows(get_organization_model()) if seen is None else seen
    field = str(jobs_settings.ORGANIZATION_ID_FIELD)
    return [str(name) for name in rows.order_by(field).values_list(field, flat=True)[: ASKED + 1]]


def job_types_for(user: Any) -> list[JobType]:
    """The types that the user may submit in some organization, by name.

    System admins, who write them, get all of them, also those that they cannot submit.
    """
    rows = list(JobType.primary.order_by("pk"))
    if organizations_seen_by(user) is None:
        return rows
    return submittable(user, [kind for kind in rows if kind.is_enabled])


def job_types_to_choose(user: Any) -> list[JobType]:
    """The types that a form for submissions offers this user."""
    rows = JobType.primary.filter(is_enabled=True).order_by("pk")
    return submittable(user, rows)
