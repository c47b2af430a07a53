"""What commands do before their work, and what they say when they cannot do it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, OutputWrapper
from django.db import Error, InterfaceError, OperationalError, ProgrammingError

from django_jobs.engine import database
from django_jobs.engine.reconciliation import installation_id

PAUSE_SECONDS = 1.0


@contextlib.contextmanager
def told_plainly() -> Iterator[None]:
    """CommandError where the database is away or has not been migrated, or where a setting is wrong."""
    try:
        yield
    except (InterfaceError, OperationalError, ProgrammingError) as error:
        raise CommandError(f"{_unusable(error)}. Is it running, and has `manage.py migrate` been run?") from error
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error


def await_database(errors: OutputWrapper, *, is_burst: bool = False) -> None:
    """Wait until the database takes connections; not in a burst. CommandError when it then lacks our tables."""
    try:
        _await_connection(errors, is_burst=is_burst)
    except KeyboardInterrupt:
        raise CommandError("Stopped while it waited for the database.") from None
    with told_plainly():
        installation_id()


def _await_connection(errors: OutputWrapper, *, is_burst: bool) -> None:
    has_complained = False
    while True:
        try:
            database.connection().ensure_connection()
            return
        except (InterfaceError, OperationalError) as error:
            if is_burst:
                raise CommandError(f"{_unusable(error)}. A burst does not wait for it.") from error
            if not has_complained:
                errors.write(f"{_unusable(error)}; waiting for it.")
            has_complained = True
        time.sleep(PAUSE_SECONDS)


def _unusable(error: Error) -> str:
    """The first line is what a driver says; further ones show a statement or give advice for another case."""
    lines = str(error).splitlines() or [""]
    return f"The database cannot be used ({type(error).__name__}: {lines[0].strip()})"
