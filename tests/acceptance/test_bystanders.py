"""Jobs that were claimed together with one that lets nothing else run in its process."""

from __future__ import annotations

import pytest
from django.db import connection

from django_jobs import submit_jobs
from django_jobs.models import Job
from django_jobs.statuses import Status
from tests.acceptance.steps import Stage, wait_for_all, wait_for_idle_workers, wait_for_status
from tests.support.factories import make_job_type
from tests.support.workers import ProcessPool

HELD = 10
#: Two children share a busy machine's two processors with others.
SOON = 5
pytestmark = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="the handler's process may hold the file's one lock in another thread"
)


@pytest.mark.parametrize("options", [(), ("--threads", "20")], ids=["main thread", "threads"])
def test_a_handler_that_holds_the_interpreter_holds_up_no_job_that_was_claimed_with_it(
    processes: ProcessPool, stage: Stage, options: tuple[str, ...]
) -> None:
    kind = make_job_type("hold_if_asked")
    common = {"job_type": kind, "organization": stage.organization}
    worker = processes.worker("--processes", "2", *options)
    wait_for_idle_workers(worker, 2)
    wait_for_all(submit_jobs([common] * 200))  # so that the type counts as quick

    holder = submit_jobs([{**common, "parameters": {"seconds": HELD}}, *[common] * 50])
    wait_for_all(holder[1:], timeout=SOON)
    assert Job.objects.get(pk=holder[0].pk).status == Status.RUNNING
    assert set(Job.objects.filter(job_type=kind).values_list("retry_count", flat=True)) == {0}
    wait_for_status(holder[0], Status.COMPLETED)
    assert Job.objects.filter(job_type=kind, status=Status.COMPLETED).count() == 251
    assert "event=child_ended" not in worker.log()
