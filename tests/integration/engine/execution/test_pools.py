"""A worker runs only jobs of the pools whose queues it serves, whichever way it claims them."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs.models import ExecutionLog, Job, JobType, Organization
from django_jobs.pools import served_by
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.brokers import WORKER, MemoryBroker, pending_job, queue_up, reread, start, ticket_of
from tests.support.factories import make_job_type
from tests.support.verbs import Queue


@pytest.fixture
def gpu(settings: Any) -> JobType:
    """A type of the pool."""
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}, "cpu": {}}}
    return make_job_type(pool="gpu")


def queued(kind: JobType, organization: Organization, count: int = 1) -> list[Job]:
    return [queue_up(pending_job(kind, organization)) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 3])
def test_a_ticket_in_its_own_pools_queue_starts_its_job(
    broker: MemoryBroker, gpu: JobType, organization: Organization, count: int
) -> None:
    jobs = queued(gpu, organization, count)
    assert len(verbs.claim([ticket_of(job, "gpu") for job in jobs], WORKER)) == count


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("pool", ["default", "cpu"])
def test_a_ticket_in_another_pools_queue_is_void(
    broker: MemoryBroker, gpu: JobType, organization: Organization, count: int, pool: str
) -> None:
    jobs = queued(gpu, organization, count)
    broker.lose_tickets()
    assert verbs.claim([ticket_of(job, pool) for job in jobs], WORKER) == []
    assert {reread(job).status for job in jobs} == {"Queued"}
    assert broker.tickets == []


def test_a_claim_sees_at_once_that_the_pool_was_changed(
    broker: MemoryBroker, gpu: JobType, organization: Organization
) -> None:
    first, second, third = queued(gpu, organization, 3)
    verbs.claim([ticket_of(first, "gpu")], WORKER)
    JobType.objects.filter(pk=gpu.pk).update(pool="default")
    assert verbs.claim([ticket_of(second, "gpu")], WORKER) == []
    assert reread(second).status == "Queued"
    assert len(verbs.claim([ticket_of(second), ticket_of(third)], WORKER)) == 2


@pytest.mark.parametrize("remaining", [{}, {"cpu": {}}])
def test_a_ticket_of_a_pool_that_is_gone_puts_its_job_back(
    broker: MemoryBroker, gpu: JobType, organization: Organization, settings: Any, remaining: Any, reasons: Reasons
) -> None:
    (job,) = queued(gpu, organization)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": remaining}
    assert verbs.claim([ticket_of(job)], WORKER) == []
    assert reread(job).status == "Pending"
    assert reasons(job) == ["unknown_pool"]
    assert "'gpu'" in ExecutionLog.objects.filter(job=job).latest("pk").message


def test_what_is_requeued_goes_to_its_pools_queue(
    broker: MemoryBroker, gpu: JobType, organization: Organization
) -> None:
    jobs = queued(gpu, organization, 3)
    broker.lose_tickets()
    verbs.claim([ticket_of(job, "gpu") for job in jobs], WORKER, lambda _: 1)
    assert [ticket.queue for ticket in broker.tickets] == [Queue("gpu", 1)] * 2


@pytest.mark.skipif(not verbs.store().passes_waypoints, reason="This store moves no job over two statuses at once.")
@pytest.mark.parametrize(("queues", "pool"), [((), "default"), (["jobs-gpu-normal"], "gpu")])
def test_a_share_has_only_jobs_of_the_pools_that_the_worker_serves(
    broker: MemoryBroker, gpu: JobType, kind: JobType, organization: Organization, queues: list[str], pool: str
) -> None:
    names = ["jobs-normal", "jobs-gpu-normal"]
    verbs.announce_worker(WORKER, names, slots=20)
    verbs.claim([ticket_of(queued(gpu, organization)[0], "gpu")], WORKER)  # so that the policy's answers are known
    start(pending_job(kind, organization))
    broker.is_down = True
    for job_type in (gpu, kind):
        for _ in range(6):
            pending_job(job_type, organization)
    broker.is_down = False
    claimed = verbs.take_share(served_by(queues), 20, WORKER, len, lambda _: None) or []
    assert {(item.job_type, item.ticket.pool) for item in claimed} == {({"gpu": gpu, "default": kind}[pool].pk, pool)}
    assert len(claimed) == 6


def test_everything_runs_in_a_hosts_test_whatever_its_pool(gpu: JobType, organization: Organization) -> None:
    from django_jobs.testing import run_jobs

    job = pending_job(gpu, organization)
    assert [(item.job_id, item.status) for item in run_jobs()] == [(job.name, "Completed")]
    JobType.objects.filter(pk=gpu.pk).update(pool="cpu")
    pending_job(gpu, organization)
    assert [item.status for item in run_jobs()] == ["Completed"]


def test_a_retry_goes_to_the_pool_that_the_type_has_then(
    broker: MemoryBroker, gpu: JobType, organization: Organization
) -> None:
    job = pending_job(gpu, organization)
    verbs.unqueue([job.pk], "again")
    JobType.objects.filter(pk=gpu.pk).update(pool="cpu")
    verbs.forget_pools()
    broker.lose_tickets()
    verbs.dispatch()
    assert [(ticket.pk, ticket.pool) for ticket in broker.tickets] == [(job.pk, "cpu")]
