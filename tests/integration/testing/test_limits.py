"""Limits in a host's own tests: they hold, one job at a time changes nothing but the order, and no time passes."""

from __future__ import annotations

from typing import Any, Final

import pytest

from django_jobs import get_job_status, submit_job
from django_jobs.models import Job, JobType, Organization
from django_jobs.testing import run_jobs
from tests.support.brokers import end, pending_job, returned, running_job
from tests.support.factories import make_job_type, make_organization

pytestmark = pytest.mark.usefixtures("without_redis")

KEYED: Final[dict[str, Any]] = {"concurrency_key": "account", "max_running_per_key": 1}


def submit_some(kind: JobType, organization: Organization, count: int = 6) -> list[Job]:
    """Jobs of two accounts in turn."""
    return [
        pending_job(kind, organization, parameters={"account": number % 2, "number": number}) for number in range(count)
    ]


def ran() -> list[str]:
    """The jobs that run now to their ends."""
    found = run_jobs()
    assert {status.status for status in found} <= {"Completed"}
    return [status.job_id for status in found]


@pytest.mark.parametrize(
    "limits",
    [
        {"max_running": 1},
        {"max_running_per_organization": 1},
        KEYED,
        {"max_running": 2, "max_running_per_organization": 1, **KEYED},
    ],
    ids=["type", "organization", "key", "all of them"],
)
def test_all_jobs_of_a_limited_type_run_in_one_call(both_ways: str, limits: dict[str, Any]) -> None:
    kind = make_job_type(**limits)
    organizations = [make_organization() for _ in range(2)]
    jobs = [job for organization in organizations for job in submit_some(kind, organization)]
    assert sorted(ran()) == sorted(job.name for job in jobs)


def test_an_organization_at_its_limit_waits_and_says_so_and_the_others_run(both_ways: str) -> None:
    kind = make_job_type(max_running_per_organization=1)
    busy, idle = make_organization(), make_organization()
    _, claimed = running_job(job_type=kind, organization=busy)
    (held,), (free,) = submit_some(kind, busy, 1), submit_some(kind, idle, 1)
    assert ran() == [free.name]
    assert get_job_status(held).waiting_for == "concurrency"
    end(returned(claimed))
    assert ran() == [held.name]


def test_a_key_at_its_limit_waits_and_says_so_and_the_others_run(both_ways: str) -> None:
    kind, organization = make_job_type(**KEYED), make_organization()
    _, claimed = running_job(job_type=kind, organization=organization, parameters={"account": 0})
    held, free = submit_some(kind, organization, 2)
    assert ran() == [free.name]
    assert get_job_status(held).waiting_for == "concurrency"
    end(returned(claimed))
    assert ran() == [held.name]


def test_jobs_of_a_type_that_got_another_key_meanwhile_run_too(both_ways: str) -> None:
    (job,) = submit_some(make_job_type(), make_organization(), 1)
    JobType.objects.update(concurrency_key="account")
    assert ran() == [job.name]


@pytest.mark.parametrize(
    "rate",
    [{"max_starts": 1}, {"concurrency_key": "account", "max_running_per_key": 9, "max_starts_per_key": 1}],
    ids=["type", "key"],
)
def test_rates_of_starts_are_passed_over(both_ways: str, rate: dict[str, Any]) -> None:
    kind = make_job_type(max_starts_window=3600, **rate)
    jobs = submit_some(kind, make_organization())
    assert sorted(ran()) == sorted(job.name for job in jobs)
    (again,) = submit_some(kind, make_organization(), 1)
    assert ran() == [again.name]


def test_the_numbers_hold_beside_a_rate_that_is_passed_over(both_ways: str) -> None:
    kind, organization = make_job_type(max_running=1, max_starts=1, max_starts_window=3600), make_organization()
    _, claimed = running_job(job_type=kind, organization=organization)
    jobs = submit_some(kind, organization, 3)
    assert ran() == []
    end(returned(claimed))
    assert ran() == [job.name for job in jobs]


@pytest.mark.parametrize(
    ("running", "replacement", "runs"), [(7, 8, True), (8, 8, False)], ids=["out of a full key", "into a full key"]
)
def test_a_replaced_job_is_counted_with_its_new_value(
    both_ways: str, running: int, replacement: int, runs: bool
) -> None:
    kind, organization = make_job_type(**KEYED), make_organization()
    _, claimed = running_job(job_type=kind, organization=organization, parameters={"account": running})
    values: dict[str, Any] = {"unique_key": "sync", "deduplication_window": 300, "on_duplicate": "replace"}
    job = submit_job(kind, organization, {"account": 7}, **values)
    assert submit_job(kind, organization, {"account": replacement}, **values).pk == job.pk
    assert ran() == ([job.name] if runs else [])
    end(returned(claimed))
    assert ran() == ([] if runs else [job.name])
    job.refresh_from_db()
    assert (job.status, job.input_parameters) == ("Completed", {"account": replacement})
