"""What our commands share: they wait for the database, and say plainly why they cannot work."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from django.db import Error, InterfaceError, OperationalError, ProgrammingError

from django_jobs.engine.dispatch.reconciliation import installation_id
from django_jobs.engine.store import database, worker_lines
from django_jobs.management import exit_codes
from django_jobs.management.refusals import Unavailable

PAUSE_SECONDS = 1.0


@contextlib.contextmanager
def told_plainly(code: int = exit_codes.REFUSED) -> Iterator[None]:
    """Raise CommandError where the database is away or has not been migrated, or where a setting is wrong.

    ``code`` is the exit code of a database that cannot be used.
    """
    try:
        yield
    except (InterfaceError, OperationalError, ProgrammingError) as error:
        text = f"{_unusable(error)}. Is it running, and has `manage.py migrate` been run?"
        raise Unavailable(text, returncode=code) from error
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error


class JobsCommand(BaseCommand):
    """A command whose system checks say plainly that the database is away.

    Some of Django's checks ask the database; since 6.1 also some of those that run before every command.
    """

    #: The exit code of a database that cannot be used; that of the first commands is 1.
    unavailable_code = exit_codes.REFUSED

    def check(self, *args: Any, **kwargs: Any) -> None:
        with told_plainly(self.unavailable_code):
            super().check(*args, **kwargs)


class WaitingCommand(BaseCommand):
    """A command whose system checks wait for the database, except in a burst."""

    is_burst = False

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.is_burst = bool(options.get("burst"))
        worker_lines.prepare()
        return super().execute(*args, **options)

    def check(self, *args: Any, **kwargs: Any) -> None:
        with_database(partial(super().check, *args, **kwargs), self.stderr, is_burst=self.is_burst)


def await_database(errors: OutputWrapper, *, is_burst: bool = False) -> None:
    """Wait until the database takes connections, except in a burst. Raise CommandError if it lacks our tables."""
    with_database(installation_id, errors, is_burst=is_burst)


def with_database(call: Callable[[], object], errors: OutputWrapper, *, is_burst: bool = False) -> None:
    """Call once the database takes connections, and again when it leaves meanwhile; a burst does not wait for it.

    Raise CommandError where it is there, and cannot be used.
    """
    with told_plainly():
        while True:
            _await_connection(errors, is_burst=is_burst)
            try:
                call()
            except (InterfaceError, OperationalError) as error:
                if is_burst or not _has_left():
                    raise
                _wait_after(error, errors)
            else:
                return


def _has_left() -> bool:
    """Whether the connection is lost. If not, the error was about what was asked."""
    connection = database.connection()
    return connection.connection is None or not connection.is_usable()


def _wait_after(error: Error, errors: OutputWrapper) -> None:
    """Wait a moment before the next try: a pooler may take connections while the server behind it is away."""
    errors.write(f"{_unusable(error)}; trying again.")
    database.connection().close()
    with _stoppable():
        time.sleep(PAUSE_SECONDS)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise CommandError("Stopped while it waited for the database.") from None


def _await_connection(errors: OutputWrapper, *, is_burst: bool) -> None:
    has_complained = False
    while True:
        try:
            with _stoppable():
                database.connection().ensure_connection()
            return
        except (InterfaceError, OperationalError) as error:
            if is_burst:
                raise CommandError(f"{_unusable(error)}. A burst does not wait for it.") from error
            if not has_complained:
                errors.write(f"{_unusable(error)}; waiting for it.")
            has_complained = True
        with _stoppable():
            time.sleep(PAUSE_SECONDS)


def _unusable(error: Error) -> str:
    """Return the first line of what the driver says. The others show a statement or give advice for another case."""
    lines = str(error).splitlines() or [""]
    return f"The database cannot be used ({type(error).__name__}: {lines[0].strip()})"
