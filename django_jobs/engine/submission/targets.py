"""What a submission names: its job type and its organization, as they are now, or what is wrong with the names."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.db import models

from django_jobs.conf import jobs_settings
from django_jobs.engine import system_organization
from django_jobs.engine.job_types import declarations
from django_jobs.engine.store import database
from django_jobs.engine.store.chosen import store
from django_jobs.engine.store.insertion_values import TargetRows, Versions
from django_jobs.engine.submission.errors import Errors, shown
from django_jobs.engine.submission.rights import Authorizer
from django_jobs.engine.submission.target_names import is_name, key_of_kind, key_of_pair, key_of_tenant, may_be_id
from django_jobs.exceptions import JobTypeNotFound, OrganizationNotFound
from django_jobs.models import JobType, get_organization_model
from django_jobs.texts import say

MAX_REMEMBERED = 2_000
READ_AT_ONCE = 2_000


class TargetsChanged(Exception):
    """What was remembered of type or organization is no longer so; read again."""


class Targets(NamedTuple):
    """With ``versions``, both come from memory or may go there, and the insertion must see that they still hold."""

    kind: JobType
    organization: Any
    versions: Versions | None = None


def read(job_type: object, organization: object, errors: Errors, authorizer: Authorizer) -> Targets | None:
    """Both, or None with what is wrong in ``errors``. Raises PermissionDenied when the authorizer does."""
    organization = system_organization.meant(organization)
    found = _recall(job_type, organization)
    if found is None:
        return read_now(job_type, organization, errors, authorizer)
    if authorizer.admit(found.kind, found.organization, found.kind.type_name) is None:
        errors.note("job_type", _missing("job type", job_type, is_id=True), JobTypeNotFound)
        return None
    return found


def read_now(job_type: object, organization: object, errors: Errors, authorizer: Authorizer) -> Targets | None:
    """Do the same without what is remembered, for whoever inserts nothing by which an old row would be noticed."""
    [found] = read_all([(job_type, organization)], authorizer)
    if not isinstance(found, Errors):
        return found
    errors.add(found)
    return None


def read_kind(job_type: object, errors: Errors, authorizer: Authorizer) -> JobType | None:
    """Return the type alone, for whatever organizations; None with what is wrong in ``errors``."""
    key = key_of_kind(job_type)
    kind = authorizer.admit(_read_kinds({key}).get(key) if key else None, None, shown(job_type))
    if kind is None:
        errors.note("job_type", _missing("job type", job_type, is_id=key is not None), JobTypeNotFound)
    return kind


def read_all(wanted: Sequence[tuple[object, object]], authorizer: Authorizer) -> list[Targets | Errors]:
    """Read many pairs by two statements, or return what is wrong with their names.

    Each pair is judged once, however often it is wanted. Instances that were passed are read too, because they may be
    old.
    """
    wanted = [(job_type, system_organization.meant(organization)) for job_type, organization in wanted]
    places: dict[Any, int] = {}
    indexes = [places.setdefault(key_of_pair(*pair), index) for index, pair in enumerate(wanted)]
    distinct = list(places.values())
    found = dict(zip(distinct, _read_pairs([wanted[index] for index in distinct], authorizer), strict=True))
    return [found[index] for index in indexes]


def read_organization(organization: object, errors: Errors) -> Any:
    """Return the organization of this id or instance as it is now; None with what is wrong in ``errors``."""
    organization = system_organization.meant(organization)
    key = key_of_tenant(organization)
    tenant = _read_tenants({key}).get(key) if key is not None else None
    if tenant is None:
        errors.note("organization", _no_organization(organization, Authorizer(None)), OrganizationNotFound)
    return tenant


def _read_pairs(wanted: Sequence[tuple[object, object]], authorizer: Authorizer) -> list[Targets | Errors]:
    keys = [(key_of_kind(job_type), key_of_tenant(organization)) for job_type, organization in wanted]
    kinds = _read_kinds({kind for kind, _ in keys if kind is not None})
    tenants = _read_tenants({tenant for _, tenant in keys if tenant is not None})
    found: list[Targets | Errors] = []
    for (job_type, organization), (kind_key, tenant_key) in database.heard(zip(wanted, keys, strict=True)):
        own = Errors()
        kind, tenant = kinds.get(kind_key or ""), tenants.get(tenant_key or ("", None))
        kind = authorizer.admit(kind, tenant, shown(job_type))
        if kind is None:
            text = _missing("job type", job_type, is_id=isinstance(job_type, str | JobType))
            own.note("job_type", text, JobTypeNotFound)
        if tenant is None:
            own.note("organization", _no_organization(organization, authorizer), OrganizationNotFound)
        found.append(Targets(kind, tenant) if kind is not None and tenant is not None else own)
    _point_at_declarations(wanted, kinds, found, authorizer)
    return found


def _no_organization(organization: Any, authorizer: Authorizer) -> str:
    """Return that there is no such organization; to those who look after the settings also what these lack."""
    if organization is None and authorizer.may_know_the_code():
        return system_organization.NOT_SET
    if system_organization.is_named(organization) and authorizer.may_know_the_code():
        return system_organization.missing()
    return _missing("organization", organization, is_id=may_be_id(organization))


def _missing(what: str, named: object, *, is_id: bool) -> str:
    if not is_id or named == "":
        text = f"Give the {'name' if what == 'job type' else 'id'} of {'an' if what[0] == 'o' else 'a'} {what}."
        return say(text, code="required")
    return say(f"There is no {what} %(name)r.", code=f"unknown_{what.replace(' ', '_')}", name=shown(named))


def _point_at_declarations(
    wanted: Sequence[tuple[object, object]],
    kinds: Mapping[str, JobType],
    found: Sequence[Targets | Errors],
    authorizer: Authorizer,
) -> None:
    """Tell those who look after the code of a type that has no row though the code declares it."""
    for (job_type, _), own in zip(wanted, found, strict=True):
        if not isinstance(own, Errors):
            continue
        name = key_of_kind(job_type)
        if name and name not in kinds and declarations.get(name) is not None and authorizer.may_know_the_code():
            text = "There is no job type %(name)r (declared in code, run migrate or jobs_sync)."
            own["job_type"] = [say(text, code="not_synced", name=name)]


def _read_kinds(names: set[str]) -> dict[str, JobType]:
    rows = JobType.primary.filter(pk__in=names) if names else []
    return {kind.pk: kind for kind in rows}


def _read_tenants(keys: set[tuple[str, Any]]) -> dict[tuple[str, Any], Any]:
    found: dict[tuple[str, Any], Any] = {}
    tenants = database.rows(get_organization_model())
    for name in {name for name, _ in keys}:
        values = [value for own, value in keys if own == name]
        for start in range(0, len(values), READ_AT_ONCE):
            rows = tenants.filter(**{f"{name}__in": values[start : start + READ_AT_ONCE]})
            found |= {(name, getattr(tenant, name)): tenant for tenant in rows}
    for key in keys - found.keys():
        if key[0] != "pk" and system_organization.is_named(key[1]):
            tenant = system_organization.find()
            found |= {} if tenant is None else {key: tenant}
    return found


# What follows is the short way: a submission was a third cheaper once it no longer read both rows each time. What is
# remembered is exact, because the INSERT asks whether these very versions of the rows are still the valid ones.

_remembered: dict[tuple[Any, ...], TargetRows] = {}


def _recall(job_type: object, organization: object) -> Targets | None:
    kind_name = job_type.pk if isinstance(job_type, JobType) else job_type
    model = get_organization_model()
    by_pk = isinstance(organization, model)
    id_field = "pk" if by_pk else str(jobs_settings.ORGANIZATION_ID_FIELD)
    tenant_id: Any = organization.pk if isinstance(organization, model) else organization
    if not _is_plain(model, id_field) or not is_name(kind_name):
        return None
    if not by_pk and not is_name(tenant_id):
        return None
    key = (database.alias(), model, kind_name, id_field, tenant_id)
    rows = _remembered.get(key) or _read_rows(key)
    if rows is None:
        return None
    kind = JobType.from_db(key[0], [*rows.kind], [*rows.kind.values()])
    tenant = model.from_db(key[0], [*rows.tenant], [*rows.tenant.values()])
    return Targets(kind, tenant, rows.versions)


def forget() -> bool:
    """Remember nothing, so that the next submission reads; whether anything was remembered."""
    had = bool(_remembered)
    _remembered.clear()
    return had


def _read_rows(key: tuple[Any, ...]) -> TargetRows | None:
    rows = store().read_targets(*key[2:])
    if rows is None:
        return None
    if len(_remembered) >= MAX_REMEMBERED:
        _remembered.clear()
    _remembered[key] = rows
    return rows


@functools.cache
def _is_plain(model: Any, id_field: str) -> bool:
    """Return whether an organization is one row of one table, so that the row's version changes with every change.

    Its id must be text, too, since that can be compared with whatever the caller gave.
    """
    is_text = id_field == "pk" or isinstance(model._meta.get_field(id_field), models.CharField | models.TextField)
    hides_none = type(model._default_manager).get_queryset is models.Manager.get_queryset
    connection = database.connection()
    converts_none = not any(field.get_db_converters(connection) for field in model._meta.concrete_fields)
    return bool(is_text and model._meta.managed and not model._meta.parents and hides_none and converts_none)
