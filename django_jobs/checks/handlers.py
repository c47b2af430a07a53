"""Checks of handlers and of their logs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Error, Warning, register
from django.db import DatabaseError, transaction

from django_jobs.checks.settings import check_list, is_number
from django_jobs.conf import jobs_settings
from django_jobs.engine.execution.handler_logs import DEFAULTS, read_limits
from django_jobs.texts import code_of, say

if TYPE_CHECKING:
    from django_jobs.engine.job_types.types import Declaration

# Checks of the modules of handlers and of what they declare.


@register("django_jobs")
def check_handler_modules(**kwargs: Any) -> list[CheckMessage]:
    """Require a list of module names."""
    return check_list("HANDLER_MODULES", "module names", "billing.tasks", "django_jobs.E005")


@register("django_jobs")
def check_declared_twice(**kwargs: Any) -> list[CheckMessage]:
    """Require that each job type is declared by one function."""
    from django_jobs.engine.job_types import types

    return [
        Error(
            f"The job type {name!r} is declared more than once: by {' and by '.join(places)}.",
            hint="Give one of them another name.",
            id="django_jobs.E006",
        )
        for name, places in types.duplicate_declarations().items()
    ]


@register("django_jobs")
def check_declarations(**kwargs: Any) -> list[CheckMessage]:
    """Require that what @job_handler says can be stored, and that its function is found by its path."""
    from django_jobs.engine.job_types import declared_types

    return [
        Error(
            _told(declaration, problem),
            hint="A handler is a function of a module's top level; its keywords are the fields of a Job Type.",
            obj=declaration.path,
            id="django_jobs.E007",
        )
        for declaration in _declared()
        for problem in declared_types.declaration_problems(declaration)
    ]


@register("django_jobs")
def check_declared_pools(**kwargs: Any) -> list[CheckMessage]:
    """Tell of pools that @job_handler names and the settings lack. Only a warning: other types' jobs go on."""
    from django_jobs.engine.job_types import declared_types

    return [
        Warning(
            _told(declaration, doubt),
            hint="Add the pool to DJANGO_JOBS['POOLS'] and start workers for it, or let the declaration name another.",
            obj=declaration.path,
            id="django_jobs.W026",
        )
        for declaration in _declared()
        for doubt in declared_types.declaration_doubts(declaration.fields)
    ]


@register("django_jobs")
def check_declared_schedules(**kwargs: Any) -> list[CheckMessage]:
    """Require that what @job_handler says of schedules can be made a schedule."""
    from django_jobs.engine.schedules import declared_schedules

    if not is_number("MAX_PARAMETERS_BYTES", above=True):
        return []  # as another check says: how large their parameters may be cannot be told
    return [
        Error(
            say("@job_handler of %(place)s: %(text)s", code=code_of(problem), place=item.place, text=problem),
            hint="Give a cron expression, every(…), a dict of schedule_job's keywords, or a list of these.",
            obj=item.place,
            id="django_jobs.E022",
        )
        for item in declared_schedules.declared_schedules()
        for problem in item.problems
    ]


@register("django_jobs", "database")
def check_schedule_names(databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Require that no person made a schedule of a name that code declares: the code's own would never run."""
    from django_jobs.engine.schedules import declared_schedules
    from django_jobs.engine.store import database

    using = database.alias()
    if using not in (databases or []) or not is_number("MAX_PARAMETERS_BYTES", above=True):
        return []
    try:
        with transaction.atomic(using=using):
            taken = declared_schedules.taken_names(using=using)
    except DatabaseError:  # tables that are yet to be migrated
        return []
    return [Error(text, id="django_jobs.E046") for text in taken]


def _told(declaration: Declaration, problem: str) -> str:
    text = "@job_handler(%(type)r) of %(place)s: %(text)s"
    return say(text, code=code_of(problem), type=declaration.type_name, place=declaration.place, text=problem)


def _declared() -> Sequence[Declaration]:
    """Return what code declares; nothing where its handlers cannot be looked for, as another check says."""
    from django_jobs.engine.job_types import types

    return [] if check_handler_modules() else types.declared_types()


# Checks of the setting HANDLER_LOGS.


@register("django_jobs")
def check_handler_logs(**kwargs: Any) -> list[CheckMessage]:
    """Require None, or a dict that says what is kept; warn where the host's logging lets less through."""
    try:
        limits = read_limits()
    except (TypeError, ValueError) as error:
        return [
            Error(
                f"DJANGO_JOBS['HANDLER_LOGS'] {error}: {jobs_settings.HANDLER_LOGS!r}.",
                hint=f"Write a dict such as {DEFAULTS!r}; each key may be left out. None keeps nothing.",
                id="django_jobs.E028",
            )
        ]
    if limits is None or logging.root.level <= limits.level:
        return []
    return [
        Warning(
            f"DJANGO_JOBS['HANDLER_LOGS'] keeps lines from {logging.getLevelName(limits.level)} on, and the root "
            f"logger lets through only those from {logging.getLevelName(logging.root.level)} on.",
            hint="Set its level in LOGGING, such as {'root': {'level': 'INFO', 'handlers': [...]}}. A logger with a "
            "level of its own goes by that.",
            id="django_jobs.W029",
        )
    ]
