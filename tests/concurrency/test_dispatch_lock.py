"""Waiting in line for the dispatcher's lock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection, connections, transaction

from django_jobs.models import EngineLease
from tests.support import verbs
from tests.support.waiting import wait_until

WAIT_SECONDS = 30.0


@pytest.fixture(autouse=True)
def postgresql(transactional_db: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("Only there somebody waits in line.")
    EngineLease.objects.create(name=verbs.DISPATCH_LEASE)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool
        pool.submit(connections.close_all).result(WAIT_SECONDS)


@contextmanager
def held_by_another(pool: ThreadPoolExecutor) -> Iterator[None]:
    is_taken, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            assert verbs.take_dispatch_lock() is not None
            is_taken.set()
            assert may_end.wait(WAIT_SECONDS)

    holder = pool.submit(hold)
    try:
        assert is_taken.wait(WAIT_SECONDS)
        yield
    finally:
        may_end.set()
        holder.result(WAIT_SECONDS)


def lock_timeout() -> str:
    return str(verbs.store().fetch("SHOW lock_timeout", [])[0][0])


def waits_for_a_lock() -> bool:
    """Whether anybody does in this database; in others of the server, other tests may run."""
    waiting = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted"
    return bool(verbs.store().fetch(f"{waiting} AND datname = current_database()", [])[0][0])


def test_who_waits_in_line_has_the_lock_when_the_other_ends(pool: ThreadPoolExecutor) -> None:
    def take() -> bool:
        with transaction.atomic():
            found = verbs.take_dispatch_lock(WAIT_SECONDS) is not None
        connections.close_all()
        return found

    with ThreadPoolExecutor(1) as second:
        with held_by_another(pool):
            waiting: Future[bool] = second.submit(take)
            wait_until(waits_for_a_lock, WAIT_SECONDS, "somebody to wait for a lock")
            assert not waiting.done()
        assert waiting.result(WAIT_SECONDS)


def test_who_waits_in_vain_may_go_on_in_its_transaction(pool: ThreadPoolExecutor) -> None:
    before = lock_timeout()
    with held_by_another(pool), transaction.atomic():
        assert verbs.take_dispatch_lock(0.01) is None
        assert (verbs.look_at_dispatch_lock() is not None, lock_timeout()) == (True, before)


def test_who_has_the_lock_waits_for_other_rows_as_ever() -> None:
    before = lock_timeout()
    with transaction.atomic():
        assert verbs.take_dispatch_lock(WAIT_SECONDS) is not None
        assert lock_timeout() == before


def test_who_waits_in_a_stricter_isolation_while_the_row_is_written_comes_again(pool: ThreadPoolExecutor) -> None:
    is_taken, may_end = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            EngineLease.objects.update(state={"cursor": 1})
            is_taken.set()
            assert may_end.wait(WAIT_SECONDS)

    def take() -> bool:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            found = verbs.take_dispatch_lock(WAIT_SECONDS) is not None
        connections.close_all()
        return found

    with ThreadPoolExecutor(1) as second:
        writer = pool.submit(write)
        assert is_taken.wait(WAIT_SECONDS)
        waiting = second.submit(take)
        wait_until(waits_for_a_lock, WAIT_SECONDS, "somebody to wait for a lock")
        may_end.set()
        writer.result(WAIT_SECONDS)
        assert not waiting.result(WAIT_SECONDS)
