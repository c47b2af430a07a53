"""Log records that say which job they belong to, also those that a handler writes."""

from __future__ import annotations

import logging

from django_jobs.engine.execution import current_job


class JobFields(logging.Filter):
    """Gives each record ``job_id``, ``job_type``, ``organization``, ``attempt`` and ``event``, where it has none."""

    def filter(self, record: logging.LogRecord) -> bool:
        claimed = current_job.get()
        values = {
            "job_id": claimed.job_id if claimed else "",
            "job_type": claimed.job_type if claimed else "",
            "organization": claimed.organization_name if claimed else "",
            "attempt": claimed.attempt if claimed else 0,
            "event": "",
        }
        for name, value in values.items():
            record.__dict__.setdefault(name, value)
        return True


def install() -> None:
    """Put the filter on every handler that this process logs through; a logger's filter would miss its children."""
    fields = JobFields()
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        if not any(isinstance(existing, JobFields) for existing in handler.filters):
            handler.addFilter(fields)
