"""What a commit does for the jobs of its transaction: one look at the backlog, however many verbs asked for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from django_jobs import retry_job, submit_job, submit_jobs
from django_jobs.models import JobType, Organization
from tests.support import verbs
from tests.support.brokers import MemoryBroker, job_in
from tests.support.verbs import Interpose

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def done(interpose: Interpose, broker: MemoryBroker) -> list[str]:
    """Which of the dispatcher's ways were gone, and how often relatives were looked at."""
    found: list[str] = []

    def recorded(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            found.append(name)
            return original(*args)

        return call

    for name in ("wake", "dispatch_new"):
        interpose(name, recorded(name, getattr(verbs, name)))
    interpose("follow_up_in_commit", recorded("follow_up", verbs.follow_up))
    return found


def test_many_submissions_of_one_transaction_wake_the_dispatcher_once(
    kind: JobType, organization: Organization, broker: MemoryBroker, done: list[str]
) -> None:
    with transaction.atomic():
        jobs = [submit_job(kind, organization, {"number": number}) for number in range(5)]
        jobs += submit_jobs([{"job_type": kind, "organization": organization, "parameters": {"n": n}} for n in (1, 2)])
    assert done == ["wake"]
    assert set(broker.pks()) == {job.pk for job in jobs}


def test_a_single_submission_of_a_transaction_takes_the_short_way(
    kind: JobType, organization: Organization, done: list[str]
) -> None:
    for number in range(2):
        with transaction.atomic():
            submit_job(kind, organization, {"number": number})
    assert done == ["dispatch_new", "dispatch_new"]


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_what_a_savepoint_takes_back_takes_the_wake_from_nobody(
    kind: JobType, organization: Organization, broker: MemoryBroker, done: list[str], lost: int
) -> None:
    jobs = []
    with transaction.atomic():
        for number in range(3):
            with contextlib.suppress(ZeroDivisionError), transaction.atomic():
                jobs.append(submit_job(kind, organization, {"number": number}))
                assert 1 / (number - lost)
    assert done == ["wake"]
    assert broker.pks() == [job.pk for number, job in enumerate(jobs) if number != lost]


def test_other_verbs_share_the_wake_of_their_transaction(
    kind: JobType, organization: Organization, broker: MemoryBroker, done: list[str]
) -> None:
    dead = [job_in("Dead Letter", job_type=kind, organization=organization) for _ in range(3)]
    done.clear()
    with transaction.atomic():
        parent = submit_job(kind, organization)
        for job in dead:
            retry_job(job)
        for number in range(3):
            submit_job(kind, organization, {"number": number}, depends_on=[parent])
    assert sorted(done) == ["follow_up", "wake"]
    assert set(broker.pks()) == {parent.pk, *(job.pk for job in dead)}
