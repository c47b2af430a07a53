"""A schedule, a scheduler and a worker, for real: it fires on time, and its job runs."""

from __future__ import annotations

import datetime as dt
import itertools

from django_jobs import schedule_job
from django_jobs.models import Job, ScheduleFiring
from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage
from tests.acceptance.test_schedulers import leader
from tests.support.factories import make_job_type
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

FIRINGS = 4


def test_a_schedule_fires_within_a_second_of_its_moment_and_its_jobs_run(processes: ProcessPool, stage: Stage) -> None:
    processes.worker("--processes", "1")
    wait_until(leader, PATIENCE, "a leader")
    schedule_job("often", make_job_type(), stage.organization, every=2)
    done = Job.objects.filter(status=Status.COMPLETED, metadata__schedule="often")
    wait_until(lambda: done.count() >= FIRINGS, PATIENCE, f"{FIRINGS} jobs of the schedule")
    fired = list(ScheduleFiring.objects.order_by("pk")[:FIRINGS])
    assert {item.outcome for item in fired} == {"submitted"}
    assert [later.due_at - item.due_at for item, later in itertools.pairwise(fired)] == [dt.timedelta(seconds=2)] * (
        FIRINGS - 1
    )
    late = sorted((item.fired_at - item.due_at).total_seconds() for item in fired)
    assert late[0] >= 0
    assert late[len(late) // 2] < 1  # the machine may be busy once
