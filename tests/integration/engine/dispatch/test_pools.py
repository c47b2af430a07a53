"""Jobs go to the queues of their types' pools, and each pool has a window of its own."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection
from pytest_django import DjangoDbBlocker

from django_jobs.models import ExecutionLog, Job, JobType, Organization
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.brokers import MemoryBroker, job_in, pending_job, queue_for, reread, ticket_of
from tests.support.clocks import Clock
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning, forget_everything
from tests.support.verbs import Queue, TicketWatch

GPU = Queue("gpu", 1)
GPU_QUEUES = ("jobs-gpu-critical", "jobs-gpu-high", "jobs-gpu-normal", "jobs-gpu-low")


@pytest.fixture
def _pool(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": {"gpu": {}}}


@pytest.fixture
def gpu(_pool: None) -> JobType:
    """A type of the pool."""
    return make_job_type(pool="gpu")


def move_to(kind: JobType, pool: str) -> None:
    """Change a type's pool as a shell does it."""
    JobType.objects.filter(pk=kind.pk).update(pool=pool)
    verbs.forget_pools()


def waiting_in(broker: MemoryBroker, queue: Queue) -> list[int]:
    return [entry.pk for entry in broker.queues[queue]]


# -- what a process remembers of types ---------------------------------------------------------------------------------


def test_without_pools_nothing_is_read(django_db_blocker: DjangoDbBlocker, kind: JobType) -> None:
    with django_db_blocker.block():
        assert verbs.pool_of(kind.pk) == "default"


def test_types_of_pools_are_read_once_a_second(kind: JobType, gpu: JobType, tuning: Tuning) -> None:
    clock = Clock()
    tuning.set(pools_clock=clock)
    verbs.forget_pools()
    assert [verbs.pool_of(item.pk) for item in (kind, gpu, kind)] == ["default", "gpu", "default"]
    JobType.objects.filter(pk=kind.pk).update(pool="gpu")
    assert verbs.pool_of(kind.pk) == "default"
    clock.now += verbs.POOL_MEMORY_SECONDS
    assert verbs.pool_of(kind.pk) == "gpu"


def test_while_the_database_is_away_the_last_answer_holds(gpu: JobType, tuning: Tuning) -> None:
    clock = Clock()
    tuning.set(pools_clock=clock)
    verbs.forget_pools()
    assert verbs.pool_of(gpu.pk) == "gpu"
    clock.now += verbs.POOL_MEMORY_SECONDS

    def fail(*args: Any) -> None:
        raise OperationalError("the line is gone")

    with connection.execute_wrapper(fail):
        assert verbs.pool_of(gpu.pk) == "gpu"


def test_a_type_that_this_process_saves_is_known_at_once(gpu: JobType) -> None:
    assert verbs.pool_of(gpu.pk) == "gpu"
    gpu.pool = "default"
    gpu.save()
    assert verbs.pool_of(gpu.pk) == "default"


# -- dispatch ----------------------------------------------------------------------------------------------------------


def test_a_job_goes_to_the_queue_of_its_pool(broker: MemoryBroker, gpu: JobType, kind: JobType) -> None:
    ours, others = pending_job(gpu), pending_job(kind)
    verbs.dispatch()
    assert (waiting_in(broker, GPU), waiting_in(broker, queue_for(1))) == ([ours.pk], [others.pk])


def test_pools_have_windows_of_their_own(broker: MemoryBroker, gpu: JobType, kind: JobType) -> None:
    for job_type in (kind, gpu):
        for _ in range(verbs.MIN_WINDOW + 3):
            pending_job(job_type)
    verbs.dispatch()
    assert {queue: count for queue, count in broker.depths().items() if count} == {
        GPU: verbs.MIN_WINDOW,
        queue_for(1): verbs.MIN_WINDOW,
    }


def test_pools_have_turns_of_their_own(broker: MemoryBroker, gpu: JobType, kind: JobType) -> None:
    broker.is_down = True
    for organization in (make_organization(), make_organization()):
        for job_type in (kind, gpu):
            pending_job(job_type, organization)
    broker.is_down = False
    for queue in ("jobs-normal", "jobs-gpu-normal"):
        verbs.announce_worker(queue, [queue], slots=1)
    verbs.dispatch()
    first, second = Job.objects.filter(status="Queued")
    assert first.organization == second.organization


def test_workers_of_one_pool_widen_no_window_of_another_and_quiet_ones_none(broker: MemoryBroker, gpu: JobType) -> None:
    verbs.announce_worker("gpu-1", GPU_QUEUES, slots=40)
    verbs.announce_worker("quiet", ["jobs-normal"], slots=40, quiet_since=verbs.now())
    size = verbs.read_window()
    assert (size.sizes[GPU], size.sizes[queue_for(1)]) == (40, verbs.MIN_WINDOW)
    assert size.rivals[GPU] == {Queue("gpu", priority) for priority in range(4)}
    assert size.rivals[queue_for(1)] == {queue_for(1)}


def test_a_worker_of_two_pools_has_one_window_for_both(broker: MemoryBroker, gpu: JobType) -> None:
    verbs.announce_worker("both", ["jobs-gpu-normal", "jobs-normal"], slots=10)
    size = verbs.read_window()
    queued = {queue_for(1): {(1, "any"): 4}, GPU: {(1, "any"): 3}}
    assert [size.room(queue, ["any"], queued).most for queue in (GPU, queue_for(1))] == [3, 3]


def test_what_one_pool_has_queued_leaves_another_its_room(broker: MemoryBroker, gpu: JobType, kind: JobType) -> None:
    for _ in range(verbs.MIN_WINDOW + 1):
        pending_job(kind)
    job = pending_job(gpu)
    verbs.dispatch()
    assert reread(job).status == "Queued"
    counted = verbs.count_in_flight().queued
    assert {queue: tickets.total() for queue, tickets in counted.items()} == {queue_for(1): verbs.MIN_WINDOW, GPU: 1}


def test_a_worker_looks_for_room_of_its_own_pool_only(broker: MemoryBroker, gpu: JobType, kind: JobType) -> None:
    verbs.announce_worker("gpu-1", GPU_QUEUES, slots=4)
    for _ in range(9):
        pending_job(gpu)
    verbs.dispatch()
    assert verbs.read_window().has_room(1, 1.0, broker.depths())
    assert not verbs.read_window().has_room(1, 1.0, broker.depths(), in_pools=["gpu"])
    broker.lose_tickets()
    assert verbs.read_window().has_room(1, 0.5, broker.depths(), in_pools=["gpu"])


@pytest.mark.parametrize("others", [{}, {"cpu": {}}])
def test_of_a_pool_that_is_not_configured_nothing_goes(
    broker: MemoryBroker, gpu: JobType, settings: Any, others: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": others}
    job = pending_job(gpu)
    assert verbs.dispatch() == 0
    assert reread(job).status == "Pending"
    assert broker.tickets == []


def test_a_change_of_the_pool_moves_what_waits_in_the_backlog(broker: MemoryBroker, gpu: JobType) -> None:
    broker.is_down = True
    job = pending_job(gpu)
    broker.is_down = False
    move_to(gpu, "default")
    verbs.dispatch()
    assert waiting_in(broker, queue_for(1)) == [job.pk]


def test_a_burst_is_over_when_nothing_of_its_pool_is_queued(broker: MemoryBroker, gpu: JobType) -> None:
    pending_job(gpu)
    assert verbs.dispatch_what_is_left(GPU_QUEUES)  # which dispatches
    assert verbs.dispatch_what_is_left(["jobs-low", "jobs-gpu-normal"])
    assert not verbs.dispatch_what_is_left()
    assert not verbs.dispatch_what_is_left(["jobs-gpu-high", "jobs-normal"])


# -- reconciliation ----------------------------------------------------------------------------------------------------


def test_a_ticket_in_another_pools_queue_is_issued_in_its_own(broker: MemoryBroker, gpu: JobType) -> None:
    verbs.check_broker()
    job = pending_job(gpu)
    verbs.dispatch()
    move_to(gpu, "default")
    watch = TicketWatch()
    assert [watch.reissue_lost() for _ in range(3)] == [0, 1, 0]
    assert waiting_in(broker, queue_for(1)) == [job.pk]
    assert reread(job).status == "Queued"


@pytest.mark.parametrize("others", [{}, {"cpu": {}}])
def test_queued_jobs_of_a_pool_that_is_gone_go_back(
    broker: MemoryBroker, gpu: JobType, kind: JobType, settings: Any, others: Any, reasons: Reasons
) -> None:
    verbs.check_broker()
    job, other = pending_job(gpu), pending_job(kind)
    verbs.dispatch()
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "POOLS": others}
    forget_everything()  # settings change with the process
    assert TicketWatch().reissue_lost() == 0
    assert (reread(job).status, reread(other).status) == ("Pending", "Queued")
    assert reasons(job) == ["unknown_pool"]
    assert "'gpu'" in ExecutionLog.objects.filter(job=job).latest("pk").message
    assert verbs.dispatch() == 0


def test_a_queued_job_whose_type_is_gone_gets_its_ticket_again(
    broker: MemoryBroker, organization: Organization
) -> None:
    verbs.check_broker()
    job = job_in("Queued", organization=organization)
    with connection.constraint_checks_disabled():
        JobType.objects.filter(pk=job.job_type_id)._raw_delete(using="default")
        watch = TicketWatch()
        assert [watch.reissue_lost(), watch.reissue_lost()] == [0, 1]
        assert broker.tickets == [ticket_of(job)]
        Job.objects.filter(pk=job.pk)._raw_delete(using="default")
