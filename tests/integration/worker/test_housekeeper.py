"""What a child's second thread does while handlers run."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError

from django_jobs import cancel_job
from django_jobs.exceptions import AttemptLost, JobCanceled
from django_jobs.models import Job, Worker
from tests.support import verbs
from tests.support.batches import make_batch
from tests.support.batches import state as batch_state
from tests.support.brokers import WORKER, MemoryBroker, end, reread, returned, running_job, start
from tests.support.factories import make_organization
from tests.support.tuning import Tuning
from tests.support.verbs import ChildState, Housekeeper, Interpose, Interrupter
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def duties(state: ChildState) -> Housekeeper:
    return Housekeeper(state, supervisor=1)


def test_what_ended_before_a_slow_job_is_stored_while_that_runs(
    state: ChildState, duties: Housekeeper, tuning: Tuning
) -> None:
    tuning.set(requeue_seconds=600.0)
    quick, claimed = running_job()
    state.in_hand.put([claimed, running_job()[1]])
    state.in_hand.next()
    state.in_hand.add_ended(returned(claimed))
    state.in_hand.finish()
    state.in_hand.next()
    duties._requeue_waiting()
    assert reread(quick).status == "Running"  # the other job has not run for long yet
    tuning.set(requeue_seconds=0.0)
    duties._requeue_waiting()
    assert reread(quick).status == "Completed"


@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "not committed"])
def test_what_was_requeued_does_not_run_though_the_databases_answer_was_lost(
    state: ChildState,
    duties: Housekeeper,
    interpose: Interpose,
    tuning: Tuning,
    is_committed: bool,
) -> None:
    job, claimed = running_job()
    state.in_hand.put([running_job()[1], claimed])
    state.in_hand.next()
    tuning.set(requeue_seconds=0.0)
    original = verbs.requeue

    def cut_off(*args: Any) -> None:
        if is_committed:
            original(*args)
        raise OperationalError(2013, "Lost connection to server during query")

    interpose("requeue", cut_off)
    with pytest.raises(OperationalError):
        duties._requeue_waiting()
    assert state.in_hand.next() is None
    interpose("requeue", original)
    duties._requeue_waiting()
    assert (reread(job).status, reread(job).retry_count) == ("Queued", 0)


def test_what_could_not_be_requeued_since_its_row_was_in_use_is_requeued_later(
    state: ChildState, duties: Housekeeper, interpose: Interpose, reasons: Callable[[Job], list[str]]
) -> None:
    state.shared_slots.board.note_quiet(is_quiet=True)
    job, claimed = running_job()
    state.in_hand.put([claimed])
    original = verbs.requeue_attempts
    interpose("requeue_attempts", lambda attempts, *_: attempts)
    duties._requeue_waiting()
    interpose("requeue_attempts", original)
    assert reread(job).status == "Running"
    duties._requeue_waiting()
    assert (reread(job).status, reasons(job)[-1]) == ("Queued", "worker_quiet")


def test_a_handler_whose_progress_is_refused_is_told_that_its_attempt_is_lost(
    state: ChildState, duties: Housekeeper
) -> None:
    interrupters = []
    for name in (WORKER, "worker-2"):
        _, claimed = running_job(name)
        interrupters.append(Interrupter(on_main_thread=False))
        state.running.add(claimed, interrupters[-1])
        state.progress.report((claimed.pk, claimed.attempt), 50, "half")
    duties._flush_progress()
    assert [interrupter.wanted for interrupter in interrupters] == [None, AttemptLost]


def test_a_worker_is_listed_as_quiet_for_as_long_as_it_is(state: ChildState, duties: Housekeeper) -> None:
    listed = []
    for is_quiet in (False, True, False):
        state.shared_slots.board.note_quiet(is_quiet=is_quiet)
        duties.announce()
        listed.append(Worker.objects.get(name=WORKER).quiet_since is not None)
    assert listed == [False, True, False]


def test_all_that_waits_is_shown_to_the_supervisor(state: ChildState) -> None:
    """What is not shown cannot be taken back from a handler that holds the interpreter."""
    claims = [running_job()[1] for _ in range(2)]
    for claimed in claims:
        state.put([claimed])
    assert state.shared_slots.board.claimed() == (2, [(item.pk, item.attempt) for item in claims])
    assert claims[1].set_number == 2


def test_a_job_that_runs_in_our_name_and_nobody_knows_of_is_requeued_when_it_is_seen_twice(
    state: ChildState, duties: Housekeeper
) -> None:
    (forgotten, _), (known, claimed), (others, _) = running_job(), running_job(), running_job("worker-2")
    state.in_hand.put([claimed])

    duties._requeue_unknown()
    duties._requeue_waiting()
    assert reread(forgotten).status == "Running"
    duties._requeue_unknown()
    duties._requeue_waiting()

    assert [reread(job).status for job in (forgotten, known, others)] == ["Queued", "Running", "Running"]
    assert reread(forgotten).retry_count == 0


def test_a_claim_that_gets_no_answer_is_requeued_after_a_while_and_does_not_run_when_the_answer_comes(
    state: ChildState, duties: Housekeeper, tuning: Tuning
) -> None:
    job, claimed = running_job()
    state.doubts.add([claimed.ticket])

    def look_twice() -> str:
        for duty in (duties._requeue_unknown, duties._requeue_unknown, duties._requeue_waiting):
            duty()
        return reread(job).status

    assert look_twice() == "Running"
    tuning.set(claim_doubt_seconds=-1.0)
    assert look_twice() == "Queued"
    assert state.doubts.answered([claimed.ticket], [claimed]) == []


@pytest.mark.django_db(transaction=True)
def test_a_batch_at_which_nobody_looked_after_its_last_job_ends_beside_what_runs(
    duties: Housekeeper, tuning: Tuning
) -> None:
    tuning.set(batch_pause_seconds=3600.0)
    batch = make_batch(make_organization(), "Completed", "Completed")
    for job in Job.objects.all():
        end(returned(start(job)))
    tuning.set(batch_pause_seconds=0.0)
    duties.start()
    try:
        wait_until(lambda: batch_state(batch) == "Completed", 30, "the end of the batch")
    finally:
        duties.stop()


def test_what_runs_long_enough_to_be_seen_is_shown_before_the_next_heartbeat(
    state: ChildState, duties: Housekeeper, broker: MemoryBroker, tuning: Tuning
) -> None:
    _, claimed = running_job()
    state.running.add(claimed, Interrupter(on_main_thread=False))
    state.shared_slots.begin(0, claimed.pk, claimed.attempt, 60)
    (began,) = (item.started for item in state.shared_slots.occupied())
    clock = SimpleNamespace(monotonic=lambda: began + 0.4)
    tuning.set(shared_slots_clock=clock)

    assert not duties._look_for_unseen()
    clock.monotonic = lambda: began + 0.6
    duties._due.clear()
    assert duties._look_for_unseen()
    duties._show()
    assert [item.ticket for item in broker.workers[WORKER]] == [claimed.ticket]
    duties._due.clear()
    assert not duties._look_for_unseen()
    state.shared_slots.end(0)
    assert state.shown.has_ended()


def test_a_window_that_grew_much_is_announced_before_the_next_heartbeat_and_one_that_shrank_if_it_stays_so(
    state: ChildState, duties: Housekeeper, monkeypatch: pytest.MonkeyPatch, tuning: Tuning
) -> None:
    tuning.set(housekeeper_window_seconds=0.0)
    monkeypatch.setattr(state.prefetch, "quick_types", lambda _: {"quick": 10})
    duties._beat()
    changed = {}
    for wanted in (4, 5, 10, 20, 21):
        monkeypatch.setattr(state.prefetch, "quick_types", lambda _, wanted=wanted: {"quick": wanted})
        changed[wanted] = [duties._look_at_window() for _ in range(2)]
    assert changed == {4: [False, True], 5: [False] * 2, 10: [False] * 2, 20: [False] * 2, 21: [True] * 2}


def test_an_orphan_renews_its_lease_and_notes_it_where_it_looks_for_it(state: ChildState, duties: Housekeeper) -> None:
    job, claimed = running_job()
    interrupter = Interrupter(on_main_thread=False)
    state.running.add(claimed, interrupter)
    before = reread(job).lease_expires_at
    duties._live_as_orphan()
    after = reread(job).lease_expires_at
    assert before
    assert after
    assert after > before
    assert (state.shared_slots.renewed() > claimed.claimed_at, interrupter.wanted) == (True, None)
    assert reread(job).begun_attempt == claimed.attempt


@pytest.mark.parametrize(("what", "kind"), [("canceled", JobCanceled), ("taken away", AttemptLost)])
def test_an_orphan_learns_from_its_renewal_what_is_to_stop(
    state: ChildState, duties: Housekeeper, what: str, kind: type[JobCanceled]
) -> None:
    job, claimed = running_job()
    interrupter = Interrupter(on_main_thread=False)
    state.running.add(claimed, interrupter)
    if what == "canceled":
        cancel_job(job)
    else:
        verbs.settle_lost([(claimed.pk, claimed.attempt)], "gone", WORKER)
    duties._live_as_orphan()
    assert interrupter.wanted is kind
