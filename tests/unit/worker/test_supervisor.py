"""The supervisor and its picture of a child: what it makes of deaths and mistakes."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from django.db import OperationalError

from django_jobs.exceptions import BrokerUnavailable
from django_jobs.worker import supervisor as module
from django_jobs.worker.processes import RECYCLED
from tests.support import verbs
from tests.support.fake_children import NEIGHBOUR, STUCK, FakeChild, options
from tests.support.tuning import Tuning
from tests.support.verbs import (
    FOREIGN_BROKER,
    ChildProcess,
    Interpose,
    Loss,
    OccupiedSlot,
    StopRequest,
    Supervisor,
    Text,
)


@pytest.fixture(autouse=True)
def no_batches(interpose: Interpose) -> None:
    """There is nothing to add up, so that a burst asks no database for it."""
    interpose("do_batch_duties", lambda: 0)


def test_the_end_of_a_child_is_told_whatever_ended_it(subtests: pytest.Subtests) -> None:
    cases: list[tuple[int, str, dict[str, Any]]] = [
        (3, "exited", {"exit": 3}),
        (-signal.SIGSEGV, "killed", {"signal": "SIGSEGV", "why": ""}),
        (-signal.SIGKILL, "killed", {"signal": "SIGKILL"}),
        (-(signal.SIGRTMIN + 5), "killed", {"signal": f"signal {signal.SIGRTMIN + 5}", "why": ""}),
    ]
    for returncode, code, facts in cases:
        with subtests.test(returncode=returncode, code=code):
            loss = FakeChild(STUCK, returncode=returncode).loss()
            assert isinstance(loss.reason, Text)
            assert (loss.reason.code, loss.how, loss.culprit) == (code, "lost", None)
            assert {"pid": 1234, **facts}.items() <= loss.reason.values.items()
            assert all(str(value) in loss.reason for value in loss.reason.values.values())
            assert (set(loss.started), set(loss.ended), dict(loss.tracebacks)) == ({(7, 2)}, {(9, 1)}, {})


def test_a_child_is_killed_for_the_only_job_that_runs_in_it_once_it_has_left_its_stacks() -> None:
    child = FakeChild(STUCK)
    child.kill_for(STUCK, "It did not stop", "timed_out")
    assert child.signals == [verbs.STACKS_SIGNAL, signal.SIGTERM]
    child.go_on_killing()
    assert child.signals == [verbs.STACKS_SIGNAL, signal.SIGTERM]

    child.stacks.has_answered = True  # type: ignore[attr-defined]
    child.go_on_killing()
    loss = child.loss()
    assert child.signals[-1] == signal.SIGKILL
    assert verbs.code_of(loss.tracebacks[7, 2]) == "stacks"
    assert loss.tracebacks[7, 2].startswith("It did not stop: process 1234 ")
    assert (loss.reason, loss.how, loss.culprit) == ("It did not stop", "timed_out", (7, 2))


def test_a_child_whose_stacks_show_no_frame_of_the_handler_is_asked_again_before_it_is_killed() -> None:
    child = FakeChild(STUCK)
    child.kill_for(STUCK, "It did not stop", "timed_out")
    child.stacks.has_answered = child.stacks.lacks_frames = True  # type: ignore[attr-defined]
    child.go_on_killing()
    assert child.signals == [verbs.STACKS_SIGNAL, signal.SIGTERM, verbs.STACKS_SIGNAL]
    child.stacks.has_answered, child.stacks.lacks_frames = True, False  # type: ignore[attr-defined]
    child.go_on_killing()
    assert child.signals == [verbs.STACKS_SIGNAL, signal.SIGTERM, verbs.STACKS_SIGNAL, signal.SIGKILL]


def test_others_that_run_in_it_get_the_grace_of_an_orderly_end_first(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SHUTDOWN_GRACE_SECONDS": 60}
    child = FakeChild(STUCK, NEIGHBOUR)

    for _ in range(3):
        child.kill_for(STUCK, "It did not stop", "timed_out")
    assert child.signals == [signal.SIGTERM]

    child.condemned_at = time.monotonic() - 61
    child.kill_for(STUCK, "It did not stop", "timed_out")
    assert child.signals == [signal.SIGTERM, verbs.STACKS_SIGNAL]
    assert child.loss().culprit == (7, 2)


def test_the_kill_comes_as_soon_as_the_others_are_done(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SHUTDOWN_GRACE_SECONDS": 60}
    child = FakeChild(STUCK, NEIGHBOUR)
    child.kill_for(STUCK, "It did not stop", "timed_out")
    child._running.remove(NEIGHBOUR)
    child.kill_for(STUCK, "It did not stop", "timed_out")
    assert child.signals == [signal.SIGTERM, verbs.STACKS_SIGNAL]


def test_others_that_cannot_run_are_given_no_time(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SHUTDOWN_GRACE_SECONDS": 60}
    child = FakeChild(STUCK, NEIGHBOUR)
    child.holds_for_long = True
    child.kill_for(STUCK, "It did not stop", "timed_out")
    assert child.signals == [verbs.STACKS_SIGNAL, signal.SIGTERM]
    assert child.loss().culprit == (7, 2)


def test_a_frozen_child_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    child = FakeChild(STUCK)
    monkeypatch.setattr(child, "is_frozen", lambda: True)
    child.kill("The worker was shut down", "interrupted")
    assert child.signals == [verbs.STACKS_SIGNAL, signal.SIGKILL]
    assert verbs.code_of(child.loss().tracebacks[7, 2]) == "no_stacks"


def test_a_mistake_in_a_tick_does_not_end_the_supervisor(
    interpose: Interpose, tuning: Tuning, caplog: pytest.LogCaptureFixture
) -> None:
    boss = Supervisor(options())
    boss.children = [FakeChild(STUCK)]
    interpose("stop_what_must", lambda *_: 1 / 0)
    tuning.set(supervisor_clock=SimpleNamespace(sleep=lambda _: None, monotonic=time.monotonic))
    assert boss._look_after_children()
    assert "ZeroDivisionError" in caplog.text


def refuse(*args: Any) -> Any:
    raise OSError(12, os.strerror(12))


def test_a_child_that_cannot_be_started_is_started_later(
    interpose: Interpose, caplog: pytest.LogCaptureFixture, clock: SimpleNamespace
) -> None:
    boss = Supervisor(options())

    with pytest.MonkeyPatch.context() as patch:
        Interpose(patch)("ChildProcess", refuse)
        boss._fill()
    assert (boss.children, "event=child_not_started" in caplog.text) == ([], True)

    clock.now += 1.0
    interpose("ChildProcess", lambda *args: FakeChild())
    boss._fill()
    assert len(boss.children) == 1


class FakeServer:
    """A fork server that notes what it is to fork, and may fork nothing."""

    is_lost = False

    def __init__(self) -> None:
        self.names: list[str] = []
        self.fails = False

    def fork(self, arguments: list[Any], descriptors: list[int]) -> Any:
        self.names.append(arguments[0])
        return refuse() if self.fails else SimpleNamespace(pid=1234, returncode=0, poll=lambda: 0)


def test_a_child_that_could_not_be_forked_leaves_nothing_open() -> None:
    server: Any = FakeServer()
    server.fails, before = True, psutil.Process().num_fds()
    with pytest.raises(OSError, match="memory"):
        ChildProcess("host", options(), server)
    assert psutil.Process().num_fds() == before


@pytest.mark.parametrize(("pool", "place"), [("default", "host-"), ("gpu", "gpu@host-")])
def test_a_child_is_called_by_its_pool_and_host_and_never_as_another(pool: str, place: str) -> None:
    server: Any = FakeServer()
    for _ in range(2):
        ChildProcess("host", options(pool=pool), server).close()
    assert [name.startswith(f"{place}{os.getpid()}-") for name in server.names] == [True, True]
    assert len(set(server.names)) == 2


def test_a_burst_does_not_use_up_its_rounds_while_a_new_child_has_to_wait(
    interpose: Interpose, clock: SimpleNamespace
) -> None:
    boss = Supervisor(options(burst=True))
    interpose("dispatch_what_is_left", lambda _: True)
    with pytest.MonkeyPatch.context() as patch:
        Interpose(patch)("ChildProcess", refuse)
        boss._fill()
    interpose("ChildProcess", lambda *args: FakeChild())
    assert [boss._leave_or_refill() for _ in range(100)] == [False] * 100
    clock.now += 1.0
    assert not boss._leave_or_refill()
    assert len(boss.children) == 1


def test_a_burst_that_is_to_be_quiet_leaves_what_is_left(interpose: Interpose) -> None:
    boss = Supervisor(options(burst=True))
    interpose("dispatch_what_is_left", lambda _: True)
    boss.orders = SimpleNamespace(is_quiet=True)  # type: ignore[assignment]
    assert boss._leave_or_refill()
    assert (boss.children, boss.failure) == ([], "")


def test_a_burst_that_cannot_ask_what_is_left_ends_with_the_reason(interpose: Interpose) -> None:
    def lose(_: object) -> bool:
        raise OperationalError("server closed the connection")

    boss = Supervisor(options(burst=True))
    interpose("dispatch_what_is_left", lose)
    assert boss._leave_or_refill()
    assert verbs.code_of(boss.failure) == "database_unavailable"


def test_a_burst_that_cannot_ask_redis_what_is_left_lets_another_child_look(interpose: Interpose) -> None:
    def lose(_: object) -> bool:
        raise BrokerUnavailable("Redis did not answer a moment ago")

    boss = Supervisor(options(burst=True))
    interpose("dispatch_what_is_left", lose)
    interpose("ChildProcess", lambda *args: FakeChild())
    assert not boss._leave_or_refill()
    assert (len(boss.children), boss.failure) == (1, "")


def test_a_burst_that_leaves_jobs_behind_since_its_children_die_says_so(interpose: Interpose) -> None:
    boss = Supervisor(options(burst=True))
    interpose("dispatch_what_is_left", lambda _: True)
    boss._burst_rounds = module.MAX_BURST_ROUNDS
    boss._note_death(1, Loss(worker_name="child", started=frozenset(), reason="process 1 exited with code 1"))
    assert boss._leave_or_refill()
    assert verbs.code_of(boss.failure) == "jobs_left"
    assert "process 1 exited with code 1" in boss.failure


def test_a_burst_goes_on_with_another_child_after_one_that_was_recycled(interpose: Interpose) -> None:
    boss = Supervisor(options(burst=True))
    interpose("dispatch_what_is_left", lambda _: True)
    interpose("ChildProcess", lambda *_: FakeChild())
    boss._burst_rounds = module.MAX_BURST_ROUNDS
    boss.children = [FakeChild(returncode=RECYCLED)]
    boss._tick()
    assert not boss._leave_or_refill()
    assert (len(boss.children), boss.failure) == (1, "")


@pytest.mark.parametrize(("running", "stops"), [([], True), ([(7, 1)], False)], ids=["by itself", "by a handler"])
def test_a_child_that_gave_up_ends_the_worker(running: list[tuple[int, int]], stops: bool) -> None:
    boss = Supervisor(options())
    loss = Loss(worker_name="child", started=frozenset(running), reason="exited")
    boss._note_death(FOREIGN_BROKER, loss)
    assert (bool(boss.failure), boss._stop_since is not None) == (stops, stops)


@pytest.fixture
def clock(tuning: Tuning) -> SimpleNamespace:
    """The supervisor's clock, which goes on by hand."""
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    tuning.set(supervisor_clock=clock, children_clock=clock, shared_slots_clock=clock)
    return clock


def test_a_handler_that_has_run_for_a_moment_is_known_to_have_begun(clock: SimpleNamespace) -> None:
    boss = Supervisor(options())
    boss.children = [FakeChild(OccupiedSlot(0, 7, 2, StopRequest.NONE, started=100.0, timeout=600))]
    clock.now = 100.9
    boss._tick()
    assert boss.leases.begun == set()
    clock.now = 101.1
    boss._tick()
    assert boss.leases.begun == {(7, 2)}


def test_each_look_at_the_children_is_one_at_what_runs_and_at_the_board(interpose: Interpose) -> None:
    boss, child, seen = Supervisor(options()), FakeChild(STUCK), []
    boss.children = [child]
    interpose("stop_what_must", lambda *arguments: seen.append(arguments))
    interpose("watch_board", lambda *arguments: seen.append(arguments))
    boss._tick()
    assert seen == [(child, STUCK, boss.leases), (child, boss.leases)]


def test_probes_are_told_how_many_children_live_and_that_it_was_told_to_stop() -> None:
    boss = Supervisor(options())
    boss.children = [FakeChild()]
    boss._tick()
    assert (boss.notes.children, boss.notes.is_leaving) == ((1, 1), False)
    boss._on_stop_signal(signal.SIGTERM, None)
    boss._tick()
    assert boss.notes.is_leaving


def test_what_runs_has_its_grace_unless_the_worker_is_told_to_stop_twice(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SHUTDOWN_GRACE_SECONDS": 60}
    boss, child = Supervisor(options()), FakeChild(OccupiedSlot(0, 7, 2, StopRequest.NONE, time.monotonic(), 600))
    boss.children = [child]
    boss._on_stop_signal(signal.SIGINT, None)
    boss._tick()
    assert child.signals == [signal.SIGTERM]
    boss._on_stop_signal(signal.SIGINT, None)
    boss._tick()
    assert verbs.STACKS_SIGNAL in child.signals


def test_a_frozen_child_is_not_among_the_living(monkeypatch: pytest.MonkeyPatch) -> None:
    boss, child, other = Supervisor(options(processes=2)), FakeChild(), FakeChild()
    boss.children = [child, other]
    monkeypatch.setattr(child, "is_frozen", lambda: True)
    boss._tick()
    assert boss.notes.children == (2, 1)


@pytest.mark.parametrize(("is_quiet", "is_stop", "signals"), [(True, False, []), (True, True, [signal.SIGTERM])])
def test_what_was_ordered_is_passed_on_to_the_children(is_quiet: bool, is_stop: bool, signals: list[int]) -> None:
    supervisor = Supervisor(options())
    child = FakeChild()
    supervisor.children = [child]
    supervisor.orders = SimpleNamespace(is_quiet=is_quiet, is_stop=is_stop)  # type: ignore[assignment]
    supervisor._tick()
    assert (child.is_quiet, child.signals) == (is_quiet, signals)


def test_a_child_that_starts_while_the_worker_is_quiet_takes_no_job(interpose: Interpose) -> None:
    boss, child = Supervisor(options()), FakeChild()
    interpose("ChildProcess", lambda *_: child)
    boss.orders = SimpleNamespace(is_quiet=True)  # type: ignore[assignment]
    boss._fill()
    assert (boss.children, child.is_quiet) == ([child], True)
