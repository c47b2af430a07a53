"""Attempts of which nobody can report how they ended: whether their handlers had begun is what the database knows."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs import cancel_job
from django_jobs.models import Job
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.brokers import WORKER, MemoryBroker, job_in, reread, returned, running_job, start
from tests.support.brokers import end as settle_one
from tests.support.factories import make_job_type

pytestmark = pytest.mark.usefixtures("broker")


def lose(job: Job) -> Job:
    """Let the job's lease run out, and the scheduler see it."""
    Job.objects.filter(pk=job.pk).update(lease_expires_at=verbs.now() - dt.timedelta(seconds=1))
    assert verbs.rescue_expired() == 1
    return reread(job)


def test_a_claim_that_had_not_begun_pays_nothing_when_its_lease_runs_out(
    broker: MemoryBroker, django_capture_on_commit_callbacks: Any, reasons: Reasons
) -> None:
    job, _ = running_job(job_type=make_job_type(max_retries=0))
    with django_capture_on_commit_callbacks(execute=True):
        row = lose(job)
    assert (row.status, row.retry_count, row.worker_name, row.started_at) == ("Queued", 0, "", None)
    assert reasons(job) == ["unseen"]
    assert broker.pks() == [job.pk]


def test_an_attempt_that_had_begun_is_lost_when_its_lease_runs_out(reasons: Reasons) -> None:
    job, claimed = running_job(job_type=make_job_type(max_retries=0))
    assert verbs.note_begun([(job.pk, claimed.attempt)], [WORKER]) == {(job.pk, claimed.attempt)}
    row = lose(job)
    assert (row.status, reasons(job)) == ("Dead Letter", ["worker_lost", "retries_exhausted"])


def test_that_an_earlier_attempt_had_begun_says_nothing_of_this_one() -> None:
    job, claimed = running_job(job_type=make_job_type(max_retries=1))
    verbs.note_begun([(job.pk, claimed.attempt)], [WORKER])
    lose(job)
    start(reread(job))
    assert (lose(job).status, reread(job).retry_count) == ("Queued", 1)


def test_a_job_that_takes_machines_down_before_it_is_seen_to_begin_pays_from_the_second_on() -> None:
    job, _ = running_job(job_type=make_job_type(max_retries=1))
    assert lose(job).status == "Queued"
    start(reread(job))
    assert (lose(job).status, reread(job).retry_count) == ("Failed", 1)
    start(reread(job))
    assert lose(job).status == "Dead Letter"


def test_a_later_attempt_is_noted_as_begun_by_its_own_number() -> None:
    job, _ = running_job()
    lose(job)
    claimed = start(reread(job))
    verbs.note_begun([(job.pk, claimed.attempt)], [WORKER])
    assert reread(job).begun_attempt == claimed.attempt == 2


def test_many_that_vanish_together_are_each_judged_by_their_own_past() -> None:
    kind = make_job_type(max_retries=0)
    fresh, seen, again = (running_job(job_type=kind) for _ in range(3))
    lose(again[0])
    start(reread(again[0]))
    verbs.note_begun([(seen[0].pk, seen[1].attempt)], [WORKER])
    Job.objects.update(lease_expires_at=verbs.now() - dt.timedelta(seconds=1))
    assert verbs.rescue_expired() == 3
    assert [reread(job).status for job, _ in (fresh, seen, again)] == ["Queued", "Dead Letter", "Dead Letter"]


def test_a_canceled_job_that_was_not_seen_to_begin_is_canceled() -> None:
    job, _ = running_job()
    cancel_job(job)
    assert lose(job).status == "Canceled"


def test_an_attempt_that_another_worker_runs_under_the_same_number_is_not_noted_as_begun() -> None:
    job, claimed = running_job()
    pairs = {(job.pk, claimed.attempt)}
    assert verbs.note_begun(pairs, ["another worker"]) == pairs
    assert reread(job).begun_attempt == 0
    assert verbs.note_begun(pairs, [WORKER]) == pairs
    assert reread(job).begun_attempt == claimed.attempt


def test_only_a_running_attempt_is_noted_as_begun() -> None:
    (job, claimed), waiting = running_job(), job_in("Queued")
    ended, over = running_job()
    settle_one(returned(over))
    pairs = [(job.pk, claimed.attempt + 1), (waiting.pk, waiting.attempt + 1), (ended.pk, over.attempt)]
    assert verbs.note_begun(pairs, [WORKER]) == set(pairs)
    assert set(Job.objects.values_list("begun_attempt", flat=True)) == {0}
    assert verbs.note_begun([], [WORKER]) == set()
