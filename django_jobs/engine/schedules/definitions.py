"""Definitions of schedules: who sees and manages them, what is wrong with one, and each change.

System admins manage all; an organization's admins those of their organization, for types that they may submit; others
none. What is for every organization is for system admins alone. A schedule that submits in the name of somebody who has
lost such a right may still run. They see it, and may stop it.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.conf import settings
from django.db import Error, IntegrityError, transaction
from django.db.models import CharField, F, Q, QuerySet
from django.db.models.functions import Cast
from django.utils.translation import gettext_noop as _

from django_jobs.conf import jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.access import get_policy, may_submit
from django_jobs.engine.actors import name_of
from django_jobs.engine.control import audit
from django_jobs.engine.control.audit import Act
from django_jobs.engine.job_types import parameters
from django_jobs.engine.job_types.masking import hidden_from, masked
from django_jobs.engine.json_storage import clean_text, is_same, is_storable_text
from django_jobs.engine.schedules import timetable
from django_jobs.engine.schedules.timetable import Every, Rule, rule_of
from django_jobs.engine.scope import Scope
from django_jobs.engine.store import database
from django_jobs.engine.submission import targets
from django_jobs.engine.submission.targets import Authorizer
from django_jobs.engine.submission.values import Errors, check_fields, check_moment, check_word
from django_jobs.exceptions import InvalidSchedule, JobNotFound, PermissionDenied, ScheduleNotFound
from django_jobs.models import JobType, Schedule, ScheduleFiring, get_organization_model
from django_jobs.models.schedule import MAX_JITTER, CatchUp, Overlap
from django_jobs.texts import in_english, say


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
    if not Scope(user).schedules().filter(pk=schedule.pk).exists():
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
        row = _named(schedule, organization, user)
    else:
        row = Schedule.primary.filter(pk=schedule.pk if isinstance(schedule, Schedule) else schedule).first()
    if row is None:
        raise not_found(schedule)
    check_rights(user, row, asked=schedule, stops=stops)
    return row


def not_found(schedule: object) -> ScheduleNotFound:
    """Return the exception to raise."""
    shown: object = schedule.name if isinstance(schedule, Schedule) else schedule
    return ScheduleNotFound(say("There is no schedule %(name)r.", code="unknown_schedule", name=clean_text(shown, 200)))


def _named(name: str, organization: Any, user: Any) -> Schedule | None:
    if not is_storable_text(name):
        return None
    try:
        key = "" if organization is None else str(Scope(user).organization(organization))
    except JobNotFound:
        return None
    rows = Schedule.primary.filter(name=name, organization_key=key)
    if user is None and organization is None:
        rows = rows.filter(made_by_code=True)
    row = rows.first()
    return row if row is not None and row.name == name else None  # MariaDB finds similar names, too


# What is wrong with the definition of a schedule, field by field.


MAX_NAME: Final = 200
HIDDEN: Final = say(
    _(
        "Some of them are hidden from you, so they go only to the type and organization that the schedule has. Give "
        "other parameters, or make another schedule."
    ),
    code="hidden",
)
COMPARED: Final = 100
#: In which years a schedule may begin and end.
YEARS: Final = (1970, 9_000)
#: What a definition says: of what is submitted, and of when.
WHAT: Final = ("job_type", "organization", "parameters")
RULE: Final = ("cron", "every", "timezone", "starts_at", "ends_at")
FIELDS: Final = ("name", *WHAT, "priority", *RULE, "jitter", "catch_up", "overlap", "is_enabled")
#: The columns of these fields, where they have another name.
COLUMNS: Final = {"job_type": "job_type_id", "organization": "organization_id"}


def column_of(field: str) -> str:
    """Return the model's attribute that holds a field's value."""
    return COLUMNS.get(field, field)


def check_definition(given: Mapping[str, Any], user: Any = None) -> tuple[dict[str, Any], Errors]:
    """Return the values of a definition by the model's attributes, and what is wrong with it by field.

    ``given`` may have every keyword of :func:`~django_jobs.schedule_job`; what is missing has its default. ``user`` is
    who makes the schedule and is to own it, None server code. What is wrong leaves a blank value. Raises
    PermissionDenied where the user does not manage the organization.
    """
    values, errors = _check_times_and_options(given, FIELDS)
    if user is not None:
        check_interval(values, errors)
    job_type, organization = _read_targets(given, user, errors)
    values |= {
        "job_type_id": None if job_type is None else job_type.pk,
        "organization_id": None if organization is None else organization.pk,
        "organization_key": "" if organization is None else str(organization.pk),
    }
    return values | _check_values(values["job_type_id"], given, errors), errors


def check_interval(values: Mapping[str, Any], errors: Errors) -> None:
    """Refuse a rule that fires more often than a user's schedule may: each firing takes time from all others."""
    if not errors.keys().isdisjoint(RULE):
        return
    least, field = int(jobs_settings.MIN_SCHEDULE_SECONDS), "cron" if values["cron"] else "every"
    seconds = [values["every"]]
    if field == "cron":
        rule = Rule(**{name: values[name] for name in RULE}, anchor=dt.datetime.now(dt.UTC))
        runs = rule.upcoming(rule.anchor, COMPARED) if least > timing.SHORTEST_CRON_SECONDS else []
        seconds = [(later - run).total_seconds() for run, later in itertools.pairwise(runs)]
    if any(item < least for item in seconds):
        text = _("A user's schedule fires at most once in %(count)d seconds.")
        errors[field] = [say(text, code="too_often", count=least)]


def check_declared(
    given: Mapping[str, Any], type_name: str, fields: Iterable[str]
) -> tuple[dict[str, Any], Mapping[str, list[str]]]:
    """Return the values of a schedule that code declares for a type, and what is wrong with it."""
    values, errors = _check_times_and_options(given, fields)
    try:
        values |= _check_values(type_name, given, errors)
    except Error:  # a serializer that asks a database which is not there yet
        values |= _check_values(None, given, errors)
    return values | {"job_type_id": type_name}, errors


def _check_times_and_options(given: Mapping[str, Any], fields: Iterable[str]) -> tuple[dict[str, Any], Errors]:
    """Return the values that need no table: the name, the rule and the options; a field beyond ``fields`` is wrong."""
    errors = Errors()
    unknown = sorted(set(given).difference(fields))
    if unknown:
        text = f"There is no %(names)s; known are {', '.join(fields)}."
        errors["non_field_errors"] = [say(text, code="unknown_field", names=", ".join(unknown))]
    values = {"name": _check_name(given.get("name"), errors), **_check_rule(given, errors)}
    return values | _check_options(given, errors), errors


def _check_name(name: object, errors: Errors) -> str:
    is_text = isinstance(name, str) and name == name.strip() and is_storable_text(name)
    if is_text and 0 < len(str(name)) <= MAX_NAME and str(name).isprintable():
        return str(name)
    text = _("Give a text of 1 to %(count)d characters on one line, without spaces around it.")
    errors["name"] = [say(text, code="not_a_name", count=MAX_NAME)]
    return ""


def _check_rule(given: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    """Return the values of the fields that say when a schedule fires."""
    values = {
        "cron": given.get("cron") or "",
        "every": timetable.interval_seconds(given.get("every")),
        "timezone": given.get("timezone") or str(settings.TIME_ZONE),
        "starts_at": _check_moment("starts_at", given, errors),
        "ends_at": _check_moment("ends_at", given, errors),
    }
    _check_times(values, errors)
    try:
        timetable.zone_of(values["timezone"])
    except InvalidSchedule as error:
        errors.update(error.errors)
    starts_at, ends_at = values["starts_at"], values["ends_at"]
    if starts_at is not None and ends_at is not None and ends_at < starts_at:
        errors["ends_at"] = [say(_("Give a moment after starts_at."), code="before_starts_at")]
    return values


def _check_times(values: dict[str, Any], errors: Errors) -> None:
    """Require cron or an interval, and a good one."""
    expression, seconds = values["cron"], values["every"]
    if bool(expression) == (seconds is not None):
        code = "two_rules" if expression else "required"
        errors["cron"] = [say(_("Give either cron (five fields) or every (seconds)."), code=code)]
        return
    if seconds is not None:
        problem, field = timetable.interval_problem(seconds), "every"
    else:
        problem, field = timetable.cron_problem(expression), "cron"
        values["cron"] = timetable.normalized_cron(str(expression))
    if problem:
        errors[field] = [problem]


def _check_moment(field: str, given: Mapping[str, Any], errors: Errors) -> dt.datetime | None:
    moment = check_moment(given.get(field), field, errors)
    if moment is None or YEARS[0] <= moment.year <= YEARS[1]:  # beyond, not every time zone and database has it
        return moment
    text = _("Give a moment in the years %(first)d to %(last)d.")
    errors[field] = [say(text, code="out_of_range", first=YEARS[0], last=YEARS[1])]
    return None


def _check_options(given: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    jitter = given.get("jitter", 0)
    jitter = int(jitter.total_seconds()) if isinstance(jitter, dt.timedelta) else jitter
    if isinstance(jitter, bool) or not isinstance(jitter, int) or not 0 <= jitter <= MAX_JITTER:
        text = _("Give whole seconds from %(least)d to %(most)d.")
        errors["jitter"] = [say(text, code="out_of_range", least=0, most=MAX_JITTER)]
    values = {"jitter": jitter, "is_enabled": given.get("is_enabled", True)}
    if not isinstance(values["is_enabled"], bool):
        errors["is_enabled"] = [say("Give True or False.", code="not_true_or_false")]
    words: dict[str, Any] = {"catch_up": (CatchUp, CatchUp.ONCE), "overlap": (Overlap, Overlap.SKIP)}
    for field, (choices, default) in words.items():
        values[field] = check_word(field, given.get(field, default), choices.values, errors)
    return values


def _check_values(type_name: str | None, given: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    """Judge the parameters, by the type's serializer where there is one, and the priority."""
    errors_of_values = Errors()
    fields = check_fields({name: given.get(name) for name in ("parameters", "priority")}, errors_of_values)
    if type_name is not None and "parameters" not in errors_of_values:
        errors_of_values.update(parameters.validate(type_name, fields.columns["input_parameters"]))
    errors.update(errors_of_values)
    return {"parameters": fields.columns["input_parameters"], "priority": fields.columns.get("priority")}


def _read_targets(given: Mapping[str, Any], user: Any, errors: Errors) -> tuple[JobType | None, Any]:
    """Return the type and the organization, judged as those of a submission; an inactive organization is no error."""
    organization, authorizer = given.get("organization"), Authorizer(user)
    manages_all = user is None or get_policy().is_system_admin(user)
    if organization is None:
        if not manages_all:
            text = _("Name an organization: only system admins make schedules for all of them.")
            errors["organization"] = [say(text, code="required")]
            return None, None
        return targets.read_kind(given.get("job_type"), errors, authorizer), None
    [target] = targets.read_all_targets([(given.get("job_type"), organization)], authorizer)
    if isinstance(target, Errors):
        errors.add(target)
        return None, None
    if not (manages_all or get_policy().is_organization_admin(user, target.organization)):
        text = _("You may not manage the schedules of this organization.")
        raise PermissionDenied(say(text, code="not_manager"))
    return target.kind, target.organization


def check_hidden(before: Schedule, values: Mapping[str, Any], user: Any, errors: Errors) -> None:
    """Refuse to send parameters elsewhere of which some are hidden from the user.

    A job of another type or organization might show them.
    """
    is_moved = any(getattr(before, column) != values[column] for column in COLUMNS.values())
    if errors or not is_moved or not is_same(values["parameters"], before.parameters):
        return
    if masked(before.parameters, hidden_from(user)) != before.parameters:
        errors["parameters"] = [HIDDEN]


def values_of(schedule: Schedule) -> dict[str, Any]:
    """Return the definition of a schedule by field, as :func:`check_definition` takes it."""
    values = {field: getattr(schedule, column_of(field)) for field in FIELDS}
    if values["organization"] is not None:
        values["organization"] = get_organization_model()(pk=values["organization"])
    values["cron"] = values["cron"] or None
    return values


# Making, changing, pausing and deleting schedules. Each change leaves an audit row and a log line.


MAX_TRIES: Final = 5
TAKEN: Final = say(_("There is a schedule of this name already."), code="taken")
OF_A_PERSON: Final = _("%(user)s made a schedule of this name. Code does not change a person's schedule.")
DECLARED: Final = say(
    _("Code declares this schedule for every organization. Pause it, and make one for this organization."),
    code="declared",
)
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
        raise InvalidSchedule(errors)
    values |= _owner(user)
    for _attempt in range(MAX_TRIES):
        row = database.in_transaction(lambda: _update(values, user) or _create(values, user))
        if row is not None:
            return row
    text = _("Others change this schedule at this moment; try again.")
    raise InvalidSchedule({"name": [say(text, code="busy")]})


def create_schedule(given: Mapping[str, Any], *, user: Any = None) -> Schedule:
    """Make a schedule of the keywords of :func:`schedule_job`; its organization must have none of this name."""
    values, errors = check_definition(given, user)
    _check_taken(values, errors)
    if errors:
        raise InvalidSchedule(errors)
    row = database.in_transaction(lambda: _create(values | _owner(user), user))
    if row is None:
        raise InvalidSchedule({"name": [TAKEN]})
    return row


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
        raise InvalidSchedule(errors)
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
    row = get_schedule(schedule, user=user)
    _, errors = check_definition(values_of(row), user)
    if errors:
        raise InvalidSchedule(errors)
    return _set(row, user, _owner(user))


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
    if may_know and any(row != before for row in _of_name(values)):
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
        text = _("This organization has %(limit)d schedules, as many as it may.")
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
    return rule_of(schedule).next_after(max(now, schedule.last_fired_at or now)) if schedule.is_enabled else None


# When a rule would fire that is not stored yet.


def preview(
    given: Mapping[str, Any], count: int = 5, *, schedule: Schedule | None = None
) -> tuple[Rule, list[dt.datetime]]:
    """Return a rule and its next firings, in its time zone.

    ``given`` are the keywords of :func:`schedule_job` that say when it fires; others are not looked at. ``schedule`` is
    the one that is to get the rule; its intervals are counted from when it was made. Raises InvalidSchedule for what is
    wrong with the rule.
    """
    errors = Errors()
    values = _check_rule(given, errors)
    if errors:
        raise InvalidSchedule(errors)
    now = database.now()
    rule = Rule(**values, anchor=now.replace(microsecond=0) if schedule is None else schedule.created_at)
    return rule, rule.upcoming(now, count)
