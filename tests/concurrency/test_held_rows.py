"""Somebody's open transaction holds one job's row: nothing of ours waits for it, and nothing is lost by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, connections, transaction
from pytest_django import Settings

from django_jobs import AccessPolicy, cancel_batch, cancel_job, create_batch
from django_jobs.models import Batch, Job, JobType
from django_jobs.statuses import Priority
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import make_queued
from tests.support import verbs
from tests.support.brokers import ALL_QUEUES, WORKER, pending_job, raised, reread, returned, ticket_of
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.tuning import Tuning
from tests.support.verbs import Claimed, ProgressBuffer, Ticket, TicketWatch

PATIENCE = 60.0
#: So long the row is held at most: who waits for it in spite of all finds it free, and the test fails by what follows.
HOLD_SECONDS = 30.0


class Host:
    """Cancels a job in a transaction that stays open until it lets go, which takes the cancel back."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._holds, self._may_go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._holds.wait(PATIENCE)

    def _run(self) -> None:
        with transaction.atomic():
            cancel_job(self._job)
            self._holds.set()
            self._may_go.wait(HOLD_SECONDS)
            transaction.set_rollback(True)
        connections.close_all()

    def let_go(self, *_: object) -> None:
        self._may_go.set()
        self._thread.join(PATIENCE)


@pytest.fixture(autouse=True)
def row_locks(transactional_db: None) -> None:
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("This database locks no single rows.")


@pytest.fixture
def hold() -> Iterator[Callable[[Job], Host]]:
    hosts: list[Host] = []

    def hold(job: Job) -> Host:
        hosts.append(Host(job))
        return hosts[-1]

    yield hold
    for host in hosts:
        host.let_go()


@pytest.fixture
def jobs(full_broker: CrowdedBroker) -> list[Job]:
    return make_queued(make_job_type(), make_organization(), 4)


@pytest.fixture
def tickets(jobs: list[Job], full_broker: CrowdedBroker) -> list[Ticket]:
    """The first three jobs', taken by a worker; the last one's waits behind them."""
    full_broker.push([ticket_of(jobs[3])])
    return [ticket_of(job) for job in jobs[:3]]


@pytest.fixture
def attempts(jobs: list[Job]) -> list[Claimed]:
    return verbs.claim([ticket_of(job) for job in jobs], WORKER)


@pytest.fixture
def pauses(tuning: Tuning) -> list[float]:
    """How long claims have paused."""
    paused: list[float] = []
    clock = SimpleNamespace(sleep=paused.append, monotonic=time.monotonic)
    tuning.set(claim_clock=clock)
    return paused


def test_the_ticket_of_a_held_row_goes_to_the_back_so_that_the_others_run(
    hold: Any, jobs: list[Job], tickets: list[Ticket], full_broker: CrowdedBroker, pauses: list[float]
) -> None:
    hold(jobs[0])
    assert verbs.claim(tickets[:1], WORKER) == []
    assert full_broker.pks() == [jobs[3].pk, jobs[0].pk]
    assert pauses == [verbs.ALL_IN_USE_SECONDS]


def test_a_worker_sets_the_tickets_of_held_rows_aside_and_pauses_for_none(
    hold: Any, jobs: list[Job], tickets: list[Ticket], full_broker: CrowdedBroker, pauses: list[float]
) -> None:
    hold(jobs[0])
    aside: list[Ticket] = []
    assert [item.pk for item in verbs.claim(tickets[:2], WORKER, set_aside=aside.extend)] == [jobs[1].pk]
    assert verbs.claim(tickets[:1], WORKER, set_aside=aside.extend) == []
    assert (aside, full_broker.pks(), pauses) == ([tickets[0]] * 2, [jobs[3].pk], [])


def test_of_tickets_that_are_called_back_those_of_held_rows_stay_behind_what_others_have(
    hold: Any, jobs: list[Job], broker: CrowdedBroker
) -> None:
    broker.is_full = False
    verbs.announce_worker(WORKER, ALL_QUEUES, slots=1)
    broker.push([ticket_of(job) for job in jobs])
    hold(jobs[0])
    hold(jobs[2])
    other = pending_job(jobs[0].job_type)
    first, *behind = broker.pks()
    assert (first in {jobs[1].pk, jobs[3].pk, other.pk}, behind) == (True, [jobs[0].pk, jobs[2].pk])
    assert {reread(job).status for job in (jobs[0], jobs[2])} == {"Queued"}


def test_what_did_not_fit_goes_to_the_front_as_ever(
    hold: Any, jobs: list[Job], tickets: list[Ticket], full_broker: CrowdedBroker, pauses: list[float]
) -> None:
    hold(jobs[0])
    assert [item.pk for item in verbs.claim(tickets, WORKER, lambda _: 2)] == [jobs[1].pk]
    assert full_broker.pks() == [jobs[2].pk, jobs[3].pk, jobs[0].pk]
    assert pauses == []


def test_a_held_job_that_may_not_run_is_refused_later(
    hold: Any, jobs: list[Job], tickets: list[Ticket], full_broker: CrowdedBroker, pauses: list[float]
) -> None:
    JobType.objects.update(is_paused=True)
    host = hold(jobs[0])
    assert verbs.claim(tickets[:2], WORKER) == []
    assert [reread(job).status for job in jobs[:2]] == ["Queued", "Pending"]
    assert full_broker.pks() == [jobs[3].pk, jobs[0].pk]
    host.let_go()
    assert verbs.claim(tickets[:1], WORKER) == []
    assert reread(jobs[0]).status == "Pending"


def told(claimed: Claimed) -> Any:
    """Every other one with words about how far it came: these write more fields than the others."""
    return replace(returned(claimed), unwritten=(90, "nearly") if claimed.pk % 2 else None)


@pytest.mark.parametrize(("end", "status"), [(returned, "Completed"), (told, "Completed"), (raised, "Failed")])
def test_the_end_of_a_held_job_is_given_back_and_its_neighbours_ends_are_stored(
    hold: Any, jobs: list[Job], attempts: list[Claimed], end: Callable[[Claimed], Any], status: str
) -> None:
    host = hold(jobs[1])
    ends = [end(claimed) for claimed in attempts]
    assert verbs.settle(ends, WORKER) == [ends[1]]
    assert [reread(job).status for job in jobs] == [status, "Running", status, status]
    host.let_go()
    assert verbs.settle([ends[1]], WORKER) == []
    assert reread(jobs[1]).status == status


def test_the_end_of_a_held_job_that_is_anothers_is_not_given_back(
    hold: Any, jobs: list[Job], attempts: list[Claimed]
) -> None:
    hold(jobs[0])
    assert verbs.settle([returned(attempts[0])], "worker-2") == []


def test_who_settles_all_tries_again_until_the_row_is_free(
    hold: Any, jobs: list[Job], attempts: list[Claimed], tuning: Tuning
) -> None:
    ends = [returned(claimed) for claimed in attempts]
    tuning.set(settle_clock=SimpleNamespace(sleep=hold(jobs[1]).let_go, monotonic=time.monotonic))
    verbs.settle_all(ends, WORKER)
    assert {reread(job).status for job in jobs} == {"Completed"}


def test_the_progress_of_a_held_job_is_written_the_next_time(
    hold: Any, jobs: list[Job], attempts: list[Claimed]
) -> None:
    host = hold(jobs[0])
    buffer = ProgressBuffer(WORKER)
    buffer.report((jobs[0].pk, 1), 30, "thirty")
    buffer.report((jobs[1].pk, 1), 40, "forty")
    assert buffer.flush() == set()
    assert [reread(job).progress for job in jobs[:2]] == [0, 40]
    host.let_go()
    assert buffer.flush() == set()
    assert (reread(jobs[0]).progress, reread(jobs[0]).progress_message) == (30, "thirty")


def test_a_held_job_that_should_be_withdrawn_gets_a_ticket_instead(
    hold: Any, jobs: list[Job], full_broker: CrowdedBroker
) -> None:
    hold(jobs[0])
    moved = verbs.unqueue([job.pk for job in jobs], "The broker is gone")
    assert [item.pk for item in moved] == [job.pk for job in jobs[1:]]
    verbs.check_broker()
    watch = TicketWatch()
    assert [watch.reissue_lost() for _ in range(2)] == [0, 1]
    assert full_broker.pks() == [jobs[0].pk]


def test_a_job_of_a_canceled_batch_that_somebody_holds_is_canceled_later(
    full_broker: CrowdedBroker, hold: Callable[[Job], Host]
) -> None:
    batch = create_batch(make_organization())
    jobs = batch.submit_many([{"job_type": make_job_type().pk, "parameters": {"n": n}} for n in range(3)])
    host = hold(jobs[1])
    cancel_batch(batch)
    verbs.do_batch_duties()
    assert [reread(job).status for job in jobs] == ["Canceled", "Pending", "Canceled"]
    host.let_go()
    for _ in range(2):
        verbs.do_batch_duties()
    assert reread(jobs[1]).status == "Canceled"


class KeepsUrgentJobs(AccessPolicy):
    """Lets nobody cancel what is urgent."""

    def can_cancel(self, user: Any, job: Job) -> bool:
        return job.priority < Priority.CRITICAL


def test_so_is_one_beside_a_job_that_the_user_may_not_cancel(
    full_broker: CrowdedBroker, hold: Callable[[Job], Host], settings: Settings
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": f"{__name__}.KeepsUrgentJobs"}
    organization = make_organization()
    batch, kind = create_batch(organization), make_job_type()
    jobs = [batch.submit(kind, {"n": priority}, priority) for priority in ("Critical", "Low", "Low")]
    host = hold(jobs[1])
    cancel_batch(batch, user=make_user(admin_of=[organization]))
    verbs.do_batch_duties()
    assert [reread(job).status for job in jobs] == ["Pending", "Pending", "Canceled"]
    host.let_go()
    for _ in range(2):
        verbs.do_batch_duties()
    assert [reread(job).status for job in jobs] == ["Pending", "Canceled", "Canceled"]
    row = Batch.objects.get()
    assert (row.refused, row.cancel_position) == (1, None)
