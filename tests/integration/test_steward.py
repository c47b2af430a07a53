"""Storing how attempts ended, whatever the database is up to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError

from django_jobs.engine import settle
from django_jobs.models import Job
from django_jobs.worker import steward
from django_jobs.worker.batch import Batch
from tests.support.brokers import WORKER, reread, returned, running_job

pytestmark = pytest.mark.usefixtures("broker")

LARGE = {"text": "x" * (settle.LARGE_BYTES + 1)}


class Database:
    """Hangs up on every set that holds one of these jobs, so many times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuses: dict[int, int] = {}
        self.pauses: list[float] = []
        self._settle_returned = settle._settle_returned
        monkeypatch.setattr(settle, "_settle_returned", self._receive)
        monkeypatch.setattr(steward, "time", SimpleNamespace(sleep=self.pauses.append))
        # What a test has open is not to be closed.
        monkeypatch.setattr("django_jobs.engine.database.drop_connections", lambda: None)

    def _receive(self, items: Any, worker_name: str) -> Any:
        for item in items:
            if self.refuses.get(item.claimed.pk, 0) > 0:
                self.refuses[item.claimed.pk] -= 1
                raise OperationalError(2006, "Server has gone away")
        return self._settle_returned(items, worker_name)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    return Database(monkeypatch)


@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "not committed"])
def test_what_was_handed_back_does_not_run_though_the_databases_answer_was_lost(
    monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    job, claimed = running_job()
    batch = Batch()
    batch.put([running_job()[1], claimed])
    batch.next()
    monkeypatch.setattr(steward, "HAND_BACK_SECONDS", 0.0)
    child: Any = SimpleNamespace(name=WORKER, batch=batch)
    watch = steward.Steward(child, supervisor=1)
    original = settle.return_to_queue

    def cut_off(*args: Any) -> None:
        if is_committed:
            original(*args)
        raise OperationalError(2013, "Lost connection to server during query")

    monkeypatch.setattr(settle, "return_to_queue", cut_off)
    with pytest.raises(OperationalError):
        watch._hand_back()
    assert batch.next() is None
    monkeypatch.setattr(settle, "return_to_queue", original)
    watch._hand_back()
    assert (reread(job).status, reread(job).retry_count) == ("Queued", 0)


def store(*ends: Any) -> None:
    child: Any = SimpleNamespace(name=WORKER)
    steward.Steward(child, supervisor=1).settle(list(ends))


def test_an_end_is_stored_once_the_database_is_back_however_long_that_takes(database: Database) -> None:
    job, claimed = running_job()
    database.refuses = {job.pk: 50}
    store(returned(claimed, {"rows": 3}))
    assert (reread(job).status, reread(job).result) == ("Completed", {"rows": 3})
    assert (len(database.pauses), max(database.pauses)) == (50, 2.0)


def test_a_result_that_the_database_hangs_up_on_is_refused_and_its_neighbours_are_stored(database: Database) -> None:
    pairs = [running_job() for _ in range(4)]
    database.refuses = {pairs[1][0].pk: 10**6}
    store(*(returned(claimed, LARGE if index == 1 else {"rows": 3}) for index, (_, claimed) in enumerate(pairs)))
    assert [reread(job).status for job, _ in pairs] == ["Completed", "Dead Letter", "Completed", "Completed"]
    assert reread(pairs[1][0]).error_message.startswith("The result cannot be stored")


def test_a_large_result_survives_a_short_outage(database: Database) -> None:
    job, claimed = running_job()
    database.refuses = {job.pk: 3}
    store(returned(claimed, LARGE))
    assert reread(job).status == "Completed"


def test_together_too_much_is_stored_one_by_one(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def receive_one(items: Any, worker_name: str) -> Any:
        if len(items) > 1:
            raise OperationalError(2006, "Server has gone away")
        return database._settle_returned(items, worker_name)

    monkeypatch.setattr(settle, "_settle_returned", receive_one)
    store(*(returned(running_job()[1]) for _ in range(5)))
    assert set(Job.objects.values_list("status", flat=True)) == {"Completed"}
    assert len(database.pauses) == steward.SET_TRIES
