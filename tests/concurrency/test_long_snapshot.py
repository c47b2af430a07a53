"""Beside a snapshot that is open for long: what a dispatch costs, and that each job goes once and within its limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from django_jobs import submit_jobs
from django_jobs.models import Job
from django_jobs.statuses import Status
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import assert_histories_are_chains, make_pending, run_crowd
from tests.support import verbs
from tests.support.brokers import ALL_QUEUES, WORKER, returned
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning

CROWD = 6
WINDOW = 100
ROUNDS = 20


@pytest.fixture(autouse=True)
def marks(transactional_db: None, tuning: Tuning) -> None:
    """Walks from marks on: every whole walk counts as slow, and none is due again during the test."""
    if not verbs.store().marks_lanes:
        pytest.skip("This store needs no marks.")
    tuning.set(
        in_flight_slow_seconds=-1.0,
        in_flight_rest_factor=1_000_000,
        lane_marks_slow_seconds=-1.0,
        lane_marks_rest_factor=1_000_000,
        lane_marks_bound_seconds=1_000_000,
        lane_marks_save_seconds=0.0,
        in_flight_renewal_seconds=0.0,
        lane_marks_margin_seconds=0,
        in_flight_margin_seconds=0,
    )
    verbs.announce_worker("a-worker", ALL_QUEUES, slots=WINDOW)


@pytest.fixture
def snapshot() -> Iterator[None]:
    """Another transaction, which keeps all that dies from now on."""
    holder: Any = connection.copy()
    with holder.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT 1")
        yield
        cursor.execute("ROLLBACK")
    holder.close()


def entries_read() -> dict[str, int]:
    """How many entries of each index this transaction has read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_stat_get_xact_tuples_returned(indexrelid) FROM pg_index JOIN pg_class c "
            "ON c.oid = indexrelid WHERE indrelid = 'django_jobs_job'::regclass"
        )
        return dict(cursor.fetchall())


def work_off(broker: CrowdedBroker) -> int:
    """Dispatch, and run what was dispatched; how many jobs ended."""
    verbs.dispatch()
    tickets = broker.consumer(WORKER).take_now(WINDOW).tickets
    verbs.settle([returned(item) for item in verbs.claim(tickets, WORKER)], WORKER)
    return len(tickets)


@pytest.mark.usefixtures("snapshot")
def test_a_dispatch_does_not_walk_past_the_jobs_that_went_before_it(broker: CrowdedBroker, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "LEASE_SECONDS": 3_000}
    kind, organizations = make_job_type(), [make_organization() for _ in range(3)]
    broker.is_full = True
    items = [(kind, organizations[number % 3], {"n": number}) for number in range((ROUNDS + 1) * WINDOW)]
    submit_jobs([dict(zip(("job_type", "organization", "parameters"), item, strict=True)) for item in items])
    broker.is_full = False
    assert [work_off(broker) for _ in range(ROUNDS)] == ROUNDS * [WINDOW]
    with transaction.atomic():
        before = entries_read()
        assert verbs.dispatch() == WINDOW
        read = Counter(entries_read())
    read.subtract(before)
    assert max(read["djobs_lanes"], read["djobs_queued_at"]) < 5 * WINDOW, read


def test_dispatchers_at_once_queue_each_job_once_and_keep_to_the_limit(broker: CrowdedBroker, settings: Any) -> None:
    limit = 7
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": limit}
    broker.is_full = True
    kinds, organizations = [make_job_type() for _ in range(2)], [make_organization() for _ in range(5)]
    jobs = [job for kind in kinds for organization in organizations for job in make_pending(kind, organization, 10)]
    broker.is_full = False
    while len(broker.pushed) < len(jobs):
        run_crowd([verbs.dispatch] * CROWD)
        queued = Counter(Job.objects.filter(status=Status.QUEUED).values_list("organization_id", flat=True))
        assert queued
        assert max(queued.values()) <= limit
        tickets = broker.consumer(WORKER).take_now(WINDOW).tickets
        verbs.settle([returned(item) for item in verbs.claim(tickets, WORKER)], WORKER)
    assert Counter(broker.pushed) == {f"{job.name}-1": 1 for job in jobs}
    assert_histories_are_chains()
