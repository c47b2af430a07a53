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

FIRINGS = 3
EVERY = 2


def fires_on_time() -> bool:
    """Whether it fired so often, as a rule within a second of its moment."""
    fired = list(ScheduleFiring.objects.filter(outcome="submitted"))
    on_time = [item for item in fired if item.fired_at - item.due_at < dt.timedelta(seconds=1)]
    return len(on_time) >= max(FIRINGS, len(fired) / 2)


def test_a_schedule_fires_within_a_second_of_its_moment_and_its_jobs_run(processes: ProcessPool, stage: Stage) -> None:
    processes.worker("--processes", "1")
    wait_until(leader, PATIENCE, "a leader")
    schedule_job("often", make_job_type(), stage.organization, every=EVERY)
    done = Job.objects.filter(status=Status.COMPLETED, metadata__schedule="often")
    # A busy machine may be late now and then, and pass over a moment: other moments are met.
    wait_until(fires_on_time, 2 * PATIENCE, f"{FIRINGS} firings on time")
    wait_until(lambda: done.count() >= FIRINGS, PATIENCE, f"{FIRINGS} jobs of the schedule")
    fired = list(ScheduleFiring.objects.order_by("pk"))
    assert {item.outcome for item in fired} <= {"submitted", "skipped"}  # the last job may not have ended
    between = [later.due_at - item.due_at for item, later in itertools.pairwise(fired)]
    assert {pause % dt.timedelta(seconds=EVERY) for pause in between} == {dt.timedelta()}
    assert min(between) == dt.timedelta(seconds=EVERY)
    assert min(item.fired_at - item.due_at for item in fired) >= dt.timedelta()
