"""Checks of the settings of django_jobs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from django_jobs.conf import DEFAULTS, host_settings, jobs_settings
from django_jobs.statuses import Priority

# The check of settings that are lists of names.


def check_list(setting: str, what: str, example: str, check_id: str) -> list[CheckMessage]:
    """Return an error if the setting is no list of names: with a forgotten comma it is one text, made of letters."""
    names = getattr(jobs_settings, setting)
    if isinstance(names, list | tuple | set | frozenset) and all(isinstance(name, str) for name in names):
        return []
    return [
        Error(
            f"DJANGO_JOBS[{setting!r}] must be a list of {what}, not {names!r}.",
            hint=f'For a single one write ("{example}",).',
            id=check_id,
        )
    ]


# Checks of the names and kinds of the settings in DJANGO_JOBS, and of the queues.


@register("django_jobs")
def check_setting_names(**kwargs: Any) -> list[CheckMessage]:
    """Warn of keys of DJANGO_JOBS that we do not read."""
    unknown = sorted(set(host_settings()) - set(DEFAULTS))
    return [
        Warning(
            f"DJANGO_JOBS has an unknown setting {name!r}.",
            hint=f"Known are: {', '.join(sorted(DEFAULTS))}.",
            id="django_jobs.W001",
        )
        for name in unknown
    ]


@register("django_jobs")
def check_queues(**kwargs: Any) -> list[CheckMessage]:
    """Require a queue for each priority, and a connection in RQ_QUEUES for each queue."""
    queues = jobs_settings.QUEUES
    if not isinstance(queues, Mapping):
        return [
            Error(
                f"DJANGO_JOBS['QUEUES'] must be a dict of queues by their priorities, not {queues!r}.",
                hint="Map each of Critical, High, Normal and Low to an RQ queue, or leave it out.",
                id="django_jobs.E001",
            )
        ]
    named = {**dict.fromkeys(Priority.words()), **queues}
    unnamed = [str(label) for label, name in named.items() if not (isinstance(name, str) and name)]
    if unnamed:
        return [
            Error(
                f"DJANGO_JOBS['QUEUES'] names no queue for {', '.join(unnamed)}.",
                hint="Map each of Critical, High, Normal and Low to the name of an RQ queue.",
                id="django_jobs.E001",
            )
        ]
    given = getattr(settings, "RQ_QUEUES", None)
    configured = given if isinstance(given, Mapping) else {}
    return [
        Error(
            # Not what it is instead: a URL may hold a password.
            f"RQ_QUEUES[{name!r}], the queue of priority {label}, is no dict."
            if name in configured
            else f"RQ_QUEUES does not define the queue {name!r} of priority {label}.",
            hint="Let RQ_QUEUES have {'URL': 'redis://host:6379/0'} for it; all four queues use the same connection.",
            id="django_jobs.E002",
        )
        for label, name in queues.items()
        if not isinstance(configured.get(name), Mapping)
    ]


_POSITIVE = (
    "DEFAULT_TIMEOUT",
    "LEASE_SECONDS",
    "SCHEDULER_INTERVAL",
    "POLICY_SECONDS",
    "MAX_IN_FLIGHT_PER_ORGANIZATION",
    "MAX_PARAMETERS_BYTES",
    "MAX_RESULT_BYTES",
)
_NOT_NEGATIVE = (
    "MAX_RETRIES",
    "RETRY_DELAY",
    "RETRY_JITTER",
    "MAX_RETRY_AFTER",
    "DEDUPLICATION_WINDOW",
    "RETENTION_DAYS",
    "MAX_SCHEDULES_PER_ORGANIZATION",
    "MIN_SCHEDULE_SECONDS",
    "PROGRESS_INTERVAL",
    "CANCEL_GRACE_SECONDS",
    "SHUTDOWN_GRACE_SECONDS",
)
#: Those that may be infinite: nothing is counted with them.
_ENDLESS = ("MAX_RETRY_AFTER", "CANCEL_GRACE_SECONDS", "SHUTDOWN_GRACE_SECONDS")
#: A thousand years: before that no database has days, nor has Python.
MAX_RETENTION_DAYS: Final = 365_000


@register("django_jobs")
def check_numbers(**kwargs: Any) -> list[CheckMessage]:
    """Require numbers where seconds, days, bytes or jobs are counted, and none below what makes sense."""
    wrong = [(name, "a number above 0") for name in _POSITIVE if not is_number(name, above=True)]
    wrong += [(name, "a number, 0 or more") for name in _NOT_NEGATIVE if not is_number(name, above=False)]
    if is_number("RETENTION_DAYS", above=False) and jobs_settings.RETENTION_DAYS > MAX_RETENTION_DAYS:
        wrong.append(("RETENTION_DAYS", f"a number of days, at most {MAX_RETENTION_DAYS}"))
    if jobs_settings.MAX_BACKLOG_PER_ORGANIZATION is not None and not is_number(
        "MAX_BACKLOG_PER_ORGANIZATION", above=False
    ):
        wrong.append(("MAX_BACKLOG_PER_ORGANIZATION", "a number, 0 or more, or None"))
    return [
        Error(
            f"DJANGO_JOBS[{name!r}] must be {accepted}, not {getattr(jobs_settings, name)!r}.",
            hint=f"Leave it out for the default, {DEFAULTS[name]!r}.",
            id="django_jobs.E014",
        )
        for name, accepted in wrong
    ]


@register("django_jobs")
def check_metrics(**kwargs: Any) -> list[CheckMessage]:
    """Require a number of organizations, and a token that a header can hold."""
    most, token = jobs_settings.METRICS_ORGANIZATIONS, jobs_settings.METRICS_TOKEN
    wrong = []
    if isinstance(most, bool) or not isinstance(most, int) or most < 0:
        wrong.append(("METRICS_ORGANIZATIONS", "how many organizations metrics tell apart, 0 or more", most))
    if not isinstance(token, str) or not token.isascii() or token != token.strip():
        wrong.append(("METRICS_TOKEN", "a text of ASCII characters without spaces around it", "something else"))
    return [
        Error(
            f"DJANGO_JOBS[{name!r}] must be {accepted}, not {value!r}.",
            hint=f"Leave it out for the default, {DEFAULTS[name]!r}.",
            id="django_jobs.E045",
        )
        for name, accepted, value in wrong
    ]


@register("django_jobs")
def check_foreign_rq_jobs(**kwargs: Any) -> list[CheckMessage]:
    """Require one of the two words that say what becomes of queue entries that are not ours."""
    value = jobs_settings.FOREIGN_RQ_JOBS
    if value in ("set_aside", "run"):
        return []
    return [
        Error(
            f"DJANGO_JOBS['FOREIGN_RQ_JOBS'] must be 'set_aside' or 'run', not {value!r}.",
            hint="Leave it out: with 'run' whoever may write to Redis runs code in your workers.",
            id="django_jobs.E018",
        )
    ]


@register("django_jobs")
def check_sensitive_parameters(**kwargs: Any) -> list[CheckMessage]:
    """Require a list of names."""
    return check_list("SENSITIVE_PARAMETERS", "names", "password", "django_jobs.E021")


def is_number(name: str, *, above: bool) -> bool:
    """Return whether a setting is a number that makes sense: above 0, or not below it."""
    value = getattr(jobs_settings, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if name not in _ENDLESS and not _is_finite(value):
        return False
    return value > 0 if above else value >= 0


def _is_finite(value: float) -> bool:
    """Return whether this is a number that people count with: no float holds a larger one."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
