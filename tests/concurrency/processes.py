"""Processes of their own, each with its own caches and connections, that all begin at the same moment.

``run_processes`` runs functions of :mod:`tests.concurrency.members` in them. A member says that it is ready once
Django is set up and its connection open, waits for the word, and answers with what its function returns, as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.support.nursery import NURSERIES
from tests.support.workers import MANAGE_PY, process_environ

MEMBERS: Final = "tests.concurrency.members"
READY: Final = "ready"


class Member:
    """One process, which waits for the word to go."""

    def __init__(self, name: str, keywords: dict[str, Any], environ: dict[str, str]) -> None:
        answers, output = os.pipe()
        given, orders = os.pipe()
        command = ["-m", "tests.concurrency.processes", name, json.dumps(keywords)]
        forked = NURSERIES.start(command, environ, output, given, modules=[MEMBERS])
        self.process = forked or subprocess.Popen(
            [sys.executable, *command], cwd=MANAGE_PY.parent, env=environ, stdin=given, stdout=output
        )
        os.close(output)
        os.close(given)
        self._answers = os.fdopen(answers)
        self._orders = os.fdopen(orders, "w")

    def is_ready(self) -> bool:
        return self._answers.readline().strip() == READY

    def go(self) -> None:
        self._orders.write("go\n")
        self._orders.flush()

    def output(self, timeout: float) -> str:
        """All that it says until it has ended; it is killed when that takes too long."""
        timer = threading.Timer(timeout, self.process.kill)
        timer.start()
        text = self._answers.read()
        self.process.wait()
        timer.cancel()
        return text

    def answer(self, timeout: float) -> Any:
        text = self.output(timeout)
        assert self.process.returncode == 0, f"it ended with {self.process.returncode}; its errors stand on stderr"
        return json.loads(text)

    def clean_up(self) -> None:
        self.process.kill()
        self.process.wait()
        self._answers.close()
        self._orders.close()


def run_processes(calls: Sequence[tuple[Callable[..., Any], dict[str, Any]]], timeout: float = 120.0) -> list[Any]:
    """Call each function with its keywords, all at once, each in a process; their answers, in the given order."""
    environ = process_environ({}, {})
    members = [Member(function.__name__, keywords, environ) for function, keywords in calls]
    try:
        assert all(member.is_ready() for member in members)
        for member in members:
            member.go()
        return [member.answer(timeout) for member in members]
    finally:
        for member in members:
            member.clean_up()


def run_to_its_end(function: Callable[..., Any], keywords: dict[str, Any], timeout: float = 120.0) -> int | None:
    """Call a function in a process that it may kill; the process's return code, negative for a signal."""
    member = Member(function.__name__, keywords, process_environ({}, {}))
    try:
        assert member.is_ready()
        member.go()
        member.output(timeout)
        return member.process.returncode
    finally:
        member.clean_up()


def main(name: str, keywords: str) -> None:
    """What a member does."""
    import django

    django.setup()
    from django.db import connection

    function = getattr(importlib.import_module(MEMBERS), name)
    connection.ensure_connection()
    _tell(READY)
    sys.stdin.readline()
    _tell(json.dumps(function(**json.loads(keywords))))


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
