"""Checks of the organization for work of no tenant."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import DatabaseError, transaction

from django_jobs.conf import jobs_settings
from django_jobs.engine import organizations
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.store import database
from django_jobs.models import get_organization_model

#: Characters of an id that a job's row holds.
MAX_ID: Final = 140


@register("django_jobs")
def check_system_organization(**kwargs: Any) -> list[CheckMessage]:
    """Require an id, or nothing."""
    name = jobs_settings.SYSTEM_ORGANIZATION
    if name is None or _is_id(name):
        return []
    return [
        Error(
            f"DJANGO_JOBS['SYSTEM_ORGANIZATION'] must be the id of an organization, or None, not {name!r}.",
            hint=f"Give a text of up to {MAX_ID} characters, such as 'SYSTEM', that no tenant has as its id and that "
            "the field can hold which DJANGO_JOBS['ORGANIZATION_ID_FIELD'] names.",
            id="django_jobs.E041",
        )
    ]


@register("django_jobs", "database")
def check_system_organization_exists(databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Ask for its row where it cannot be made on the first need: in an organization model of the host's.

    This is no error: ``migrate`` runs the checks of the database first, and may be what makes the row.
    """
    name = jobs_settings.SYSTEM_ORGANIZATION
    is_asked = database.alias() in (databases or []) and name is not None and _is_id(name)
    if not is_asked or organizations.can_be_made() or not _is_missing():
        return []
    return [
        Warning(
            organizations.missing(),
            hint="Only the built-in model gets its row by itself. Let a data migration of yours make it.",
            id="django_jobs.W042",
        )
    ]


def _is_missing() -> bool:
    """Return whether there is no row of it in the model's table; False where that is yet to be migrated."""
    try:
        with transaction.atomic(using=database.alias()):
            return not organizations.rows().exists()
    except DatabaseError:
        return False


def _is_id(name: object) -> bool:
    if isinstance(name, str):
        return bool(name) and is_storable_text(name) and len(name) <= MAX_ID and _fits(name)
    return isinstance(name, int | uuid.UUID) and not isinstance(name, bool) and _fits(name)


def _fits(name: Any) -> bool:
    """Return whether the field of organizations' ids can hold this: a number and a UUID are no texts."""
    try:
        field: Any = get_organization_model()._meta.get_field(str(jobs_settings.ORGANIZATION_ID_FIELD))
        field.to_python(name)
    except FieldDoesNotExist:  # which another check tells
        return True
    except (ValidationError, TypeError, ValueError):
        return False
    return True
