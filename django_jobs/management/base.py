"""What our commands share: they wait for the database, and say plainly why they cannot work."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from django.db import Error, InterfaceError, OperationalError, ProgrammingError

from django_jobs.engine.dispatch.tickets import installation_id
from django_jobs.engine.store import database, schema
from django_jobs.management.refusals import Unavailable
from django_jobs.texts import said, say

PAUSE_SECONDS = 1.0


@contextlib.contextmanager
def told_plainly() -> Iterator[None]:
    """Raise CommandError where the database is away or has not been migrated, or where a setting is wrong."""
    try:
        yield
    except (InterfaceError, OperationalError, ProgrammingError) as error:
        text = say(
            "%(fault)s. Is it running, and has `manage.py migrate` been run?",
            code="unavailable",
            fault=_unusable(error),
        )
        raise Unavailable(text) from error
    except ImproperlyConfigured as error:
        raise CommandError(say("%(error)s", code="wrong_setting", error=str(error))) from error


class WaitingCommand(BaseCommand):
    """A command whose system checks wait for the database, except in a burst."""

    is_burst = False

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.is_burst = bool(options.get("burst"))
        with _stopped_by_sigterm(self.stderr):
            database.prepare_lines()
            return super().execute(*args, **options)

    def check(self, *args: Any, **kwargs: Any) -> None:
        with_database(partial(super().check, *args, **kwargs), self.stderr, is_burst=self.is_burst)


class _StopWanted(SystemExit):
    """SIGTERM has come before the command had begun its work: an orderly end, with the exit code 0."""


@contextlib.contextmanager
def _stopped_by_sigterm(errors: OutputWrapper) -> Iterator[None]:
    """End this process at SIGTERM, until the command handles that signal itself.

    The system would do so too, but for the first process of a container: that gets no signal that it does not handle.
    """
    if threading.current_thread() is not threading.main_thread():  # only that one may say what signals do
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough: a second one would break into the end
        raise _StopWanted

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except _StopWanted:
        errors.write("Stopped before it had begun.")
        raise
    finally:
        if signal.getsignal(signal.SIGTERM) is stop:
            signal.signal(signal.SIGTERM, before)


def await_database(errors: OutputWrapper, *, is_burst: bool = False) -> None:
    """Wait until the database takes connections, except in a burst.

    Raise CommandError where tables, or columns of this release, are missing.
    """
    with_database(_look_at_tables, errors, is_burst=is_burst)


def _look_at_tables() -> None:
    installation_id()
    late = schema.unapplied_migrations()
    if late and schema.lacks_columns():
        reason = schema.behind(late)
        raise CommandError(say("The database cannot be used: %(reason)s", code=reason.code, reason=reason))


def with_database(call: Callable[[], object], errors: OutputWrapper, *, is_burst: bool = False) -> None:
    """Call once the database takes connections, and again when it leaves meanwhile; a burst does not wait for it.

    Raise CommandError where it is there, and cannot be used: that of workers, whose exit code is 1 then.
    """
    try:
        with told_plainly():
            _call_once_connected(call, errors, is_burst=is_burst)
    except Unavailable as error:
        raise CommandError(said(error)) from error


def _call_once_connected(call: Callable[[], object], errors: OutputWrapper, *, is_burst: bool) -> None:
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
        raise CommandError(say("Stopped while it waited for the database.", code="interrupted")) from None


def _await_connection(errors: OutputWrapper, *, is_burst: bool) -> None:
    has_complained = False
    while True:
        try:
            with _stoppable():
                database.connection().ensure_connection()
            return
        except (InterfaceError, OperationalError) as error:
            if is_burst:
                text = say("%(fault)s. A burst does not wait for it.", code="burst", fault=_unusable(error))
                raise CommandError(text) from error
            if not has_complained:
                errors.write(f"{_unusable(error)}; waiting for it.")
            has_complained = True
        with _stoppable():
            time.sleep(PAUSE_SECONDS)


def _unusable(error: Error) -> str:
    """Return the first line of what the driver says. The others show a statement or give advice for another case."""
    lines = str(error).splitlines() or [""]
    return f"The database cannot be used ({type(error).__name__}: {lines[0].strip()})"
