"""Batches that are filled, closed, counted, canceled and retried by many at once: the counts are right, what follows is
submitted once.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from django_jobs import cancel_batch, create_batch, get_batch_status, retry_batch, submit_job
from django_jobs.exceptions import InvalidSubmission, InvalidTransition
from django_jobs.models import Batch, Job, JobType, Organization
from django_jobs.statuses import TERMINAL, BatchState
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import run_crowd
from tests.support import batch_audit, verbs
from tests.support.brokers import WORKER, raised, returned, start
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import Outcome
from tests.support.waiting import wait_until


@pytest.fixture
def kind(transactional_db: None) -> JobType:
    return make_job_type()


@pytest.fixture
def batch(transactional_db: None, broker: CrowdedBroker, kind: JobType) -> Batch:
    broker.is_down = True
    organization: Organization = make_organization()
    follow = {name: {"job_type": kind.pk, "parameters": {"follows": f"one/{name}"}} for name in ("then", "on_failure")}
    return create_batch(organization, name="one", then=follow["then"], on_failure=follow["on_failure"])


def count_until(done: threading.Event) -> Callable[[], None]:
    """Add up like a scheduler, again and again."""

    def run() -> None:
        while not done.is_set():
            verbs.do_batch_duties()

    return run


def filler(batch: Batch, kind: JobType, count: int) -> Callable[[], None]:
    """Submit jobs, each of which may come too late."""

    def run() -> None:
        with contextlib.suppress(InvalidSubmission):
            for number in range(count):
                Batch.objects.get(pk=batch.pk).submit(kind, {"number": number})

    return run


def worker(batch: Batch, name: str, done: threading.Event) -> Callable[[], None]:
    """Run jobs of the batch until all are done."""

    def run() -> None:
        while True:
            last = done.is_set()
            jobs = list(Job.objects.filter(batch=batch, status="Pending")[:3])
            for job in jobs:
                with contextlib.suppress(ValueError):  # another worker was faster
                    verbs.settle_all([returned(start(job, name))], name)
            if last and not jobs:
                return

    return run


def settler(outcomes: list[Outcome]) -> Callable[[], None]:
    """Store these ends one by one."""

    def run() -> None:
        for outcome in outcomes:
            verbs.settle_all([outcome], WORKER)

    return run


def closes(batch: Batch) -> None:
    Batch.objects.get(pk=batch.pk).close()


def assert_right() -> None:
    for _ in range(3):
        verbs.do_batch_duties()
    assert list(batch_audit.findings(at_rest=True)) == []


def test_who_closes_a_batch_knows_of_every_job_that_came_in(batch: Batch, kind: JobType) -> None:
    done = threading.Event()

    def close_amid() -> None:
        try:
            while Job.objects.filter(batch=batch).count() < 10:
                pass
            closes(batch)
        finally:
            done.set()

    fillers = [filler(batch, kind, 15) for _ in range(3)]
    workers = [worker(batch, f"worker-{number}", done) for number in range(2)]
    run_crowd([*fillers, *workers, close_amid, count_until(done)])
    for job in Job.objects.filter(batch=batch, status="Pending"):
        verbs.settle_all([returned(start(job))], WORKER)
    assert_right()
    assert Batch.objects.get(pk=batch.pk).state == BatchState.COMPLETED


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """A transaction that waits for no lock for long."""
    if connection.vendor == "sqlite":
        pytest.skip("Its one lock is the whole database's.")
    is_postgresql = connection.vendor == "postgresql"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '100ms'" if is_postgresql else "SET innodb_lock_wait_timeout = 1")
        yield


def test_nobody_closes_or_ends_a_batch_while_somebody_adds_a_job(batch: Batch, kind: JobType) -> None:
    added, may_commit = threading.Event(), threading.Event()

    def add() -> None:
        with transaction.atomic():
            batch.submit(kind)
            added.set()
            assert may_commit.wait(60)

    def close() -> None:
        assert added.wait(60)
        try:
            with pytest.raises(OperationalError), impatient():
                closes(batch)
            assert Batch.objects.get(pk=batch.pk).closed_at is None
        finally:
            may_commit.set()

    run_crowd([add, close])
    closes(batch)
    status = get_batch_status(batch.batch_id)
    assert (status.total, status.state) == (1, BatchState.RUNNING)


def test_ends_in_many_workers_submit_what_follows_once(batch: Batch, kind: JobType) -> None:
    batch.submit_many([{"job_type": kind.pk} for _ in range(24)])
    batch.close()
    ends: list[Outcome] = [returned(start(job)) for job in Job.objects.filter(batch=batch)]
    run_crowd([settler(ends[index::6]) for index in range(6)])
    assert_right()
    assert Job.objects.filter(input_parameters__follows="one/then").count() == 1


def test_a_retry_amid_the_end_of_the_batch_counts(batch: Batch, kind: JobType) -> None:
    batch.submit_many([{"job_type": kind.pk} for _ in range(12)])
    batch.close()
    ends: list[Outcome] = [raised(start(job), "Permanent") for job in Job.objects.filter(batch=batch)]

    def retry() -> None:
        for _ in range(5):
            with contextlib.suppress(InvalidTransition):
                retry_batch(batch.batch_id)

    run_crowd([settler(ends[0::2]), settler(ends[1::2]), retry, retry])
    for job in Job.objects.filter(batch=batch).exclude(status__in=TERMINAL):
        verbs.settle_all([raised(start(job), "Permanent")], WORKER)
    assert_right()


def test_a_batch_that_is_canceled_while_it_is_filled_has_only_ended_jobs(batch: Batch, kind: JobType) -> None:
    def cancel() -> None:
        while not Job.objects.filter(batch=batch).exists():
            pass
        cancel_batch(batch.batch_id)

    run_crowd([filler(batch, kind, 10), filler(batch, kind, 10), cancel, cancel])
    assert_right()
    assert Batch.objects.get(pk=batch.pk).state == BatchState.CANCELED
    assert not Job.objects.filter(batch=batch).exclude(status__in=TERMINAL).exists()


def test_an_open_submission_keeps_the_batch_from_ending(batch: Batch, kind: JobType) -> None:
    """The submission of one of its own jobs whose attempt was lost meanwhile."""
    first = start(batch.submit(kind))
    submitted, ended = threading.Event(), threading.Event()

    def submit() -> None:
        with transaction.atomic():
            Batch.objects.get(pk=batch.pk).submit(kind, {"late": True})
            submitted.set()
            ended.wait(60)

    def end() -> None:
        submitted.wait(60)
        Batch.objects.filter(pk=batch.pk).update(closed_at=batch.created_at)  # somebody who does not wait
        verbs.settle_all([returned(first)], WORKER)
        verbs.do_batch_duties()
        ended.set()

    if not connection.features.has_select_for_no_key_update:
        pytest.skip("Here whoever adds a job keeps all others from the batch's row.")
    run_crowd([submit, end])
    verbs.do_batch_duties()
    assert Batch.objects.get(pk=batch.pk).state == BatchState.RUNNING
    verbs.settle_all([returned(start(Job.objects.get(input_parameters__late=True)))], WORKER)
    assert_right()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="has one lock for all rows")
def test_whoever_ends_a_batch_does_not_wait_for_a_submission_of_the_same_work(
    broker: CrowdedBroker, kind: JobType
) -> None:
    broker.is_down = True
    same: dict[str, Any] = {"job_type": kind.pk, "unique_key": "report", "deduplication_window": 60}
    batch = create_batch(make_organization(), then=same)
    claimed = start(batch.submit(kind, {"number": 1}))
    batch.close()
    is_submitted, is_over = threading.Event(), threading.Event()

    def submit_and_wait() -> None:
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            submit_job(organization=batch.organization, **same)
            is_submitted.set()
            was_over = is_over.wait(60)
            raise ZeroDivisionError(was_over)

    def end_it() -> None:
        is_submitted.wait(60)
        started = time.monotonic()
        verbs.settle_all([returned(claimed)], WORKER)
        verbs.do_batch_duties()
        seconds = time.monotonic() - started
        is_over.set()
        assert seconds < 10

    run_crowd([submit_and_wait, end_it])
    wait_until(lambda: verbs.do_batch_duties() or get_batch_status(batch).then_job, 60, "what follows")
    assert get_batch_status(batch).state == "Completed"
