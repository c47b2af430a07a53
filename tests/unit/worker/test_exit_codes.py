"""How long a worker tries again, and how often it says so."""

from __future__ import annotations

import logging
import os
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError

from django_jobs.engine import timing
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.worker.child import exit_after
from tests.support.tuning import Tuning
from tests.support.verbs import FOREIGN_BROKER, Child, FailureTracker, Interpose, WorkerFailed


@pytest.fixture
def clock(tuning: Tuning) -> SimpleNamespace:
    """A monotonic clock that goes on by hand."""
    now = SimpleNamespace(seconds=1000.0)
    tuning.set(exit_codes_clock=SimpleNamespace(monotonic=lambda: now.seconds))
    return now


class Failing(Child):
    """A child whose every round fails."""

    def __init__(self) -> None:
        self.state: Any = SimpleNamespace(name="worker-1", stopping=SimpleNamespace(wait=lambda _: None))
        self._failures = FailureTracker(is_burst=False)
        self.error: Exception | None = BrokerUnavailable("Redis does not answer")

    def _take_and_claim(self) -> int:
        if self.error is not None:
            raise self.error.with_traceback(None)  # else each round would add to it
        return 0


@pytest.mark.parametrize("error", [BrokerUnavailable("Redis does not answer"), ValueError("a mistake")])
def test_an_hour_of_failures_is_told_at_once_and_then_once_a_minute(
    error: Exception, clock: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    child = Failing()
    child.error = error
    child._round()
    assert len(caplog.records) == 1
    for _ in range(3600):
        clock.seconds += 1
        child._round()
    assert len(caplog.records) == 1 + 3600 / timing.FAILURE_LOG_SECONDS
    assert {record.levelno for record in caplog.records} <= {logging.WARNING, logging.ERROR}


def test_a_failure_after_it_worked_is_news(clock: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    child = Failing()
    failure = child.error
    for error in (failure, failure, None, failure):
        child.error = error
        child._round()
        clock.seconds += 1
    assert len(caplog.records) == 2


def test_another_kind_of_failure_is_news_too(clock: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    child = Failing()
    child._round()
    child.error = OperationalError("the database is away")
    for _ in range(2):
        child._round()
    assert [record.getMessage().split()[0] for record in caplog.records] == [
        "event=broker_unavailable",
        "event=database_unavailable",
    ]


class Ended(BaseException):
    """In place of the end of the process, with its code."""


@pytest.mark.parametrize(
    ("error", "code"), [(None, 7), (WorkerFailed(FOREIGN_BROKER), FOREIGN_BROKER), (ValueError("a mistake"), 1)]
)
def test_a_child_ends_with_the_code_of_its_work_once_observers_and_log_have_heard_all(
    monkeypatch: pytest.MonkeyPatch, interpose: Interpose, error: Exception | None, code: int
) -> None:
    heard: list[str] = []

    def work() -> int:
        if error is not None:
            raise error
        return 7

    def leave(code: int) -> None:
        raise Ended(code)

    interpose("drain_observers", lambda: heard.append("observers"))
    monkeypatch.setattr(logging, "shutdown", lambda: heard.append("log"))
    # no public way: os._exit ends the process of the test
    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(Ended) as ended:
        exit_after(work, "name")
    assert (ended.value.args, heard) == ((code,), ["observers", "log"])
