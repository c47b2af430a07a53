"""How long a job waited and ran, as the jobs list tells it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from django_jobs.admin.jobs import run_seconds, wait_seconds
from django_jobs.models import Job

START = dt.datetime(2026, 10, 1, 12, tzinfo=dt.UTC)


def at(seconds: int) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


WAITS: list[tuple[dict[str, Any], float | None]] = [
    ({"status": "Pending"}, 100),
    ({"status": "Pending", "run_at": at(30)}, 70),
    ({"status": "Pending", "run_at": at(130)}, None),
    ({"status": "Queued", "attempt": 1, "queued_at": at(40)}, 100),
    ({"status": "Queued", "attempt": 2, "queued_at": at(40), "started_at": at(10)}, 60),
    ({"status": "Running", "attempt": 1, "queued_at": at(40), "started_at": at(50)}, 50),
    ({"status": "Completed", "attempt": 2, "queued_at": at(40), "started_at": at(50)}, 10),
    ({"status": "Canceled"}, None),
]
RUNS: list[tuple[dict[str, Any], float | None]] = [
    ({"status": "Pending", "started_at": at(10)}, None),
    ({"status": "Running", "started_at": at(10)}, 90),
    ({"status": "Completed", "started_at": at(10), "completed_at": at(50)}, 40),
    ({"status": "Canceled", "started_at": at(10), "canceled_at": at(30)}, 20),
    ({"status": "Failed", "started_at": at(10)}, None),
    ({"status": "Canceled", "canceled_at": at(30)}, None),
]


def test_a_job_waits_from_when_its_latest_attempt_could_run_until_it_does(subtests: pytest.Subtests) -> None:
    for fields, seconds in WAITS:
        with subtests.test(**fields):
            assert wait_seconds(Job(created_at=START, **fields), at(100)) == seconds


def test_a_job_runs_from_its_latest_start_to_its_end(subtests: pytest.Subtests) -> None:
    for fields, seconds in RUNS:
        with subtests.test(**fields):
            assert run_seconds(Job(created_at=START, **fields), at(100)) == seconds
