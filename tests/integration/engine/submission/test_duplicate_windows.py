"""How long the same work is kept out, and that its keys are forgotten then."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import transaction

from django_jobs import cancel_job, submit_job
from django_jobs.exceptions import DuplicateJob
from django_jobs.models import DuplicateKey, Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import end, reread, returned, start
from tests.support.deletions import delete_jobs
from tests.support.factories import make_job_type
from tests.support.statements import before_statement
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def kind() -> JobType:
    return make_job_type(deduplication_window=300)


def refused(*args: Any, **kwargs: Any) -> DuplicateJob:
    with pytest.raises(DuplicateJob) as caught:
        submit_job(*args, **kwargs)
    return caught.value


def expire_at(moment: dt.datetime) -> None:
    DuplicateKey.objects.update(expires_at=moment)


def test_the_window_counts_from_the_first_submission(kind: JobType, organization: Organization) -> None:
    first = submit_job(kind, organization)
    refused(kind, organization)
    refused(kind, organization)
    assert DuplicateKey.objects.get().expires_at == reread(first).created_at + dt.timedelta(seconds=300)


def test_the_same_work_is_accepted_once_the_window_is_over(kind: JobType, organization: Organization) -> None:
    submit_job(kind, organization)
    expire_at(verbs.now())
    second = submit_job(kind, organization)
    assert DuplicateKey.objects.get().job_id == second.pk


def test_the_same_work_is_refused_at_the_end_of_the_window(kind: JobType, organization: Organization) -> None:
    first = submit_job(kind, organization)
    expire_at(verbs.now() + dt.timedelta(seconds=10))
    assert refused(kind, organization).existing == first


def test_a_new_window_begins_with_the_job_that_was_accepted(kind: JobType, organization: Organization) -> None:
    submit_job(kind, organization)
    expire_at(verbs.now())
    second = submit_job(kind, organization)
    assert refused(kind, organization).existing == second


def test_a_window_of_zero_refuses_nothing(organization: Organization) -> None:
    kind = make_job_type(deduplication_window=0)
    submit_job(kind, organization)
    submit_job(kind, organization)
    assert not DuplicateKey.objects.exists()


def test_a_window_that_was_switched_off_refuses_nothing_from_then_on(kind: JobType, organization: Organization) -> None:
    submit_job(kind, organization)
    JobType.objects.update(deduplication_window=0)
    assert submit_job(kind, organization).pk


def test_an_expired_job_that_is_canceled_does_not_open_the_door_to_a_third(
    kind: JobType, organization: Organization
) -> None:
    first = submit_job(kind, organization)
    expire_at(verbs.now())
    second = submit_job(kind, organization)
    cancel_job(first)
    assert refused(kind, organization).existing == second


def test_deleting_an_earlier_job_does_not_open_the_door_to_a_third(kind: JobType, organization: Organization) -> None:
    first = submit_job(kind, organization)
    end(returned(start(first)))
    expire_at(verbs.now())
    second = submit_job(kind, organization)
    assert delete_jobs([first.pk]) == 1
    assert refused(kind, organization).existing == second


def test_keys_that_are_forgotten_are_judged_again_under_their_lock(kind: JobType, organization: Organization) -> None:
    submit_job(kind, organization)
    expire_at(verbs.now() - dt.timedelta(seconds=1))
    again: list[Job] = []
    with before_statement("SELECT", DuplicateKey, lambda: again.append(submit_job(kind, organization)), number=2):
        assert verbs.forget_expired_keys() == 0
    assert refused(kind, organization).existing == again[0]


def test_a_takeover_that_was_rolled_back_leaves_the_earlier_job_in_its_place(
    kind: JobType, organization: Organization
) -> None:
    first = submit_job(kind, organization)
    expire_at(verbs.now())
    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012  (the submission comes first)
        submit_job(kind, organization)
        raise ZeroDivisionError
    assert DuplicateKey.objects.get().job_id == first.pk


def test_expired_keys_are_forgotten_and_others_stay(kind: JobType, organization: Organization) -> None:
    submit_job(kind, organization, {"number": 1})
    expire_at(verbs.now() - dt.timedelta(seconds=1))
    kept = submit_job(kind, organization, {"number": 2})
    assert verbs.forget_expired_keys() == 1
    assert DuplicateKey.objects.get().job_id == kept.pk


def test_keys_are_forgotten_batch_by_batch(kind: JobType, organization: Organization, tuning: Tuning) -> None:
    tuning.set(forgotten_deduplication_rows=2)
    for number in range(3):
        submit_job(kind, organization, {"number": number})
    expire_at(verbs.now() - dt.timedelta(seconds=1))
    assert [verbs.forget_expired_keys() for _ in range(3)] == [2, 1, 0]


def test_they_are_forgotten_as_long_as_there_is_time(kind: JobType, organization: Organization, tuning: Tuning) -> None:
    tuning.set(forgotten_deduplication_rows=2)
    for number in range(7):
        submit_job(kind, organization, {"number": number})
    expire_at(verbs.now() - dt.timedelta(seconds=1))
    assert verbs.forget_expired_keys(60) == 7
    assert not DuplicateKey.objects.exists()
