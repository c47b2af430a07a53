"""What a store sums up of the Execution Log."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import pytest

from django_jobs.models import ExecutionLog, Job, JobType, Organization, Span
from tests.support import verbs
from tests.support.brokers import end, job_in, pending_job, raised, running_job, start
from tests.support.factories import make_organization
from tests.support.verbs import ActivityPlace, Store, Tally

pytestmark = pytest.mark.usefixtures("broker")

NOON = dt.datetime(2026, 5, 4, 12, 0, 30, tzinfo=dt.UTC)
LATER = NOON + dt.timedelta(minutes=1)


def ran_at(job: Job, *, waited: float, ran: float) -> None:
    """Move the job and its log: submitted at noon, started and ended after so many seconds."""
    started = NOON + dt.timedelta(seconds=waited)
    ended = started + dt.timedelta(seconds=ran)
    Job.objects.filter(pk=job.pk).update(created_at=NOON, run_at=None, started_at=started, completed_at=ended)
    moments = {"Running": started, "Completed": ended}
    for row in ExecutionLog.objects.filter(job_id=job.pk):
        ExecutionLog.objects.filter(pk=row.pk).update(timestamp=moments.get(row.to_status, NOON))


def place(job: Job, moment: dt.datetime) -> ActivityPlace:
    return ActivityPlace(
        int(Span.MINUTE), verbs.start_of_span(Span.MINUTE, moment), job.job_type_id, job.organization_id
    )


def test_times_and_ends_are_summed_up_by_minute(each_store: Store, kind: JobType, organization: Organization) -> None:
    jobs = [job_in("Completed", job_type=kind, organization=organization) for _ in range(2)]
    ran_at(jobs[0], waited=2, ran=60)
    ran_at(jobs[1], waited=4, ran=100)
    last = ExecutionLog.objects.order_by("-pk").values_list("pk", flat=True)[0]

    found = each_store.tally(0, last)

    noon = found[place(jobs[0], NOON)]
    assert (noon.organization_name, noon.submitted, noon.started, noon.completed) == (organization.name, 2, 2, 0)
    assert noon.wait_seconds == pytest.approx(6)
    assert noon.wait_histogram == {verbs.histogram_class(2): 1, verbs.histogram_class(4): 1}
    ended = {moment: found[place(jobs[0], moment)] for moment in (LATER, LATER + dt.timedelta(minutes=1))}
    assert [tally.completed for tally in ended.values()] == [1, 1]
    assert [tally.run_seconds for tally in ended.values()] == [pytest.approx(60), pytest.approx(100)]
    assert [tally.run_histogram for tally in ended.values()] == [
        {verbs.histogram_class(60): 1},
        {verbs.histogram_class(100): 1},
    ]
    assert len(found) == 3


def test_first_attempts_alone_waited_and_not_for_a_moment_that_was_asked_for_since(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    job = job_in("Completed", job_type=kind, organization=organization)
    ran_at(job, waited=2, ran=1)
    Job.objects.filter(pk=job.pk).update(run_at=LATER)
    again = ExecutionLog.objects.get(job_id=job.pk, to_status="Running")
    again.pk, again.attempt = None, 2
    again.save()
    noon = each_store.tally(0, 10**9)[place(job, NOON)]
    assert (noon.started, noon.wait_histogram) == (2, {verbs.histogram_class(2): 1})


def test_only_the_rows_that_are_asked_for_are_counted(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    for _ in range(3):
        pending_job(kind, organization)
    first, second, _ = ExecutionLog.objects.order_by("pk").values_list("pk", flat=True)
    (tally,) = each_store.tally(first, second).values()
    assert tally.submitted == 1
    assert each_store.tally(second, second) == {}


def test_organizations_and_types_are_counted_apart(each_store: Store, kind: JobType) -> None:
    jobs = [pending_job(kind, make_organization()), pending_job(kind, make_organization()), pending_job()]
    found = each_store.tally(0, 10**9)
    expected = {(job.organization_id, job.job_type_id) for job in jobs}
    assert {(key.organization, key.job_type) for key in found} == expected


def total(found: dict[ActivityPlace, Tally]) -> dict[str, int]:
    """The sums of all places, without what is 0."""
    names = ("submitted", "started", "completed", "failed", "died", "canceled")
    sums = {name: sum(getattr(tally, name) for tally in found.values()) for name in names}
    return {name: number for name, number in sums.items() if number}


def test_every_kind_of_end_is_counted(each_store: Store) -> None:
    for status in ("Failed", "Timed Out", "Canceled"):
        job_in(status)
    assert total(each_store.tally(0, 10**9)) == {"submitted": 3, "started": 2, "failed": 2, "canceled": 1}


def test_what_fails_for_good_at_once_failed_and_died(each_store: Store) -> None:
    end(raised(start(pending_job()), "Permanent"))
    assert total(each_store.tally(0, 10**9)) == {"submitted": 1, "started": 1, "failed": 1, "died": 1}


def test_attempts_are_counted_by_how_they_ended_and_measured_unless_they_were_requeued(each_store: Store) -> None:
    end(raised(start(pending_job()), "Permanent"))
    for status in ("Completed", "Failed", "Timed Out", "Canceled"):
        job_in(status)
    returned = running_job()[0]
    assert verbs.requeue_attempts([(returned.pk, 1)], "", returned.worker_name) == []
    started = NOON + dt.timedelta(seconds=2)
    Job.objects.exclude(pk=returned.pk).filter(started_at__isnull=False).update(
        started_at=started, completed_at=started + dt.timedelta(seconds=3)
    )
    ExecutionLog.objects.filter(from_status="Running").update(timestamp=started + dt.timedelta(seconds=3))
    found = each_store.tally(0, 10**9).values()
    ended = sum((tally.attempts for tally in found), Counter[str]())
    times = sum((Counter(tally.attempt_histogram) for tally in found), Counter[str]())
    assert ended == {"Completed": 1, "Failed": 1, "Timed Out": 1, "Dead Letter": 1, "Queued": 1}
    assert times == {verbs.histogram_class(3): 4}
    assert sum(tally.attempt_seconds for tally in found) == pytest.approx(12)


def test_an_attempt_whose_job_has_begun_another_one_is_not_measured(each_store: Store) -> None:
    failed = job_in("Failed", max_retries=1)
    Job.objects.filter(pk=failed.pk).update(attempt=2)
    (tally,) = each_store.tally(0, 10**9).values()
    assert (tally.attempts, tally.attempt_histogram) == ({"Failed": 1}, {})


def test_a_change_of_something_else_than_the_status_is_no_end(each_store: Store) -> None:
    failed = job_in("Failed", max_retries=1)
    assert verbs.perform_operation(verbs.OperationOrder("run_now", verbs.SYSTEM), [failed.pk]).changed == {failed.pk}
    assert total(each_store.tally(0, 10**9)) == {"submitted": 1, "started": 1, "failed": 1}


def test_deleted_jobs_are_passed_over(each_store: Store) -> None:
    Job.objects.filter(pk=pending_job().pk).delete()
    assert each_store.tally(0, 10**9) == {}
