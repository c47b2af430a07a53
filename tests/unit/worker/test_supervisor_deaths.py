"""What a supervisor tells its children: how long their leases last, and when to be careful."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from django_jobs.worker.processes import RECYCLED
from tests.support import verbs
from tests.support.fake_children import STUCK, FakeChild, options
from tests.support.tuning import Tuning
from tests.support.verbs import FOREIGN_BROKER, Caution, Interpose, Supervisor


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
    ("code", "in_hand", "running", "asked_for"),
    [
        (-9, [], [], [Caution.WITH_ALL]),  # it may have died of storing how a job ended
        (3, [(8, 1)], [], [Caution.WITH_UNLOADED]),
        (0, [(8, 1)], [], [Caution.WITH_UNLOADED]),  # the import of a handler that ends the process in order
        (0, [], [], []),
        (FOREIGN_BROKER, [], [], []),
        (-9, [], [STUCK], []),  # the handler explains it
        (-9, [(8, 1)], [STUCK], [Caution.WITH_UNLOADED]),  # in another thread, while the main thread was claiming
    ],
)
def test_caution_is_asked_for_after_a_death_that_no_handler_explains(
    clock: SimpleNamespace, code: int, in_hand: list[Any], running: list[Any], asked_for: list[Caution]
) -> None:
    boss, dead, other = Supervisor(options()), FakeChild(*running, returncode=code), FakeChild()
    dead.in_hand, dead.started = frozenset(in_hand), 0.0
    boss.children = [dead, other]
    boss._stop_since = clock.now
    boss._tick()
    assert [caution for caution, until in other.cautions.items() if until > verbs.uptime()] == asked_for


@pytest.mark.parametrize(
    ("in_hand", "second"),
    [({(8, 1), (9, 1)}, [Caution.WITH_UNLOADED, Caution.WITH_ALL]), ({(8, 1)}, [Caution.WITH_UNLOADED])],
    ids=["several", "one"],
)
def test_where_several_are_claimed_in_spite_of_caution_it_is_no_import_that_kills(
    clock: SimpleNamespace, in_hand: set[tuple[int, int]], second: list[Caution]
) -> None:
    boss, other = Supervisor(options()), FakeChild()
    boss._stop_since, asked = clock.now, []
    for _ in range(2):
        dead = FakeChild(returncode=-9)
        dead.in_hand, dead.started = frozenset(in_hand), 0.0
        boss.children = [dead, other]
        boss._tick()
        asked.append([caution for caution, until in other.cautions.items() if until > verbs.uptime()])
    assert asked == [[Caution.WITH_UNLOADED], second]


def test_no_caution_is_asked_for_after_a_child_that_the_supervisor_killed_itself(clock: SimpleNamespace) -> None:
    boss, dead, other = Supervisor(options()), FakeChild(returncode=-9), FakeChild()
    dead.started, dead.killed = 0.0, ("Its loop stood still", "interrupted", None)
    boss.children = [dead, other]
    boss._stop_since = clock.now
    boss._tick()
    assert set(other.cautions.values()) == {0.0}


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
