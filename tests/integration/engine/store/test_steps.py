"""How a store keeps what handlers have done, as long as their attempts own their jobs."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs.models import Job, JobCheckpoint, JobStep
from django_jobs.statuses import Status
from tests.support.brokers import WORKER, running_job
from tests.support.verbs import NewStep, StepAttempt, Store, StoredStep

pytestmark = pytest.mark.usefixtures("broker")

STEP = NewStep(3, "charge #2", '{"id": "ch_1", "äöü": [1, null]}', 0.25, "0a1b")


def running_attempt() -> StepAttempt:
    _, claimed = running_job()
    return StepAttempt(claimed.pk, claimed.attempt, claimed.worker_name)


def test_a_step_is_stored_with_all_that_is_known_of_it(each_store: Store) -> None:
    attempt = running_attempt()
    result = {"id": "ch_1", "äöü": [1, None]}
    assert each_store.insert_step(attempt, STEP) == StoredStep(3, "charge #2", result, "0a1b")
    (step,) = JobStep.objects.filter(job_id=attempt.pk)
    assert (step.position, step.name, step.result) == (3, "charge #2", result)
    assert (step.attempt, step.seconds, step.digest) == (1, 0.25, "0a1b")
    assert abs((each_store.now() - step.done_at).total_seconds()) < 60


@pytest.mark.parametrize("text", ["null", "0", "[]", '"text"', "1e22", "-0.0", '{"zz": 1, "a": 2.50}'])
def test_a_step_comes_back_as_every_later_attempt_will_read_it(each_store: Store, text: str) -> None:
    attempt = running_attempt()
    stored = each_store.insert_step(attempt, NewStep(1, "step", text, 0.0, ""))
    assert stored is not None
    read = JobStep.objects.get(job_id=attempt.pk).result
    assert repr(stored.result) == repr(read)


def test_what_is_stored_twice_by_one_attempt_stays_as_it_was_first(each_store: Store) -> None:
    attempt = running_attempt()
    first = each_store.insert_step(attempt, STEP)
    assert each_store.insert_step(attempt, STEP._replace(result='"another"')) == first
    assert JobStep.objects.filter(job_id=attempt.pk).count() == 1


def test_a_checkpoint_is_stored_and_replaced(each_store: Store) -> None:
    attempt = running_attempt()
    assert each_store.save_checkpoint(attempt, '{"page": 1}')
    assert each_store.save_checkpoint(attempt, '{"page": 2}')
    (saved,) = JobCheckpoint.objects.filter(job_id=attempt.pk)
    assert (saved.data, saved.attempt) == ({"page": 2}, 1)
    assert abs((each_store.now() - saved.saved_at).total_seconds()) < 60


TAKEN: dict[str, dict[str, Any]] = {
    "a later attempt": {"attempt": 2},
    "another worker": {"worker_name": "worker-2"},
    "an end": {"status": Status.QUEUED},
    "no lease": {"lease_expires_at": None},
}


@pytest.mark.parametrize("change", TAKEN.values(), ids=TAKEN)
def test_nothing_is_stored_for_an_attempt_that_owns_its_job_no_longer(each_store: Store, change: Any) -> None:
    attempt = running_attempt()
    Job.objects.filter(pk=attempt.pk).update(**change)
    assert each_store.insert_step(attempt, STEP) is None
    assert not each_store.save_checkpoint(attempt, "{}")
    assert not JobStep.objects.exists()
    assert not JobCheckpoint.objects.exists()


def test_nothing_is_stored_once_the_lease_is_over(each_store: Store) -> None:
    attempt = running_attempt()
    rows = Job.objects.filter(pk=attempt.pk)
    rows.update(lease_expires_at=each_store.now() - dt.timedelta(seconds=1))
    assert each_store.insert_step(attempt, STEP) is None
    rows.update(lease_expires_at=each_store.now() + dt.timedelta(seconds=60))
    assert each_store.insert_step(attempt, STEP) is not None


def test_nothing_is_stored_for_a_job_that_is_gone(each_store: Store) -> None:
    attempt = StepAttempt(4_000_000, 1, WORKER)
    assert each_store.insert_step(attempt, STEP) is None
    assert not each_store.save_checkpoint(attempt, "{}")
