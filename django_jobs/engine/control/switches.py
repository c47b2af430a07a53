"""Pausing and suspending: the switches of a job type and of the built-in organization, each set by a guarded write.

And the writing of a type's other fields.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from django_jobs.engine.access import get_policy
from django_jobs.engine.alerts import reading
from django_jobs.engine.control import audit
from django_jobs.engine.dispatch import dispatcher
from django_jobs.engine.store import database
from django_jobs.exceptions import PermissionDenied
from django_jobs.models import JobType, Organization
from django_jobs.texts import say

#: The switches of a job type: what the history says of each value.
SWITCHES: Final[Mapping[str, Mapping[bool, str]]] = MappingProxyType(
    {
        "is_paused": {True: say("Paused.", code="paused"), False: say("Resumed.", code="resumed")},
        "is_enabled": {True: say("Enabled.", code="enabled"), False: say("Disabled.", code="disabled")},
    }
)


def pause_type(kind: JobType, *, user: Any = None) -> bool:
    """Let nothing of this type start until it is resumed; what runs goes on. Return whether it was not paused yet.

    Raises PermissionDenied for a user who is no system admin, as the other switches do.
    """
    return set_switch(kind, "is_paused", True, user=user)


def resume_type(kind: JobType, *, user: Any = None) -> bool:
    """Let a paused type go on; return whether it was paused."""
    return set_switch(kind, "is_paused", False, user=user)


def set_switch(kind: JobType, field: str, value: bool, *, user: Any = None) -> bool:
    """Set a switch of a job type by one guarded statement; return whether it had the other value."""
    _refuse_others(user, "job types")
    rows = JobType.primary.filter(pk=kind.pk).exclude(**{field: value})
    if not rows.update(**{field: value}):
        return False
    database.once_on_commit(reading.forget)  # alarms say how their type stands
    audit.record(user, [kind], audit.Act.CHANGED, SWITCHES[field][value])
    database.once_on_commit(dispatcher.wake)
    return True


def write_type(kind: JobType, names: Collection[str]) -> None:
    """Save these fields of a job type, and leave alone the others, which somebody may have changed meanwhile."""
    if names:
        kind.save(update_fields=names)
        database.once_on_commit(reading.forget)
        database.once_on_commit(dispatcher.wake)


def set_active(organization_pk: Any, value: bool, *, user: Any = None) -> bool:
    """Suspend a built-in organization, or reactivate it; return whether it was the other until now.

    False also where it is gone. A host's own organizations are the host's to suspend.
    """
    _refuse_others(user, "organizations")

    def run() -> Organization | None:
        row: Organization | None = database.locked(database.rows(Organization).filter(pk=organization_pk)).first()
        if row is None or row.is_active == value:
            return None
        row.is_active = value
        # save() sends the signal that lets waiting jobs go on; update() would not.
        row.save(update_fields=["is_active"], using=database.alias())
        return row

    changed = database.in_transaction(run)
    if changed is not None:
        text = say("Reactivated.", code="reactivated") if value else say("Suspended.", code="suspended")
        audit.record(user, [changed], audit.Act.CHANGED, text)
    return changed is not None


def _refuse_others(user: Any, what: str) -> None:
    if user is not None and not get_policy().is_system_admin(user):
        raise PermissionDenied(say(f"Only system admins pause and resume {what}.", code="not_system_admin"))
