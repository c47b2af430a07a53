"""What stops handlers in a child, whatever the network does."""

from __future__ import annotations

import faulthandler
import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from django_jobs.exceptions import AttemptLost, JobCanceled, WorkerStopping
from tests.support import verbs
from tests.support.brokers import running_job
from tests.support.tuning import Tuning
from tests.support.verbs import ChildState, Claimed, Interpose, Interrupter, StopRelay, StopRequest

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def relay(state: ChildState) -> StopRelay:
    return StopRelay(state, os.getppid())


@pytest.mark.parametrize(
    ("timeout", "canceled", "seconds", "is_killed"),
    [(60, None, 64.9, False), (60, None, 65.1, True), (600, 50, 59.9, False), (600, 50, 60.1, True)],
)
def test_an_orphan_ends_with_a_handler_that_does_not_stop_and_gives_it_its_grace(
    state: ChildState,
    relay: StopRelay,
    monkeypatch: pytest.MonkeyPatch,
    tuning: Tuning,
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
        relay._canceled_since[7, 2] = began + canceled
    clock = SimpleNamespace(monotonic=lambda: began + seconds)
    tuning.set(shared_slots_clock=clock, stop_relay_clock=clock)

    relay._kill_what_never_stops()

    assert killed == ([(os.getpid(), signal.SIGKILL)] if is_killed else [])


@pytest.mark.parametrize(("wanted", "kind"), [(StopRequest.CANCEL, JobCanceled), (StopRequest.LOST, AttemptLost)])
def test_a_stop_request_reaches_the_handler_that_it_is_for(
    state: ChildState, relay: StopRelay, wanted: StopRequest, kind: type[JobCanceled]
) -> None:
    interrupters = []
    for slot, claimed in enumerate([running_job()[1], running_job()[1]]):
        interrupters.append(Interrupter(on_main_thread=False))
        state.running.add(claimed, interrupters[-1])
        if slot == 0:
            state.shared_slots.begin(0, claimed.pk, claimed.attempt, 60)
    state.shared_slots.request_stop(state.shared_slots.occupied()[0], wanted)

    relay.tick()

    assert [interrupter.wanted for interrupter in interrupters] == [kind, None]


@pytest.mark.parametrize(("supervisor", "last"), [(os.getppid(), WorkerStopping), (-1, None)], ids=["child", "orphan"])
def test_running_jobs_have_their_grace_when_the_worker_stops_and_an_orphans_all_the_time_they_need(
    state: ChildState, settings: Any, tuning: Tuning, supervisor: int, last: type[WorkerStopping] | None
) -> None:
    relay = StopRelay(state, supervisor)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SHUTDOWN_GRACE_SECONDS": 25}
    clock = SimpleNamespace(monotonic=lambda: 100.0)
    tuning.set(stop_relay_clock=clock)
    interrupter = Interrupter(on_main_thread=False)
    state.running.add(running_job()[1], interrupter)
    seen = []
    for moment in (100.0, 124.9, 125.1):
        clock.monotonic = lambda moment=moment: moment
        state.stop()
        relay.tick()
        seen.append(interrupter.wanted)
    assert seen == [None, None, last]


@pytest.fixture
def clock(interpose: Interpose) -> SimpleNamespace:
    """The clock of leases, which goes on by hand."""
    clock = SimpleNamespace(now=verbs.uptime())
    interpose("uptime", lambda: clock.now)
    return clock


def begin(state: ChildState) -> tuple[Claimed, Interrupter]:
    claimed, interrupter = running_job()[1], Interrupter(on_main_thread=False)
    state.running.add(claimed, interrupter)
    return claimed, interrupter


def test_an_attempt_is_lost_when_its_lease_lasted_from_the_claim_on_and_nobody_renewed_it(
    state: ChildState, relay: StopRelay, clock: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    claimed, interrupter = begin(state)
    seen = []
    for passed in (29.9, 30.1, 30.2):
        clock.now = claimed.claimed_at + passed
        relay.tick()
        seen.append(interrupter.wanted)
    assert seen == [None, AttemptLost, AttemptLost]
    assert caplog.text.count("event=lease_over") == 1


def test_an_attempt_whose_lease_is_renewed_in_time_goes_on(
    state: ChildState, relay: StopRelay, clock: SimpleNamespace
) -> None:
    _, interrupter = begin(state)
    seen = []
    for passed in (29, 29, 29, 30.1):
        state.shared_slots.note_renewal(clock.now)
        clock.now += passed
        relay.tick()
        seen.append(interrupter.wanted)
    assert seen == [None, None, None, AttemptLost]


def test_who_asked_first_to_stop_stays_the_reason(state: ChildState, relay: StopRelay, clock: SimpleNamespace) -> None:
    claimed, interrupter = begin(state)
    interrupter.want(JobCanceled)
    clock.now = claimed.claimed_at + 60
    relay.tick()
    assert interrupter.wanted is JobCanceled
