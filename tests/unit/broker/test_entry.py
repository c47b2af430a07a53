"""What looks after a handler under a plain ``rqworker``, whatever the database is up to."""

from __future__ import annotations

import contextlib
import logging
import time
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError

from django_jobs.exceptions import AttemptLost, JobCanceled, JobTimedOut
from tests.support import verbs
from tests.support.verbs import CheckpointRunner, Interpose

ROUNDS = 4


@pytest.fixture
def runner(interpose: Interpose, settings: Any) -> CheckpointRunner:
    """Looks after a handler that is done after some rounds; the lease is due in each of them."""
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "LEASE_SECONDS": 0}
    interpose("drop_connections", lambda: None)
    interpose("note_begun", lambda attempts, _: set(attempts))
    claimed: Any = SimpleNamespace(pk=7, attempt=2, key=(7, 2), timeout_seconds=300, claimed_at=verbs.uptime())
    runner = CheckpointRunner(claimed, "rqworker")
    is_done = iter([False] * ROUNDS + [True])
    done: Any = SimpleNamespace(wait=lambda _: next(is_done))
    runner.done = done
    return runner


class Duty:
    """Fails some times, then does nothing."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self, *_: object) -> list[Any]:
        self.calls += 1
        if self.calls <= self.failures:
            raise OperationalError("gone")
        return []


@pytest.mark.parametrize(("of_progress", "of_renewal"), [(2, 2), (ROUNDS + 1, 0), (0, ROUNDS)])
def test_database_errors_do_not_end_the_care_for_the_lease_and_are_told_once(
    runner: CheckpointRunner,
    monkeypatch: pytest.MonkeyPatch,
    interpose: Interpose,
    caplog: pytest.LogCaptureFixture,
    of_progress: int,
    of_renewal: int,
) -> None:
    flush, renew, drop = Duty(of_progress), Duty(of_renewal), Duty(0)
    monkeypatch.setattr(runner.progress, "flush", flush)
    interpose("renew_leases", renew)
    interpose("drop_connections", drop)
    with caplog.at_level(logging.WARNING, "django_jobs"):
        runner.keep_alive()
    assert (flush.calls, renew.calls) == (ROUNDS + 1, ROUNDS)
    assert drop.calls == of_progress + of_renewal + 1  # after each error, and at the end
    assert [record.message.split()[0] for record in caplog.records] == ["event=attend_failed"]


def held(**fields: Any) -> list[Any]:
    """What a renewal finds of the attempt."""
    return [SimpleNamespace(pk=7, attempt=2, **fields)]


@pytest.mark.parametrize(
    ("flushed", "renewed", "seconds", "kind"),
    [
        ([], held(cancel_seconds=None), 300, None),
        ([], held(cancel_seconds=0.0), 300, JobCanceled),
        ([(7, 2)], [], 300, JobCanceled),  # its progress was refused, since it belongs to another attempt
        ([], [], -1, JobTimedOut),
    ],
)
def test_a_handler_is_told_when_it_calls_its_context_why_it_is_to_stop_but_not_in_a_shield(
    runner: CheckpointRunner,
    monkeypatch: pytest.MonkeyPatch,
    interpose: Interpose,
    settings: Any,
    flushed: list[Any],
    renewed: list[Any],
    seconds: int,
    kind: type[BaseException] | None,
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "LEASE_SECONDS": 60}
    renewals: list[Any] = []
    monkeypatch.setattr(runner.progress, "flush", lambda: flushed)

    def renew(workers: list[str]) -> list[Any]:
        renewals.append(workers)
        return renewed

    interpose("renew_leases", renew)
    runner.deadline = time.monotonic() + seconds
    runner.keep_alive()
    assert renewals == [["rqworker"]]  # the next one is due after a sixth of the lease
    with pytest.raises(kind) if kind else contextlib.nullcontext(), runner.shielded():
        runner.check()
    assert (runner.is_canceled(), runner.is_lost()) == (kind is JobCanceled, False)


def test_an_attempt_whose_lease_nobody_could_renew_is_told_when_it_calls_its_context(
    runner: CheckpointRunner, settings: Any, interpose: Interpose
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "LEASE_SECONDS": 30}
    began = verbs.uptime()

    def renew_slowly(_: object) -> list[Any]:
        interpose("uptime", lambda: began + 40)
        return []

    interpose("renew_leases", renew_slowly)
    interpose("uptime", lambda: began + 20)
    runner._renew()
    interpose("uptime", lambda: began + 49)
    runner.check()
    interpose("uptime", lambda: began + 51)
    with pytest.raises(AttemptLost):
        runner.check()
    assert runner.is_canceled()
