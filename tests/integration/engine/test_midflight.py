"""What changes around a job while it waits or runs: its type, its organization, its owner, the settings."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import User

from django_jobs import get_job_history, get_job_status
from django_jobs.models import JobType, Membership, Organization
from tests.integration.conftest import Reasons
from tests.support import verbs
from tests.support.brokers import (
    WORKER,
    end,
    job_in,
    pending_job,
    raised,
    reread,
    returned,
    running_job,
    start,
    ticket_of,
)
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type, make_user
from tests.support.midflight import come_due, postponed, try_to_run

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def kind() -> JobType:
    return make_job_type(retry_delay=0)


@pytest.fixture
def member(organization: Organization) -> User:
    return make_user(member_of=[organization])


def change(kind: JobType, **fields: Any) -> None:
    JobType.objects.filter(pk=kind.pk).update(**fields)


# -- its type -----------------------------------------------------------------------------------------------------


def test_a_job_keeps_the_timeout_and_the_retries_of_its_submission(kind: JobType) -> None:
    job = pending_job(kind)
    change(kind, default_timeout=7, max_retries=0, retry_delay=1000, default_priority=3)
    claimed = start(job)
    assert claimed.timeout_seconds == 300
    row = end(raised(claimed))
    assert (row.status, row.max_retries, row.retry_delay, row.priority) == ("Failed", 5, 0, 1)
    assert row.ready_at
    assert row.ready_at <= verbs.now()


def test_a_job_waits_in_its_status_while_its_type_is_closed_and_goes_when_it_opens(
    subtests: pytest.Subtests, kind: JobType
) -> None:
    fieldss: list[tuple[dict[str, bool], str]] = [
        ({"is_paused": True}, "type_paused"),
        ({"is_enabled": False}, "type_disabled"),
    ]
    for fields, reason in fieldss:
        for status in ("Pending", "Failed", "Timed Out"):
            with rolled_back(subtests, fields=fields, reason=reason, status=status):
                job = job_in(status, job_type=kind)
                change(kind, **fields)
                assert try_to_run(job).status == status
                assert get_job_status(job).waiting_for == reason
                change(kind, is_paused=False, is_enabled=True)
                assert try_to_run(job).status == "Running"


@pytest.mark.parametrize("fields", [{"is_paused": True}, {"is_enabled": False}])
def test_a_job_that_runs_when_its_type_is_closed_ends_as_it_would(kind: JobType, fields: dict[str, bool]) -> None:
    _, claimed = running_job(job_type=kind)
    change(kind, **fields)
    assert end(returned(claimed)).status == "Completed"


@pytest.mark.parametrize("fields", [{"is_paused": True}, {"is_enabled": False}])
def test_a_job_that_fails_while_its_type_is_closed_waits_with_its_retry(kind: JobType, fields: dict[str, bool]) -> None:
    job, claimed = running_job(job_type=kind)
    change(kind, **fields)
    end(raised(claimed))
    assert (try_to_run(job).status, reread(job).retry_count) == ("Failed", 1)


@pytest.mark.parametrize("fields", [{"is_paused": True}, {"is_enabled": False}])
def test_a_ticket_taken_in_the_moment_of_the_closing_is_withdrawn(
    kind: JobType, fields: dict[str, bool], reasons: Reasons
) -> None:
    job = job_in("Queued", job_type=kind)
    change(kind, **fields)
    assert verbs.claim([ticket_of(job)], WORKER) == []
    assert (reread(job).status, reread(job).queued_at, reread(job).attempt) == ("Pending", None, 0)
    assert reasons(job) == ["type_paused" if "is_paused" in fields else "type_disabled"]


# -- its organization ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["Pending", "Failed", "Timed Out"])
def test_a_job_waits_in_its_status_while_its_organization_is_suspended(kind: JobType, status: str) -> None:
    job = job_in(status, job_type=kind)
    Organization.objects.update(is_active=False)
    assert try_to_run(job).status == status
    assert get_job_status(job).waiting_for == "organization_inactive"
    Organization.objects.update(is_active=True)
    assert try_to_run(job).status == "Running"


def test_a_withdrawn_job_spends_neither_an_attempt_nor_a_retry(kind: JobType, reasons: Reasons) -> None:
    job = job_in("Queued", job_type=kind)
    Organization.objects.update(is_active=False)
    verbs.claim([ticket_of(job)], WORKER)
    row = reread(job)
    assert (row.status, row.attempt, row.retry_count, row.queued_at) == ("Pending", 0, 0, None)
    assert reasons(job) == ["organization_inactive"]


def test_a_retry_that_is_withdrawn_keeps_its_count(kind: JobType) -> None:
    job = job_in("Failed", job_type=kind)
    verbs.dispatch()
    Organization.objects.update(is_active=False)
    row = try_to_run(job)
    assert (row.status, row.retry_count, row.attempt) == ("Pending", 1, 1)


# -- its owner ----------------------------------------------------------------------------------------------------


def leave(user: User) -> None:
    Membership.objects.filter(user=user).delete()


def test_rights_lost_while_a_retry_is_waited_for_end_the_job(
    kind: JobType, organization: Organization, member: User, reasons: Reasons
) -> None:
    job = end(raised(start(pending_job(kind, organization, user=member))))
    leave(member)
    row = try_to_run(job)
    assert (row.status, row.error_type, reasons(job)[-1]) == ("Dead Letter", "Permanent", "may_not_submit")
    assert (row.attempt, row.completed_at is not None) == (1, True)


def test_rights_lost_while_a_job_asked_to_run_later_end_it(
    kind: JobType, organization: Organization, member: User, reasons: Reasons
) -> None:
    job = postponed(pending_job(kind, organization, user=member))
    leave(member)
    come_due(job)
    assert (try_to_run(job).status, reasons(job)[-1]) == ("Dead Letter", "may_not_submit")


def test_a_permission_that_the_type_requires_since_the_submission_counts(
    kind: JobType, organization: Organization, member: User, reasons: Reasons
) -> None:
    job = pending_job(kind, organization, user=member)
    change(kind, requires_permission="auth.add_user")
    assert (try_to_run(job).status, reasons(job)[-1]) == ("Dead Letter", "may_not_submit")


def test_rights_lost_and_given_back_meanwhile_are_no_loss(
    kind: JobType, organization: Organization, member: User
) -> None:
    job = pending_job(kind, organization, user=member)
    leave(member)
    Membership.objects.create(user=member, organization=organization)
    assert try_to_run(job).status == "Running"


# -- the settings -------------------------------------------------------------------------------------------------


def test_a_changed_lease_counts_from_the_next_renewal(settings: Any) -> None:
    job = job_in("Running")
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "LEASE_SECONDS": 3000}
    verbs.renew_leases([WORKER])
    expires = reread(job).lease_expires_at
    assert expires
    assert expires - verbs.now() > dt.timedelta(seconds=2900)


def test_a_changed_limit_counts_from_the_next_dispatch(
    settings: Any, kind: JobType, organization: Organization
) -> None:
    for _ in range(3):
        pending_job(kind, organization)
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 1}
    assert verbs.dispatch() == 1
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 2}
    assert verbs.dispatch() == 1


def test_a_changed_jitter_counts_from_the_next_failure(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "RETRY_JITTER": 0}
    row = end(raised(running_job()[1]))
    failed_at = get_job_history(row)[-1]["timestamp"]
    assert row.next_retry_at
    assert abs(row.next_retry_at - failed_at - dt.timedelta(seconds=60)) < dt.timedelta(milliseconds=5)
