"""What is wrong with the definition of a schedule, field by field."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error
from django.utils import timezone as clock
from django.utils.translation import gettext_noop as _

from django_jobs.conf import jobs_settings
from django_jobs.engine.access import get_policy
from django_jobs.engine.job_types import parameters
from django_jobs.engine.job_types.masking import hidden_from, masked
from django_jobs.engine.json_storage import is_storable_text
from django_jobs.engine.schedules import cron, intervals
from django_jobs.engine.schedules.timetable import Rule
from django_jobs.engine.submission import targets
from django_jobs.engine.submission.errors import Errors
from django_jobs.engine.submission.fields import check_fields
from django_jobs.engine.submission.rights import Authorizer
from django_jobs.exceptions import InvalidSchedule, PermissionDenied
from django_jobs.models import JobType, Schedule, get_organization_model
from django_jobs.models.schedule import MAX_JITTER, CatchUp, Overlap
from django_jobs.texts import say

MAX_NAME: Final = 200
HIDDEN: Final = say(
    _(
        "Some of them are hidden from you, so they go only to the type and organization that the schedule has. Give "
        "other parameters, or make another schedule."
    ),
    code="hidden",
)
#: Seconds between two firings by cron at least, and firings that are compared with a longer limit.
SHORTEST_CRON: Final = 60
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
    errors = Errors()
    unknown = sorted(set(given) - set(FIELDS))
    if unknown:
        text = f"A schedule has no %(names)s; it has {', '.join(FIELDS)}."
        errors["non_field_errors"] = [say(text, code="unknown_field", names=", ".join(unknown))]
    values = {"name": _check_name(given.get("name"), errors), **_check_rule(given, errors)}
    values |= _check_options(given, errors)
    if user is not None:
        check_interval(values, errors)
    return values | _check_what(given, user, errors), errors


def check_interval(values: Mapping[str, Any], errors: Errors) -> None:
    """Refuse a rule that fires more often than a user's schedule may: each firing takes time from all others."""
    if not errors.keys().isdisjoint(RULE):
        return
    least, field = int(jobs_settings.MIN_SCHEDULE_SECONDS), "cron" if values["cron"] else "every"
    seconds = [values["every"]]
    if field == "cron":
        rule = Rule(**{name: values[name] for name in RULE}, anchor=dt.datetime.now(dt.UTC))
        runs = rule.upcoming(rule.anchor, COMPARED) if least > SHORTEST_CRON else []
        seconds = [(later - run).total_seconds() for run, later in itertools.pairwise(runs)]
    if any(item < least for item in seconds):
        text = _("A user's schedule fires at most once in %(count)d seconds.")
        errors[field] = [say(text, code="too_often", count=least)]


def check_declared(
    given: Mapping[str, Any], type_name: str, fields: Iterable[str]
) -> tuple[dict[str, Any], Mapping[str, list[str]]]:
    """Return the values of a schedule that code declares for a type, and what is wrong with it."""
    errors = Errors()
    unknown = sorted(set(given) - set(fields))
    if unknown:
        text = f"Does not take %(names)s; known are {', '.join(fields)}."
        errors["schedule"] = [say(text, code="unknown_field", names=", ".join(unknown))]
    values = {"name": _check_name(given.get("name"), errors), **_check_rule(given, errors)}
    values |= _check_options(given, errors)
    try:
        values |= _check_values(type_name, given, errors)
    except Error:  # a serializer that asks a database which is not there yet
        values |= _check_values(None, given, errors)
    return values | {"job_type_id": type_name}, errors


def refusal(errors: Errors) -> InvalidSchedule:
    """Return the exception to raise."""
    return InvalidSchedule(dict(errors))


def _check_name(name: object, errors: Errors) -> str:
    is_text = isinstance(name, str) and name == name.strip() and is_storable_text(name)
    if is_text and 0 < len(str(name)) <= MAX_NAME and str(name).isprintable():
        return str(name)
    text = _("Give a text of 1 to %(count)d characters on one line, without spaces around it.")
    errors["name"] = [say(text, code="not_a_name", count=MAX_NAME)]
    return ""


def check_rule(given: Mapping[str, Any]) -> tuple[dict[str, Any], Errors]:
    """Return the values of the fields that say when a schedule fires, and what is wrong with them."""
    errors = Errors()
    return _check_rule(given, errors), errors


def _check_rule(given: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    values = {
        "cron": given.get("cron") or "",
        "every": intervals.seconds_of(given.get("every")),
        "timezone": given.get("timezone") or str(settings.TIME_ZONE),
        "starts_at": _check_moment("starts_at", given, errors),
        "ends_at": _check_moment("ends_at", given, errors),
    }
    _check_times(values, errors)
    try:
        cron.zone_of(values["timezone"])
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
        neither = say(_("Give cron (five fields) or every (seconds)."), code="required")
        both = say(_("Give cron or every, not both."), code="two_rules")
        errors["cron"] = [both if expression else neither]
        return
    if seconds is not None:
        problem, field = intervals.problem_of(seconds), "every"
    else:
        problem, field = cron.problem_of(expression), "cron"
        values["cron"] = cron.normalized(str(expression))
    if problem:
        errors[field] = [problem]


def _check_moment(field: str, given: Mapping[str, Any], errors: Errors) -> dt.datetime | None:
    value = given.get(field)
    if value is None:
        return None
    if not isinstance(value, dt.datetime) or clock.is_naive(value):
        errors[field] = [say(_("Give a datetime with a time zone."), code="not_aware")]
        return None
    if not YEARS[0] <= value.year <= YEARS[1]:  # beyond, no other time zone and not every database has it
        text = _("Give a moment in the years %(first)d to %(last)d.")
        errors[field] = [say(text, code="out_of_range", first=YEARS[0], last=YEARS[1])]
        return None
    return value.astimezone(dt.UTC)


def _check_options(given: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    jitter = given.get("jitter", 0)
    jitter = int(jitter.total_seconds()) if isinstance(jitter, dt.timedelta) else jitter
    if isinstance(jitter, bool) or not isinstance(jitter, int) or not 0 <= jitter <= MAX_JITTER:
        errors["jitter"] = [say(_("Give whole seconds from 0 to %(most)d."), code="out_of_range", most=MAX_JITTER)]
    values = {"jitter": jitter, "is_enabled": given.get("is_enabled", True)}
    if not isinstance(values["is_enabled"], bool):
        errors["is_enabled"] = [say("Give True or False.", code="not_true_or_false")]
    words: dict[str, Any] = {"catch_up": (CatchUp, CatchUp.ONCE), "overlap": (Overlap, Overlap.SKIP)}
    for field, (choices, default) in words.items():
        values[field] = given.get(field, default)
        if values[field] not in choices.values:
            errors[field] = [say(f"Use one of {', '.join(choices.values)}.", code="invalid_choice")]
        else:
            values[field] = str(values[field])
    return values


def _check_what(given: Mapping[str, Any], user: Any, errors: Errors) -> dict[str, Any]:
    """Judge what the schedule submits, as a submission of it would be; an inactive organization is no error."""
    kind, tenant = _read_targets(given, user, errors)
    return {
        "job_type_id": None if kind is None else kind.pk,
        "organization_id": None if tenant is None else tenant.pk,
        "organization_key": "" if tenant is None else str(tenant.pk),
        **_check_values(None if kind is None else kind.type_name, given, errors),
    }


def _check_values(type_name: str | None, given: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    """Judge the parameters, by the type's serializer where there is one, and the priority."""
    own = Errors()
    fields = check_fields({name: given.get(name) for name in ("parameters", "priority")}, own)
    if type_name is not None and "parameters" not in own:
        own.update(parameters.validate(type_name, fields.parameters))
    errors.update(own)
    return {"parameters": fields.parameters, "priority": fields.priority}


def _read_targets(given: Mapping[str, Any], user: Any, errors: Errors) -> tuple[JobType | None, Any]:
    organization, authorizer = given.get("organization"), Authorizer(user)
    if organization is None:
        if user is not None and not get_policy().is_system_admin(user):
            text = _("Name an organization: only system admins make schedules for all of them.")
            errors["organization"] = [say(text, code="required")]
            return None, None
        return targets.read_kind(given.get("job_type"), errors, authorizer), None
    [found] = targets.read_all([(given.get("job_type"), organization)], authorizer)
    if isinstance(found, Errors):
        errors.add(found)
        return None, None
    if not manages(user, found.organization):
        text = _("You may not manage the schedules of this organization.")
        raise PermissionDenied(say(text, code="not_manager"))
    return found.kind, found.organization


def is_same(one: object, other: object) -> bool:
    """Return whether two values of a field say the same: in JSON 1 and true do not, as they do in Python."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one == other
    first, second = (json.dumps(value, cls=DjangoJSONEncoder, sort_keys=True) for value in (one, other))
    return first == second


def check_hidden(before: Schedule, values: Mapping[str, Any], user: Any, errors: Errors) -> None:
    """Refuse to send parameters elsewhere of which some are hidden from the user.

    A job of another type or organization might show them.
    """
    is_moved = any(getattr(before, column) != values[column] for column in COLUMNS.values())
    if errors or not is_moved or not is_same(values["parameters"], before.parameters):
        return
    if masked(before.parameters, hidden_from(user)) != before.parameters:
        errors["parameters"] = [HIDDEN]


def manages(user: Any, organization: Any) -> bool:
    """Return whether the user manages the schedules of an organization; server code (None) does."""
    if user is None:
        return True
    policy = get_policy()
    return bool(policy.is_system_admin(user) or policy.is_organization_admin(user, organization))


def values_of(schedule: Schedule) -> dict[str, Any]:
    """Return the definition of a schedule by field, as :func:`check_definition` takes it."""
    values = {field: getattr(schedule, column_of(field)) for field in FIELDS}
    if values["organization"] is not None:
        values["organization"] = get_organization_model()(pk=values["organization"])
    values["cron"] = values["cron"] or None
    return values
