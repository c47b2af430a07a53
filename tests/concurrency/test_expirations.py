"""Jobs that expire while workers reach for them: each runs or ends, and none does both."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter

import pytest

from django_jobs.models import ExecutionLog, Job, JobType, Organization
from django_jobs.statuses import DISPATCHABLE, Status
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import assert_histories_are_chains, is_small, run_crowd
from tests.concurrency.families import submit_many
from tests.support import verbs
from tests.support.brokers import WORKER, ticket_of
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import NOW, Move


@pytest.fixture
def kind(transactional_db: None) -> JobType:
    return make_job_type()


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    return make_organization()


def test_a_job_that_expires_while_it_is_claimed_runs_or_ends(
    full_broker: CrowdedBroker, kind: JobType, organization: Organization
) -> None:
    chance = random.Random(1)
    jobs = submit_many(kind, organization, [[]] * (24 if is_small() else 120))
    moves = [Move(pk=job.pk, to_status=Status.QUEUED, values={"queued_at": NOW, "ready_at": None}) for job in jobs]
    verbs.move(moves, verbs.Terms(sources=DISPATCHABLE, actor=verbs.user_named("test")))
    now = verbs.now()
    for job in jobs:
        seconds = chance.uniform(0.0, 0.5) if chance.random() < 0.7 else 3600.0
        Job.objects.filter(pk=job.pk).update(expires_at=now + dt.timedelta(seconds=seconds))
    tickets = [ticket_of(job) for job in Job.objects.order_by("pk")]
    chance.shuffle(tickets)
    claimed: list[int] = []

    def worker(index: int) -> None:
        for start in range(index, len(tickets), 15):
            claimed.extend(item.pk for item in verbs.claim(tickets[start : start + 5], f"{WORKER}-{index}"))

    def sweeper() -> None:
        for _ in range(20):
            verbs.expire_jobs()

    run_crowd([lambda: worker(0), lambda: worker(5), lambda: worker(10), sweeper, sweeper])

    statuses = dict(Job.objects.values_list("pk", "status"))
    assert {pk for pk, status in statuses.items() if status == Status.RUNNING} == set(claimed)
    assert len(claimed) == len(set(claimed))
    expired = Counter(ExecutionLog.objects.filter(message="Expired").values_list("job_id", flat=True))
    assert {pk: 1 for pk, status in statuses.items() if status == Status.CANCELED} == dict(expired)
    assert set(statuses.values()) <= {"Running", "Canceled", "Queued"}
    assert_histories_are_chains()
