"""Adds the running job to log records, also to those that a handler writes."""

from __future__ import annotations

import contextlib
import logging
import re
from typing import Final

from django_jobs.engine.claimed_job import current_job

_EVENT: Final = re.compile(r"(?:^|\s)event=(\w+)")


class JobFields(logging.Filter):
    """Gives each record ``job_id``, ``job_type``, ``organization``, ``attempt`` and ``event``, unless it has them.

    Only our own records have an ``event``; it is read from their text.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is missing; every record passes."""
        claimed = current_job.get()
        values = {
            "job_id": claimed.job_id if claimed else "",
            "job_type": claimed.job_type if claimed else "",
            "organization": claimed.organization if claimed else "",
            "attempt": claimed.attempt if claimed else 0,
        }
        for name, value in values.items():
            record.__dict__.setdefault(name, value)
        if "event" not in record.__dict__:
            record.__dict__["event"] = _event_of(record)
        return True


def _event_of(record: logging.LogRecord) -> str:
    found = _EVENT.search(record.getMessage()) if record.name.partition(".")[0] == "django_jobs" else None
    return found[1] if found else ""


def install() -> None:
    """Put the filter on every log handler of this process. A filter on a logger would miss the logger's children."""
    fields = JobFields()
    for handler in _handlers():
        if not any(isinstance(existing, JobFields) for existing in handler.filters):
            handler.addFilter(fields)


def flush() -> None:
    """Have every log handler of this process write what it keeps, before a copy of it would write that too."""
    for handler in _handlers():
        with contextlib.suppress(Exception):  # the handler's next record shows what ails it
            handler.flush()


def _handlers() -> set[logging.Handler]:
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    return {handler for logger in loggers for handler in logger.handlers}
