"""What waits for its moment: in no lane that is walked until somebody sees that the moment has come."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_jobs import retry_job
from django_jobs.models import EngineLease, Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import MemoryBroker, end, job_in, pending_job, raised, reread, returned, running_job
from tests.support.factories import make_organization
from tests.support.tuning import Tuning
from tests.support.verbs import LaneWalk, Scheduler, outcomes

NORMAL = 1
HOUR = dt.timedelta(hours=1)


def later(**fields: Any) -> Job:
    """A job that is to run in an hour."""
    return reread(pending_job(run_at=verbs.now() + HOUR, **fields))


def make_due(*jobs: Job) -> None:
    """Let the hour be over."""
    rows = Job.objects.filter(pk__in=[job.pk for job in jobs])
    rows.update(ready_at=verbs.now() - dt.timedelta(seconds=1))


def test_a_job_with_a_moment_to_come_is_in_no_lane(broker: MemoryBroker) -> None:
    job = later()
    assert (job.is_delayed, job.ready_at) == (True, job.run_at)
    assert verbs.store().lanes(LaneWalk(NORMAL, (job.job_type_id,)), 10) == []
    assert verbs.store().waiting_priorities([NORMAL]) == []
    assert not reread(pending_job()).is_delayed


def test_moves_say_whether_a_job_waits_for_its_moment(broker: MemoryBroker) -> None:
    failed, postponed, given_up = (running_job()[1] for _ in range(3))
    end(raised(failed))
    end(outcomes.Postponed(claimed=postponed, delay=60, text="later"))
    end(raised(given_up, "Permanent"))
    withdrawn, at_once = job_in("Queued"), job_in("Queued")
    verbs.unqueue([withdrawn.pk], "not now", delay=60)
    verbs.unqueue([at_once.pk], "again")
    retry_job(Job.objects.get(pk=given_up.pk))
    delayed = Job.objects.filter(is_delayed=True).values_list("pk", flat=True)
    assert set(delayed) == {failed.pk, postponed.pk, withdrawn.pk}


def test_a_child_that_is_free_before_its_moment_waits_for_that(broker: MemoryBroker) -> None:
    parent, claimed = running_job()
    child = later(organization=parent.organization, depends_on=[parent])
    assert (child.ready_at, child.is_delayed) == (None, False)
    end(returned(claimed))
    verbs.follow_up()
    assert (reread(child).ready_at, reread(child).is_delayed) == (child.run_at, True)


def test_the_scheduler_brings_what_is_due_and_dispatches_it(broker: MemoryBroker) -> None:
    due, not_due = later(), later()
    make_due(due)
    assert Scheduler("one").tick()["dispatch"] == 1
    assert (reread(due).status, reread(due).is_delayed) == ("Queued", False)
    assert (reread(not_due).status, reread(not_due).is_delayed) == ("Pending", True)


def test_more_than_one_set_is_brought_at_once(broker: MemoryBroker, tuning: Tuning) -> None:
    tuning.set(delayed_jobs_at_once=2)
    jobs = [later() for _ in range(5)]
    make_due(*jobs[1:])
    assert verbs.bring_due() == 4
    assert verbs.bring_due() == 0


def test_what_lies_in_a_lane_goes_no_sooner_than_at_its_moment(broker: MemoryBroker) -> None:
    job = later()
    Job.objects.filter(pk=job.pk).update(is_delayed=False)
    assert verbs.wake() == 0
    make_due(job)
    assert verbs.wake() == 1


def test_a_new_job_goes_the_short_way_past_jobs_that_wait_for_their_moment(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    later(job_type=kind, organization=organization)
    job = pending_job(kind, make_organization())
    with CaptureQueriesContext(connection) as queries:
        assert verbs.dispatch_new(job) == 1
    assert not any(EngineLease._meta.db_table in query["sql"] for query in queries)
