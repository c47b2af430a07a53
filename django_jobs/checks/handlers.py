"""What is wrong with what code declares, and with the setting of handlers' logs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from django_jobs.checks.rows import Facts, Row, failure_of, of_tables
from django_jobs.checks.settings import is_list, is_positive
from django_jobs.conf import jobs_settings, primary_alias
from django_jobs.engine.execution.handler_logs import DEFAULTS, read_limits
from django_jobs.engine.job_types import types

if TYPE_CHECKING:
    from django_jobs.engine.job_types.types import Declaration

# A worker's child loads this module and runs no check: it is not to load what these import.


def _of_declarations(problems: Callable[[Declaration], Iterable[str]]) -> list[Facts]:
    """Return each problem of what code declares; none where its handlers cannot be looked for, as another row says."""
    declared = types.declared_types() if is_list(jobs_settings.HANDLER_MODULES) else []
    return [
        {"type": each.type_name, "place": each.place, "obj": each.path, "text": text}
        for each in declared
        for text in problems(each)
    ]


def _problems(declared: Declaration) -> Iterable[str]:
    from django_jobs.engine.job_types import declared_types

    return declared_types.declaration_problems(declared)


def _doubts(declared: Declaration) -> Iterable[str]:
    from django_jobs.engine.job_types import declared_types

    return declared_types.declaration_doubts(declared.fields)


def _declared_twice() -> Iterator[Facts]:
    for name, places in types.duplicate_declarations().items():
        yield {"type": name, "places": " and by ".join(places)}


def _wrong_schedules() -> Iterator[Facts]:
    from django_jobs.engine.schedules import declared_schedules

    # Else another row says why it cannot be told how large their parameters may be.
    if is_positive(jobs_settings.MAX_PARAMETERS_BYTES):
        for item in declared_schedules.declared_schedules():
            for problem in item.problems:
                yield {"place": item.place, "obj": item.place, "text": problem}


def _taken_schedule_names() -> list[Facts]:
    from django_jobs.engine.schedules import declared_schedules

    if not is_positive(jobs_settings.MAX_PARAMETERS_BYTES):
        return []
    return [{"text": text} for text in declared_schedules.taken_names(using=primary_alias())]


def _wrong_handler_logs() -> list[Facts]:
    error = failure_of(read_limits)
    return [] if error is None else [{"error": str(error), "value": jobs_settings.HANDLER_LOGS}]


def _lost_lines() -> Iterator[Facts]:
    limits = None if _wrong_handler_logs() else read_limits()
    if limits is not None and logging.root.level > limits.level:
        yield {
            "kept": logging.getLevelName(limits.level),
            "let_through": logging.getLevelName(logging.root.level),
        }


ROWS: Final = (
    Row(
        "E006",
        "The job type %(type)r is declared more than once: by %(places)s.",
        "Give one of them another name.",
        _declared_twice,
    ),
    Row(
        "E007",
        "@job_handler(%(type)r) of %(place)s: %(text)s",
        "A handler is a function of a module's top level; its keywords are the fields of a Job Type.",
        lambda: _of_declarations(_problems),
    ),
    Row(  # only a warning: other types' jobs go on
        "W026",
        "@job_handler(%(type)r) of %(place)s: %(text)s",
        "Add the pool to DJANGO_JOBS['POOLS'] and start workers for it, or let the declaration name another.",
        lambda: _of_declarations(_doubts),
    ),
    Row(
        "E022",
        "@job_handler of %(place)s: %(text)s",
        "Give a cron expression, every(…), a dict of schedule_job's keywords, or a list of these.",
        _wrong_schedules,
    ),
    of_tables("E046", "%(text)s", "", _taken_schedule_names),
    Row(
        "E028",
        "DJANGO_JOBS['HANDLER_LOGS'] %(error)s: %(value)r.",
        f"Write a dict such as {DEFAULTS!r}; each key may be left out. None keeps nothing.",
        _wrong_handler_logs,
    ),
    Row(
        "W029",
        "DJANGO_JOBS['HANDLER_LOGS'] keeps lines from %(kept)s on, and the root logger lets through only those from "
        "%(let_through)s on.",
        "Set its level in LOGGING, such as {'root': {'level': 'INFO', 'handlers': [...]}}. A logger with a level of "
        "its own goes by that.",
        _lost_lines,
    ),
)
