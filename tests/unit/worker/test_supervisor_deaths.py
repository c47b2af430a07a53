"""What a supervisor tells its children, such as how long their leases last; and what it does about their deaths."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from django_jobs.worker.processes import RECYCLED
from tests.support.fake_children import STUCK, FakeChild, options
from tests.support.tuning import Tuning
from tests.support.verbs import FOREIGN_BROKER, Interpose, Supervisor


@pytest.fixture
def clock(tuning: Tuning) -> SimpleNamespace:
    """The supervisor's clock, which goes on by hand."""
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    tuning.set(supervisor_clock=clock, children_clock=clock, enforcement_clock=clock, shared_slots_clock=clock)
    return clock


def test_a_child_can_see_when_its_leases_were_renewed() -> None:
    boss, child = Supervisor(options()), FakeChild()
    boss.children = [child]
    boss._tick()
    boss.leases.renewed["child"] = 123.0
    boss._tick()
    assert child.renewals == [0.0, 123.0]


def test_what_a_dead_child_ran_is_handed_to_the_thread_that_stores_it(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss, dead = Supervisor(options()), FakeChild(STUCK, returncode=-9)
    lost: list[Any] = []
    dead.started, boss.children, boss._stop_since = 0.0, [dead], clock.now
    monkeypatch.setattr(boss.leases, "report", lost.append)
    boss._tick()
    assert [set(loss.started) for loss in lost] == [{STUCK.key}]


def test_a_child_that_dies_at_once_is_started_again_after_a_second(
    clock: SimpleNamespace, interpose: Interpose
) -> None:
    boss, dead = Supervisor(options()), FakeChild(returncode=1)
    interpose("ChildProcess", lambda *_: FakeChild())
    dead.started = 0.0
    boss.children = [dead]
    found = []
    for clock.now in (0.05, 1.0, 1.06):
        boss._tick()
        found.append(len(boss.children))
    assert found == [0, 0, 1]


@pytest.mark.parametrize(
    ("code", "in_hand", "is_orderly"),
    [(0, [], True), (RECYCLED, [], True), (FOREIGN_BROKER, [], True), (0, [(8, 1)], False), (-9, [], False)],
)
def test_a_child_that_leaves_in_order_did_not_die_of_what_it_leaves(
    code: int, in_hand: list[Any], is_orderly: bool
) -> None:
    """As of a claim whose answer came too late for it."""
    child = FakeChild(returncode=code)
    child.in_hand = frozenset(in_hand)
    assert child.loss().gave_up is is_orderly
