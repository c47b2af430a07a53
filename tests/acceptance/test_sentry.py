"""Events of Sentry that real workers send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.steps import PATIENCE, Stage, wait_for_all
from tests.support.factories import make_job_type
from tests.support.sentry import VARIABLE
from tests.support.waiting import wait_until
from tests.support.workers import ManagedProcess, ProcessPool

QUEUES = ("jobs-critical", "jobs-high", "jobs-normal", "jobs-low")


def jobs_worker(processes: ProcessPool, environ: dict[str, str]) -> ManagedProcess:
    return processes.worker(environ=environ)


def rqworker(processes: ProcessPool, environ: dict[str, str]) -> ManagedProcess:
    return processes.start("rqworker", *QUEUES, environ=environ)


@pytest.mark.parametrize(("start", "app"), [(jobs_worker, ""), (rqworker, "django_jobs.contrib.sentry")])
def test_each_failure_for_good_is_one_event_and_a_retried_one_is_none(
    start: Any, app: str, processes: ProcessPool, stage: Stage
) -> None:
    sent = stage.directory / "events"
    apps = f"tests.support.sentry.SentryToFile {app}"
    worker = start(processes, {"DJANGO_JOBS_TEST_APPS": apps, VARIABLE: str(sent)})
    retried = stage.submit(make_job_type("fail_unexpectedly", max_retries=1, retry_delay=600))
    failed = [stage.submit(make_job_type("fail_unexpectedly", max_retries=0)) for _ in range(2)]
    wait_for_all([retried], "Failed")
    wait_for_all(failed, "Dead Letter")
    worker.stop()

    wait_until(lambda: len(read(sent)) >= 2, PATIENCE, "the events")
    assert sorted(event["tags"]["job_id"] for event in read(sent)) == sorted(job.name for job in failed)
    assert {event["exception"]["values"][0]["type"] for event in read(sent)} == {"ZeroDivisionError"}


def read(sent: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sent.read_text().splitlines()] if sent.exists() else []
