"""Jobs that were claimed together with one that lets nothing else run in its process."""

from __future__ import annotations

import os

import pytest
from django.db import connection

from django_jobs import submit_jobs
from django_jobs.models import Job
from django_jobs.statuses import Status
from tests.acceptance.steps import Stage, wait_for_all, wait_for_idle_workers, wait_for_status
from tests.support.factories import make_job_type
from tests.support.workers import ProcessPool

#: Before a lease is over, by which they would go on in any case.
SOON = 60
SETTINGS = {"LEASE_SECONDS": 300}
#: What is claimed together with the one that holds is chance.
ROUNDS = 4
QUICK, OTHERS = 200, 50
pytestmark = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="the handler's process may hold the file's one lock in another thread"
)


@pytest.mark.parametrize("options", [(), ("--threads", "20")], ids=["main thread", "threads"])
def test_a_handler_that_holds_the_interpreter_holds_up_no_job_that_was_claimed_with_it(
    processes: ProcessPool, stage: Stage, options: tuple[str, ...]
) -> None:
    kind = make_job_type("hold_if_asked")
    common = {"job_type": kind, "organization": stage.organization}
    worker = processes.worker("--processes", "2", *options, settings=SETTINGS)
    wait_for_idle_workers(worker, 2)
    for number in range(ROUNDS):
        wait_for_all(submit_jobs([common] * QUICK))  # so that the type counts as quick
        pipe = stage.directory / f"pipe-{number}"
        os.mkfifo(pipe)
        holder, *others = submit_jobs([{**common, "parameters": {"pipe": str(pipe)}}, *[common] * OTHERS])
        wait_for_all(others, timeout=SOON)
        wait_for_status(holder, Status.RUNNING)
        assert set(Job.objects.filter(job_type=kind).values_list("retry_count", flat=True)) == {0}
        with pipe.open("w"):  # until somebody reads there, this waits as well
            wait_for_status(holder, Status.COMPLETED)
    assert Job.objects.filter(job_type=kind, status=Status.COMPLETED).count() == ROUNDS * (QUICK + 1 + OTHERS)
    assert "event=child_ended" not in worker.log()
