"""Storing how attempts ended, whatever the database is up to."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection

from django_jobs.models import Job
from tests.support import verbs
from tests.support.brokers import WORKER, reread, returned, running_job
from tests.support.tuning import Tuning
from tests.support.verbs import Interpose, Settler

pytestmark = pytest.mark.usefixtures("broker")

LARGE = {"text": "x" * (verbs.LARGE_RESULT_BYTES + 1)}


class Database:
    """Hangs up on every set that holds one of these jobs, so many times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tuning: Tuning) -> None:
        self.refuses: dict[int, int] = {}
        self.pauses: list[float] = []
        self._complete = verbs.complete_jobs
        Interpose(monkeypatch)("complete_jobs", self._receive)
        tuning.set(settler_clock=SimpleNamespace(sleep=self.pauses.append, monotonic=time.monotonic))
        # What a test has open is not to be closed.
        Interpose(monkeypatch)("drop_connections", lambda: None)

    def _receive(self, items: Any, worker_name: str) -> Any:
        for item in items:
            if self.refuses.get(item.claimed.pk, 0) > 0:
                self.refuses[item.claimed.pk] -= 1
                raise OperationalError(2006, "Server has gone away")
        return self._complete(items, worker_name)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, tuning: Tuning) -> Database:
    return Database(monkeypatch, tuning)


def store(*ends: Any) -> None:
    Settler(WORKER).settle(list(ends))


def test_an_end_is_stored_once_the_database_is_back_however_long_that_takes(database: Database) -> None:
    job, claimed = running_job()
    database.refuses = {job.pk: 50}
    store(returned(claimed, {"rows": 3}))
    assert (reread(job).status, reread(job).result) == ("Completed", {"rows": 3})
    assert (len(database.pauses), max(database.pauses)) == (50, 2.0)


def test_a_result_that_the_database_hangs_up_on_is_refused_and_its_neighbours_are_stored(
    database: Database, reasons: Callable[[Job], list[str]]
) -> None:
    pairs = [running_job() for _ in range(4)]
    database.refuses = {pairs[1][0].pk: 10**6}
    store(*(returned(claimed, LARGE if index == 1 else {"rows": 3}) for index, (_, claimed) in enumerate(pairs)))
    assert [reread(job).status for job, _ in pairs] == ["Completed", "Dead Letter", "Completed", "Completed"]
    assert reasons(pairs[1][0]) == ["not_storable"]


def test_a_large_result_survives_a_short_outage(database: Database) -> None:
    job, claimed = running_job()
    database.refuses = {job.pk: 3}
    store(returned(claimed, LARGE))
    assert reread(job).status == "Completed"


def test_together_too_much_is_stored_one_by_one(database: Database, interpose: Interpose) -> None:
    def receive_one(items: Any, worker_name: str) -> Any:
        if len(items) > 1:
            raise OperationalError(2006, "Server has gone away")
        return database._complete(items, worker_name)

    interpose("complete_jobs", receive_one)
    store(*(returned(running_job()[1]) for _ in range(5)))
    assert set(Job.objects.values_list("status", flat=True)) == {"Completed"}
    assert len(database.pauses) == verbs.SET_TRIES


def test_a_database_that_is_away_for_long_refuses_no_large_result(database: Database) -> None:
    job, claimed = running_job()
    database.refuses = {job.pk: 50}

    def away(execute: Any, *args: Any) -> Any:
        if database.refuses[job.pk]:
            database.refuses[job.pk] -= 1
            raise OperationalError("server closed the connection unexpectedly")
        return execute(*args)

    with connection.execute_wrapper(away):
        store(returned(claimed, LARGE))
    assert reread(job).status == "Completed"


def test_a_lock_on_the_table_of_jobs_refuses_no_large_result(database: Database) -> None:
    """As while the table is rebuilt: every write is canceled after a while, and the server answers all the same."""
    job, claimed = running_job()
    database.refuses = {job.pk: 50}

    def locked(execute: Any, sql: str, *args: Any) -> Any:
        if database.refuses[job.pk] and sql.startswith("UPDATE"):
            database.refuses[job.pk] -= 1
            raise OperationalError("canceling statement due to user request")
        return execute(sql, *args)

    with connection.execute_wrapper(locked):
        store(returned(claimed, LARGE))
    assert reread(job).status == "Completed"


def test_what_could_not_be_stored_because_its_row_is_in_use_is_stored_later(monkeypatch: pytest.MonkeyPatch) -> None:
    (held, claimed), (free, other) = running_job(), running_job()
    mine = Settler(WORKER)
    with monkeypatch.context() as patch:
        Interpose(patch)("settle", lambda ended, _: [item for item in ended if item.claimed is claimed])
        mine.settle([returned(claimed), returned(other)])
    assert (mine.has_unsettled(), mine.keys()) == (True, {(held.pk, claimed.attempt)})

    mine.finish()

    assert (mine.has_unsettled(), mine.keys(), reread(held).status) == (False, set(), "Completed")
    assert reread(free).status == "Running"  # it was stored, as far as the settler knows
