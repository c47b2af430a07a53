"""Organizations: the ids that they have now, the one of work that belongs to no tenant, and what follows a change."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from django.db.models import AutoField, Model, QuerySet
from django.db.models.signals import post_save, pre_save

from django_jobs.conf import DEFAULT_ORGANIZATION_MODEL, jobs_settings, organization_model_name
from django_jobs.engine import timing
from django_jobs.engine.memory import Memory
from django_jobs.engine.store import database
from django_jobs.exceptions import KeyInUse
from django_jobs.models import (
    AbstractOrganization,
    Batch,
    Job,
    Membership,
    OrganizationActivity,
    Schedule,
    get_organization_model,
)
from django_jobs.texts import say

# The ids that tenants have now. A job refers to its tenant by primary key; its row keeps the id of the submission.
#
# A tenant may be renamed, and another one may take its name. So the id in a job's row is shown only when the tenant is
# gone, and it never identifies a tenant.


def id_of(tenant: Any) -> str:
    """Return the id of a tenant whose row was just read."""
    return str(getattr(tenant, str(jobs_settings.ORGANIZATION_ID_FIELD)))


def read_tenants(pks: Collection[Any]) -> dict[Any, Any]:
    """Return the tenants with these primary keys, by key, read in one statement. Deleted ones are missing."""
    if not pks:
        return {}
    # Where jobs are written, since a replica may not know a new tenant yet.
    rows = database.rows(get_organization_model()).filter(pk__in=set(pks))
    return {tenant.pk: tenant for tenant in rows}


def current_ids(pks: Collection[Any]) -> dict[Any, str]:
    """Return the id that each of these tenants has now, by primary key, in one statement. Deleted ones are missing."""
    return {pk: id_of(tenant) for pk, tenant in read_tenants(pks).items()}


def mark(jobs: Iterable[Job]) -> None:
    """Note on each of these jobs the id that its tenant has now, for :func:`shown_id`, by one statement."""
    rows = list(jobs)
    ids = current_ids({job.organization_id for job in rows})
    for job in rows:
        job.__dict__["_organization_now"] = ids.get(job.organization_id)


def shown_id(job: Job) -> str:
    """Return the id that the job's tenant has now; for a deleted tenant, the id in the job's row.

    Call :func:`mark` first for many jobs; a single one is marked here.
    """
    return job.organization_name if is_gone(job) else str(job.__dict__["_organization_now"])


def is_gone(job: Job) -> bool:
    """Return whether the job's tenant was deleted."""
    if "_organization_now" not in job.__dict__:
        mark([job])
    return job.__dict__["_organization_now"] is None


#: Of a deleted tenant the id is empty.
_recent: Final[Memory[tuple[str, Any], str]] = Memory(10_000)


def recent_ids(remembered: Mapping[Any, str]) -> dict[Any, str]:
    """Return the ids that these tenants had within ORGANIZATION_ID_SECONDS, by primary key; else those that are given.

    Each process asks for a tenant once a second at most, however many jobs it has.
    """
    alias = database.alias()
    ids_now = {pk: _recent.fresh((alias, pk)) for pk in remembered}
    old = [pk for pk, name in ids_now.items() if name is None]
    if old:
        try:
            ids: dict[Any, str] = current_ids(old)
        except Exception:  # noqa: BLE001  (the host's manager; the line is worth more than the name in it)
            ids = {}
        for pk in old:
            ids_now[pk] = _recent.put((alias, pk), ids.get(pk, ""), timing.ORGANIZATION_ID_SECONDS)
    return {pk: ids_now[pk] or name for pk, name in remembered.items()}


# The organization of work that belongs to no tenant: the setting SYSTEM_ORGANIZATION names it.
#
# Clean-ups and syncs are its jobs. It is a row like any organization, so that its jobs are dispatched, limited and
# shown like all others, but it is no tenant: only system admins see it (``engine.access``).


#: The title of the row that is made on the first need.
TITLE: Final = "System"
#: What a submission without an organization is told where the setting names none.
NOT_SET: Final = say(
    "Give the id of an organization. For work of no organization, let DJANGO_JOBS['SYSTEM_ORGANIZATION'] name the one "
    "that such work belongs to.",
    code="required",
)


def system_id() -> Any:
    """Return the id that the setting names; None where there is no system organization."""
    return jobs_settings.SYSTEM_ORGANIZATION


def meant(organization: Any) -> Any:
    """Return what a submission means by ``organization``: for None the system organization's id, if there is one."""
    return system_id() if organization is None else organization


def is_named(key: object) -> bool:
    """Return whether an id, as somebody gave it, is the system organization's."""
    name = system_id()
    return name is not None and str(key) == str(name)


def is_system(organization: Any) -> bool:
    """Return whether this instance is the system organization. One that was not read may hold its key alone."""
    name = system_id()
    if name is None or organization is None:
        return False
    if organization._state.adding and organization.pk is not None:
        return has_key(organization.pk)
    spelled, wanted = _spelled(id_of(organization)), _spelled(name)
    # Some databases do not tell such ids apart: then the row is the one that submissions find, and it is closed too.
    return spelled == wanted or (spelled.casefold() == wanted.casefold() and has_key(organization.pk))


def _spelled(key: Any) -> str:
    """Return an id as the id's field writes it, such as a UUID that was given without dashes."""
    field: Any = get_organization_model()._meta.get_field(str(jobs_settings.ORGANIZATION_ID_FIELD))
    return str(field.to_python(key))


def has_key(pk: Any) -> bool:
    """Return whether the system organization's row has this primary key."""
    return system_id() is not None and bool(rows().filter(pk=pk).exists())


def rows() -> QuerySet[Any]:
    """Return the system organization's row, or none."""
    organizations = database.rows(get_organization_model())
    name = system_id()
    return (
        organizations.none()
        if name is None
        else organizations.filter(**{str(jobs_settings.ORGANIZATION_ID_FIELD): name})
    )


def without(organizations: QuerySet[Any]) -> QuerySet[Any]:
    """Return the organizations without the system one."""
    name = system_id()
    if name is None:
        return organizations
    return organizations.exclude(**{str(jobs_settings.ORGANIZATION_ID_FIELD): name})


def can_be_made() -> bool:
    """Return whether its row is made on the first need: a host's own model may want more than an id."""
    return organization_model_name() == DEFAULT_ORGANIZATION_MODEL


def find() -> Any:
    """Return the system organization, whose row is made if it is missing and can be; else None.

    Of many processes that need it at once, one makes it.
    """
    if system_id() is None:
        return None
    matching = rows().first()
    if matching is not None or not can_be_made():
        return matching
    model: Any = get_organization_model()
    row = model(name=str(system_id()), title=TITLE)
    database.rows(model).bulk_create([row], ignore_conflicts=True)
    # A transaction that began before another process committed the row may not see it: a lock reads it as it is now.
    matching = rows().select_for_update() if database.connection().in_atomic_block else rows()
    return matching.first()


def missing() -> str:
    """Return what to say where its row is missing and cannot be made."""
    label = get_organization_model()._meta.label
    setting = "DJANGO_JOBS['SYSTEM_ORGANIZATION']"
    text = f"There is no organization %(name)r, which {setting} names: make it in %(model)s."
    return say(text, code="no_system_organization", name=system_id(), model=label)


# -- who sees it -------------------------------------------------------------------------------------------------------
# It has no members, whatever a policy answers and whoever wrote a Membership: only system admins see its jobs and act
# on them. Each answer of a policy passes here, the built-in one's and a host's.


def closes(name: str) -> bool:
    """Return whether this question of a policy is one about what the system organization keeps closed."""
    return name in _CLOSED and system_id() is not None


def closed(name: str, ask: Callable[..., Any], policy: Any) -> Callable[..., Any]:
    """Return the question of a policy with an answer that opens the system organization to system admins alone."""
    if name == "organizations_of":
        return lambda *args, **named: without(ask(*args, **named))

    def ask_of(*args: Any, **named: Any) -> bool:
        if not ask(*args, **named):
            return False
        # Hosts ask too, and may name what they hand over.
        user = args[0] if args else named["user"]
        subject = args[1] if len(args) > 1 else named["organization" if name in _OF_ORGANIZATIONS else "job"]
        if name not in _ROLES and policy.is_system_admin(user):
            return True
        return not (is_system(subject) if name in _OF_ORGANIZATIONS else has_key(subject.organization_id))

    return ask_of


_ROLES: Final = frozenset({"is_member", "is_organization_admin"})
#: What is asked about a user and an organization.
_OF_ORGANIZATIONS: Final = _ROLES | {"can_submit"}
#: The same, and what is asked about a user, and about a user and a job.
_CLOSED: Final = _OF_ORGANIZATIONS | {
    "organizations_of",
    "can_view",
    "can_cancel",
    "can_retry",
    "can_delete",
    "can_read_output",
    "can_read_logs",
}


# Finds out whether the tenant's model was swapped after the tables of jobs had been made.


def swapped_from() -> str | None:
    """Return the table that the first migration made memberships refer to, if that is not the tenant model's.

    A job's own column has no foreign key in the database, and its values would now mean other tenants.
    """
    connection = database.connection()
    table = Membership._meta.db_table
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return None  # not migrated yet: this is the moment to choose
        constraints = connection.introspection.get_constraints(cursor, table)
    column = Membership._meta.get_field("organization").column
    referred = [item["foreign_key"][0] for item in constraints.values() if _is_key_of(item, column)]
    names = {_plain(name) for name in referred}
    return referred[0] if referred and _plain(get_organization_model()._meta.db_table) not in names else None


def _is_key_of(constraint: dict[str, Any], column: str) -> bool:
    return bool(constraint["foreign_key"]) and list(constraint["columns"]) == [column]


def _plain(table: str) -> str:
    """Return the name without schema and quotes, which a host may give, and in the case that some MariaDBs keep."""
    return table.replace('"', "").replace("`", "").rpartition(".")[2].lower()


# What follows when an organization is saved: its jobs go on once it is active again. And no new one gets an old key.


def listen(wake: Callable[[], object]) -> None:
    """Let the jobs of an organization go on as soon as it is active again: ``wake`` has them dispatched.

    This works for models that inherit AbstractOrganization. For any other model, the scheduler's next tick does it.
    """
    model = get_organization_model()
    if may_reuse_keys(model):
        pre_save.connect(_saving, sender=model, dispatch_uid="django_jobs.tenancy_keys")
    if issubclass(model, AbstractOrganization):
        saved = functools.partial(_saved, wake)
        post_save.connect(saved, sender=model, dispatch_uid="django_jobs.tenancy", weak=False)


def may_reuse_keys(model: type[Model]) -> bool:
    """Return whether a new row can get the key of a deleted one: keys are neither counted up nor made at random."""
    field: Any = model._meta.pk
    while field.remote_field is not None and field.remote_field.parent_link:
        field = field.remote_field.model._meta.pk
    return not isinstance(field, AutoField) and not field.has_default()


def _saving(instance: Any, *, raw: bool, using: str, **kwargs: Any) -> None:
    """Raise KeyInUse for a new tenant whose key has jobs, batches, counts or schedules of a deleted one."""
    if raw or not instance._state.adding or instance.pk is None:
        return
    left = [
        Job.primary.filter(organization_id=instance.pk),
        OrganizationActivity.primary.filter(organization_id=instance.pk),
        Schedule.primary.filter(organization_id=instance.pk),
        Batch.primary.filter(organization_id=instance.pk),
    ]
    is_new = not type(instance)._default_manager.using(using).filter(pk=instance.pk).exists()
    if is_new and any(rows.exists() for rows in left):
        raise KeyInUse(
            f"The key {instance.pk!r} was that of a deleted organization whose jobs, batches, counts or schedules are "
            f"still there, and a new one would get them. Erase them first (manage.py jobs_prune --organization-pk "
            f"{instance.pk}, and unschedule), or take another key."
        )


def _saved(
    wake: Callable[[], object], instance: AbstractOrganization, *, created: bool, raw: bool, using: str, **kwargs: Any
) -> None:
    if instance.is_active and not created and not raw:
        database.once_on_commit(wake, using=using)
