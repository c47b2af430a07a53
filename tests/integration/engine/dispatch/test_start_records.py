"""What rows tell of jobs that were queued: when they started, or that they went another way."""

from __future__ import annotations

import pytest

from django_jobs import cancel_job
from tests.support import verbs
from tests.support.brokers import WORKER, pending_job, queue_up, reread, running_job, start

pytestmark = pytest.mark.usefixtures("broker")


def test_a_job_that_runs_tells_when_it_started() -> None:
    before = verbs.now().timestamp()
    job, _ = running_job()
    moment = verbs.started_at({(job.pk, 0)})[job.pk, 0]
    assert moment is not None
    assert before <= moment <= verbs.now().timestamp()


def test_a_job_that_was_withdrawn_did_not_start() -> None:
    job = queue_up(pending_job())
    verbs.unqueue([job.pk], "The broker is away.")
    assert verbs.started_at({(job.pk, 0)}) == {(job.pk, 0): None}


def test_a_job_that_was_canceled_before_it_started_did_not_start() -> None:
    job = queue_up(pending_job())
    cancel_job(job)
    assert verbs.started_at({(job.pk, 0)}) == {(job.pk, 0): None}


def test_of_a_job_that_was_requeued_nothing_is_known() -> None:
    job, claimed = running_job()
    verbs.requeue([(job.pk, claimed.attempt)], "Requeued", WORKER)
    assert reread(job).status == "Queued"
    assert verbs.started_at({(job.pk, 0), (job.pk, 1)}) == {}


def test_of_earlier_starts_of_a_job_nothing_is_known() -> None:
    job, claimed = running_job()
    verbs.requeue([(job.pk, claimed.attempt)], "Requeued", WORKER)
    verbs.unqueue([job.pk], "The broker is away.")
    start(reread(job))
    assert verbs.started_at({(job.pk, 0)}) == {}


def test_of_a_job_that_is_gone_nothing_is_known() -> None:
    assert verbs.started_at({(1, 0)}) == {}


def test_an_old_view_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    job = pending_job()
    monkeypatch.setattr(type(verbs.store()), "has_old_view", lambda _: True)
    assert verbs.started_at({(job.pk, 0)}) == {}
