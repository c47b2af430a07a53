"""What many submissions share is found out once, and each job and each error is what it would be alone."""

from __future__ import annotations

from typing import Any

import pytest

from django_jobs import submit_job, submit_jobs
from django_jobs.exceptions import InvalidSubmission, JobTypeNotFound, OrganizationNotFound
from django_jobs.models import Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import reread
from tests.support.factories import make_job_type, make_organization, make_user

pytestmark = pytest.mark.usefixtures("broker")

#: What differs from one job to the next.
OWN = {"id", "created_at", "ready_at", "job_hash", "input_parameters"}


def work(kind: Any, organization: Any, number: int = 0) -> dict[str, Any]:
    return {"job_type": kind, "organization": organization, "parameters": {"number": number}}


def values_of(job: Job) -> dict[str, Any]:
    return {field.attname: getattr(job, field.attname) for field in Job._meta.concrete_fields}


def test_jobs_are_instances_that_hold_what_their_rows_hold(kind: JobType, organization: Organization) -> None:
    jobs = submit_jobs([work(kind, organization, number) for number in range(3)])
    assert [values_of(job) for job in jobs] == [values_of(reread(job)) for job in jobs]
    jobs[0].metadata["a"] = 1
    assert jobs[1].metadata == {}


def test_a_job_of_many_is_like_one_alone(kind: JobType, organization: Organization) -> None:
    user = make_user("ada", member_of=[organization])
    alone = values_of(reread(submit_job(kind, organization, {"number": 0}, user=user)))
    (job,) = submit_jobs([work(kind, organization, 1)], user=user)
    assert {name: value for name, value in values_of(reread(job)).items() if name not in OWN} == {
        name: value for name, value in alone.items() if name not in OWN
    }


@pytest.mark.parametrize("parameters", [{}, {"b": "é", "a": 1.0}, {"b": [{"d": 1, "c": 2}], "a": None}])
def test_each_job_has_the_hash_of_its_work(kind: JobType, organization: Organization, parameters: Any) -> None:
    item = {"job_type": kind, "organization": organization, "parameters": parameters, "deduplication_window": 0}
    hashes = {job.job_hash for job in (*submit_jobs([item, item]), submit_job(**item))}
    work = verbs.work_of(kind.type_name, organization.pk)
    assert hashes == {verbs.work_hash(work, parameters)}


def test_the_same_may_be_named_in_several_ways(kind: JobType, organization: Organization) -> None:
    stale = Organization.objects.get(pk=organization.pk)
    ways = [organization, organization.name, stale]
    jobs = submit_jobs([work(name, way, number) for number, way in enumerate(ways) for name in (kind, kind.pk)])
    assert {(job.job_type_id, job.organization_id) for job in jobs} == {(kind.pk, organization.pk)}


def test_each_item_that_names_what_is_missing_has_the_error(kind: JobType, organization: Organization) -> None:
    good, bad = work(kind, organization), work("no_such", organization)
    with pytest.raises(JobTypeNotFound) as caught:
        submit_jobs([bad, good, bad])
    assert caught.value.by_index[0] == caught.value.by_index[2]
    assert sorted(caught.value.by_index) == [0, 2]
    with pytest.raises(OrganizationNotFound) as unknown:
        submit_jobs([work(kind, "ORG-none"), work(kind, Organization(name="unsaved")), work(kind, {"a": []})])
    assert sorted(unknown.value.by_index) == [0, 1, 2]
    assert unknown.value.codes["0.organization"] == ["unknown_organization"]
    assert unknown.value.codes["2.organization"] == ["required"]
    assert "ORG-none" in unknown.value.errors["0.organization"][0]


def test_a_number_and_the_truth_are_not_taken_for_the_same_name(kind: JobType) -> None:
    organization = make_organization(name="1")
    assert len(submit_jobs([work(kind, 1), work(kind, "1")])) == 2
    with pytest.raises(InvalidSubmission) as caught:
        submit_jobs([work(kind, 1), work(kind, True), work(kind, organization)])
    assert list(caught.value.by_index) == [1]


def test_items_keep_their_own_windows_and_limits(organization: Organization) -> None:
    first, second = make_job_type(default_timeout=7), make_job_type(default_timeout=8, max_retries=2)
    items = [work(first, organization), work(second, organization), work(first, organization, 1)]
    items[2] |= {"timeout": 9, "max_retries": 1, "priority": "High"}
    stored = [reread(job) for job in submit_jobs(items)]
    assert [job.timeout_seconds for job in stored] == [7, 8, 9]
    assert [job.max_retries for job in stored] == [first.max_retries, 2, 1]
    assert [job.priority for job in stored] == [1, 1, 2]
