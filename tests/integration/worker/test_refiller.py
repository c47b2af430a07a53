"""What a worker's refiller asks for when jobs ended that were counted by limits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import verbs
from tests.support.brokers import pending_job, returned, running_job
from tests.support.clocks import Clock
from tests.support.factories import make_job_type
from tests.support.tuning import Tuning
from tests.support.verbs import Child, ChildState, Claims, Interpose, Refiller


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, interpose: Interpose, tuning: Tuning) -> list[Any]:
    """What is asked of the dispatcher, in place of asking it."""
    found: list[Any] = []

    def dispatch(*, has_ended: bool) -> bool:
        found.append(("ended", has_ended))
        return False

    interpose("dispatch_freed", dispatch)
    interpose("refill", lambda *_, if_empty=False: found.append("look" if if_empty else "refill"))
    tuning.set(claim_second_look_seconds=0.0, claim_flow_seconds=600.0)
    monkeypatch.setattr(verbs.store(), "has_one_writer", False)
    return found


def test_ends_ring_and_tickets_that_are_taken_soon_after_do_not(asked: list[Any], tuning: Tuning) -> None:
    clock = Clock()
    tuning.set(refiller_clock=clock)
    refiller = Refiller()
    refiller._refill()
    refiller.ask_in_place_of_ended()
    refiller._refill()
    refiller._refill()
    clock.now += 600.0
    refiller._refill()
    looks = [("ended", False)]
    assert asked == ["refill", "look", ("ended", True), *looks, *looks, *looks, "refill", "look"]


def test_of_what_is_asked_at_once_the_most_urgent_counts(asked: list[Any], interpose: Interpose) -> None:
    interpose("refill", lambda priority, *_, if_empty=False: asked.append("look" if if_empty else priority))
    refiller = Refiller()
    for priority in (2, 3, 1):
        refiller.ask(priority)
    refiller._refill()
    assert asked == [3, "look"]


@pytest.mark.usefixtures("asked")
def test_a_worker_fills_the_queues_of_its_own_pools_alone(interpose: Interpose) -> None:
    filled: list[Any] = []
    interpose("refill", lambda _, in_pools=(), **__: filled.append(in_pools))
    Refiller(in_pools={"gpu"})._refill()
    assert filled == [{"gpu"}, {"gpu"}]


@pytest.mark.django_db(transaction=True)
def test_no_handler_begins_during_a_refill_that_would_hold_the_one_lock_for_writing(
    child: Child, monkeypatch: pytest.MonkeyPatch, interpose: Interpose
) -> None:
    monkeypatch.setattr(verbs.store(), "has_one_writer", True)
    child.refiller = Refiller()
    child.claims = Claims(child.state, child.refiller.ask)
    begun: list[int] = []
    interpose("refill", lambda *_, if_empty=False: begun.append(-1 if if_empty else child.state.in_hand.busy()))
    pending_job()
    verbs.dispatch()
    child.run()
    assert child.state.jobs_run == 1
    assert set(begun) == {0}


@pytest.mark.parametrize(("limits", "is_told"), [({}, False), ({"max_running": 1}, True)], ids=["none", "a limit"])
def test_the_stored_end_of_a_job_whose_type_has_limits_is_told(
    state: ChildState, limits: dict[str, Any], is_told: bool
) -> None:
    told: list[bool] = []
    state.room_was_made = lambda: told.append(True)
    _, claimed = running_job(state.name, job_type=make_job_type(**limits))
    state.in_hand.add_ended(returned(claimed))
    state.settle()
    assert bool(told) is is_told
