"""The activity rows: what they say of each minute, hour and day, of each type and organization."""

from __future__ import annotations

import datetime as dt

import pytest

from django_jobs import get_job_metrics, retry_job
from django_jobs.models import ExecutionLog, Job, OrganizationActivity, Span, TypeActivity
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.activity import MOMENT, at, counts, of_organization, of_type, roll_up
from tests.support.brokers import end, job_in, pending_job, raised, reread, returned, running_job, start
from tests.support.deletions import delete_jobs
from tests.support.factories import make_job_type, make_organization
from tests.support.families import kill
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker", "alone")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.PENDING, {"submitted": 1}),
        (Status.QUEUED, {"submitted": 1}),
        (Status.RUNNING, {"submitted": 1, "started": 1}),
        (Status.COMPLETED, {"submitted": 1, "started": 1, "completed": 1}),
        (Status.FAILED, {"submitted": 1, "started": 1, "failed": 1}),
        (Status.TIMED_OUT, {"submitted": 1, "started": 1, "failed": 1}),
        (Status.DEAD_LETTER, {"submitted": 1, "started": 1, "failed": 1, "died": 1}),
        (Status.CANCELED, {"submitted": 1, "canceled": 1}),
    ],
)
def test_every_move_is_counted_for_type_and_organization(status: str, expected: dict[str, int]) -> None:
    job = job_in(status)
    at(MOMENT)
    roll_up()
    assert counts(of_type(job)) == counts(of_organization(job)) == expected


@pytest.mark.parametrize(
    ("span", "starts_at"),
    [
        (Span.MINUTE, dt.datetime(2026, 3, 4, 5, 6, tzinfo=dt.UTC)),
        (Span.HOUR, dt.datetime(2026, 3, 4, 5, tzinfo=dt.UTC)),
        (Span.DAY, dt.datetime(2026, 3, 4, tzinfo=dt.UTC)),
    ],
)
def test_it_counts_in_the_minute_the_hour_and_the_day_in_which_it_happened(span: Span, starts_at: dt.datetime) -> None:
    job = pending_job()
    at(MOMENT)
    roll_up()
    assert of_type(job, span).starts_at == of_organization(job, span).starts_at == starts_at


def test_minutes_of_one_hour_are_apart_in_minutes_and_together_in_hours() -> None:
    job = job_in("Completed")
    at(MOMENT)
    at(MOMENT + dt.timedelta(minutes=2), to_status="Completed")
    roll_up()
    minutes = TypeActivity.objects.filter(span=Span.MINUTE).order_by("starts_at")
    assert [counts(row) for row in minutes] == [{"submitted": 1, "started": 1}, {"completed": 1}]
    assert counts(of_type(job, Span.HOUR)) == {"submitted": 1, "started": 1, "completed": 1}


def test_what_is_counted_later_is_added_to_what_is_stored() -> None:
    job, claimed = running_job()
    at(MOMENT)
    roll_up()
    end(returned(claimed))
    pending_job(job.job_type, job.organization)
    at(MOMENT)
    roll_up()
    assert counts(of_organization(job)) == counts(of_type(job)) == {"submitted": 2, "started": 1, "completed": 1}
    assert sum(of_type(job).wait_histogram.values()) == sum(of_type(job).run_histogram.values()) == 1


def test_types_and_organizations_are_told_apart() -> None:
    kind, organization = make_job_type(), make_organization()
    other, elsewhere = make_job_type(), make_organization()
    for job_type, tenant in [(kind, organization), (kind, elsewhere), (other, elsewhere)]:
        pending_job(job_type, tenant)
    at(MOMENT)
    roll_up()
    types = TypeActivity.objects.filter(span=Span.MINUTE)
    assert dict(types.values_list("job_type", "submitted")) == {kind.pk: 2, other.pk: 1}
    rows = OrganizationActivity.objects.filter(span=Span.MINUTE)
    assert set(rows.values_list("organization_name", "job_type", "submitted")) == {
        (organization.name, kind.pk, 1),
        (elsewhere.name, kind.pk, 1),
        (elsewhere.name, other.pk, 1),
    }


def test_an_organization_that_changed_its_id_stays_one() -> None:
    job = pending_job()
    renamed = pending_job(job.job_type, job.organization)
    Job.objects.filter(pk=renamed.pk).update(organization_name="ORG-new")
    at(MOMENT)
    roll_up()
    assert of_organization(job).submitted == 2


def test_run_times_are_summed_up_and_classed() -> None:
    job = job_in("Completed")
    Job.objects.update(started_at=MOMENT - dt.timedelta(seconds=10), completed_at=MOMENT)
    at(MOMENT)
    roll_up()
    assert (of_type(job).run_seconds, of_type(job).run_histogram) == (10.0, {"10": 1})


def test_a_first_attempt_waited_since_its_submission() -> None:
    job = job_in("Running")
    Job.objects.update(created_at=MOMENT - dt.timedelta(seconds=100))
    at(MOMENT)
    roll_up()
    assert (of_type(job).wait_seconds, of_type(job).wait_histogram) == (100.0, {"20": 1})


def test_a_job_that_is_to_run_later_does_not_wait_before() -> None:
    job = job_in("Running")
    Job.objects.update(created_at=MOMENT - dt.timedelta(days=1), run_at=MOMENT - dt.timedelta(seconds=10))
    at(MOMENT)
    roll_up()
    assert of_type(job).wait_seconds == 10.0


def test_a_job_that_asked_to_run_later_had_waited_since_its_submission() -> None:
    job = job_in("Running")
    Job.objects.update(created_at=MOMENT - dt.timedelta(seconds=5), run_at=MOMENT + dt.timedelta(hours=1))
    at(MOMENT)
    roll_up()
    assert of_type(job).wait_seconds == 5.0


def test_a_child_does_not_wait_before_its_parent_has_completed() -> None:
    parent, claimed = running_job()
    child = pending_job(parent.job_type, parent.organization, depends_on=parent)
    end(returned(claimed))
    start(reread(child))
    Job.objects.filter(pk=parent.pk).update(completed_at=MOMENT - dt.timedelta(seconds=3))
    Job.objects.update(created_at=MOMENT - dt.timedelta(hours=1))
    ExecutionLog.objects.filter(job=parent, to_status="Running").delete()
    at(MOMENT)
    roll_up()
    assert (of_type(child).wait_seconds, of_type(child).started) == (3.0, 1)


def test_an_attempt_fails_once_also_where_no_retry_is_left() -> None:
    job = end(raised(start(pending_job(make_job_type(max_retries=0)))))
    at(MOMENT)
    roll_up()
    assert reread(job).status == Status.DEAD_LETTER
    assert counts(of_type(job)) == {"submitted": 1, "started": 1, "failed": 1, "died": 1}


def test_what_dies_before_it_ran_is_no_failed_attempt() -> None:
    parent = pending_job()
    child = pending_job(make_job_type(), parent.organization, depends_on=parent)
    kill(parent)
    verbs.follow_up()
    at(MOMENT)
    roll_up()
    assert counts(of_type(child)) == {"submitted": 1, "died": 1}


def test_a_later_attempt_has_not_waited_since_the_submission() -> None:
    job = job_in("Dead Letter")
    start(retry_job(job))
    at(MOMENT)
    roll_up()
    assert (of_type(job).started, sum(of_type(job).wait_histogram.values())) == (2, 1)


def test_activity_outlives_its_jobs() -> None:
    job = job_in("Completed")
    at(MOMENT)
    roll_up()
    delete_jobs([job.pk])
    pending_job()
    roll_up()
    assert TypeActivity.objects.filter(span=Span.DAY, job_type=job.job_type_id).get().completed == 1


def test_metrics_of_many_jobs_say_what_those_of_few_say(tuning: Tuning) -> None:
    kind, organization = make_job_type(), make_organization()
    for status in ("Completed", "Completed", "Dead Letter", "Canceled"):
        job_in(status, job_type=kind, organization=organization)
    roll_up()
    exact = get_job_metrics(organization)
    tuning.set(metrics_counted_jobs=2)
    estimated = get_job_metrics(organization)
    for found in (exact, estimated):
        del found["timestamp"], found["throughput_per_minute"]
    assert estimated == exact


def test_erasing_an_organization_erases_its_activity() -> None:
    kind, organization = make_job_type(), make_organization()
    pending_job(kind, make_organization())
    job_in("Completed", job_type=kind, organization=organization)
    at(MOMENT)
    roll_up()
    verbs.erase_jobs(organization.pk)
    verbs.erase_jobs(organization.pk)
    assert not OrganizationActivity.objects.filter(organization=organization).exists()
    assert OrganizationActivity.objects.filter(span=Span.DAY).count() == 1
    assert TypeActivity.objects.get(span=Span.DAY).submitted == 2


def test_pruning_an_organizations_older_jobs_leaves_its_activity() -> None:
    job = job_in("Completed")
    at(MOMENT)
    roll_up()
    verbs.erase_jobs(job.organization_id, MOMENT - dt.timedelta(days=1))
    assert of_organization(job, Span.DAY).completed == 1


def test_rows_say_what_they_are_about() -> None:
    job = pending_job()
    at(MOMENT)
    roll_up()
    for row, names in (
        (of_type(job), [job.job_type_id]),
        (of_organization(job), [job.organization_name, job.job_type_id]),
    ):
        assert all(part in str(row) for part in ("2026-03-04 05:06", *names))
