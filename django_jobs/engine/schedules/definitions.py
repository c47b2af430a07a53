"""Making, changing, pausing and deleting schedules. Each change leaves an audit row and a log line."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_noop

from django_jobs.conf import jobs_settings
from django_jobs.engine.actors import name_of
from django_jobs.engine.control import audit
from django_jobs.engine.control.audit import Act
from django_jobs.engine.english import in_english
from django_jobs.engine.schedules.definition_checks import (
    COLUMNS,
    RULE,
    WHAT,
    check_definition,
    check_hidden,
    check_interval,
    column_of,
    is_same,
    refusal,
    values_of,
)
from django_jobs.engine.schedules.intervals import Every
from django_jobs.engine.schedules.schedule_rights import check_rights, get_schedule, may_manage, not_found
from django_jobs.engine.schedules.timetable import rule_of
from django_jobs.engine.store import database
from django_jobs.engine.submission.errors import Errors
from django_jobs.exceptions import InvalidSchedule
from django_jobs.models import JobType, Schedule, ScheduleFiring
from django_jobs.texts import say

MAX_TRIES: Final = 5
TAKEN: Final = say(gettext_noop("There is a schedule of this name already."), code="taken")
OF_A_PERSON: Final = gettext_noop("%(user)s made a schedule of this name. Code does not change a person's schedule.")
DECLARED: Final = say(
    gettext_noop("Code declares this schedule for every organization. Pause it, and make one for this organization."),
    code="declared",
)
#: A mark that lies further ahead was made by a clock that was wrong.
MOST_AHEAD: Final = dt.timedelta(days=1)
_JUDGED_TOGETHER: Final = ({"cron", "every"}, {"starts_at", "ends_at"})
#: Columns whose change is that of another one, and stands in no history.
_TOLD_BY_OTHERS: Final = {"owner_name", "organization_key", "next_run_at", "fault", "faulty_since"}


def schedule_job(  # noqa: PLR0913  (all that a schedule may say)
    name: str,
    job_type: str | JobType,
    organization: Any = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    cron: str | None = None,
    every: int | dt.timedelta | Every | None = None,
    timezone: str | None = None,
    priority: str | int | None = None,
    starts_at: dt.datetime | None = None,
    ends_at: dt.datetime | None = None,
    jitter: int = 0,
    catch_up: str = "once",
    overlap: str = "skip",
    is_enabled: bool = True,
    user: Any = None,
) -> Schedule:
    """Make the organization's schedule of this name, or change it to what is said here, and return it.

    It submits a job of the type for ``organization`` (an id or an instance; None: one for each active organization),
    whenever ``cron`` says (five fields, in ``timezone``, by default the setting TIME_ZONE) or ``every`` so many
    seconds. It fires from ``starts_at`` until ``ends_at``, spreads the jobs of one firing over ``jitter`` seconds,
    ``catch_up`` (``"skip"``, ``"once"``, ``"all"``) says what becomes of firings that nobody was there for, and
    ``overlap`` (``"allow"``, ``"skip"``) what a firing does while the last job is unfinished.

    ``user`` owns the schedule: jobs are submitted in their name, and their rights are checked now and at each firing.
    None is trusted server code, which without an organization changes only what code made. Raises InvalidSchedule,
    whose ``errors`` name each field, and PermissionDenied.
    """
    given = {
        "name": name,
        "job_type": job_type,
        "organization": organization,
        "parameters": parameters,
        "cron": cron,
        "every": every,
        "timezone": timezone,
        "priority": priority,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "jitter": jitter,
        "catch_up": catch_up,
        "overlap": overlap,
        "is_enabled": is_enabled,
    }
    values, errors = check_definition(given, user)
    if errors:
        raise refusal(errors)
    values |= _owner(user)
    for _ in range(MAX_TRIES):
        found = database.in_transaction(lambda: _update(values, user) or _create(values, user))
        if found is not None:
            return found
    text = gettext_noop("Others change this schedule at this moment; try again.")
    raise InvalidSchedule({"name": [say(text, code="busy")]})


def create_schedule(given: Mapping[str, Any], *, user: Any = None) -> Schedule:
    """Make a schedule of the keywords of :func:`schedule_job`; its organization must have none of this name."""
    values, errors = check_definition(given, user)
    _check_taken(values, errors)
    if errors:
        raise refusal(errors)
    found = database.in_transaction(lambda: _create(values | _owner(user), user))
    if found is None:
        raise InvalidSchedule({"name": [TAKEN]})
    return found


def change_schedule(schedule: str | int | Schedule, changes: Mapping[str, Any], *, user: Any = None) -> Schedule:
    """Change some fields of a schedule, by the keywords of :func:`schedule_job`, and return it.

    Who changes what is submitted (type, organization, parameters) becomes the owner. Who changes only when it fires
    leaves the owner. Raises ScheduleNotFound, InvalidSchedule and PermissionDenied.
    """
    before = get_schedule(schedule, user=user)
    given = {**values_of(before), **changes}
    if changes.get("cron"):
        given["every"] = changes.get("every")
    elif changes.get("every") is not None:
        given["cron"] = changes.get("cron")
    values, errors = check_definition(given)
    stays = all(is_same(getattr(before, column_of(field)), values[column_of(field)]) for field in WHAT)
    if not stays:
        values, errors = check_definition(given, user)
    elif user is not None and any(not is_same(getattr(before, name), values[name]) for name in ("cron", "every")):
        check_interval(values, errors)
    _check_taken(values, errors, before)
    if before.declared is not None and values["organization_id"] is not None:
        errors["organization"] = [DECLARED]
    check_hidden(before, values, user, errors)
    if errors:
        raise refusal(errors)
    if values["organization_key"] != before.organization_key:
        _refuse_too_many(values, user)
    # What is not changed here may be changed by others at this moment, and stays as they have it. But what was judged
    # together is written together.
    differing = {column for column, value in values.items() if not is_same(getattr(before, column), value)}
    for pair in _JUDGED_TOGETHER:
        differing |= pair if differing & pair else set()
    values = {column: value for column, value in values.items() if column in differing}
    values |= {} if stays else _owner(user)
    try:
        return _set(before, user, values)
    except IntegrityError:  # another process has just given this name to another one
        raise InvalidSchedule({"name": [TAKEN]}) from None


def take_over(schedule: str | int | Schedule, *, user: Any) -> Schedule:
    """Make the user the owner, in whose name it submits from now on, and return the schedule.

    Their rights are checked as for a schedule that they make. Raises ScheduleNotFound, InvalidSchedule and
    PermissionDenied.
    """
    found = get_schedule(schedule, user=user)
    _, errors = check_definition(values_of(found), user)
    if errors:
        raise refusal(errors)
    return _set(found, user, _owner(user))


def pause_schedule(schedule: str | int | Schedule, *, user: Any = None) -> Schedule:
    """Let the schedule fire no more until it is resumed, and return it. Raises ScheduleNotFound.

    Its owner may, too, who no longer manages it.
    """
    return _set(get_schedule(schedule, user=user, stops=True), user, {"is_enabled": False}, stops=True)


def resume_schedule(schedule: str | int | Schedule, *, user: Any = None) -> Schedule:
    """Let a paused schedule fire again, from now on, and return it: what was due meanwhile is not caught up."""
    return _set(get_schedule(schedule, user=user), user, {"is_enabled": True})


def unschedule(name: str | Schedule, organization: Any = None, *, user: Any = None) -> None:
    """Delete the organization's schedule of this name, and its history; the jobs stay.

    Without an organization it is one for all of them, as :func:`schedule_job` makes. Where server code (None) asks, it
    is one that code made. An owner who no longer manages it may delete it too. Raises ScheduleNotFound.
    """
    found = get_schedule(name, organization, user=user, stops=True)

    def delete() -> None:
        row = database.locked(Schedule.primary.filter(pk=found.pk)).first()
        if row is not None:
            audit.record(user, [row], Act.DELETED)
            row.delete()

    database.in_transaction(delete)


def erase_schedules(organization_pk: Any) -> None:
    """Delete the schedules of a tenant that is gone: their parameters are its data."""
    for schedule in Schedule.primary.filter(organization_id=organization_pk):
        unschedule(schedule)


def _owner(user: Any) -> dict[str, Any]:
    return {"owner_id": None if user is None else user.pk, "owner_name": name_of(user)}


def _of_name(values: Mapping[str, Any]) -> QuerySet[Schedule]:
    """Return the schedule of this name in this organization."""
    return Schedule.primary.filter(name=values["name"], organization_key=values["organization_key"])


def _check_taken(values: Mapping[str, Any], errors: Errors, before: Schedule | None = None) -> None:
    """Require that the organization has no other schedule of this name.

    A user who may not make it for this organization or type is not told the names of its schedules.
    """
    may_know = errors.keys().isdisjoint({"name", *COLUMNS})
    if may_know and any(found != before for found in _of_name(values)):
        errors["name"] = [TAKEN]


def _set(found: Schedule, user: Any, values: Mapping[str, Any], *, stops: bool = False) -> Schedule:
    def write() -> Schedule:
        row = database.locked(Schedule.primary.filter(pk=found.pk)).first()
        if row is None:
            raise not_found(found)
        check_rights(user, row, stops=stops)
        return _write(row, values, user)

    return database.in_transaction(write)


def _create(values: Mapping[str, Any], user: Any) -> Schedule | None:
    """Insert the row; None where another process has just inserted one of this name."""
    # Intervals are counted in whole seconds.
    _refuse_too_many(values, user)
    row = Schedule(**values, made_by_code=user is None, created_at=database.now().replace(microsecond=0))
    row.next_run_at = next_run(row, database.now())
    try:
        with transaction.atomic(using=database.alias()):
            row.save(using=database.alias(), force_insert=True)
    except IntegrityError:
        return None
    audit.record(user, [row], Act.ADDED, [{"added": {}}])
    return row


def _refuse_too_many(values: Mapping[str, Any], user: Any) -> None:
    """Raise InvalidSchedule where a user's schedule would be one too many for its organization."""
    limit, key = int(jobs_settings.MAX_SCHEDULES_PER_ORGANIZATION), values["organization_key"]
    if user is None or not key:
        return
    if Schedule.primary.filter(organization_key=key).exclude(owner_name="")[:limit].count() >= limit:
        text = gettext_noop("This organization has %(limit)d schedules, as many as it may.")
        raise InvalidSchedule({"organization": [say(text, code="too_many", limit=limit)]})


def _update(values: Mapping[str, Any], user: Any) -> Schedule | None:
    """Change the schedule that has the name; None where there is none."""
    row = database.locked(_of_name(values)).first()
    if row is None:
        return None
    # MariaDB takes "Übersicht" for "ubersicht", and has room for one of them.
    if row.name != values["name"] or not may_manage(user, row):
        raise InvalidSchedule({"name": [TAKEN]})
    if user is None and not (row.made_by_code or row.organization_key):
        raise InvalidSchedule({"name": [say(OF_A_PERSON, code="of_a_person", user=row.owner_name)]})
    return _write(row, values, user)


def _write(row: Schedule, values: Mapping[str, Any], user: Any) -> Schedule:
    """Write what differs, with the next firing of the new rule."""
    changed = [column for column, value in values.items() if not is_same(getattr(row, column), value)]
    if not changed:
        return row
    for column in changed:
        setattr(row, column, values[column])
    if {*RULE, "is_enabled"}.intersection(changed):
        row.next_run_at = next_run(row, database.now())
        changed.append("next_run_at")
    if "organization_id" in changed:  # of another one's people and jobs
        ScheduleFiring.primary.filter(schedule_id=row.pk).delete()
        row.fault, row.faulty_since = "", None
        changed += ["fault", "faulty_since"]
    row.save(using=database.alias(), update_fields=changed)
    audit.record(user, [row], Act.CHANGED, [{"changed": {"fields": _titles(changed)}}])
    return row


def _titles(columns: list[str]) -> list[str]:
    """Return the names of the changed fields, as Django's admin writes them into its history."""
    names = {column: field for field, column in COLUMNS.items()} | {"owner_id": "owner"}
    shown = [names.get(column, column) for column in columns if column not in _TOLD_BY_OTHERS]
    titles: list[Any] = [Schedule._meta.get_field(name) for name in shown]
    return [in_english(field.verbose_name).capitalize() for field in titles]


def next_run(schedule: Any, now: dt.datetime) -> dt.datetime | None:
    """Return when a schedule fires next: after now, and after its last firing, also where the clock was set back."""
    if not schedule.is_enabled:
        return None
    last = schedule.last_fired_at
    is_behind = last is not None and now < last <= now + MOST_AHEAD
    return rule_of(schedule).next_after(last if is_behind else now)
