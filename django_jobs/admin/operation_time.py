"""How long an operation will take, in words, before it is started."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext as _

from django_jobs.admin.durations import brief_duration
from django_jobs.admin.numbers import format_number
from django_jobs.engine.control.operations import Speed, read_speeds

#: Whole numbers of jobs a second from here on.
WHOLE: Final = 10


def time_told(action: str, count: int, *, is_capped: bool, rate: int | None) -> tuple[str, str]:
    """Return how long it takes to do this to so many jobs, at a rate in jobs a minute; None: as fast as it goes.

    ``is_capped`` says that there may be more jobs. The code says by what it goes; the words follow it.
    """
    speed = read_speeds()[action]
    time = {"time": brief_duration(max(1.0, speed.seconds_for(count, rate)))}
    if rate is not None and rate / 60 < speed.per_second:
        code, told = "rate", _("At this rate that takes about %(time)s.")
        if is_capped:
            code, told = "rate_at_least", _("At this rate that takes %(time)s or more.")
        return code, told % time
    code, told = "full_speed", _("That takes about %(time)s where nothing slows it down.")
    if is_capped:
        code, told = "full_speed_at_least", _("That takes %(time)s or more where nothing slows it down.")
    return code, f"{told % time} {_source(speed)}"


def _source(speed: Speed) -> str:
    facts: dict[str, Any] = {"speed": format_number(speed.per_second, 0 if speed.per_second >= WHOLE else 1)}
    if speed.is_measured:
        return _("The last ones did %(speed)s jobs a second.") % facts
    return _("None was measured here yet; %(speed)s jobs a second are usual.") % facts
