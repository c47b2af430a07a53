"""Attempts that go back, of types with a rate of starts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import verbs
from tests.support.brokers import WORKER, MemoryBroker, pending_job, reread, running_job, start
from tests.support.factories import make_job_type
from tests.support.verbs import Loss

RATES: list[dict[str, Any]] = [
    {"max_starts": 1},
    {"concurrency_key": "account", "max_starts_per_key": 1, "max_running_per_key": 9},
]


@pytest.mark.parametrize("rate", RATES, ids=["of the type", "of a key"])
def test_a_job_that_was_requeued_waits_for_its_types_rate(broker: MemoryBroker, rate: dict[str, Any]) -> None:
    job = pending_job(make_job_type(**rate))
    verbs.dispatch()
    (claimed,) = verbs.claim(broker.take_all(), WORKER)
    verbs.requeue([(job.pk, claimed.attempt)], "Requeued", WORKER)
    verbs.dispatch()
    row = reread(job)
    assert (row.status, row.attempt, row.retry_count, broker.take_all()) == ("Pending", 1, 0, [])
    assert row.ready_at


@pytest.mark.usefixtures("broker")
def test_a_job_without_a_rate_goes_back_to_the_queue() -> None:
    job, claimed = running_job(job_type=make_job_type(max_running=1))
    verbs.requeue([(job.pk, claimed.attempt)], "Requeued", WORKER)
    assert reread(job).status == "Queued"


@pytest.mark.usefixtures("broker")
def test_a_job_with_a_rate_that_kills_workers_before_it_begins_pays_from_the_second_time_on() -> None:
    job, _ = running_job(job_type=make_job_type(max_starts=1))
    loss = Loss(worker_name=WORKER, started=frozenset(), reason="process 7 exited")
    assert verbs.end_lost_worker(loss)
    assert reread(job).status == "Pending"
    start(reread(job))
    assert verbs.end_lost_worker(loss)
    assert (reread(job).status, reread(job).retry_count) == ("Failed", 1)
