"""Receivers in the background: on a thread of their own, in nobody's way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from django_jobs import signals
from tests.integration.conftest import Listen
from tests.support import verbs
from tests.support.brokers import job_in, pending_job, running_job
from tests.support.tuning import Tuning

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def in_background() -> Iterator[None]:
    """The process calls receivers as a worker does."""
    verbs.deliver_signals_in_background()
    yield
    verbs.stop_signal_delivery()


def test_a_receiver_in_the_background_is_not_the_handler(listen: Listen, in_background: None) -> None:
    seen: list[Any] = []
    listen(
        signals.job_submitted, lambda **kwargs: seen.append((threading.current_thread().name, verbs.current_job.get()))
    )
    _, claimed = running_job()
    token = verbs.current_job.set(claimed)
    pending_job()
    verbs.current_job.reset(token)
    verbs.stop_signal_delivery()
    assert seen == [("signals", None), ("signals", None)]


def test_a_slow_receiver_in_the_background_holds_nobody_up(listen: Listen, in_background: None) -> None:
    gate, seen = threading.Event(), []

    def slow(status: Any, **kwargs: Any) -> None:
        assert gate.wait(30)
        seen.append(status.job_id)

    listen(signals.job_finished, slow)
    job = job_in("Completed")
    assert seen == []
    gate.set()
    verbs.stop_signal_delivery()
    assert seen == [job.name]


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), ValueError()], ids=repr)
def test_nothing_that_a_receiver_raises_ends_the_background(
    error: BaseException, listen: Listen, in_background: None
) -> None:
    seen: list[str] = []

    def broken_once(status: Any, **kwargs: Any) -> None:
        seen.append(status.job_id)
        if len(seen) == 1:
            raise error

    listen(signals.job_finished, broken_once)
    jobs = [job_in("Completed"), job_in("Completed")]
    verbs.stop_signal_delivery()
    assert seen == [job.name for job in jobs]


def test_who_falls_far_behind_is_told_less(
    listen: Listen, in_background: None, tuning: Tuning, caplog: pytest.LogCaptureFixture
) -> None:
    tuning.set(waiting_signals=0)
    seen: list[str] = []
    listen(signals.job_finished, lambda status, **kwargs: seen.append(status.job_id))
    job_in("Completed")
    job_in("Completed")
    verbs.stop_signal_delivery()
    assert seen == []
    assert caplog.text.count("event=signals_dropped") == 1


def test_receivers_of_the_start_of_a_process_are_called_at_once_and_harm_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kinds: list[str] = []

    def note(kind: str, **kwargs: object) -> None:
        kinds.append(kind)
        raise RuntimeError("from a receiver")

    signals.worker_process_started.connect(note)
    verbs.tell_process_started("scheduler")
    signals.worker_process_started.disconnect(note)
    assert kinds == ["scheduler"]
    assert "event=receiver_failed process=scheduler" in caplog.text
