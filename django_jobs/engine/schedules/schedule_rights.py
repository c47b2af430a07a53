"""Which schedules a user sees, manages and stops.

System admins manage all; an organization's admins those of their organization, for types that they may submit; others
none. What is for every organization is for system admins alone. A schedule that submits in the name of somebody who has
lost such a right may still run. They see it, and may stop it.
"""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, F, Q, QuerySet
from django.db.models.functions import Cast
from django.utils.translation import gettext_noop as _

from django_jobs.engine.access import get_policy, organizations_seen_by
from django_jobs.engine.json_storage import clean_text, is_storable_text
from django_jobs.engine.lookup import find_organization_pk
from django_jobs.engine.store import database
from django_jobs.engine.submission.rights import may_submit
from django_jobs.exceptions import JobNotFound, PermissionDenied, ScheduleNotFound
from django_jobs.models import JobType, Schedule
from django_jobs.models.organization import get_organization_model
from django_jobs.texts import say


def visible_schedules(user: Any) -> QuerySet[Schedule]:
    """Return the schedules that a user sees; of server code (None) and of system admins all."""
    rows = Schedule.primary.all()
    seen = None if user is None else organizations_seen_by(user)
    if seen is None:
        return rows
    policy = get_policy()
    if not policy._is_live(user):  # noqa: SLF001  (nobody's key would be that of code)
        return rows.none()
    which = Q(owner_id=user.pk, organization__isnull=True)
    with_schedules = rows.filter(organization__isnull=False).values("organization_id")
    for organization in seen.filter(pk__in=with_schedules):
        which |= Q(owner_id=user.pk, organization_id=organization.pk)
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
    """Return whether the user manages this schedule."""
    policy = get_policy()
    if user is None or policy.is_system_admin(user):
        return True
    organization = database.rows(get_organization_model()).filter(pk=schedule.organization_id).first()
    kind = JobType.primary.filter(pk=schedule.job_type_id).first()
    if organization is None or kind is None:
        return False
    return bool(policy.is_organization_admin(user, organization)) and may_submit(user, organization, kind)


def check_rights(user: Any, schedule: Schedule, *, asked: object = None, stops: bool = False) -> None:
    """Require that the user manages this schedule, or, with ``stops`` to read or stop it, owns it.

    Raises ScheduleNotFound, which names what was ``asked`` for, and PermissionDenied where the user sees it.
    """
    if may_manage(user, schedule):
        return
    if not visible_schedules(user).filter(pk=schedule.pk).exists():
        raise not_found(schedule if asked is None else asked)
    if not stops:
        text = _("You may see and stop this schedule, but no longer manage it.")
        raise PermissionDenied(say(text, code="not_manager"))


def get_schedule(
    schedule: str | int | Schedule, organization: Any = None, *, user: Any = None, stops: bool = False
) -> Schedule:
    """Return this schedule, read anew: by its primary key, or by its name in the organization.

    Without an organization, a name is that of one for all of them. Where server code (None) asks, it is that of one
    that code made. Raises ScheduleNotFound where there is none, and what :func:`check_rights` raises.
    """
    if isinstance(schedule, str):
        found = _named(schedule, organization, user)
    else:
        found = Schedule.primary.filter(pk=schedule.pk if isinstance(schedule, Schedule) else schedule).first()
    if found is None:
        raise not_found(schedule)
    check_rights(user, found, asked=schedule, stops=stops)
    return found


def not_found(schedule: object) -> ScheduleNotFound:
    """Return the exception to raise."""
    shown: object = schedule.name if isinstance(schedule, Schedule) else schedule
    return ScheduleNotFound(say("There is no schedule %(name)r.", code="unknown_schedule", name=clean_text(shown, 200)))


def _named(name: str, organization: Any, user: Any) -> Schedule | None:
    if not is_storable_text(name):
        return None
    try:
        key = "" if organization is None else str(find_organization_pk(organization, user))
    except JobNotFound:
        return None
    rows = Schedule.primary.filter(name=name, organization_key=key)
    if user is None and organization is None:
        rows = rows.filter(made_by_code=True)
    found = rows.first()
    return found if found is not None and found.name == name else None  # MariaDB finds similar names, too
