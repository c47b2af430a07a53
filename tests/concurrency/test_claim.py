"""Many workers that want the same tickets, and people who cancel at the same moment."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable

from django.db import transaction

from django_jobs import cancel_job
from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import Status
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import assert_histories_are_chains, is_small, make_queued, run_crowd
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import Claimed, Ticket

WORKERS = 6


def tickets_of(jobs: list[Job]) -> list[Ticket]:
    return [Ticket(job.pk, job.created_at.year, job.attempt + 1, job.priority) for job in jobs]


def claimer(name: str, tickets: list[Ticket], size: int, claimed: list[Claimed]) -> Callable[[], None]:
    """A worker that goes through all tickets in an order of its own, in sets."""
    mine = random.Random(name).sample(tickets, len(tickets))

    def run() -> None:
        for start in range(0, len(mine), size):
            claimed.extend(verbs.claim(mine[start : start + size], name))

    return run


def test_of_many_that_claim_the_same_tickets_one_gets_each_job(full_broker: CrowdedBroker) -> None:
    jobs = make_queued(make_job_type(), make_organization(), 60 if is_small() else 600)
    tickets = tickets_of(jobs)
    claimed: list[list[Claimed]] = [[] for _ in range(WORKERS)]

    run_crowd([claimer(f"worker-{index}", tickets, 15, claimed[index]) for index in range(WORKERS)])

    counts = Counter(item.pk for items in claimed for item in items)
    assert counts == {job.pk: 1 for job in jobs}
    owners = {item.pk: f"worker-{index}" for index, items in enumerate(claimed) for item in items}
    assert dict(Job.objects.values_list("pk", "worker_name")) == owners
    assert set(Job.objects.values_list("status", "attempt")) == {(Status.RUNNING, 1)}
    assert_histories_are_chains()


def test_a_job_that_is_canceled_while_it_is_claimed_is_either_canceled_or_asked_to_stop(
    full_broker: CrowdedBroker,
) -> None:
    jobs = make_queued(make_job_type(), make_organization(), 40 if is_small() else 300)
    claimed: list[Claimed] = []

    def cancel_all() -> None:
        for job in random.Random(1).sample(jobs, len(jobs)):
            cancel_job(job.name)

    run_crowd([claimer("worker", tickets_of(jobs), 10, claimed), cancel_all])

    taken = {item.pk for item in claimed}
    for job in Job.objects.all():
        if job.pk in taken:
            assert job.status == Status.RUNNING
            assert job.cancel_requested_at is not None
        else:
            assert job.status in {Status.CANCELED, Status.QUEUED}
    # What was skipped because its row was held has its ticket again, unless it was canceled then.
    left = set(Job.objects.filter(status=Status.QUEUED).values_list("pk", flat=True))
    assert not left
    assert ExecutionLog.objects.filter(to_status=Status.RUNNING).count() == len(taken)
    assert_histories_are_chains()


def test_a_job_whose_row_is_in_use_when_it_is_requeued_is_requeued_later(full_broker: CrowdedBroker) -> None:
    (job,) = make_queued(make_job_type(), make_organization(), 1)
    (claimed,) = verbs.claim(tickets_of([Job.objects.get(pk=job.pk)]), "worker-1")
    is_held, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            list(verbs.locked(Job.objects.filter(pk=job.pk)))
            is_held.set()
            may_go.wait(0 if is_small() else 60)  # SQLite's lock would keep out the other whole

    def requeue() -> None:
        is_held.wait(60)
        left = verbs.requeue_attempts([(claimed.pk, claimed.attempt)], "no time", "worker-1")
        may_go.set()
        assert left == ([] if is_small() else [(claimed.pk, claimed.attempt)])

    run_crowd([hold, requeue])
    verbs.requeue_attempts([(claimed.pk, claimed.attempt)], "no time", "worker-1")
    assert Job.objects.get(pk=job.pk).status == "Queued"
