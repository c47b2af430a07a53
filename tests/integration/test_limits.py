"""How much an organization may submit, and what it is told when that is too much."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import transaction

from django_jobs import cancel_job, retry_job, submit_job, submit_jobs
from django_jobs.engine import database
from django_jobs.exceptions import InvalidSubmission, QueueFull, RateLimited
from django_jobs.models import Job, JobType, Organization
from tests.support.brokers import end, job_in, pending_job, queue_up, raised, returned, start
from tests.support.factories import make_job_type, make_organization

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def organization() -> Organization:
    return make_organization()


@pytest.fixture
def limited() -> JobType:
    """A type of which an organization may submit three in a minute."""
    return make_job_type(rate_limit=3, rate_limit_window=60)


def age(seconds: float) -> None:
    Job.objects.update(created_at=database.now() - dt.timedelta(seconds=seconds))


def items(kind: JobType, organization: Organization, count: int) -> list[dict[str, Any]]:
    return [{"job_type": kind, "organization": organization}] * count


def rate_limited(kind: JobType, organization: Organization) -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        submit_job(kind, organization)
    return caught.value


# Rates


def test_as_many_as_the_limit_may_be_submitted_in_its_window(limited: JobType, organization: Organization) -> None:
    for _ in range(3):
        submit_job(limited, organization)
    assert "may submit 3" in str(rate_limited(limited, organization))
    assert Job.objects.count() == 3


def test_the_delay_is_what_is_left_of_the_oldest_submissions_window(
    limited: JobType, organization: Organization
) -> None:
    submit_job(limited, organization)
    age(40)
    submit_job(limited, organization)
    submit_job(limited, organization)
    assert rate_limited(limited, organization).retry_after == pytest.approx(20, abs=2)


def test_the_delay_is_never_shorter_than_a_second(limited: JobType, organization: Organization) -> None:
    submit_jobs(items(limited, organization, 3))
    age(59.9)
    assert 1.0 <= rate_limited(limited, organization).retry_after <= 1.1


def test_submissions_older_than_the_window_do_not_count(limited: JobType, organization: Organization) -> None:
    submit_jobs(items(limited, organization, 3))
    age(61)
    submit_jobs(items(limited, organization, 3))
    rate_limited(limited, organization)


def test_what_was_canceled_counts_too(limited: JobType, organization: Organization) -> None:
    for _ in range(3):
        cancel_job(submit_job(limited, organization))
    rate_limited(limited, organization)


def test_what_was_rolled_back_does_not_count(limited: JobType, organization: Organization) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012  (the submission comes first)
        submit_jobs(items(limited, organization, 3))
        raise ZeroDivisionError
    assert submit_job(limited, organization).pk


def test_each_organization_has_its_own_limit(limited: JobType, organization: Organization) -> None:
    submit_jobs(items(limited, organization, 3))
    assert submit_job(limited, make_organization()).pk


def test_each_type_has_its_own_limit(limited: JobType, organization: Organization) -> None:
    submit_jobs(items(limited, organization, 3))
    assert submit_job(make_job_type(rate_limit=1), organization).pk
    assert submit_job(make_job_type(), organization).pk


def test_no_limit_is_none_at_all(organization: Organization) -> None:
    assert len(submit_jobs(items(make_job_type(rate_limit=None), organization, 50))) == 50


def test_a_limit_of_zero_refuses_all(organization: Organization) -> None:
    kind = make_job_type(rate_limit=0, rate_limit_window=30)
    assert rate_limited(kind, organization).retry_after == 30


def test_many_at_once_count_together(limited: JobType, organization: Organization) -> None:
    submit_job(limited, organization)
    with pytest.raises(RateLimited):
        submit_jobs(items(limited, organization, 3))
    assert Job.objects.count() == 1
    assert len(submit_jobs(items(limited, organization, 2))) == 2


def test_of_many_at_once_the_one_that_is_too_much_is_named(limited: JobType, organization: Organization) -> None:
    submit_jobs(items(limited, organization, 3))
    free, other = make_job_type(), make_organization()
    many = items(free, organization, 1) + items(limited, other, 1) + items(limited, organization, 1)
    with pytest.raises(RateLimited) as caught:
        submit_jobs(many)
    assert caught.value.index == 2


def test_more_at_once_than_will_ever_be_allowed_are_refused_for_a_window(
    limited: JobType, organization: Organization
) -> None:
    with pytest.raises(RateLimited) as caught:
        submit_jobs(items(limited, organization, 4))
    assert caught.value.retry_after == 60


def test_a_refusal_for_its_rate_leaves_the_callers_transaction_usable(
    limited: JobType, organization: Organization
) -> None:
    with transaction.atomic():
        submit_jobs(items(limited, organization, 3))
        rate_limited(limited, organization)
    assert Job.objects.count() == 3


# The backlog


@pytest.fixture
def _three_may_wait(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_BACKLOG_PER_ORGANIZATION": 3}


@pytest.fixture
def kind(_three_may_wait: None) -> JobType:
    return make_job_type()


def queue_full(kind: JobType, organization: Organization) -> QueueFull:
    with pytest.raises(QueueFull) as caught:
        submit_job(kind, organization)
    return caught.value


def test_a_backlog_takes_no_more_than_its_limit(kind: JobType, organization: Organization) -> None:
    submit_jobs(items(kind, organization, 3))
    error = queue_full(kind, organization)
    assert error.retry_after > 0
    assert "3 jobs waiting" in str(error)
    assert Job.objects.count() == 3


def test_jobs_that_wait_for_parents_are_backlog(kind: JobType, organization: Organization) -> None:
    parent = submit_job(kind, organization)
    submit_job(kind, organization, depends_on=parent)
    submit_job(kind, organization, depends_on=parent)
    queue_full(kind, organization)


def test_jobs_that_wait_for_their_moment_or_a_retry_are_backlog(kind: JobType, organization: Organization) -> None:
    submit_job(kind, organization, run_at=dt.datetime(2100, 1, 1, tzinfo=dt.UTC))
    job_in("Failed", job_type=kind, organization=organization)
    job_in("Timed Out", job_type=kind, organization=organization)
    queue_full(kind, organization)


@pytest.mark.parametrize("status", ["Queued", "Running", "Completed", "Canceled", "Dead Letter"])
def test_jobs_at_the_broker_or_with_a_worker_or_ended_are_no_backlog(
    kind: JobType, organization: Organization, status: str
) -> None:
    for _ in range(3):
        job_in(status, job_type=kind, organization=organization)
    assert submit_job(kind, organization).pk


def test_a_job_that_is_dispatched_makes_room(kind: JobType, organization: Organization) -> None:
    first, *_ = submit_jobs(items(kind, organization, 3))
    queue_up(first)
    assert submit_job(kind, organization).pk
    queue_full(kind, organization)


def test_all_types_and_priorities_of_an_organization_share_its_backlog(
    kind: JobType, organization: Organization
) -> None:
    for priority in ("Low", "High", "Critical"):
        submit_job(make_job_type(), organization, priority=priority)
    queue_full(kind, organization)


def test_another_organizations_backlog_does_not_count(kind: JobType, organization: Organization) -> None:
    submit_jobs(items(kind, organization, 3))
    assert submit_job(kind, make_organization()).pk


def test_many_at_once_fill_the_backlog_together(kind: JobType, organization: Organization) -> None:
    other = make_organization()
    with pytest.raises(QueueFull) as caught:
        submit_jobs(items(kind, other, 3) + items(kind, organization, 4))
    assert caught.value.index == 3
    assert not Job.objects.exists()
    assert len(submit_jobs(items(kind, other, 3) + items(kind, organization, 3))) == 6


def test_a_backlog_of_zero_takes_nothing(kind: JobType, organization: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_BACKLOG_PER_ORGANIZATION": 0}
    queue_full(kind, organization)


def test_by_default_a_backlog_has_no_end(organization: Organization) -> None:
    assert len(submit_jobs(items(make_job_type(), organization, 50))) == 50


def test_a_retry_by_hand_is_no_submission(kind: JobType, organization: Organization) -> None:
    dead = job_in("Dead Letter", job_type=kind, organization=organization)
    submit_jobs(items(kind, organization, 3))
    assert retry_job(dead).status == "Pending"


# Sizes


@pytest.mark.parametrize(("name", "most"), [("parameters", 65_536), ("metadata", 4096)])
def test_an_object_may_be_as_large_as_its_limit_and_no_larger(organization: Organization, name: str, most: int) -> None:
    kind = make_job_type()
    overhead = len('{"a": ""}')
    fitting: dict[str, Any] = {name: {"a": "x" * (most - overhead)}}
    larger: dict[str, Any] = {name: {"a": "x" * (most - overhead + 1)}}
    assert submit_job(kind, organization, **fitting).pk
    with pytest.raises(InvalidSubmission) as caught:
        submit_job(kind, organization, **larger)
    assert caught.value.errors == {name: [f"{name} takes {most + 1} bytes as JSON; at most {most} are accepted."]}


def test_the_limit_of_parameters_is_the_hosts_choice(organization: Organization, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_PARAMETERS_BYTES": 20}
    assert submit_job(make_job_type(), organization, {"a": "x" * 11}).pk
    with pytest.raises(InvalidSubmission, match="at most 20"):
        submit_job(make_job_type(), organization, {"a": "x" * 12})


def test_a_job_that_uses_its_limits_runs(organization: Organization) -> None:
    job = pending_job(None, organization, parameters={"a": "x" * 65_000}, metadata={"a": "x" * 4000})
    assert end(returned(start(job))).status == "Completed"


def test_a_job_that_failed_for_now_and_one_that_failed_for_good_count_differently(
    kind: JobType, organization: Organization
) -> None:
    first, second, _ = submit_jobs(items(kind, organization, 3))
    end(raised(start(first)))
    queue_full(kind, organization)
    end(raised(start(second), "Permanent"))
    assert submit_job(kind, organization).pk


def test_the_same_work_is_told_as_such_although_the_limit_is_used_up() -> None:
    kind = make_job_type(rate_limit=1, deduplication_window=300)
    organization = make_organization()
    job = submit_job(kind, organization, {"month": 3})
    assert submit_job(kind, organization, {"month": 3}, on_duplicate="return") == job
    with pytest.raises(RateLimited):
        submit_job(kind, organization, {"month": 4}, on_duplicate="return")
