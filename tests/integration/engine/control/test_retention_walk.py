"""Which jobs retention looks at: it ends at the young ones, goes on where it was, and comes back to those that stay."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from django_jobs.models import Job
from tests.support import verbs
from tests.support.brokers import job_in, pending_job
from tests.support.clocks import Clock
from tests.support.tuning import Tuning
from tests.support.verbs import Pruner, Scheduler

pytestmark = pytest.mark.usefixtures("broker")

BATCH = 2
MOMENTS = ("created_at", "completed_at")


@pytest.fixture(autouse=True)
def small_batches(tuning: Tuning) -> None:
    tuning.set(retention_batch_jobs=BATCH)


@pytest.fixture
def clock(tuning: Tuning) -> Clock:
    """The clock by which a pruner rests."""
    clock = Clock()
    tuning.set(retention_clock=clock)
    return clock


@pytest.fixture
def looks(clock: Clock) -> Iterator[list[int]]:
    """Behind which job each look began. Each takes a second."""
    begun: list[int] = []
    key = connection.ops.quote_name("id")

    def watch(execute: Any, sql: str, params: Any, *args: Any) -> Any:
        if f"{key} > %s" in sql and sql.endswith(f"LIMIT {BATCH}"):
            begun.append(params[0])
            clock.now += 1.0
        return execute(sql, params, *args)

    with connection.execute_wrapper(watch):
        yield begun


def ended(days: float, count: int = 1) -> list[Job]:
    jobs = [job_in("Completed") for _ in range(count)]
    grow_old(jobs, days)
    return jobs


def grow_old(jobs: list[Job], days: float) -> None:
    age = dt.timedelta(days=days)
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(**{name: F(name) - age for name in MOMENTS})


def waiting(days: float, count: int) -> list[Job]:
    jobs = [pending_job() for _ in range(count)]
    grow_old(jobs, days)
    return jobs


def a_pass(pruner: Pruner) -> int:
    total = pruner.prune(1e9)
    assert pruner.is_through
    return total


def test_a_pass_ends_at_the_first_young_jobs_however_many_there_are(looks: list[int]) -> None:
    ended(0, 9)
    assert a_pass(Pruner()) == 0
    assert looks == [0]


def test_the_next_pass_begins_where_the_last_one_ended(looks: list[int], tuning: Tuning) -> None:
    tuning.set(retention_rest_factor=1e9)
    stay = waiting(31, 6)
    pruner = Pruner()
    assert a_pass(pruner) == 0
    looks.clear()
    (old,) = ended(31)
    assert a_pass(pruner) == 1
    assert looks == [stay[-1].pk]
    assert not Job.objects.filter(pk=old.pk).exists()


@pytest.mark.usefixtures("clock")
def test_jobs_that_stayed_go_once_they_may() -> None:
    late = ended(29.9, 3)
    Job.objects.update(created_at=F("created_at") - dt.timedelta(days=10))
    ended(31)
    pruner = Pruner()
    assert a_pass(pruner) == 1
    grow_old(late, 1)
    assert a_pass(pruner) == 3


def test_many_jobs_that_stay_are_looked_at_the_less_often(looks: list[int], clock: Clock) -> None:
    stay = waiting(31, 7)
    pruner = Pruner()
    a_pass(pruner)
    begun = []
    for _ in range(4):
        looks.clear()
        a_pass(pruner)
        begun.append(looks[0])
        clock.now += verbs.RETENTION_PAUSE
    assert begun == [stay[-1].pk, stay[-1].pk, stay[-1].pk, 0]


def test_a_command_looks_behind_younger_jobs_too() -> None:
    ended(10, 3)
    (old,) = ended(31)
    assert a_pass(Pruner()) == 0
    assert a_pass(Pruner(is_thorough=True)) == 1
    assert not Job.objects.filter(pk=old.pk).exists()


def test_jobs_from_the_future_end_no_pass_and_are_passed_over_once(looks: list[int], tuning: Tuning) -> None:
    tuning.set(retention_rest_factor=1e9)
    future = ended(-400, 7)
    pruner = Pruner()
    ended(31)
    assert a_pass(pruner) == 1
    looks.clear()
    ended(31)
    assert a_pass(pruner) == 1
    assert looks[0] >= future[-1].pk


def test_young_jobs_beside_those_from_the_future_are_not_passed_over(tuning: Tuning) -> None:
    tuning.set(retention_rest_factor=1e9)
    young = ended(29)
    ended(-400, 3)
    pruner = Pruner()
    assert a_pass(pruner) == 0
    grow_old(young, 2)
    assert a_pass(pruner) == 1


@pytest.mark.parametrize(("days", "rest"), [(30 + 50 / 86400, 1.0), (30 + 300 / 86400, 0.2), (90, 0.1)])
def test_it_rests_the_less_the_further_it_is_behind(days: float, rest: float) -> None:
    ended(days, 2 * BATCH)
    pruner = Pruner()
    assert pruner.prune_batch() == BATCH
    assert pruner.rest() == pytest.approx(rest, abs=0.05)
    a_pass(pruner)
    assert pruner.rest() == 1.0


def test_a_tick_goes_on_while_there_is_work_and_time(tuning: Tuning) -> None:
    tuning.set(sweep_step_seconds=60.0)
    ended(31, 3 * BATCH + 1)
    assert Scheduler("one").tick()["prune"] == 3 * BATCH + 1
