"""Each way of submitting writes the lane of a job's concurrency key, from the parameters as they are stored."""

from __future__ import annotations

import decimal
from typing import Any

import pytest

from django_jobs import create_batch, get_job_status, schedule_job, submit_for_each, submit_job, submit_jobs
from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.factories import make_job_type, make_organization

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def keyed() -> JobType:
    return make_job_type(concurrency_key="customer", deduplication_window=300)


def lane_of(customer: Any) -> int:
    return verbs.lane_key("customer", {"customer": customer})


def stored_lane(job: Job) -> int:
    return Job.objects.values_list("lane_key", flat=True).get(pk=job.pk)


def test_a_job_is_in_the_lane_of_its_value(keyed: JobType, organization: Organization) -> None:
    job = submit_job(keyed, organization, {"customer": 7, "n": 1})
    assert job.lane_key == stored_lane(job) == lane_of(7)


def test_a_type_without_a_key_writes_none(organization: Organization) -> None:
    assert stored_lane(submit_job(make_job_type(), organization, {"customer": 7})) == 0


def test_a_value_counts_as_it_is_stored(keyed: JobType, organization: Organization) -> None:
    job = submit_job(keyed, organization, {"customer": decimal.Decimal("7.50")})
    assert stored_lane(job) == lane_of("7.50")


def test_what_the_database_gives_back_is_in_the_same_lane(
    subtests: pytest.Subtests, keyed: JobType, organization: Organization
) -> None:
    for value in (1.0, 1e22, -0.0, 1e-7, 2**60, {"b": [1.0, None], "a": "é"}, "x" * 50_000, None, True):
        with subtests.test(value=str(value)[:20]):
            job = submit_job(keyed, organization, {"customer": value}, deduplication_window=0)
            stored = Job.objects.get(pk=job.pk)
            assert stored.lane_key == verbs.lane_key("customer", stored.input_parameters) == lane_of(value)


def test_a_job_without_the_parameter_runs_in_a_lane_with_the_others_that_lack_it(
    keyed: JobType, organization: Organization
) -> None:
    assert stored_lane(submit_job(keyed, organization, {"n": 1})) == lane_of(None)
    assert stored_lane(submit_job(keyed, organization)) == lane_of(None)


def test_many_at_once_have_each_its_own(keyed: JobType, organization: Organization) -> None:
    plain = make_job_type()
    items = [
        {"job_type": keyed, "organization": organization, "parameters": {"customer": n % 3, "n": n}} for n in range(6)
    ]
    jobs = submit_jobs([*items, {"job_type": plain, "organization": organization, "parameters": {"customer": 1}}])
    assert [stored_lane(job) for job in jobs] == [*map(lane_of, [0, 1, 2, 0, 1, 2]), 0]


def test_one_for_each_organization(keyed: JobType, organization: Organization) -> None:
    done = submit_for_each(keyed, [organization, make_organization()], {"customer": 7})
    assert [stored_lane(job) for job in done.submitted] == [lane_of(7)] * 2


def test_a_replaced_job_comes_into_the_lane_of_its_new_value(keyed: JobType, organization: Organization) -> None:
    values: dict[str, Any] = {"unique_key": "a", "on_duplicate": "replace"}
    job = submit_job(keyed, organization, {"customer": 7}, **values)
    again = submit_job(keyed, organization, {"customer": 8}, **values)
    assert (again.pk, stored_lane(job)) == (job.pk, lane_of(8))


def test_jobs_of_a_batch(keyed: JobType, organization: Organization) -> None:
    with create_batch(organization, then={"job_type": keyed, "parameters": {"customer": 9}}) as batch:
        job = batch.submit(keyed, {"customer": 7})
        (other,) = batch.submit_many([{"job_type": keyed, "parameters": {"customer": 8}}])
    assert [stored_lane(job), stored_lane(other)] == [lane_of(7), lane_of(8)]


def test_a_schedule_fires_into_the_lane(keyed: JobType, organization: Organization) -> None:
    verbs.fire_now(schedule_job("each day", keyed, organization, {"customer": 7}, cron="0 2 * * *"))
    assert stored_lane(Job.objects.get()) == lane_of(7)


def test_nobody_outside_is_told(keyed: JobType, organization: Organization) -> None:
    assert "lane_key" not in get_job_status(submit_job(keyed, organization).name).as_dict()
