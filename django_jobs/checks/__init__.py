"""System checks: they find what is wrong with the host's settings before it costs a job.

Each is a row of a table, in the module of what it looks at. Importing the package registers them. The broker, and the
backend of Django's tasks, have their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.core.checks import CheckMessage, Tags, register

from django_jobs.checks import handlers, installation, settings
from django_jobs.checks.rows import Row
from django_jobs.engine.store import database

ROWS: Final[Sequence[Row]] = (*settings.ROWS, *handlers.ROWS, *installation.ROWS)


def _messages(tag: str) -> list[CheckMessage]:
    return [message for row in ROWS if row.tag == tag for message in row.messages()]


@register("django_jobs")
def check_project(**kwargs: Any) -> list[CheckMessage]:
    """Tell what is wrong with settings and code."""
    return _messages("")


@register("django_jobs", Tags.security)
def check_security(**kwargs: Any) -> list[CheckMessage]:
    """Tell what lets people read what they may not."""
    return _messages(Tags.security)


@register("django_jobs", Tags.database)
def check_database(databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Tell what is wrong with the database of jobs, where Django may ask it."""
    return _messages(Tags.database) if database.alias() in (databases or []) else []
