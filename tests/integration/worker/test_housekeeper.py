"""What a child's second thread does while handlers run."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError

from django_jobs.engine.execution import settle
from django_jobs.exceptions import AttemptLost, JobCanceled, WorkerStopping
from django_jobs.worker import housekeeper, shared_slots
from django_jobs.worker.child_state import ChildState
from django_jobs.worker.interruption import Interrupter
from django_jobs.worker.options import WorkerOptions
from django_jobs.worker.shared_slots import SharedSlots, StopRequest
from tests.support.brokers import WORKER, MemoryBroker, reread, returned, running_job

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def state(broker: MemoryBroker) -> Iterator[ChildState]:
    slots = SharedSlots.create(1)
    yield ChildState(WORKER, WorkerOptions(), broker.consumer(WORKER), slots)
    slots.close()


@pytest.fixture
def duties(state: ChildState) -> housekeeper.Housekeeper:
    return housekeeper.Housekeeper(state, supervisor=1)


def test_what_ended_before_a_slow_job_is_stored_while_that_runs(
    state: ChildState, duties: housekeeper.Housekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, claimed = running_job()
    state.batch.put([claimed, running_job()[1]])
    state.batch.next()
    state.batch.add_ended(returned(claimed))
    state.batch.next()
    duties._hand_back()
    assert reread(quick).status == "Running"  # the other job has not run for long yet
    monkeypatch.setattr(housekeeper, "HAND_BACK_SECONDS", 0.0)
    duties._hand_back()
    assert reread(quick).status == "Completed"


@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "not committed"])
def test_what_was_handed_back_does_not_run_though_the_databases_answer_was_lost(
    state: ChildState, duties: housekeeper.Housekeeper, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    job, claimed = running_job()
    state.batch.put([running_job()[1], claimed])
    state.batch.next()
    monkeypatch.setattr(housekeeper, "HAND_BACK_SECONDS", 0.0)
    original = settle.return_to_queue

    def cut_off(*args: Any) -> None:
        if is_committed:
            original(*args)
        raise OperationalError(2013, "Lost connection to server during query")

    monkeypatch.setattr(settle, "return_to_queue", cut_off)
    with pytest.raises(OperationalError):
        duties._hand_back()
    assert state.batch.next() is None
    monkeypatch.setattr(settle, "return_to_queue", original)
    duties._hand_back()
    assert (reread(job).status, reread(job).retry_count) == ("Queued", 0)


def test_a_job_that_runs_in_our_name_and_nobody_knows_of_is_handed_back_when_it_is_seen_twice(
    state: ChildState, duties: housekeeper.Housekeeper
) -> None:
    (forgotten, _), (known, claimed), (others, _) = running_job(), running_job(), running_job("worker-2")
    state.batch.put([claimed])

    duties._return_unknown()
    duties._hand_back()
    assert reread(forgotten).status == "Running"
    duties._return_unknown()
    duties._hand_back()

    assert [reread(job).status for job in (forgotten, known, others)] == ["Queued", "Running", "Running"]
    assert reread(forgotten).retry_count == 0


def test_what_runs_long_enough_to_be_seen_is_shown_before_the_next_heartbeat(
    state: ChildState, duties: housekeeper.Housekeeper, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, claimed = running_job()
    state.running.add(claimed, Interrupter(on_main_thread=False))
    state.shared_slots.begin(0, claimed.pk, claimed.attempt, 60)
    (began,) = (item.started for item in state.shared_slots.occupied())
    clock = SimpleNamespace(monotonic=lambda: began + 0.4)
    monkeypatch.setattr(shared_slots, "time", clock)

    assert not duties._is_any_unseen()
    clock.monotonic = lambda: began + 0.6
    duties._due.clear()
    assert duties._is_any_unseen()
    duties._show()
    assert [item.ticket for item in broker.workers[WORKER]] == [claimed.ticket]
    duties._due.clear()
    assert not duties._is_any_unseen()


@pytest.mark.parametrize(
    ("timeout", "canceled", "seconds", "is_killed"),
    [(60, None, 64.9, False), (60, None, 65.1, True), (600, 50, 59.9, False), (600, 50, 60.1, True)],
)
def test_an_orphan_ends_with_a_handler_that_does_not_stop_and_gives_it_its_grace(
    state: ChildState,
    duties: housekeeper.Housekeeper,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    timeout: float,
    canceled: float | None,
    seconds: float,
    is_killed: bool,
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "CANCEL_GRACE_SECONDS": 10}
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *arguments: killed.append(arguments))
    monkeypatch.setattr(faulthandler, "dump_traceback", lambda *_, **__: None)
    state.shared_slots.begin(0, 7, 2, timeout)
    (began,) = (item.started for item in state.shared_slots.occupied())
    if canceled is not None:
        duties._canceled_since[7, 2] = began + canceled
    clock = SimpleNamespace(monotonic=lambda: began + seconds)
    monkeypatch.setattr(shared_slots, "time", clock)
    monkeypatch.setattr(housekeeper, "time", clock)

    duties._kill_what_never_stops()

    assert killed == ([(os.getpid(), signal.SIGKILL)] if is_killed else [])


@pytest.mark.parametrize(("wanted", "kind"), [(StopRequest.CANCEL, JobCanceled), (StopRequest.LOST, AttemptLost)])
def test_a_stop_request_reaches_the_handler_that_it_is_for(
    state: ChildState, duties: housekeeper.Housekeeper, wanted: StopRequest, kind: type[JobCanceled]
) -> None:
    interrupters = []
    for slot, claimed in enumerate([running_job()[1], running_job()[1]]):
        interrupters.append(Interrupter(on_main_thread=False))
        state.running.add(claimed, interrupters[-1])
        if slot == 0:
            state.shared_slots.begin(0, claimed.pk, claimed.attempt, 60)
    state.shared_slots.request_stop(state.shared_slots.occupied()[0], wanted)

    duties._pass_stop_requests_on()

    assert [interrupter.wanted for interrupter in interrupters] == [kind, None]


def test_running_jobs_have_their_grace_when_the_worker_stops(
    state: ChildState, duties: housekeeper.Housekeeper, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SHUTDOWN_GRACE_SECONDS": 25}
    clock = SimpleNamespace(monotonic=lambda: 100.0)
    monkeypatch.setattr(housekeeper, "time", clock)
    interrupter = Interrupter(on_main_thread=False)
    state.running.add(running_job()[1], interrupter)
    seen = []
    for moment in (100.0, 124.9, 125.1):
        clock.monotonic = lambda moment=moment: moment
        state.stop()
        duties._pass_stop_requests_on()
        seen.append(interrupter.wanted)
    assert seen == [None, None, WorkerStopping]


def test_a_window_that_grew_or_shrank_much_is_announced_before_the_next_heartbeat(
    state: ChildState, duties: housekeeper.Housekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeper, "WINDOW_SECONDS", 0.0)
    monkeypatch.setattr(state.prefetch, "window", lambda _: 10)
    duties._beat()
    changed = {}
    for wanted in (4, 5, 10, 20, 21):
        monkeypatch.setattr(state.prefetch, "window", lambda _, wanted=wanted: wanted)
        changed[wanted] = duties._window_changed()
    assert changed == {4: True, 5: False, 10: False, 20: False, 21: True}
