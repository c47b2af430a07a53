"""How many jobs of a type an organization may submit in a time, and what it is told when that is too much."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest
from django.db import transaction

from django_jobs import cancel_job, submit_job, submit_jobs
from django_jobs.exceptions import RateLimited
from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import Interpose

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def limited() -> JobType:
    """A type of which an organization may submit three in a minute."""
    return make_job_type(rate_limit=3, rate_limit_window=60)


def age(seconds: float) -> None:
    Job.objects.update(created_at=verbs.now() - dt.timedelta(seconds=seconds))


def items(kind: JobType, organization: Organization, count: int) -> list[dict[str, Any]]:
    return [{"job_type": kind, "organization": organization}] * count


def rate_limited(kind: JobType, organization: Organization) -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        submit_job(kind, organization)
    return caught.value


def test_as_many_as_the_limit_may_be_submitted_in_its_window(limited: JobType, organization: Organization) -> None:
    for _ in range(3):
        submit_job(limited, organization)
    assert rate_limited(limited, organization).facts["limit"] == 3
    assert Job.objects.count() == 3


def test_the_delay_is_what_is_left_of_the_oldest_submissions_window(
    limited: JobType, organization: Organization
) -> None:
    submit_job(limited, organization)
    age(40)
    submit_job(limited, organization)
    submit_job(limited, organization)
    assert rate_limited(limited, organization).retry_after == pytest.approx(20, abs=10)


def test_no_shorter_delay_is_told_than_it_takes(limited: JobType, organization: Organization) -> None:
    submit_jobs(items(limited, organization, 3))
    for seconds in (10.3, 10.9):
        age(seconds)
        error = rate_limited(limited, organization)
        assert error.facts["delay"] == math.ceil(error.retry_after)


def test_the_delay_is_never_shorter_than_a_second(
    limited: JobType, organization: Organization, interpose: Interpose
) -> None:
    submit_jobs(items(limited, organization, 3))
    now = verbs.now()
    interpose("now", lambda: now)  # else the window may be over before it is asked
    age(59.9)
    assert rate_limited(limited, organization).retry_after == 1.0


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


def test_a_row_with_a_limit_of_zero_refuses_all(organization: Organization) -> None:
    kind = make_job_type(rate_limit=1, rate_limit_window=30)
    JobType.objects.filter(pk=kind.pk).update(rate_limit=0)
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


def test_the_same_work_is_told_as_such_although_the_limit_is_used_up() -> None:
    kind = make_job_type(rate_limit=1, deduplication_window=300)
    organization = make_organization()
    job = submit_job(kind, organization, {"month": 3})
    assert submit_job(kind, organization, {"month": 3}, on_duplicate="return") == job
    with pytest.raises(RateLimited):
        submit_job(kind, organization, {"month": 4}, on_duplicate="return")
