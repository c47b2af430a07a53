"""A whole child in the test's own process, on a broker that is not RQ's."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError

from django_jobs import cancel_job, submit_job
from django_jobs.exceptions import JobCanceled
from django_jobs.models import JobType, Worker
from tests.support import verbs
from tests.support.brokers import (
    WORKER,
    MemoryBroker,
    pending_job,
    queue_for,
    reread,
    returned,
    running_job,
    ticket_of,
)
from tests.support.factories import make_job_type, make_organization
from tests.support.quick_types import make_room
from tests.support.tuning import Tuning
from tests.support.verbs import (
    DATABASE_AWAY,
    Child,
    ChildState,
    ForeignEntry,
    Interpose,
    Interrupter,
    TakenTicket,
    WorkerFailed,
)

pytestmark = pytest.mark.django_db(transaction=True)

FOREIGN = ForeignEntry("jobs-normal", "somebodys-job")


def test_a_child_works_on_any_broker_with_the_ports_methods(
    child: Child, broker: MemoryBroker, kind: JobType, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No more than have tickets from the beginning: a burst may end while another thread dispatches.
    jobs = [pending_job(kind) for _ in range(6)]
    broker.add([(queue_for(1), FOREIGN)])
    verbs.dispatch()
    assert broker.pks() == [job.pk for job in jobs]
    run_batch = child.slots.run_batch

    def run_to_the_end() -> None:
        run_batch()
        child.slots.wait()

    monkeypatch.setattr(child.slots, "run_batch", run_to_the_end)  # else all may run before the first end is stored
    child.run()

    assert len(child.claims.done) < len(jobs)  # those of earlier rounds were handed over meanwhile
    assert sorted(ticket.pk for ticket in broker.done) == [job.pk for job in jobs]
    assert {reread(job).status for job in jobs} == {"Completed"}
    assert (broker.tickets, broker.aside, broker.workers) == ([], [FOREIGN], {})
    assert not Worker.objects.exists()


def test_a_child_that_ends_gives_back_the_tickets_of_rows_that_were_held(
    child: Child, broker: MemoryBroker, tuning: Tuning
) -> None:
    tuning.set(held_ticket_seconds=600, most_held_ticket_seconds=600)
    ticket = ticket_of(pending_job(make_job_type(is_paused=True)))
    child.state.held.add([ticket])
    child.run()
    assert broker.tickets == [ticket]


def test_a_burst_that_can_store_no_end_says_that_the_database_is_away(
    child: Child, broker: MemoryBroker, kind: JobType, interpose: Interpose, tuning: Tuning
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("gone")

    pending_job(kind)
    verbs.dispatch()
    interpose("settle", fail)
    hours = itertools.count(step=3600)
    tuning.set(settler_clock=SimpleNamespace(monotonic=lambda: next(hours)))
    with pytest.raises(WorkerFailed) as failure:
        child.run()
    assert failure.value.code == DATABASE_AWAY


def test_a_burst_runs_what_may_run_once_the_end_of_another_is_stored(
    child: Child, kind: JobType, interpose: Interpose
) -> None:
    """With threads another thread stores it, while nothing runs and nothing is Queued."""
    parent = submit_job(kind, organization := make_organization())
    jobs = [parent, submit_job(kind, organization, depends_on=parent)]
    store = verbs.settle

    def store_slowly(*args: Any) -> Any:
        time.sleep(0.3)
        return store(*args)

    interpose("settle", store_slowly)
    child.run()
    assert [reread(job).status for job in jobs] == ["Completed"] * 2


def test_a_child_is_known_by_its_process_before_it_claims_anything(
    child: Child, broker: MemoryBroker, kind: JobType, monkeypatch: pytest.MonkeyPatch, interpose: Interpose
) -> None:
    known: list[int] = []

    def claim(*args: Any, **options: Any) -> list[Any]:
        known.extend(Worker.objects.filter(name=WORKER).values_list("pid", flat=True))
        return real(*args, **options)

    real = verbs.claim
    interpose("claim", claim)
    for name in ("start", "stop"):  # else it announces the child, too
        monkeypatch.setattr(child.housekeeper, name, lambda: None)
    pending_job(kind)
    verbs.dispatch()
    child.run()
    assert known == [os.getpid()]


def test_a_child_that_starts_while_the_broker_is_away_is_known_and_obeys_orders(
    child: Child, broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.is_down = True
    child.state.shared_slots.board.note_quiet(is_quiet=True)
    stopper = threading.Timer(0.2, child.state.stopping.set)
    stopper.start()
    child._announce()
    stopper.join()
    assert Worker.objects.get(name=WORKER).quiet_since is not None
    assert "event=broker_unavailable" in caplog.text


def test_ctrl_c_in_a_terminal_does_not_interrupt_what_a_child_runs(
    child: Child, kind: JobType, interpose: Interpose
) -> None:
    """It goes to the whole group of processes. The supervisor decides."""
    pending_job(kind)
    verbs.dispatch()
    real, calls = verbs.claim, list[str]()
    signal.signal(signal.SIGINT, lambda *_: calls.append("interrupted"))

    def claim(*args: Any, **options: Any) -> list[Any]:
        calls.append("claimed")
        signal.raise_signal(signal.SIGINT)
        return real(*args, **options)

    interpose("claim", claim)
    child.run()
    assert set(calls) == {"claimed"}


def test_nothing_is_cleared_away_of_a_ticket_that_may_be_issued_again(
    child: Child, broker: MemoryBroker, kind: JobType
) -> None:
    """A plain rqworker drops a ticket of which the broker kept nothing."""
    job = pending_job(kind)
    verbs.dispatch()
    JobType.objects.update(is_paused=True)

    child.run()

    assert (reread(job).status, broker.done, child.claims.done) == ("Pending", [], [])


def test_nothing_is_cleared_away_of_a_ticket_whose_job_has_not_ended(
    child: Child, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker's tools show it once it has run for a while; with threads, other tickets are taken meanwhile."""
    waiting, running, ended = (running_job()[1] for _ in range(3))
    child.state.in_hand.put([waiting])
    child.state.running.add(running, Interrupter(on_main_thread=False))
    child.claims.done = [waiting.ticket, running.ticket, ended.ticket]
    child._take(1)
    assert (broker.done, child.claims.done) == ([ended.ticket], [waiting.ticket, running.ticket])


def test_a_child_that_ran_as_many_jobs_as_it_may_leaves_the_others(
    child: Child, broker: MemoryBroker, kind: JobType
) -> None:
    for _ in range(5):
        pending_job(kind)
    verbs.dispatch()
    object.__setattr__(child.state.options, "max_jobs", 3)

    child.run()

    assert (child.is_recycled, child.state.jobs_run, len(broker.tickets)) == (True, 3, 2)
    assert len(broker.done) == 3  # also of those that it ran last, the broker keeps nothing


def test_a_child_that_holds_more_memory_than_it_may_runs_some_jobs_first(child: Child, kind: JobType) -> None:
    for _ in range(5):
        pending_job(kind)
    verbs.dispatch()
    object.__setattr__(child.state.options, "max_memory", 1)
    child.run()
    assert (child.is_recycled, 1 <= child.state.jobs_run < 5) == (True, True)


def test_a_hint_that_a_job_was_canceled_interrupts_its_handler(child: Child, broker: MemoryBroker) -> None:
    (job, claimed), interrupter = running_job(), Interrupter(on_main_thread=False)
    child.state.running.add(claimed, interrupter)
    child._announce()
    broker.request_cancel(WORKER, [job.name])
    assert interrupter.wanted is None  # its row does not say so
    cancel_job(job.name)
    broker.request_cancel(WORKER, [job.name])
    assert interrupter.wanted is JobCanceled


def test_a_ticket_that_is_shown_as_running_goes_when_it_is_shown_no_longer(
    child: Child, broker: MemoryBroker, tuning: Tuning
) -> None:
    tuning.set(shown_ticket_seconds=-1.0)
    _, claimed = running_job()
    child.state.running.add(claimed, Interrupter(on_main_thread=False))
    child.state.shared_slots.begin(0, claimed.pk, claimed.attempt, 60)
    child.state.shown.update()
    child.state.running.remove(claimed)
    child.claims.done = [claimed.ticket]
    child._take(1)
    assert (broker.done, child.claims.done) == ([], [])


def test_a_job_that_ends_while_room_is_looked_for_counts_among_those_that_a_child_may_run(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    object.__setattr__(child.state.options, "max_jobs", 3)
    taken: list[int] = []
    running = [1]

    def busy() -> int:
        before, running[0], child.state.jobs_run = running[0], 0, 3  # it ends right after the first look
        return before

    def jobs_left() -> int:
        before, running[0], child.state.jobs_run = 3 - child.state.jobs_run, 0, 3
        return before

    def take(size: int, _: object) -> TakenTicket:
        taken.append(size)
        return TakenTicket()

    child.state.jobs_run = 2
    monkeypatch.setattr(child.state.in_hand, "busy", busy)
    # no public way: the job has to end between two looks of the main loop, in whichever order they are
    monkeypatch.setattr(child, "_jobs_left", jobs_left)
    monkeypatch.setattr(child.slots, "wait_for_room", lambda: None)
    monkeypatch.setattr(child.state.consumer, "take_now", take)
    make_room(child, "a type", 50)
    child._take_and_claim()
    assert taken == []


@pytest.mark.parametrize("order", ["stop", "be quiet"])
def test_tickets_that_come_to_a_child_that_is_to_take_no_more_are_put_back(
    child: Child, broker: MemoryBroker, kind: JobType, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    jobs = [pending_job(kind) for _ in range(3)]
    verbs.dispatch()
    take = child.state.consumer.take_now

    def stop_meanwhile(count: int, done: Any) -> TakenTicket:
        child.state.stop() if order == "stop" else child.state.shared_slots.board.note_quiet(is_quiet=True)
        return take(count, done)

    monkeypatch.setattr(child.state.consumer, "take_now", stop_meanwhile)
    child.run()

    assert broker.pks() == [job.pk for job in jobs]
    assert {reread(job).status for job in jobs} == {"Queued"}


def test_a_stop_ends_a_wait_for_tickets(state: ChildState, tuning: Tuning) -> None:
    tuning.set(test_broker_wait_seconds=60.0)
    timer = threading.Timer(0.1, state.stop)
    timer.start()
    began = time.monotonic()
    assert len(state.consumer.take(1)) == 0
    assert time.monotonic() - began < 30
    timer.join()


def test_a_child_knows_every_attempt_wherever_it_is_on_its_way(child: Child) -> None:
    state, seen = child.state, set()
    claims = [running_job()[1] for _ in range(4)]
    state.doubts.add([claims[0].ticket])
    state.in_hand.put([claims[1]])
    state.running.add(claims[2], Interrupter(on_main_thread=False))
    state.in_hand.add_ended(returned(claims[3]))
    settling = returned(running_job()[1])

    def look(*_: Any) -> list[Any]:
        seen.update(state.known_attempts())
        return []

    with pytest.MonkeyPatch.context() as patch:
        Interpose(patch)("settle", look)
        state.settler.settle([settling])
    assert seen == {(item.pk, item.attempt) for item in [*claims, settling.claimed]}


def test_what_was_given_up_before_its_claim_was_answered_does_not_run(
    child: Child, broker: MemoryBroker, kind: JobType, interpose: Interpose, tuning: Tuning
) -> None:
    """The housekeeper hands it back, and it may run elsewhere by then."""
    pending_job(kind)
    verbs.dispatch()
    tuning.set(claim_doubt_seconds=-1.0)
    real, claimed = verbs.claim, list[int]()

    def claim_late(*args: Any, **options: Any) -> list[Any]:
        child.state.doubts.give_up_old()
        found = real(*args, **options)
        claimed.extend(item.pk for item in found)
        return found

    interpose("claim", claim_late)
    child._take_and_claim()
    assert (len(claimed), child.state.in_hand.busy()) == (1, 0)


def test_claims_that_got_no_answer_are_given_up_before_the_next_ones(child: Child) -> None:
    """The supervisor renews all that this worker holds, and nobody would run them."""
    jobs, claims = zip(*(running_job() for _ in range(2)), strict=True)
    child.state.doubts.add([claimed.ticket for claimed in claims])
    child.claims.resolve_doubts()
    assert [reread(job).status for job in jobs] == ["Queued"] * 2
    assert child.state.doubts.tickets() == []


def test_a_burst_that_is_to_be_quiet_is_over(child: Child, kind: JobType) -> None:
    job = pending_job(kind)
    verbs.dispatch()
    child.state.shared_slots.board.note_quiet(is_quiet=True)
    child.run()
    assert reread(job).status == "Queued"
