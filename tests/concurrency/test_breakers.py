"""Breakers that many workers count in at the same moment."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Final

import pytest

from django_jobs.models import Breaker, ExecutionLog, Job, JobType
from django_jobs.statuses import BreakerState
from tests.concurrency.crowd import assert_histories_are_chains, is_small, make_queued, run_crowd
from tests.concurrency.test_claim import tickets_of
from tests.support import verbs
from tests.support.breakers import FAILURES, let_go, let_pass, make_fragile_type
from tests.support.brokers import raised, returned
from tests.support.factories import make_organization
from tests.support.verbs import Claimed, outcomes

WORKERS: Final = 6
SET: Final = 5

pytestmark = pytest.mark.usefixtures("full_broker")


def claimed_by_each(kinds: list[JobType], count: int) -> list[list[Claimed]]:
    """Jobs of all of these types that each of the workers has claimed, mixed."""
    organization = make_organization()
    jobs = [job for kind in kinds for job in make_queued(kind, organization, WORKERS * count)]
    random.Random(1).shuffle(jobs)
    shares = [jobs[number::WORKERS] for number in range(WORKERS)]
    return [verbs.claim(tickets_of(share), f"worker-{number}") for number, share in enumerate(shares)]


def settling(claimed: list[Claimed], outcome: Callable[[Claimed], outcomes.Outcome]) -> Callable[[], None]:
    """A worker that stores how its attempts ended, set by set."""

    def run() -> None:
        for start in range(0, len(claimed), SET):
            verbs.settle_all([outcome(item) for item in claimed[start : start + SET]], claimed[0].worker_name)

    return run


def test_of_all_that_fail_at_once_only_those_that_open_it_pay() -> None:
    kinds = [make_fragile_type() for _ in range(3)]
    claimed = claimed_by_each(kinds, 3 if is_small() else 20)

    run_crowd([settling(items, raised) for items in claimed])

    assert set(Breaker.objects.values_list("state", flat=True)) == {BreakerState.OPEN}
    paid = Counter(Job.objects.filter(retry_count=1).values_list("job_type_id", "status"))
    assert paid == {(kind.pk, "Failed"): FAILURES for kind in kinds}
    assert set(Job.objects.filter(retry_count=0).values_list("status", flat=True)) == {"Pending"}
    assert_histories_are_chains()


def test_while_some_complete_and_some_fail_every_end_is_stored_and_nobody_deadlocks() -> None:
    kinds = [make_fragile_type() for _ in range(3)]
    claimed = claimed_by_each(kinds, 3 if is_small() else 20)
    chance = random.Random(2)
    rounds = 10 if is_small() else 60

    def dispatch() -> None:
        for _ in range(rounds):
            kind = chance.choice(kinds)
            let_pass(kind, 20)
            let_go(kind, 1_000)

    def close() -> None:
        for _ in range(rounds):
            verbs.close_breaker(chance.choice(kinds).pk)

    def outcome(item: Claimed) -> outcomes.Outcome:
        return returned(item) if item.pk % 3 == 0 else raised(item)

    run_crowd([*(settling(items, outcome) for items in claimed), dispatch, close])

    assert not Job.objects.filter(status="Running").exists()
    completed = {item.pk for items in claimed for item in items if item.pk % 3 == 0}
    assert set(Job.objects.filter(status="Completed").values_list("pk", flat=True)) == completed
    assert max(Job.objects.values_list("retry_count", flat=True)) == 1
    assert ExecutionLog.objects.filter(from_status="Running").count() == sum(map(len, claimed))
    assert_histories_are_chains()
