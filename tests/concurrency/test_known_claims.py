"""A claim that reads a job and locks it in one statement, while the job changes between the two."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any, Final
from unittest import mock

import pytest
from django.db import connection

from django_jobs import submit_job
from django_jobs.engine.store import postgresql_moves as moves
from django_jobs.models import Job, Organization
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import assert_histories_are_chains, run_crowd
from tests.support import verbs
from tests.support.brokers import WORKER, queue_up, reread, ticket_of
from tests.support.factories import make_job_type, make_organization, make_user
from tests.support.pooling import needs_a_session
from tests.support.tuning import Tuning
from tests.support.verbs import Claimed, Interpose
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.skipif(not verbs.store().claims_known, reason="This store reads jobs before it claims them."),
    needs_a_session("the test's own lock would not last"),
]

#: A lock that a claim waits for when it has read.
LOCK: Final = 4711
WAITS: Final = """
    SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE datname = current_database() AND locktype = 'advisory' AND objid = %s AND NOT granted
"""


def ask(sql: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [LOCK])
        return list(cursor.fetchall())


def claim_while(job: Job, change: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[Claimed]:
    """What a worker gets that has read the job before this change, and locks it behind it."""
    guard, claimed, is_held = moves._guard, list[Claimed](), threading.Event()
    wait = f"pg_advisory_xact_lock({LOCK}) IS NOT NULL"
    # no public way: the one statement has to wait between its reading and its locking
    monkeypatch.setattr(moves, "_guard", lambda *args: f"{guard(*args)} AND {wait}")
    start = mock.Mock(wraps=verbs.start_known)
    Interpose(monkeypatch)("start_known", start)

    def read_and_lock() -> None:
        is_held.wait(60)
        claimed.extend(verbs.claim([ticket_of(job)], WORKER))

    def change_in_between() -> None:
        ask("SELECT pg_advisory_lock(%s)")
        is_held.set()
        wait_until(lambda: ask(WAITS), 60, "a claim that has read the job")
        change()
        ask("SELECT pg_advisory_unlock(%s)")

    verbs.claim_likeness.forget()
    run_crowd([read_and_lock, change_in_between])
    assert start.call_count == 1
    return claimed


@pytest.fixture
def users(tuning: Tuning) -> list[Any]:
    tuning.set(policy_answer_seconds=60.0)
    organization = make_organization()
    return [make_user(member_of=[organization]) for _ in range(3)]


@pytest.mark.parametrize("owner", [0, 1, 2], ids=["its owner", "another known owner", "an owner of whom nobody asked"])
def test_what_is_replaced_in_between_runs_with_the_new_values(
    full_broker: CrowdedBroker, users: list[Any], owner: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, organization = make_job_type(deduplication_window=300), Organization.objects.get()

    def submit(number: int, user: Any) -> Job:
        fields: dict[str, Any] = {"unique_key": f"key-{number // 10}", "on_duplicate": "replace"}
        return submit_job(kind, organization, {"number": number}, user=user, **fields)

    for number, user in enumerate(users[:2], start=1):
        verbs.claim([ticket_of(queue_up(submit(number * 10, user)))], WORKER)
    job = queue_up(submit(30, users[0]))
    (found,) = claim_while(job, lambda: queue_up(submit(31, users[owner])), monkeypatch)
    assert (found.pk, found.parameters, found.row.owner_id) == (job.pk, {"number": 31}, users[owner].pk)
    assert_histories_are_chains()


def test_what_expires_in_between_does_not_run(
    full_broker: CrowdedBroker, users: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, organization = make_job_type(), Organization.objects.get()
    verbs.claim([ticket_of(queue_up(submit_job(kind, organization, {"number": 1}, user=users[0])))], WORKER)
    job = queue_up(submit_job(kind, organization, {"number": 2}, user=users[0]))
    past = verbs.now() - dt.timedelta(seconds=1)
    assert claim_while(job, lambda: Job.objects.filter(pk=job.pk).update(expires_at=past), monkeypatch) == []
    assert reread(job).status == "Canceled"
