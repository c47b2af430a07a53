"""What a handler asked of the database ends with its attempt, also where the database would work on for long."""

from __future__ import annotations

import pytest
from django.db import connection

from django_jobs import cancel_job
from django_jobs.models import Job
from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, path_of, wait_for_status
from tests.support.factories import make_job_type
from tests.support.handlers import ACTIVE
from tests.support.pooling import needs_a_session
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

WAYS = [
    pytest.param("ask_for_long", "statement", (), id="statement"),
    pytest.param("ask_for_long", "transaction", (), id="transaction"),
    pytest.param("ask_for_long_async", "statement", (), id="coroutine"),
    pytest.param("ask_for_long", "transaction", ("--threads", "2"), id="thread"),
    pytest.param("ask_for_long_async", "statement", ("--threads", "2"), id="coroutine in a thread"),
]


@pytest.mark.parametrize(("handler", "how", "options"), WAYS)
def test_a_statement_that_took_too_long_does_not_run_beside_the_next_attempts(
    processes: ProcessPool, stage: Stage, handler: str, how: str, options: tuple[str, ...]
) -> None:
    job = stage.submit(make_job_type(handler, default_timeout=2, max_retries=1, retry_delay=0), how=how)
    worker = processes.worker(*options)

    assert wait_for_status(job, Status.COMPLETED).result == {"active": 0}
    assert path_of(job)[2:] == [Status.RUNNING, Status.TIMED_OUT, Status.QUEUED, Status.RUNNING, Status.COMPLETED]
    assert "event=child_ended" not in worker.log()


@pytest.mark.parametrize(("handler", "how", "options"), WAYS)
def test_a_statement_ends_when_its_job_is_canceled(
    processes: ProcessPool, stage: Stage, handler: str, how: str, options: tuple[str, ...]
) -> None:
    if connection.vendor == "sqlite" and how == "transaction":
        pytest.skip("nobody can write a cancel there while the handler's transaction holds the file")
    job = stage.submit(make_job_type(handler), how=how)
    worker = processes.worker(*options)
    wait_for_status(job, Status.RUNNING)

    cancel_job(job.name)
    wait_for_status(job, Status.CANCELED)
    assert "event=child_ended" not in worker.log()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL looks whether its client still is there")
@needs_a_session("the server does not look for a client that is not its own")
def test_a_statement_ends_soon_after_its_process_was_killed(processes: ProcessPool, stage: Stage) -> None:
    job = stage.submit(make_job_type("ask_for_long", max_retries=0), how="statement")
    worker = processes.worker()
    wait_until(lambda: active(job) and worker.children(), PATIENCE, "the statement, and the process that asked it")

    worker.children()[0].kill()
    wait_until(lambda: not active(job), 20, "the statement's end, long before its half minute is over")


def active(job: Job) -> int:
    """How many statements of the job's handler are under way."""
    with connection.cursor() as cursor:
        cursor.execute(ACTIVE["postgresql"].format(mark=job.name))
        return int(cursor.fetchone()[0])
