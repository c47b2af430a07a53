"""What handlers write to the log is kept by real workers, each line with the attempt that wrote it."""

from __future__ import annotations

import pytest

from django_jobs.models import AttemptLog, Job
from django_jobs.statuses import Status
from tests.acceptance.steps import Stage, wait_for_status
from tests.support.factories import make_job_type
from tests.support.workers import ProcessPool

SETTINGS = {"HANDLER_LOGS": {"level": "WARNING", "max_lines": 20}}


def lines_of(job: Job) -> list[str]:
    (row,) = AttemptLog.objects.filter(job_id=job.pk)
    return [line[3] for line in (*row.first_lines, *row.last_lines)]


@pytest.mark.parametrize("handler", ["write_to_log", "write_to_log_async"])
@pytest.mark.parametrize("options", [("--processes", "1"), ("--processes", "1", "--threads", "4")])
def test_each_line_is_kept_with_the_attempt_that_wrote_it(
    processes: ProcessPool, stage: Stage, handler: str, options: tuple[str, ...]
) -> None:
    kind = make_job_type(handler)
    jobs = [stage.submit(kind, lines=10, number=number) for number in range(8)]
    processes.worker(*options, settings=SETTINGS)
    for job in jobs:
        wait_for_status(job, Status.COMPLETED)
    assert [lines_of(job) for job in jobs] == [[f"{job.name} says {number}" for number in range(10)] for job in jobs]


def test_a_failed_attempt_keeps_its_lines(processes: ProcessPool, stage: Stage) -> None:
    job = stage.submit(make_job_type("write_to_log"), lines=50, fails=True)
    processes.worker("--processes", "1", settings=SETTINGS)
    wait_for_status(job, Status.DEAD_LETTER)
    assert lines_of(job)[0] == f"{job.name} says 0"
    assert lines_of(job)[-1] == f"{job.name} says 49"
    assert AttemptLog.objects.get(job_id=job.pk).dropped == 30
