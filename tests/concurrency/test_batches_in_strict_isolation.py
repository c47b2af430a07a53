"""Transactions that see the database as it was when they first read: what they did not see of a batch counts too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from django_jobs import cancel_batch, create_batch, retry_batch
from django_jobs.models import Batch, Job, JobType
from django_jobs.statuses import TERMINAL, BatchState
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import run_crowd
from tests.support import verbs
from tests.support.brokers import WORKER, raised, returned, start
from tests.support.factories import make_job_type, make_organization

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite refuses to write behind what it does not see"),
]


@contextmanager
def old_view() -> Iterator[None]:
    """A transaction of the host's that has read something already."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        Job.objects.count()
        yield


@pytest.fixture(autouse=True)
def isolation(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """On MariaDB the level is the connection's."""
    if connection.vendor == "mysql":
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "isolation_level", "repeatable read")
        connection.close()
    yield
    connection.close()


@pytest.fixture
def kind(transactional_db: None) -> JobType:
    return make_job_type()


@pytest.fixture
def batch(transactional_db: None, broker: CrowdedBroker, kind: JobType) -> Batch:
    broker.is_down = True
    return create_batch(make_organization(), then={"job_type": kind.pk, "parameters": {"is": "then"}})


def elsewhere(function: Callable[[], Any]) -> None:
    """Do it in another thread, and have it committed."""
    run_crowd([function])


def test_one_that_is_closed_so_waits_for_jobs_that_came_in_meanwhile(batch: Batch, kind: JobType) -> None:
    with old_view():
        elsewhere(lambda: batch.submit(kind))
        batch.close()
    assert Batch.objects.get().state == BatchState.RUNNING
    assert Batch.objects.get().then_job_id is None
    verbs.settle_all([returned(start(Job.objects.get()))], WORKER)
    verbs.do_batch_duties()
    assert Batch.objects.get().state == BatchState.COMPLETED
    assert Batch.objects.get().total == 1


def test_one_that_is_closed_so_ends_when_that_is_committed(batch: Batch) -> None:
    with old_view():
        batch.close()
    assert Batch.objects.get().then_job_id is not None


def test_one_that_is_canceled_so_cancels_jobs_that_came_in_meanwhile(batch: Batch, kind: JobType) -> None:
    with old_view():
        elsewhere(lambda: batch.submit(kind))
        cancel_batch(batch)
    verbs.do_batch_duties()
    assert not Job.objects.exclude(status__in=TERMINAL).exists()


def test_one_that_is_retried_so_retries_what_failed_meanwhile(batch: Batch, kind: JobType) -> None:
    batch.submit_many([{"job_type": kind.pk}, {"job_type": kind.pk}])
    first, second = map(start, Job.objects.all())
    verbs.settle_all([raised(first, "Permanent")], WORKER)
    with old_view():
        elsewhere(lambda: verbs.settle_all([raised(second, "Permanent")], WORKER))
        retry_batch(batch)
    verbs.do_batch_duties()
    assert set(Job.objects.values_list("status", flat=True)) == {"Pending"}
