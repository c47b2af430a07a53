"""What a worker child has claimed of a type does not begin once its breaker is open."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from django_jobs.models import Job
from django_jobs.statuses import BreakerState
from tests.integration.worker.test_slots import Child, make_child
from tests.support.attempts import raising
from tests.support.breakers import FAILURES, breaker_of, make_fragile_type, open_by_failures
from tests.support.brokers import running_job

__all__ = ["make_child"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

THREADS = [1, 4]


def run_claimed(child: Child, count: int, kind: object) -> None:
    claimed = [running_job(job_type=kind)[1] for _ in range(count)]
    for item in claimed:
        item.handler = raising(ConnectionError("refused"))
    child.state.batch.put(claimed)
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


@pytest.mark.parametrize("threads", THREADS)
def test_what_was_claimed_before_it_opened_does_not_begin(
    make_child: Callable[[int], Child], threads: int, reasons: Callable[[Job], list[str]]
) -> None:
    kind = make_fragile_type()
    job, claimed = running_job(job_type=kind)
    open_by_failures(kind)
    child = make_child(threads)
    child.state.batch.put([claimed])
    child.slots.run_batch()
    child.slots.wait()
    child.state.settle()
    assert Job.objects.get(pk=job.pk).status == "Pending"
    assert reasons(job)[-1] == "breaker_open"
