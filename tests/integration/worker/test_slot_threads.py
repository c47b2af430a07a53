"""Slots that are threads: their main loop is woken in time, and no thread is lost to what a handler left behind."""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from tests.integration.worker.test_slots import Child
from tests.support import verbs
from tests.support.brokers import MemoryBroker, reread, running_job
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def threaded(broker: MemoryBroker) -> Iterator[Child]:
    before = signal.getsignal(signal.SIGUSR1)
    child = Child(2, broker)
    yield child
    child.slots.close()
    child.state.shared_slots.close()
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("is_started", [False, True], ids=["a thread that starts", "a thread that is idle"])
def test_the_slots_beside_a_job_that_no_thread_has_taken_yet_are_free(
    threaded: Child, monkeypatch: pytest.MonkeyPatch, is_started: bool
) -> None:
    """Else the main loop would wait for an end, and what comes meanwhile with it."""
    if is_started:
        threaded.run()
    monkeypatch.setattr(threaded.state.prefetch, "ahead", lambda _: 0)
    _, claimed = running_job()
    with threaded.state.in_hand._lock:  # as long as a thread needs to start, or to wake up
        threaded.state.in_hand.put([claimed])
        threaded.slots.run_batch()
        assert threaded.slots.room() == 1


def test_the_thread_that_came_last_gets_the_next_job(threaded: Child) -> None:
    """Its connections are open, while those of the others may be closed by now."""
    seen: list[int] = []
    together = threading.Barrier(2)

    def meet(context: Any) -> None:
        together.wait(30)

    def note(context: Any) -> None:
        seen.append(threading.get_ident())

    claims = [running_job()[1] for _ in range(2)]
    for claimed in claims:
        claimed.handler = meet
    threaded.state.in_hand.put(claims)
    threaded.slots.run_batch()
    threaded.slots.wait()
    for _ in range(4):
        wait_until(lambda: threaded.state.in_hand.idle == 2, 30, "two idle threads")
        threaded.run(note)
    assert len(set(seen)) == 1


def test_what_strikes_a_thread_between_its_jobs_ends_neither_it_nor_the_next_job(
    threaded: Child, tuning: Tuning
) -> None:
    """Libraries stop what takes too long by such an exception, and it may come late."""
    tuning.set(idle_thread_seconds=0.1)
    own: list[int] = []

    def handler(context: Any) -> None:
        own.append(threading.get_ident())

    for _ in range(3):
        threaded.run(handler)
    for thread in set(own):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TimeoutError))
    time.sleep(0.5)
    assert [threaded.run(handler).status for _ in range(3)] == ["Completed"] * 3
    assert len(set(own)) <= 2


def test_what_ends_while_others_are_stored_is_stored_without_a_further_end(
    threaded: Child, interpose: Interpose
) -> None:
    (_, first), (job, second) = running_job(), running_job()
    real, late = verbs.settle, [second]

    def store_slowly(*args: Any) -> Any:
        if late:
            threaded.state.in_hand.put([late.pop()])
            threaded.slots.run_batch()
            wait_until(lambda: threaded.state.jobs_run == 2 and threaded.state.in_hand.idle, 30, "the other end")
        return real(*args)

    interpose("settle", store_slowly)
    threaded.state.in_hand.put([first])
    threaded.slots.run_batch()
    wait_until(lambda: reread(job).status == "Completed", 30, "the other end to be stored")


def test_the_thread_that_stores_ends_keeps_no_log_of_its_queries(threaded: Child, settings: Any) -> None:
    settings.DEBUG = True
    commit = threaded.slots._commit  # type: ignore[union-attr]
    logged: list[int] = []
    store = commit.store

    def count() -> None:
        store()
        if threading.current_thread().name == "group commit":
            logged.append(len(connection.queries_log))

    commit.store = count  # type: ignore[method-assign]
    for _ in range(3):
        threaded.run()
    wait_until(lambda: logged, 30, "the thread that stores")
    threaded.slots.close()
    assert max(logged) == 0
