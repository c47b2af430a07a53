"""What can go wrong, by name."""

from __future__ import annotations

import datetime as dt
import math
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied

from django_jobs import exceptions
from django_jobs.exceptions import (
    DuplicateJob,
    InvalidSubmission,
    InvalidTransition,
    JobCanceled,
    JobFailed,
    JobNotFound,
    JobsError,
    JobTimedOut,
    PermissionDenied,
    QueueFull,
    RateLimited,
    RetryLater,
    WorkerStopping,
)
from tests.support import verbs

OURS = [
    "InvalidSubmission",
    "DuplicateJob",
    "QueueFull",
    "RateLimited",
    "InvalidTransition",
    "JobFailed",
    "JobNotFound",
    "PermissionDenied",
    "TransientError",
    "PermanentError",
    "RetryLater",
]


def test_jobs_error_is_the_base_of_what_we_raise_on_purpose(subtests: pytest.Subtests) -> None:
    for name in OURS:
        with subtests.test(name=name):
            assert issubclass(getattr(exceptions, name), JobsError)


def test_an_interruption_is_not_swallowed_by_except_exception(subtests: pytest.Subtests) -> None:
    cases: list[type[BaseException]] = [JobCanceled, JobTimedOut, WorkerStopping]
    for kind in cases:
        with subtests.test(kind=kind):
            assert not issubclass(kind, Exception)


def test_not_found_and_denied_are_djangos_too() -> None:
    assert issubclass(JobNotFound, ObjectDoesNotExist)
    assert issubclass(PermissionDenied, DjangoPermissionDenied)


def test_an_invalid_submission_names_each_field() -> None:
    error = InvalidSubmission({"priority": ["odd"], "run_at": ["bad", verbs.say("worse", code="past")]})
    assert str(error) == "priority: odd; run_at: bad worse"
    assert error.errors == {"priority": ["odd"], "run_at": ["bad", "worse"]}
    assert error.codes == {"priority": ["invalid"], "run_at": ["invalid", "past"]}


def test_an_invalid_transition_tells_job_status_and_verb() -> None:
    error = InvalidTransition("JOB-2026-00001", "Completed", "cancel")
    assert (error.job_id, error.status, error.verb) == ("JOB-2026-00001", "Completed", "cancel")
    assert [part in str(error) for part in ("JOB-2026-00001", "Completed", "cancel")] == [True] * 3


def test_a_duplicate_carries_the_earlier_job() -> None:
    existing: Any = SimpleNamespace(name="JOB-2026-00001", status="Running", created_at=dt.datetime.now(dt.UTC))
    error = DuplicateJob(existing)
    assert (error.existing, error.facts) == (existing, {"job": "JOB-2026-00001", "status": "Running"})


@pytest.mark.parametrize("kind", [QueueFull, RateLimited])
def test_a_passing_refusal_says_when_to_come_back(kind: Any) -> None:
    assert kind("full", 30).retry_after == 30


@pytest.mark.parametrize("message", ["it broke", ""])
def test_a_failed_job_tells_how_it_ended(message: str) -> None:
    status: Any = SimpleNamespace(job_id="JOB-2026-00001", status="Dead Letter", error_message=message)
    error = JobFailed(status)
    assert [part in str(error) for part in ("JOB-2026-00001", "Dead Letter", message)] == [True] * 3
    assert error.status is status


def test_retry_later_says_when() -> None:
    assert "90" in str(RetryLater(90))
    assert str(RetryLater(90, "shop closed")) == "shop closed"


def test_retry_later_lies_neither_in_the_past_nor_years_ahead(subtests: pytest.Subtests) -> None:
    year = 365 * 86_400.0
    cases: list[tuple[float, float]] = [(90, 90.0), (0, 0.0), (-5, 0.0), (math.nan, 0.0), (math.inf, year)]
    for seconds, delay in cases:
        with subtests.test(seconds=seconds, delay=delay):
            assert RetryLater(seconds).seconds == delay
