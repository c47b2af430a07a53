"""Short jobs that wait while long ones hold all slots of their worker."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs.models import ExecutionLog, Job
from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage
from tests.support import verbs
from tests.support.factories import make_job_type
from tests.support.verbs import WAITED_BEHIND
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

SHORT = 10


def requeued() -> int:
    return ExecutionLog.objects.filter(message=WAITED_BEHIND).count()


@pytest.mark.slots("one", reason="it starts its worker with two threads")
def test_what_waits_behind_long_jobs_is_not_claimed_again_and_again(processes: ProcessPool, stage: Stage) -> None:
    short, long = make_job_type(), make_job_type("record_and_wait")
    for _ in range(SHORT):
        stage.submit(short)
    processes.worker("--processes", "1", "--threads", "2")
    wait_until(lambda: not Job.objects.exclude(status=Status.COMPLETED).exists(), PATIENCE, "the short jobs")
    holders = [stage.submit_recorded(long, f"long-{number}") for number in range(2)]
    for holder in holders:
        holder.wait_for("start", attempt=1)

    for _ in range(SHORT):
        stage.submit(short)
    since = verbs.now()
    wait_until(lambda: verbs.now() - since > dt.timedelta(seconds=3), PATIENCE, "time that the long jobs take")
    told = requeued()
    for holder in holders:
        holder.let_go()
    wait_until(lambda: not Job.objects.exclude(status=Status.COMPLETED).exists(), PATIENCE, "all jobs")

    # What was claimed before it was known how long the others take, and what was being claimed at that moment.
    assert told <= 3 * SHORT
