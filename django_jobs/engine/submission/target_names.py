"""What a submission may give as the names of its type and organization, and the keys by which their rows are found."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import models

from django_jobs.conf import jobs_settings
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.models import JobType, get_organization_model

#: What is equal names the same.
_PLAIN: Final = frozenset({str, int, uuid.UUID})
#: No database has a larger whole number for a key.
MAX_WHOLE: Final = 2**63


def key_of_pair(job_type: object, organization: object) -> tuple[object, ...]:
    """Return a key that is the same for pairs that name the same in the same way."""
    if type(job_type) is str and type(organization) is str:  # as nearly always
        return job_type, organization
    return (*_identity(job_type), *_identity(organization))


def _identity(named: object) -> tuple[object, object]:
    value = named.pk if isinstance(named, models.Model) else named
    return type(named), value if type(value) in _PLAIN else id(named)


def is_name(value: object) -> bool:
    """Return whether it is a text that can be stored, and not an empty one."""
    return isinstance(value, str) and bool(value) and is_storable_text(value)


def key_of_kind(job_type: object) -> str | None:
    """Return the name by which a type is found; None for what cannot be one."""
    name = job_type.pk if isinstance(job_type, JobType) else job_type
    return name if isinstance(name, str) and is_name(name) else None


def may_be_id(organization: object) -> bool:
    """Return whether it is of a kind that ids are of."""
    if isinstance(organization, get_organization_model()):
        return True
    return isinstance(organization, str | int | uuid.UUID) and not isinstance(organization, bool)


def key_of_tenant(organization: Any) -> tuple[str, Any] | None:
    """Return (field, value) by which an organization is found; None for what cannot be an id."""
    if isinstance(organization, get_organization_model()):
        return None if organization.pk is None else ("pk", organization.pk)
    if not may_be_id(organization) or not (is_name(organization) or not isinstance(organization, str)):
        return None
    name = str(jobs_settings.ORGANIZATION_ID_FIELD)
    try:
        value = _field(name).to_python(organization)
    except ValidationError:  # no value that this kind of id could have
        return None
    is_too_large = isinstance(value, int) and not -MAX_WHOLE <= value < MAX_WHOLE  # which SQLite's driver cannot send
    return None if is_too_large else (name, value)


def _field(name: str) -> Any:
    meta = get_organization_model()._meta
    return meta.pk if name == "pk" else meta.get_field(name)
