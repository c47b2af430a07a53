from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Collection, Iterator
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError

from django_jobs.engine.execution.leases import LeasedJob as Held
from django_jobs.exceptions import BrokerUnavailable, ForeignBroker
from tests.support import verbs
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, LeaseRenewer, Loss, OccupiedSlot, Refiller, Renewal, StopRequest
from tests.support.waiting import wait_until

PATIENCE = 20.0
HELD = Held(pk=7, attempt=2, worker_name="child", cancel_seconds=None)
LOSS = Loss(worker_name="child", started=frozenset({(7, 2)}), reason="process 1 was killed by SIGKILL")


class Answers:
    """Gives, or raises, one thing after another, and the last one again and again."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, *arguments: Any, **_: Any) -> Any:
        self.calls.append(arguments)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def renewer(settings: Any, monkeypatch: pytest.MonkeyPatch, interpose: Interpose) -> Iterator[LeaseRenewer]:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "LEASE_SECONDS": 0.3}
    interpose("withdraw_worker", lambda _: None)
    monkeypatch.setattr("django_jobs.engine.dispatch.window.workers_gone_from_here", list)
    interpose("check_broker", Answers(BrokerUnavailable("away")))
    renewer = LeaseRenewer(lambda: ["child"])
    yield renewer
    renewer.stop()


@pytest.mark.parametrize(
    "trouble", [OperationalError("gone"), InterfaceError("closed"), RuntimeError("a mistake")], ids=repr
)
def test_no_trouble_with_a_renewal_keeps_the_renewer_from_the_next(
    renewer: LeaseRenewer, interpose: Interpose, caplog: pytest.LogCaptureFixture, trouble: Exception
) -> None:
    renew = Answers(trouble, [HELD])
    interpose("renew_leases", renew)

    with caplog.at_level(logging.WARNING, "django_jobs"):
        renewer.start()
        wait_until(lambda: len(renewer.renewals) == 2, PATIENCE, "two renewals after the trouble")

    assert [renewal.held for renewal in renewer.renewals] == [{("child", 7, 2)}] * 2
    assert 0 < renewer.renewed["child"] <= verbs.uptime()
    assert renew.calls[0] == (["child"],)
    assert type(trouble).__name__ in caplog.text


def test_a_lease_counts_from_before_its_renewal(interpose: Interpose) -> None:
    renewer = LeaseRenewer(lambda: ["child"])
    moments = iter([100.0, 140.0])
    moment = next(moments)

    def renew_slowly(_: object) -> list[Any]:
        nonlocal moment
        moment = next(moments)
        return [HELD]

    interpose("uptime", lambda: moment)
    interpose("renew_leases", renew_slowly)
    renewer._renew()
    assert renewer.renewed == {"child": 100.0}


@pytest.mark.parametrize(("held", "is_forgotten"), [([HELD], False), ([], True)])
def test_after_a_renewal_that_missed_what_runs_the_next_one_walks_anew(
    interpose: Interpose, held: list[Held], is_forgotten: bool
) -> None:
    renewer, forgotten = LeaseRenewer(lambda: ["child"]), list[bool]()
    interpose("forget_in_flight", lambda: forgotten.append(True))
    interpose("renew_leases", lambda _: held)
    renewer.running = [("child", OccupiedSlot(0, 7, 2, StopRequest.NONE, started=0.0, timeout=60))]
    renewer._renew()
    assert not forgotten
    renewer._renew()
    assert bool(forgotten) is is_forgotten


def test_an_attempt_is_lost_when_two_renewals_in_a_row_did_not_find_it(
    renewer: LeaseRenewer, interpose: Interpose
) -> None:
    interpose("renew_leases", Answers([HELD], []))
    item = OccupiedSlot(slot=0, pk=7, attempt=2, stop_request=StopRequest.NONE, started=time.monotonic(), timeout=60)
    assert not renewer.is_lost("child", item)

    renewer.start()

    wait_until(lambda: renewer.is_lost("child", item), PATIENCE, "the attempt to be lost")


@pytest.mark.parametrize(
    ("renewals", "expected"),
    [
        ([(10, "child", ()), (20, "child", ())], True),
        ([(20, "child", ())], False),  # the row may have been in use
        ([(10, "child", ()), (20, "child", [("child", 7, 2)])], False),
        ([(10, "child", [("child", 7, 1)]), (20, "child", [("child", 7, 3), ("child", 8, 2)])], True),
        ([(10, "child", [("other", 7, 2)])] * 2, True),
        ([(3, "child", ()), (20, "child", ())], False),  # it had not begun then, and since then the database is away
        ([(10, "other", ()), (20, "child", ())], False),  # it was frozen then, and nobody asked for its jobs
    ],
)
def test_a_renewal_speaks_only_of_attempts_that_it_should_have_found(
    renewals: list[tuple[float, str, Any]], expected: bool
) -> None:
    renewer = LeaseRenewer(list)
    item = OccupiedSlot(slot=0, pk=7, attempt=2, stop_request=StopRequest.NONE, started=5, timeout=60)
    renewer.renewals = [Renewal(began, frozenset({name}), frozenset(held)) for began, name, held in renewals]
    assert renewer.is_lost("child", item) is expected


def test_a_loss_is_seen_to_once_the_database_is_back_also_by_a_supervisor_that_leaves(
    renewer: LeaseRenewer, interpose: Interpose, tuning: Tuning
) -> None:
    tuning.set(lease_renewer_leave_seconds=PATIENCE)
    release = Answers(OperationalError("gone"), InterfaceError("closed"), False, True)  # then its rows were in use
    interpose("renew_leases", Answers([]))
    interpose("end_lost_worker", release)

    renewer.report(LOSS)
    renewer.start()
    renewer.stop()

    assert release.calls == [(LOSS,)] * 4


@pytest.mark.parametrize(
    ("fields", "check", "expected"),
    [
        ({"started": frozenset({(7, 1)})}, Answers(None), 1),
        ({"started": frozenset(), "in_hand": frozenset({(7, 1)})}, Answers(None), 1),
        ({"started": frozenset()}, Answers(None), 0),
        ({"started": frozenset({(7, 1)})}, Answers(ForeignBroker("another's")), 0),
        ({"started": frozenset({(7, 1)})}, Answers(BrokerUnavailable("away")), 0),
    ],
)
def test_others_start_at_once_in_place_of_what_a_dead_child_ran(
    interpose: Interpose, fields: Any, check: Answers, expected: int
) -> None:
    renewer, dispatch, withdrawn = LeaseRenewer(list), Answers(False), list[str]()
    interpose("withdraw_worker", withdrawn.append)
    interpose("end_lost_worker", Answers(True))
    interpose("check_broker", check)
    interpose("dispatch_freed", dispatch)
    renewer.report(Loss(worker_name="child", reason="it died", **fields))
    renewer._deal_with(renewer._losses[0])
    for thread in threading.enumerate():
        if thread.name == "places":
            thread.join()
    assert (len(dispatch.calls), withdrawn) == (expected, ["child"])


def test_a_loss_that_cannot_be_seen_to_keeps_nobodys_leases_from_being_renewed(
    renewer: LeaseRenewer, interpose: Interpose
) -> None:
    renew = Answers([HELD])
    interpose("renew_leases", renew)
    interpose("end_lost_worker", Answers(RuntimeError("a mistake")))

    renewer.report(LOSS)
    renewer.start()

    wait_until(lambda: len(renew.calls) >= 3, PATIENCE, "three renewals")


def test_a_lease_whose_row_was_in_use_is_renewed_again_soon(
    renewer: LeaseRenewer, settings: Any, interpose: Interpose
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "LEASE_SECONDS": 600}
    renew = Answers([dataclasses.replace(HELD, is_renewed=False)], [HELD])
    interpose("renew_leases", renew)

    renewer.start()

    wait_until(lambda: len(renew.calls) == 2, PATIENCE, "the second renewal")


def test_what_has_begun_is_noted_once_and_again_where_that_failed(
    renewer: LeaseRenewer, settings: Any, interpose: Interpose, tuning: Tuning
) -> None:
    """The first try meets no database, the second a row in use; later rounds have nothing to note."""
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "LEASE_SECONDS": 600}
    tuning.set(handler_begun_seconds=0.01)
    interpose("renew_leases", Answers([HELD]))
    note = Answers(OperationalError("gone"), set(), {(7, 2)}, set())
    interpose("note_begun", note)
    item = OccupiedSlot(slot=0, pk=7, attempt=2, stop_request=StopRequest.NONE, started=time.monotonic(), timeout=60)
    renewer.running = [("child", item)]
    renewer.begun = frozenset({(7, 2)})

    renewer.start()

    wait_until(lambda: len(note.calls) >= 6, PATIENCE, "the third round without anything to note")
    assert note.calls[:6] == [({(7, 2)}, {"child"})] * 3 + [(frozenset(), {"child"})] * 3


def test_a_cancel_is_heard_of_before_its_grace_is_over(
    renewer: LeaseRenewer, settings: Any, interpose: Interpose
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "LEASE_SECONDS": 600, "CANCEL_GRACE_SECONDS": 0.3}
    interpose("renew_leases", Answers([HELD], [dataclasses.replace(HELD, cancel_seconds=0.0)]))
    renewer.start()
    wait_until(lambda: (7, 2) in renewer.canceled, PATIENCE, "the cancel")


def test_a_refill_that_fails_is_not_the_last(interpose: Interpose) -> None:
    asked = threading.Semaphore(0)
    answers = Answers(RuntimeError("a mistake"), 0)

    def refill(priority: int, in_pools: Collection[str], *, if_empty: bool = False) -> Any:
        if if_empty:
            return 0
        asked.release()
        return answers(priority)

    interpose("refill", refill)
    refiller = Refiller()
    refiller.start()

    refiller.ask(1)
    assert asked.acquire(timeout=PATIENCE)
    refiller.ask(2)
    assert asked.acquire(timeout=PATIENCE)
    refiller.stop()

    assert (2,) in answers.calls
