"""Reading what a submission names: its job type and its organization, or what is wrong with the names."""

from __future__ import annotations

import functools
from typing import Any

from django_jobs.conf import jobs_settings
from django_jobs.engine import database
from django_jobs.engine.payloads import clean_text
from django_jobs.models import JobType, get_organization_model


def read_both(job_type: object, organization: object) -> tuple[JobType | None, Any]:
    """Both in one round trip, on PostgreSQL; (None, None) when that does not find both, or elsewhere.

    Reading them one by one was a third of what a submission costs.
    """
    kind_name = job_type.pk if isinstance(job_type, JobType) else job_type
    model = get_organization_model()
    by_pk = isinstance(organization, model)
    key: Any = getattr(organization, "pk", None) if by_pk else organization
    if not database.is_postgresql() or not _is_name(kind_name) or not (by_pk or _is_name(key)):
        return None, None
    sql, columns = _plan(model, "pk" if by_pk else str(jobs_settings.ORGANIZATION_ID_FIELD))
    with database.connection().cursor() as cursor:
        cursor.execute(sql, [kind_name, key])
        row = cursor.fetchone()
    if row is None:
        return None, None
    count = len(columns[0])
    kind = JobType.from_db(database.alias(), columns[0], row[:count])
    return kind, model.from_db(database.alias(), columns[1], row[count:])


@functools.cache
def _plan(model: Any, field_name: str) -> tuple[str, tuple[list[str], list[str]]]:
    fields = [list(kind._meta.concrete_fields) for kind in (JobType, model)]
    selected = ", ".join(f'{name}."{field.column}"' for name, own in zip("to", fields, strict=True) for field in own)
    id_field = model._meta.pk if field_name == "pk" else model._meta.get_field(field_name)
    sql = (
        f'SELECT {selected} FROM "{JobType._meta.db_table}" t, "{model._meta.db_table}" o '
        f'WHERE t.type_name = %s AND o."{id_field.column}" = %s'
    )
    return sql, ([field.attname for field in fields[0]], [field.attname for field in fields[1]])


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value) and "\x00" not in value


def read_type(job_type: object, errors: dict[str, list[str]]) -> JobType | None:
    """The job type, or None with the reason in ``errors``."""
    name = job_type.pk if isinstance(job_type, JobType) else job_type
    if not isinstance(name, str) or not _is_name(name):
        errors["job_type"] = ["Give the name of a job type."]
        return None
    kind = JobType.objects.using(database.alias()).filter(pk=name).first()
    if kind is None:
        errors["job_type"] = [f"There is no job type {clean_text(name, 100)!r}."]
    return kind


def read_organization(organization: Any, errors: dict[str, list[str]]) -> Any:
    """The organization as it is now, whatever an instance that was passed says; None with the reason in ``errors``."""
    model = get_organization_model()
    if isinstance(organization, model) and organization.pk is not None:
        tenant = model._default_manager.filter(pk=organization.pk).first()
    elif _is_name(organization):
        tenant = model._default_manager.filter(**{jobs_settings.ORGANIZATION_ID_FIELD: organization}).first()
    else:
        errors["organization"] = ["Give the id of an organization, or an organization."]
        return None
    if tenant is None:
        errors["organization"] = [f"There is no organization {clean_text(organization, 140)!r}."]
    return tenant
