"""Submitting: what becomes a row, and that nothing reaches the broker before the commit."""

from __future__ import annotations

import datetime as dt
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import transaction

from django_jobs import get_job_history, submit_job
from django_jobs.models import Job, JobType, Organization
from django_jobs.statuses import Priority
from tests.support.brokers import MemoryBroker, reread
from tests.support.factories import make_job_type, make_user

pytestmark = pytest.mark.usefixtures("broker")

TOMORROW = dt.datetime(2100, 1, 1, 12, 0, tzinfo=dt.timezone(dt.timedelta(hours=2)))


@pytest.fixture
def job_type() -> JobType:
    return make_job_type()


def test_a_submission_becomes_a_pending_job(job_type: JobType, organization: Organization) -> None:
    job = submit_job(job_type.type_name, organization.name, {"month": 3})
    stored = reread(job)
    assert (stored.status, stored.input_parameters, stored.attempt) == ("Pending", {"month": 3}, 0)
    assert (stored.job_type, stored.organization_id) == (job_type, organization.pk)
    assert stored.organization_name == organization.name
    assert len(stored.job_hash) == 64


def test_the_returned_job_is_what_was_stored(job_type: JobType, organization: Organization) -> None:
    job = submit_job(job_type, organization, {"month": 3})
    stored = reread(job)
    assert (job.pk, job.name, job.status, job.created_at) == (stored.pk, stored.name, stored.status, stored.created_at)


def test_a_job_takes_its_defaults_from_its_type(organization: Organization) -> None:
    kind = make_job_type(default_priority="High", default_timeout=77, max_retries=2, retry_delay=9)
    job = reread(submit_job(kind, organization))
    assert (job.priority, job.timeout_seconds, job.max_retries, job.retry_delay) == (Priority.HIGH, 77, 2, 9)
    assert (job.input_parameters, job.metadata, job.run_at) == ({}, {}, None)


@pytest.mark.parametrize("priority", ["Critical", "critical", 3])
def test_a_priority_may_be_given(job_type: JobType, organization: Organization, priority: Any) -> None:
    assert reread(submit_job(job_type, organization, priority=priority)).priority == Priority.CRITICAL


def test_a_job_is_ready_at_once(job_type: JobType, organization: Organization) -> None:
    job = reread(submit_job(job_type, organization))
    assert job.ready_at == job.created_at


def test_a_delayed_job_is_ready_at_its_moment(job_type: JobType, organization: Organization) -> None:
    job = reread(submit_job(job_type, organization, run_at=TOMORROW))
    assert job.run_at == job.ready_at == TOMORROW


def test_a_moment_in_the_past_means_now(job_type: JobType, organization: Organization) -> None:
    job = reread(submit_job(job_type, organization, run_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC)))
    assert (job.ready_at, job.is_delayed) == (job.created_at, False)


def test_metadata_is_kept_and_is_no_part_of_the_hash(job_type: JobType, organization: Organization) -> None:
    first, second = (submit_job(job_type, organization, {"a": 1}, metadata={"trace": n}) for n in (1, 2))
    assert reread(second).metadata == {"trace": 2}
    assert first.job_hash == second.job_hash


def test_the_user_becomes_the_owner(job_type: JobType, organization: Organization) -> None:
    user = make_user("ada", member_of=[organization])
    job = reread(submit_job(job_type, organization, user=user))
    assert (job.owner, job.owner_name) == (user, "ada")


def test_server_code_owns_nothing(job_type: JobType, organization: Organization) -> None:
    job = reread(submit_job(job_type, organization))
    assert (job.owner, job.owner_name) == (None, "")


@pytest.mark.parametrize(("username", "actor"), [("ada", "ada"), (None, "system")])
def test_the_history_begins_with_the_submission(
    job_type: JobType, organization: Organization, username: str | None, actor: str
) -> None:
    user = make_user(username, member_of=[organization]) if username else None
    job = submit_job(job_type, organization, user=user)
    (entry,) = get_job_history(job)
    assert (entry["from_status"], entry["to_status"], entry["actor"], entry["attempt"]) == ("", "Pending", actor, 0)
    assert entry["timestamp"] == reread(job).created_at


def test_a_paused_type_accepts_submissions(organization: Organization) -> None:
    assert submit_job(make_job_type(is_paused=True), organization).status == "Pending"


def test_nothing_is_pushed_before_the_commit(
    job_type: JobType, organization: Organization, broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        job = submit_job(job_type, organization)
        assert (broker.tickets, reread(job).status) == ([], "Pending")
    assert (broker.pks(), reread(job).status) == ([job.pk], "Queued")


def test_what_is_rolled_back_reaches_no_broker(
    job_type: JobType, organization: Organization, broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012  (the submission comes first)
            submit_job(job_type, organization)
            raise ZeroDivisionError
        assert not Job.objects.exists()
    assert broker.tickets == []


def test_submitting_succeeds_while_the_broker_is_down(
    job_type: JobType, organization: Organization, broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    broker.is_down = True
    with django_capture_on_commit_callbacks(execute=True):
        job = submit_job(job_type, organization)
    assert reread(job).status == "Pending"


@pytest.mark.django_db(transaction=True)
def test_a_delayed_job_rings_no_bell(
    job_type: JobType, organization: Organization, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Mock(wraps=broker.look)
    monkeypatch.setattr(broker, "look", look)
    submit_job(job_type, organization, run_at=TOMORROW)
    look.assert_not_called()
    job = submit_job(job_type, organization)
    assert broker.pks() == [job.pk]
