"""Which schedules a user sees and manages: the same ones.

System admins manage all; an organization's admins those of their organization, for types that they may submit; others
none. What is for every organization is for system admins alone.
"""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, F, Q, QuerySet
from django.db.models.functions import Cast

from django_jobs.engine.access import get_policy, organizations_seen_by
from django_jobs.engine.json_storage import clean_text, is_storable_text
from django_jobs.engine.store import database
from django_jobs.engine.submission.rights import may_submit
from django_jobs.exceptions import ScheduleNotFound
from django_jobs.models import JobType, Schedule
from django_jobs.models.organization import get_organization_model


def visible_schedules(user: Any) -> QuerySet[Schedule]:
    """Return the schedules that a user sees and manages; of server code (None) and of system admins all."""
    rows = Schedule.primary.all()
    seen = None if user is None else organizations_seen_by(user)
    if seen is None:
        return rows
    policy = get_policy()
    which = Q(pk__in=[])
    with_schedules = rows.filter(organization__isnull=False).values("organization_id")
    for organization in seen.filter(pk__in=with_schedules):
        if not policy.is_organization_admin(user, organization):
            continue
        own = rows.filter(organization_id=organization.pk)
        kinds = JobType.primary.filter(pk__in=own.values("job_type_id"))
        names = [kind.pk for kind in kinds if may_submit(user, organization, kind)]
        which |= Q(organization_id=organization.pk, job_type_id__in=names)
    return rows.filter(which)


def having(rows: QuerySet[Schedule], text: str) -> QuerySet[Schedule]:
    """Return the schedules whose name, or whose type's name, has the text. The type may be gone."""
    # A foreign key has no look-up of texts, and a join would leave out what refers to a type that is gone.
    named = rows.annotate(type_text=Cast(F("job_type_id"), CharField(max_length=100)))
    return named.filter(Q(name__icontains=text) | Q(type_text__icontains=text))


def may_manage(user: Any, schedule: Schedule) -> bool:
    """Return whether the user sees and manages this schedule."""
    policy = get_policy()
    if user is None or policy.is_system_admin(user):
        return True
    organization = database.rows(get_organization_model()).filter(pk=schedule.organization_id).first()
    kind = JobType.primary.filter(pk=schedule.job_type_id).first()
    if organization is None or kind is None:
        return False
    return bool(policy.is_organization_admin(user, organization)) and may_submit(user, organization, kind)


def get_schedule(name: str | Schedule, *, user: Any = None) -> Schedule:
    """Return the schedule of this name. Raises ScheduleNotFound where there is none that the user manages."""
    wanted: object = name.name if isinstance(name, Schedule) else name
    is_name = isinstance(wanted, str) and is_storable_text(wanted)
    found = Schedule.primary.filter(name=wanted).first() if is_name else None
    if found is None or found.name != wanted or not may_manage(user, found):  # MariaDB finds similar names, too
        raise ScheduleNotFound(f"There is no schedule {clean_text(wanted, 200)!r}.")
    return found
