"""Hand what came in over HTTP to the engine: a new schedule, or changes of one."""

from __future__ import annotations

from typing import Any, Final

from django_jobs.api.schedules.serializers import ScheduleSerializer
from django_jobs.engine.access import organizations_named, unknown_organization
from django_jobs.engine.job_types.masking import NOTHING, MasksLeft, hidden_from, parameters_to_submit
from django_jobs.engine.schedules.definitions import FIELDS, change_schedule, create_schedule
from django_jobs.exceptions import InvalidSchedule
from django_jobs.models import Schedule

TYPE_IT: Final = "Type this value: what the schedule has there is hidden from you, and goes along only unchanged."
#: What PUT sets a field to that it does not have.
DEFAULTS: Final = {"jitter": 0, "catch_up": "once", "overlap": "skip", "is_enabled": True}


def create(serializer: ScheduleSerializer, user: Any) -> Schedule:
    """Make the schedule that a valid serializer holds. ValidationError has the engine's errors at its fields."""
    given = dict(serializer.validated_data)
    try:
        _check_organization(given, user)
        return create_schedule(given, user=user)
    except InvalidSchedule as error:
        raise serializer.refusal(error) from error


def change(schedule: Schedule, serializer: ScheduleSerializer, user: Any) -> Schedule:
    """Change the schedule to what a valid serializer holds. PUT sets what it does not have to its default."""
    given = dict(serializer.validated_data)
    if not serializer.partial:
        own = {"name": schedule.name, "job_type": schedule.job_type_id}
        given = {**dict.fromkeys(FIELDS), **DEFAULTS, **own, **given}
    try:
        if given.get("parameters") is not None:
            given["parameters"] = _unmasked(given["parameters"], schedule, user)
        _check_organization(given, user)
        return change_schedule(schedule, given, user=user)
    except InvalidSchedule as error:
        raise serializer.refusal(error) from error


def _unmasked(edited: Any, schedule: Schedule, user: Any) -> Any:
    """Return the parameters to store: hidden values that come back as masks stay only if nothing else is changed."""
    try:
        return parameters_to_submit(edited, schedule.parameters, hidden_from(user) or NOTHING)
    except MasksLeft as error:
        raise InvalidSchedule({place: [TYPE_IT] for place in error.places}) from error


def _check_organization(given: dict[str, Any], user: Any) -> None:
    """Refuse an organization that the user may not know of as if it did not exist."""
    name = given.get("organization")
    if name and name not in organizations_named({name}, user):
        raise InvalidSchedule({"organization": [unknown_organization(name)]})
