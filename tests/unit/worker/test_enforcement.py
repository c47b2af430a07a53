"""What a supervisor does about handlers that do not stop, and about children that do not get on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from django_jobs.engine import timing
from tests.support import verbs
from tests.support.fake_children import FakeChild
from tests.support.tuning import Tuning
from tests.support.verbs import (
    ChildWatch,
    LeaseRenewer,
    LoopStep,
    OccupiedSlot,
    OrderReader,
    Renewal,
    SharedSlots,
    StopRequest,
)


@pytest.fixture
def clock(tuning: Tuning) -> SimpleNamespace:
    """The supervisor's clock, which goes on by hand."""
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    tuning.set(child_watch_clock=clock, children_clock=clock, enforcement_clock=clock, shared_slots_clock=clock)
    return clock


@pytest.fixture
def leases() -> LeaseRenewer:
    return LeaseRenewer(lambda: ["child"], OrderReader(""))


def running_for(timeout: int) -> FakeChild:
    """A child in which a handler runs since a moment."""
    return FakeChild(OccupiedSlot(0, 7, 2, StopRequest.NONE, started=100.0, timeout=timeout))


def killed(child: FakeChild) -> tuple[str, str, object] | None:
    """Why, in a code, and how a child is killed, and for which job; None where it is not."""
    return child.killed and (verbs.code_of(child.killed[0]), *child.killed[1:])


def watched(leases: LeaseRenewer, child: FakeChild) -> tuple[str, str, object] | None:
    """The same when the supervisor has looked at what runs in it."""
    for item in child.running():
        verbs.stop_what_must(child, item, leases)
    return killed(child)


def test_a_handler_that_runs_past_its_timeout_has_five_seconds_more(
    clock: SimpleNamespace, leases: LeaseRenewer
) -> None:
    child = running_for(60)
    clock.now = 164.9
    assert watched(leases, child) is None
    clock.now = 165.1
    assert watched(leases, child) == ("ignored_timeout", "timed_out", (7, 2))


@pytest.mark.parametrize(("requested", "deadline"), [(120.0, 130.0), (90.0, 110.0)], ids=["while it ran", "before"])
def test_a_handler_that_was_canceled_has_its_grace_from_the_request_or_from_its_start(
    clock: SimpleNamespace, leases: LeaseRenewer, settings: Any, requested: float, deadline: float
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "CANCEL_GRACE_SECONDS": 10}
    child = running_for(600)
    leases.canceled = {(7, 2): requested, (8, 1): 0.0}
    clock.now = deadline - 0.1
    assert watched(leases, child) is None
    assert (child.requests, child.signals) == ([((7, 2), StopRequest.CANCEL)], [verbs.INTERRUPTION_SIGNAL])
    clock.now = deadline + 0.1
    assert watched(leases, child) == ("ignored_cancel", "interrupted", (7, 2))


def test_an_attempt_that_was_lost_is_asked_to_stop_and_not_killed(clock: SimpleNamespace, leases: LeaseRenewer) -> None:
    child = running_for(600)
    leases.renewals = [Renewal(began, frozenset({"child"}), frozenset()) for began in (110.0, 115.0)]
    clock.now = 600.0
    assert watched(leases, child) is None
    assert child.requests == [((7, 2), StopRequest.LOST)]


def test_a_child_whose_loop_stands_still_is_killed_and_nobody_pays_for_it(leases: LeaseRenewer) -> None:
    child = FakeChild()
    verbs.watch_board(child, leases)
    assert not child.killed
    child.stalls_at = LoopStep.CLAIMING
    verbs.watch_board(child, leases)
    assert killed(child) == ("loop_stalled", "interrupted", None)
    assert "claiming" in str(child.killed)


def test_a_frozen_child_is_not_killed_for_standing_still(leases: LeaseRenewer, monkeypatch: pytest.MonkeyPatch) -> None:
    child = FakeChild()
    monkeypatch.setattr(child, "is_frozen", lambda: True)
    child.stalls_at, child.keeps_others_from_writing = LoopStep.CLAIMING, True
    verbs.watch_board(child, leases)
    assert not child.killed


def test_a_child_that_stands_still_is_seen(clock: SimpleNamespace, leases: LeaseRenewer) -> None:
    child = FakeChild()
    child.slots = SharedSlots.create(1)
    child.watch = ChildWatch(child.slots)
    child.slots.board.enter(LoopStep.SETTLING)
    while child.killed is None and clock.now < 2 * timing.CHILD_STALL_SECONDS:
        clock.now += 0.5
        verbs.watch_board(child, leases)
    child.slots.close()
    assert killed(child) == ("loop_stalled", "interrupted", None)
    assert child.killed is not None
    assert "settling" in child.killed[0]
    assert clock.now > timing.CHILD_STALL_SECONDS


def test_a_child_that_keeps_others_from_writing_is_killed_and_nobody_pays_for_it(leases: LeaseRenewer) -> None:
    child = FakeChild()
    child.keeps_others_from_writing = True
    verbs.watch_board(child, leases)
    assert killed(child) == ("kept_others_from_writing", "interrupted", None)


def test_what_is_revoked_is_requeued(leases: LeaseRenewer, monkeypatch: pytest.MonkeyPatch) -> None:
    child, requeued = FakeChild(), []
    child.revoked = [(7, 2)]
    monkeypatch.setattr(leases, "requeue", lambda *arguments: requeued.append(arguments))
    verbs.watch_board(child, leases)
    assert requeued == [("child", [(7, 2)])]
