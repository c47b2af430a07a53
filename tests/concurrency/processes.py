"""Interpreters of their own, each with its own imports, caches and connections, that all begin at the same moment.

``run_processes`` runs functions of :mod:`tests.concurrency.members` in them. A member says that it is ready once
Django is set up and its connection open, waits for the word, and answers with what its function returns, as JSON.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.support.workers import MANAGE_PY, process_environ

MEMBERS: Final = "tests.concurrency.members"
READY: Final = "ready"


def run_processes(calls: Sequence[tuple[Callable[..., Any], dict[str, Any]]], timeout: float = 60.0) -> list[Any]:
    """Call each function with its keywords, all at once, each in a process; their answers, in the given order."""
    environ = process_environ({}, {})
    members = [_start(function.__name__, keywords, environ) for function, keywords in calls]
    try:
        assert [_line(member) for member in members] == [READY] * len(members)
        for member in members:
            _say(member, "go")
        return [_answer(member, timeout) for member in members]
    finally:
        for member in members:
            member.kill()
            member.communicate()


def run_to_its_end(function: Callable[..., Any], keywords: dict[str, Any], timeout: float = 60.0) -> int:
    """Call a function in a process that it may kill; the process's return code, negative for a signal."""
    member = _start(function.__name__, keywords, process_environ({}, {}))
    try:
        assert _line(member) == READY
        _say(member, "go")
        member.communicate(timeout=timeout)
        return member.returncode
    finally:
        member.kill()
        member.communicate()


def _start(name: str, keywords: dict[str, Any], environ: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.concurrency.processes", name, json.dumps(keywords)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=MANAGE_PY.parent, env=environ, **pipes)


def _line(member: subprocess.Popen[str]) -> str:
    assert member.stdout is not None
    return member.stdout.readline().strip()


def _say(member: subprocess.Popen[str], word: str) -> None:
    assert member.stdin is not None
    member.stdin.write(f"{word}\n")
    member.stdin.flush()


def _answer(member: subprocess.Popen[str], timeout: float) -> Any:
    output, _ = member.communicate(timeout=timeout)
    assert member.returncode == 0, f"{member.args!r} ended with {member.returncode}; its errors stand on stderr"
    return json.loads(output)


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
