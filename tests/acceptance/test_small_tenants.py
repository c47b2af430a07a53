"""One job of a tenant beside many of another, in workers that quick jobs have kept busy before."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.db import connection, connections, transaction

from django_jobs import cancel_job, submit_jobs
from django_jobs.models import Job, JobType, Worker
from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, status_of, wait_for_all, wait_for_status
from tests.support.brokers import ALL_QUEUES
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import MIN_WINDOW
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool


@pytest.mark.slots("one", reason="it says how many slots there are")
@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("is_same_type", [True, False], ids=["same type", "other type"])
def test_after_quick_jobs_a_tenants_job_waits_for_two_of_another_tenants_long_ones_a_slot_at_most(
    slots: int, is_same_type: bool, processes: ProcessPool, stage: Stage
) -> None:
    kind = make_job_type("take_seconds")
    quick = kind if is_same_type else make_job_type("take_seconds")

    def submit_some(count: int, job_type: JobType, seconds: float) -> list[Job]:
        item = {"job_type": job_type, "organization": stage.organization, "parameters": {"seconds": seconds}}
        return submit_jobs([item] * count)

    processes.worker("--processes", str(slots))
    wait_until(lambda: Worker.objects.count() == slots, PATIENCE, "the children")
    wait_for_all(submit_some(200, quick, 0.0))
    long = submit_some(40, kind, 1.0)
    rows = Job.objects.filter(pk__in=[job.pk for job in long])
    wait_until(lambda: rows.filter(status=Status.RUNNING).count() >= slots, PATIENCE, "the long jobs")
    (job,) = submit_jobs([{"job_type": kind, "organization": make_organization(), "parameters": {"seconds": 0.0}}])
    wait_for_status(job, Status.COMPLETED, timeout=2 * PATIENCE)
    started = Job.objects.get(pk=job.pk).started_at
    assert rows.filter(started_at__gt=job.created_at, started_at__lt=started).count() <= 2 * slots


@pytest.fixture
def held(stage: Stage) -> Iterator[list[Job]]:
    """A tenant's queued jobs, as many as the broker holds, canceled in a transaction that is open until the test ends.

    It is rolled back then, and they run.
    """
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("This database locks no single rows.")
    kind = make_job_type()
    for _ in range(MIN_WINDOW):
        stage.submit(kind)
    held = list(Job.objects.filter(status=Status.QUEUED))
    holds, may_go = threading.Event(), threading.Event()

    def cancel_slowly() -> None:
        with transaction.atomic():
            for job in held:
                cancel_job(job)
            holds.set()
            may_go.wait(4 * PATIENCE)
            transaction.set_rollback(True)
        connections.close_all()

    host = threading.Thread(target=cancel_slowly, daemon=True)
    host.start()
    assert holds.wait(PATIENCE)
    try:
        yield held
    finally:
        may_go.set()
        host.join()
    wait_for_all(held)


@pytest.mark.slots("one", reason="it says how many slots there are")
def test_while_a_transaction_holds_a_tenants_queued_jobs_anothers_run(processes: ProcessPool, held: list[Job]) -> None:
    item = {"job_type": held[0].job_type, "organization": make_organization()}
    processes.worker("--processes", "1")
    for _ in range(2 * MIN_WINDOW):
        wait_for_all(submit_jobs([item]))
    assert {status_of(job) for job in held} == {Status.QUEUED}


def test_so_they_do_in_a_plain_rqworker(processes: ProcessPool, held: list[Job]) -> None:
    item = {"job_type": held[0].job_type, "organization": make_organization()}
    processes.start("rqworker", *ALL_QUEUES)
    wait_for_all(submit_jobs([item] * 2))
    assert {status_of(job) for job in held} == {Status.QUEUED}
