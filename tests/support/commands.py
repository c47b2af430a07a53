"""Management commands called in this process, and a broker for them that is not there."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any, NamedTuple
from unittest import mock

import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.core.management.base import OutputWrapper

from django_jobs.exceptions import BrokerUnavailable
from tests.support import verbs
from tests.support.verbs import Refused

QUEUES = ("jobs-critical", "jobs-high", "jobs-normal", "jobs-low")


class DeadBroker:
    """Answers nothing."""

    def __getattr__(self, name: str) -> object:
        raise BrokerUnavailable("Redis does not answer (ConnectionError)")


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, no_color=True)
    return out.getvalue()


def refusal(*arguments: str, **options: Any) -> str:
    """The code of what a command says that does not do what it is told."""
    with pytest.raises(CommandError) as caught:
        call_command(*arguments, **{"stdout": io.StringIO(), "stderr": io.StringIO(), **options})
    return reason_of(caught.value)


def reason_of(error: CommandError) -> str:
    """The code of what a command says that does not do what it is told."""
    return error.reason if isinstance(error, Refused) else verbs.code_of(error.args[0], "")


class Answer(NamedTuple):
    """What a command answered: its exit code, what it wrote, and the code of what it says where it refused."""

    code: int
    out: str
    err: str
    reason: str = ""

    @property
    def facts(self) -> Any:
        """What it wrote to stdout as JSON."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """What it wrote to stderr as JSON."""
        return json.loads(self.err.splitlines()[-1])["error"]


def call(name: str, *arguments: str) -> Answer:
    """Run a command as a shell does: its errors are told on stderr, and end it with an exit code."""
    out, err = io.StringIO(), io.StringIO()
    command = load_command_class("django_jobs", name)
    command.stdout, command.stderr = OutputWrapper(out), OutputWrapper(err)
    code, reason = 0, ""
    try:
        with redirect_stderr(err), keeping_connections():
            command.run_from_argv(["manage.py", name, *arguments, "--skip-checks"])
    except SystemExit as leaving:
        code = int(str(leaving.code))
        if isinstance(leaving.__context__, CommandError):
            reason = reason_of(leaving.__context__)
    return Answer(code, out.getvalue(), err.getvalue(), reason)


@contextmanager
def keeping_connections() -> Iterator[None]:
    """Django closes all connections at the end of a command, and with them a test's transaction."""
    with mock.patch("django.core.management.base.connections.close_all"):
        yield
