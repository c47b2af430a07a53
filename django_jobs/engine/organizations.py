"""The organization of work that belongs to no tenant, and whether the tenants' model was swapped too late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.db.models import QuerySet

from django_jobs.conf import DEFAULT_ORGANIZATION_MODEL, jobs_settings, organization_model_name
from django_jobs.engine.store import database
from django_jobs.engine.store.organization_ids import id_of
from django_jobs.models import Membership, get_organization_model
from django_jobs.texts import say

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
