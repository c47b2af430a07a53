"""Counts and times: of what is asked about, and of what the asker may see."""

from __future__ import annotations

import pytest

from django_jobs import get_job_metrics
from django_jobs.exceptions import JobNotFound
from tests.support import verbs
from tests.support.brokers import job_in
from tests.support.factories import make_organization, make_system_admin, make_user

pytestmark = pytest.mark.usefixtures("broker")


@pytest.mark.usefixtures("alone")
def test_one_organization_by_its_id_or_itself() -> None:
    job_in("Completed")
    job = job_in("Completed")
    verbs.catch_up_rollups()
    for organization in (job.organization, job.organization_name):
        found = get_job_metrics(organization)
        assert found["job_count_by_status"]["Completed"] == 1
        assert list(found["failure_rate_by_type"]) == [job.job_type_id]


def test_an_organization_without_jobs_has_none() -> None:
    job_in("Pending")
    job_in("Queued")
    job_in("Completed")
    found = get_job_metrics(make_organization())
    assert set(found["job_count_by_status"].values()) == set(found["queue_depth_by_priority"].values()) == {0}


def test_an_unknown_organization_is_not_found() -> None:
    with pytest.raises(JobNotFound):
        get_job_metrics("ORG-1999-00001")


def test_a_user_is_told_of_the_own_organizations() -> None:
    organization = make_organization()
    for status in ("Pending", "Queued", "Completed"):
        job_in(status)
        job_in(status, organization=organization)
    user = make_user(member_of=[organization])
    for found in (get_job_metrics(user=user), get_job_metrics(organization, user=user)):
        assert sum(found["job_count_by_status"].values()) == 3
        assert found["queue_depth_by_priority"]["Normal"] == 2


def test_a_user_of_no_organization_is_told_of_nothing() -> None:
    job_in("Completed")
    assert sum(get_job_metrics(user=make_user())["job_count_by_status"].values()) == 0


def test_another_organization_is_not_found() -> None:
    job = job_in("Completed")
    with pytest.raises(JobNotFound):
        get_job_metrics(job.organization, user=make_user(member_of=[make_organization()]))


def test_a_system_admin_is_told_everything() -> None:
    jobs = [job_in("Completed"), job_in("Completed")]
    admin = make_system_admin()
    assert get_job_metrics(user=admin)["job_count_by_status"]["Completed"] == 2
    assert get_job_metrics(jobs[0].organization, user=admin)["job_count_by_status"]["Completed"] == 1
