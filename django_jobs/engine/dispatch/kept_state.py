"""What a pass of the dispatcher leaves to the next one, in the row of the dispatchers' lock.

The row may have been deleted, or edited by somebody. What no pass could have written counts as not there.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from django.core.exceptions import ValidationError

from django_jobs.engine.dispatch import dispatch_lock, flow_times, held_jobs, start_rates
from django_jobs.engine.store.lane_values import LANE_BEGIN, Lane, LaneMark
from django_jobs.models import get_organization_model

#: Where the row has the marks. Other parts have what they keep there beside it, and all other keys are of cursors.
LANES: Final = "type_lanes"
RATES: Final = "rates"
CREDITS: Final = "credits"
KEPT: Final = (RATES, CREDITS, flow_times.KEY, held_jobs.KEY, dispatch_lock.RATES_LOST)

LaneKey: TypeAlias = tuple[int, Lane]


def checked(state: Any) -> dict[str, Any]:
    """Return the parts of a row's state that are as passes write them: somebody may have edited it.

    Rates are not looked into here; what is no such value counts as lost there.
    """
    if not isinstance(state, dict):
        return {dispatch_lock.RATES_LOST: True}
    return {name: value for name, value in state.items() if _is_sound(name, value)}


def rates_of(state: Mapping[str, Any]) -> Any:
    """Return what the last pass left of rates of starts."""
    return start_rates.LOST if state.get(dispatch_lock.RATES_LOST) else state.get(RATES)


def _is_sound(name: str, value: Any) -> bool:
    if name in {RATES, dispatch_lock.RATES_LOST}:
        return True
    if name == CREDITS:
        return isinstance(value, dict)
    if name == held_jobs.KEY:
        return held_jobs.is_sound(value)
    if name == flow_times.KEY:
        return isinstance(value, int | float)
    try:
        if name != LANES:
            get_organization_model()._meta.pk.to_python(value)
            return isinstance(value, str)
        marks_of(value)
        moments = value["rests_until"] + value["saved_at"] + value.get("useless_until", 0.0) + value.get("whole", 0.0)
        return math.isfinite(moments)
    except (KeyError, OverflowError, TypeError, ValidationError, ValueError):
        return False


def marks_of(kept: Mapping[str, Any]) -> list[tuple[LaneKey, LaneMark, int]]:
    """Return the marks that were written, and how much was taken from their lanes."""
    found = []
    for priority, pk, job_type, lane_key, ready_at, job_pk, weight in kept["marks"]:
        if ready_at != LANE_BEGIN.ready_at:
            dt.datetime.fromisoformat(ready_at)
        lane = Lane(get_organization_model()._meta.pk.to_python(pk), str(job_type), int(lane_key))
        found.append(((int(priority), lane), LaneMark(ready_at, int(job_pk)), int(weight)))
    return found
