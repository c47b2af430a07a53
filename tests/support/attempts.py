"""Attempts in the test's own process: any function as a handler, run as a worker's slot runs it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.support import verbs
from tests.support.brokers import running_job
from tests.support.verbs import Claimed, Interrupter, Runner


class FreeRunner(Runner):
    """Lets the handler run to its end, and keeps what it reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, str | None]] = []

    def report(self, key: tuple[int, int], percent: int, message: str | None) -> None:
        self.reports.append((percent, message))


def outcome_of(handler: Callable[[Any], Any], runner: Any = None, **fields: Any) -> Any:
    """How an attempt ends that runs ``handler``."""
    _, claimed = running_job(**fields)
    claimed.handler = handler
    return verbs.run(claimed, verbs.context_for(claimed, runner or FreeRunner()))


def raising(error: BaseException) -> Callable[..., Any]:
    def handler(*_: Any) -> None:
        raise error

    return handler


def returning(value: Any) -> Callable[[Any], Any]:
    return lambda _: value


class Progress:
    """Keeps what is reported, and from which thread."""

    def __init__(self) -> None:
        self.reports: list[Any] = []

    def report(self, key: Any, percent: int, message: str | None) -> None:
        self.reports.append((percent, message, threading.current_thread() is threading.main_thread()))


class Stage:
    """Runs handlers as a worker's slot does; the test may interrupt them."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.interrupter = Interrupter(on_main_thread=True, report=self.progress.report)

    def attempt(self, claimed: Claimed, how: Any = verbs.run) -> Any:
        """How an attempt ends that was claimed."""
        claimed.interruption = lambda: self.interrupter.wanted
        return how(claimed, verbs.context_for(claimed, self.interrupter))

    def run(self, handler: Callable[[Any], Any], how: Any = verbs.run) -> Any:
        _, claimed = running_job()
        claimed.handler = handler
        return self.attempt(claimed, how)
