"""A process that falls silent in the midst of a transaction of ours, as one that is frozen there."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, connections, transaction

from django_jobs.models import EngineLease, Job
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import is_small, make_queued
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization
from tests.support.stores import store_name
from tests.support.verbs import Interpose, Ticket
from tests.support.waiting import wait_until

PATIENCE = 60.0
#: A transaction may be silent for half of it; a slow machine is so for a second between two statements.
LEASE_SECONDS = 6

pytestmark = pytest.mark.skipif(store_name() == "portable", reason="no limit of silence is the same everywhere")


@pytest.fixture(autouse=True)
def short_lease(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "LEASE_SECONDS": LEASE_SECONDS}


class SilentHolder:
    """Another thread that locks a job and then says nothing until it is told to go on."""

    def __init__(self, job: Job) -> None:
        self._rows = Job.objects.filter(pk=job.pk)
        self._holds, self._may_go_on = threading.Event(), threading.Event()
        self.errors: list[Exception] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._holds.wait(PATIENCE)

    def _run(self) -> None:
        try:
            verbs.in_transaction(self._hold)
        except Exception as error:  # noqa: BLE001
            self.errors.append(error)
        finally:
            connections.close_all()

    def _hold(self) -> None:
        verbs.locked(self._rows).get()
        self._holds.set()
        assert self._may_go_on.wait(PATIENCE)
        self._rows.update(progress=50)

    def go_on(self) -> None:
        self._may_go_on.set()
        self._thread.join(PATIENCE)


def can_be_locked(job: Job) -> bool:
    if is_small():  # SQLite locks no rows, and who tried to write would wait for the silent one
        return True
    with transaction.atomic():
        return verbs.locked(Job.objects.filter(pk=job.pk), skip=True).exists()


def session_limit() -> Any:
    """MariaDB's limit for this connection, which our transactions set and take back."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@SESSION.idle_transaction_timeout" if connection.vendor == "mysql" else "SELECT 77")
        return cursor.fetchone()[0]


def test_the_rows_of_a_silent_transaction_are_free_after_a_lease_and_its_writes_are_refused(
    full_broker: CrowdedBroker,
) -> None:
    (job,) = make_queued(make_job_type(), make_organization(), 1)
    verbs.claim([Ticket(job.pk, job.created_at.year, 1, job.priority)], "silent")
    holder = SilentHolder(job)

    wait_until(lambda: can_be_locked(job), PATIENCE, "the row to be free")
    holder.go_on()
    wait_until(lambda: verbs.rescue_expired() == 1, PATIENCE, "the job to be rescued")

    is_limited = not is_small()
    assert [verbs.is_lost_connection(error) for error in holder.errors] == [True] * is_limited
    job.refresh_from_db()
    assert job.progress == (0 if is_limited else 50)


def test_a_worker_that_lives_keeps_the_job_whose_row_a_silent_transaction_held(
    full_broker: CrowdedBroker, settings: Any
) -> None:
    if is_small():
        pytest.skip("SQLite locks no rows")
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "LEASE_SECONDS": 2 * LEASE_SECONDS}
    (job,) = make_queued(make_job_type(), make_organization(), 1)
    verbs.claim([Ticket(job.pk, job.created_at.year, 1, job.priority)], "living")
    holder = SilentHolder(job)
    rescued: list[int] = []

    def is_renewed() -> bool:
        rescued.append(verbs.rescue_expired())
        return all(held.is_renewed for held in verbs.renew_leases(["living"]))

    wait_until(is_renewed, PATIENCE, "the lease to be renewed")
    holder.go_on()

    assert sum(rescued) == 0
    job.refresh_from_db()
    assert job.status == "Running"


def test_a_dispatcher_that_is_silent_with_its_lock_is_ended_long_before_a_lease_is_over(
    full_broker: CrowdedBroker, settings: Any, interpose: Interpose
) -> None:
    if is_small():
        pytest.skip("SQLite has one writer")
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "LEASE_SECONDS": 1_000}
    EngineLease.objects.get_or_create(pk=verbs.DISPATCH_LEASE)
    take, holds, may_go_on = verbs.take_dispatch_lock, threading.Event(), threading.Event()
    errors: list[Exception] = []

    def take_and_fall_silent(seconds: float) -> EngineLease | None:
        lease = take(seconds)
        if threading.current_thread() is silent:
            holds.set()
            assert may_go_on.wait(PATIENCE)
        return lease

    def make_pass() -> None:
        try:
            verbs.fill_window()
        except Exception as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connections.close_all()

    interpose("take_dispatch_lock", take_and_fall_silent)
    silent = threading.Thread(target=make_pass, daemon=True)
    silent.start()
    assert holds.wait(PATIENCE)
    assert verbs.fill_window() is None
    wait_until(lambda: verbs.fill_window() is not None, PATIENCE, "a pass of another process")
    may_go_on.set()
    silent.join(PATIENCE)
    assert [verbs.is_lost_connection(error) for error in errors] == [True]


def test_a_hosts_own_limit_is_the_same_after_a_transaction_of_ours() -> None:
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION idle_transaction_timeout = 77")

    inside = verbs.in_transaction(lambda: verbs.in_transaction(session_limit))

    assert (inside, session_limit()) == ({"mysql": LEASE_SECONDS // 2}.get(connection.vendor, 77), 77)
