"""An operation whose jobs change while it runs: each is done once or not at all, and the account adds up."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from django_jobs import cancel_job
from django_jobs.models import ExecutionLog, Job, JobType, Operation
from django_jobs.statuses import Status
from tests.support.brokers import end, pending_job, raised, reread, returned, start
from tests.support.factories import make_job_type, make_organization
from tests.support.operations import begin, dead, finish, work_off
from tests.support.operations import start as start_on
from tests.support.verbs import JobFilter

pytestmark = pytest.mark.usefixtures("broker")


def test_jobs_that_leave_the_filter_in_every_way_are_left_as_they_are(kind: JobType, system_admin: User) -> None:
    jobs = [pending_job(kind) for _ in range(6)]
    operation = start_on(
        JobFilter(status=("Pending",), job_type=(kind.pk,), priority=(1,)), system_admin, "cancel", rate=1
    )
    work_off()
    _first, runs, completed, urgent, other_type, gone = map(reread, jobs)
    start(runs)
    end(returned(start(completed)))
    Job.objects.filter(pk=urgent.pk).update(priority=3)
    Job.objects.filter(pk=other_type.pk).update(job_type=make_job_type())
    Job.objects.filter(pk=gone.pk).delete()
    done = finish(operation)
    assert (done.state, done.changed) == ("done", 1)
    assert done.refused == {"changed": 5}
    assert [reread(job).status for job in (runs, completed, urgent, other_type)] == [
        "Running",
        "Completed",
        "Pending",
        "Pending",
    ]


def test_what_comes_into_the_filter_meanwhile_is_done_once_where_it_was_submitted_before(
    kind: JobType, system_admin: User
) -> None:
    tenant = make_organization()
    (first,) = dead(kind, 1, tenant)
    lives = pending_job(kind, tenant)
    (last,) = dead(kind, 1, tenant)
    operation = begin(first, system_admin, rate=1)
    work_off()
    end(raised(start(lives), "Permanent", text=first.error_message))
    (newer,) = dead(kind, 1, tenant)
    done = finish(operation)
    assert (done.state, done.changed) == ("done", 3)
    rows = ExecutionLog.objects.filter(from_status=Status.DEAD_LETTER).order_by("job_id")
    assert list(rows.values_list("job_id", flat=True)) == [first.pk, lives.pk, last.pk]
    assert reread(newer).status == Status.DEAD_LETTER


def test_a_type_or_an_organization_that_goes_meanwhile_ends_it_in_peace(kind: JobType, system_admin: User) -> None:
    tenant = make_organization()
    jobs = dead(kind, 3, tenant)
    operation = begin(jobs[0], system_admin, rate=1)
    work_off()
    Job.objects.filter(pk__in=[job.pk for job in jobs]).delete()
    kind.delete()
    tenant.delete()
    done = finish(operation)
    assert (done.state, done.changed, done.refused) == ("done", 1, {"changed": 2})


def test_two_operations_of_different_actions_do_one_thing_to_each_job(kind: JobType, system_admin: User) -> None:
    jobs = [pending_job(kind) for _ in range(4)]
    named = JobFilter(status=("Pending",), job_type=(kind.pk,))
    cancel, hurry = (
        start_on(named, system_admin, "cancel", rate=60),
        start_on(named, system_admin, "set_priority", value="High"),
    )
    cancel_job(jobs[3], user=system_admin)
    finish(hurry)
    finish(cancel)
    found = [(reread(job).status, reread(job).priority) for job in jobs]
    assert [status for status, _priority in found] == ["Canceled"] * 4
    logs = ExecutionLog.objects.filter(to_status="Canceled").values_list("job_id", flat=True)
    assert sorted(logs) == [job.pk for job in jobs]
    rows = Operation.objects.filter(pk__in=[cancel.pk, hurry.pk])
    assert all(row.changed + row.refusals <= 4 for row in rows)
