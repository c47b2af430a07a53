"""A set of jobs that fail opens their breaker in a worker's child."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from django_jobs.models import Job
from django_jobs.statuses import BreakerState
from tests.integration.worker.test_slots import Child, make_child
from tests.support.attempts import raising
from tests.support.breakers import FAILURES, breaker_of, make_fragile_type
from tests.support.brokers import running_job

__all__ = ["make_child"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

THREADS = [1, 4]


def run_claimed(child: Child, count: int, kind: object) -> None:
    claimed = [running_job(job_type=kind)[1] for _ in range(count)]
    for item in claimed:
        item.handler = raising(ConnectionError("refused"))
    child.state.in_hand.put(claimed)
    child.slots.run_batch()
    child.slots.wait()
    child.state.settle()


@pytest.mark.parametrize("threads", THREADS)
def test_of_a_set_of_jobs_that_all_fail_only_those_pay_that_open_the_breaker(
    make_child: Callable[[int], Child], threads: int
) -> None:
    kind = make_fragile_type()
    run_claimed(make_child(threads), 30, kind)
    assert breaker_of(kind).state == BreakerState.OPEN
    assert Job.objects.filter(status="Failed").count() == FAILURES
    assert set(Job.objects.exclude(status="Failed").values_list("status", flat=True)) == {"Pending"}
