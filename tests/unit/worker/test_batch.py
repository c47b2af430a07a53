"""What a child has claimed and not yet settled."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from django_jobs.worker.child_state import JobsInHand as Batch
from tests.support.tuning import Tuning
from tests.support.waiting import wait_until

FIRST: Any = SimpleNamespace(handler=print)
SECOND: Any = SimpleNamespace(handler=print)
OUTCOME: Any = object()


@pytest.fixture
def batch() -> Batch:
    return Batch(slots=2)


def test_claims_start_in_their_order(batch: Batch) -> None:
    batch.put([FIRST, SECOND])
    assert [batch.next(), batch.next(), batch.next()] == [FIRST, SECOND, None]


def test_no_more_start_at_a_time_than_there_are_slots(batch: Batch) -> None:
    third: Any = SimpleNamespace(handler=print)
    batch.put([FIRST, SECOND, third])
    seen = [batch.next(), batch.next(), batch.next()]
    batch.finish()
    assert [*seen, batch.next()] == [FIRST, SECOND, None, third]
    assert (batch.running, batch.finished, batch.busy()) == (2, 1, 2)


def test_what_is_requeued_does_not_start(batch: Batch) -> None:
    batch.put([FIRST, SECOND])
    batch.next()
    assert batch.take_waiting() == [SECOND]
    assert batch.next() is None


def test_an_end_is_taken_once(batch: Batch) -> None:
    batch.add_ended(OUTCOME)
    assert batch.take_ended() == [OUTCOME]
    assert batch.take_ended() == []


def test_a_batch_is_empty_only_when_nothing_waits_runs_or_is_unsettled(batch: Batch) -> None:
    seen = [batch.is_empty()]
    batch.put([FIRST])
    seen.append(batch.is_empty())
    batch.next()
    seen.append(batch.is_empty())
    batch.add_ended(OUTCOME)
    batch.finish()
    seen.append(batch.is_empty())
    batch.take_ended()
    seen.append(batch.is_empty())
    assert seen == [True, False, False, False, True]


def test_what_waits_behind_a_running_job_becomes_overdue(batch: Batch) -> None:
    batch.put([FIRST, SECOND])
    batch.next()
    assert batch.is_overdue(0.0, 3600.0)
    assert not batch.is_overdue(60.0, 3600.0)


def test_an_unsettled_end_behind_a_running_job_becomes_overdue(batch: Batch) -> None:
    batch.put([FIRST])
    batch.add_ended(OUTCOME)
    batch.next()
    assert batch.is_overdue(0.0, 3600.0)


def test_a_running_job_with_nothing_behind_it_is_not_overdue(batch: Batch) -> None:
    batch.put([FIRST])
    batch.next()
    assert not batch.is_overdue(0.0, 3600.0)


def test_nothing_is_overdue_while_nothing_runs(batch: Batch) -> None:
    batch.put([FIRST])
    assert not batch.is_overdue(0.0, 3600.0)


def test_what_has_waited_for_long_is_overdue_though_others_start(batch: Batch, tuning: Tuning) -> None:
    now = time.monotonic()
    clock = SimpleNamespace(monotonic=lambda: now)
    tuning.set(batch_put_clock=clock)
    batch.put([FIRST, SECOND])
    clock.monotonic = lambda: now + 10
    batch.next()
    assert batch.is_overdue(60.0, 5.0)
    assert not batch.is_overdue(60.0, 20.0)


# -- threads that wait ----------------------------------------------------------------------------------------------


class Waiter:
    """A thread that takes jobs out one after the other, until it gets None."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.got: list[Any] = []
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        while (item := self.batch.wait_for_next(60.0)) is not None:
            self.got.append(item)
            self.batch.finish()


def test_who_waits_for_a_job_gets_it_once_it_is_put(batch: Batch) -> None:
    waiters = [Waiter(batch), Waiter(batch)]
    for waiter in waiters:
        waiter.thread.start()
    wait_until(lambda: batch.idle == 2, 10, "both threads wait")
    batch.put([FIRST, SECOND])
    batch.wait_until_idle()
    batch.close()
    for waiter in waiters:
        waiter.thread.join(10)
    assert sorted(map(id, [item for waiter in waiters for item in waiter.got])) == sorted(map(id, [FIRST, SECOND]))
    assert batch.idle == 0


def test_nothing_comes_to_who_waits_for_too_short_a_time(batch: Batch) -> None:
    assert batch.wait_for_next(0.0) is None


def test_a_finish_that_came_before_the_wait_ends_it_at_once(batch: Batch) -> None:
    finished = batch.finished
    batch.put([FIRST])
    batch.next()
    batch.finish()
    batch.wait_for_finish(finished, 0, 3600.0)


def test_who_waits_for_room_is_woken_only_when_few_enough_wait(batch: Batch) -> None:
    batch.put([FIRST, SECOND])
    woken, finished = threading.Event(), batch.finished

    def wait() -> None:
        batch.wait_for_finish(finished, 0, 3600.0)
        woken.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    batch.next()
    batch.finish()
    assert not woken.wait(0.1)
    batch.next()
    batch.finish()
    assert woken.wait(10)
    thread.join(10)


# -- coroutines -----------------------------------------------------------------------------------------------------


async def coroutine(context: Any) -> None:
    """A handler that runs in the loop."""


def test_coroutines_wait_apart_from_other_handlers_and_count_with_them(batch: Batch) -> None:
    woken: list[int] = []
    batch.wake_loop = lambda: woken.append(batch.waiting_count())
    asynchronous: list[Any] = [SimpleNamespace(handler=coroutine) for _ in range(2)]
    batch.put([asynchronous[0], FIRST, asynchronous[1]])
    assert (batch.waiting_for_threads(), batch.waiting_count(), woken) == (1, 3, [3])
    assert [batch.next(), batch.next()] == [FIRST, None]
    assert [batch.next(is_coroutine=True), batch.next(is_coroutine=True)] == [asynchronous[0], None]
    batch.finish()
    assert woken == [3, 1]
    assert batch.next(is_coroutine=True) is asynchronous[1]


def test_the_only_slot_of_a_process_runs_coroutines_itself() -> None:
    batch = Batch()
    asynchronous: Any = SimpleNamespace(handler=coroutine)
    batch.put([asynchronous])
    assert batch.next() is asynchronous
