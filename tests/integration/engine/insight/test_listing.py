"""Pages of jobs: newest first, filtered, scoped, by a constant number of statements."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from django_jobs import get_job_status, list_jobs
from django_jobs.exceptions import JobNotFound
from django_jobs.models import Job, Organization
from tests.support import verbs
from tests.support.brokers import end, job_in, pending_job, returned, running_job
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.refusals import refused
from tests.support.tuning import Tuning

pytestmark = pytest.mark.usefixtures("broker")


def names(**filters: Any) -> list[str]:
    return [status.job_id for status in list_jobs(**filters)]


def test_without_filters_all_jobs_are_listed_newest_first() -> None:
    jobs = [pending_job() for _ in range(3)]
    assert names() == [job.name for job in reversed(jobs)]


def test_a_page_holds_twenty_jobs() -> None:
    kind, organization = make_job_type(), make_organization()
    for _ in range(21):
        pending_job(kind, organization)
    assert len(list_jobs()) == 20


def test_pages_follow_each_other() -> None:
    jobs = [pending_job() for _ in range(5)]
    assert names(limit=2) + names(limit=2, offset=2) + names(limit=2, offset=4) == [job.name for job in reversed(jobs)]


def test_behind_the_last_page_there_is_nothing() -> None:
    pending_job()
    assert list_jobs(offset=1) == []


def test_one_organization_by_its_id_or_itself() -> None:
    pending_job()
    job = pending_job()
    assert names(organization=job.organization_name) == [job.name]
    assert names(organization=job.organization) == [job.name]


@pytest.mark.parametrize("organization", ["ORG-1999-00001", "", 7, "\x00", "\ud800", Organization(name="unsaved")])
def test_an_unknown_organization_is_not_found(organization: Any) -> None:
    with pytest.raises(JobNotFound):
        list_jobs(organization)


def test_one_status_or_several() -> None:
    pending, completed, _ = job_in("Pending"), job_in("Completed"), job_in("Running")
    assert names(status="Pending") == [pending.name]
    assert names(status=["Completed", "Pending"]) == [completed.name, pending.name]
    assert names(status=[]) == []


def test_one_type_or_several_by_name_or_themselves() -> None:
    first, second, _ = pending_job(), pending_job(), pending_job()
    assert names(job_type=first.job_type_id) == [first.name]
    assert names(job_type=[first.job_type, second.job_type_id]) == [second.name, first.name]


@pytest.mark.parametrize("kind", ["no_such_type", "", "\x00", "\ud800"])
def test_of_an_unknown_type_there_are_none(kind: str) -> None:
    job = pending_job()
    assert names(job_type=kind) == []
    assert names(job_type=[kind, job.job_type]) == [job.name]


@pytest.mark.parametrize("status", ["completed", "Done", "", 3])
def test_an_unknown_status_is_named(status: Any) -> None:
    with refused(ValueError, "not_a_status"):
        list_jobs(status=[status])


def test_a_page_out_of_range_is_refused(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, Any]] = [
        ("limit", 0),
        ("limit", -1),
        ("limit", 1001),
        ("limit", "5"),
        ("limit", True),
        ("results", True),
        ("offset", -1),
        ("offset", 10_001),
    ]
    for field, value in cases:
        with subtests.test(field=field, value=value), refused(ValueError, "out_of_range"):
            list_jobs(**{"limit": 21, field: value})


def test_a_user_sees_the_jobs_of_the_own_organizations() -> None:
    organization = make_organization()
    pending_job()
    job = pending_job(organization=organization)
    user = make_user(member_of=[organization])
    assert names(user=user) == names(user=user, organization=organization.name) == [job.name]


def test_a_user_of_no_organization_sees_nothing() -> None:
    pending_job()
    assert names(user=make_user()) == []


def test_another_organization_is_not_found() -> None:
    job = pending_job()
    with pytest.raises(JobNotFound):
        list_jobs(job.organization_name, user=make_user(member_of=[make_organization()]))


def test_a_system_admin_sees_everything() -> None:
    jobs = [pending_job(), pending_job()]
    admin = make_system_admin()
    assert names(user=admin) == [job.name for job in reversed(jobs)]
    assert names(user=admin, organization=jobs[0].organization_name) == [jobs[0].name]


def test_an_entry_is_the_jobs_status() -> None:
    organization = make_organization()
    kind = make_job_type()
    parents = [pending_job(kind, organization) for _ in range(2)]
    pending_job(kind, organization, depends_on=parents)
    _, claimed = running_job(organization=organization)
    end(returned(claimed, {"rows": 3}, "a.pdf"))
    pending_job(run_at=verbs.now() + dt.timedelta(hours=1))
    listed = list_jobs()
    assert listed == [replace(get_job_status(status.job_id), result=None) for status in listed]
    assert list_jobs(results=True) == [get_job_status(status.job_id) for status in listed]
    assert [status.waiting_for for status in listed] == ["run_at", None, "dependency", "window", "window"]
    assert listed[2].depends_on == [job.name for job in parents]


@pytest.mark.parametrize(("jobs", "counted"), [(1, (1, False)), (2, (2, False)), (3, (2, True))])
def test_counting_ends_at_a_cap(jobs: int, counted: tuple[int, bool], tuning: Tuning) -> None:
    tuning.set(capped_count_rows=2)
    kind, organization = make_job_type(), make_organization()
    for _ in range(jobs):
        pending_job(kind, organization)
    assert verbs.capped_count(Job.objects.all()) == verbs.capped_count(Job.objects.order_by("created_at")) == counted


MOMENT = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@pytest.fixture
def hourly(tuning: Tuning) -> list[Job]:
    """Jobs submitted one hour after the other from MOMENT, looked for as closely as can be."""
    tuning.set(listing_near_jobs=1)
    kind, organization = make_job_type(), make_organization()
    jobs = [pending_job(kind, organization) for _ in range(12)]
    for hours, job in enumerate(jobs):
        Job.objects.filter(pk=job.pk).update(created_at=MOMENT + dt.timedelta(hours=hours))
    return jobs


def created(after: float | None = None, before: float | None = None) -> list[Job]:
    """The jobs that were submitted between so many hours after MOMENT."""
    ends = [None if hours is None else MOMENT + dt.timedelta(hours=hours) for hours in (after, before)]
    return list(verbs.created_between(Job.objects.order_by("pk"), *ends))


def test_jobs_are_found_by_when_they_were_submitted(subtests: pytest.Subtests, hourly: list[Job]) -> None:
    cases: list[tuple[float | None, float | None, slice]] = [
        (None, None, slice(None)),
        (3, None, slice(3, None)),
        (3.1, None, slice(4, None)),
        (None, 3, slice(0, 3)),
        (None, 3.1, slice(0, 4)),
        (2, 5, slice(2, 5)),
        (11, None, slice(11, None)),
        (11.5, None, slice(0, 0)),
        (-1, None, slice(None)),
        (None, -1, slice(0, 0)),
        (None, 0, slice(0, 0)),
        (None, 99, slice(None)),
        (5, 2, slice(0, 0)),
    ]
    for after, before, found in cases:
        with subtests.test(after=after, before=before, found=found):
            assert created(after, before) == hourly[found]


def test_jobs_that_are_gone_are_no_obstacle(hourly: list[Job]) -> None:
    Job.objects.filter(pk__in=[job.pk for job in hourly[2:9]]).delete()
    assert created(3, 10) == hourly[9:10]


def test_uneven_times_are_no_obstacle(hourly: list[Job]) -> None:
    Job.objects.filter(pk=hourly[0].pk).update(created_at=MOMENT - dt.timedelta(days=3650))
    assert created(2, 5) == hourly[2:5]


def test_ids_and_times_may_be_a_little_out_of_step(hourly: list[Job]) -> None:
    first, second = hourly[4:6]
    Job.objects.filter(pk=first.pk).update(created_at=MOMENT + dt.timedelta(hours=5, seconds=30))
    Job.objects.filter(pk=second.pk).update(created_at=MOMENT + dt.timedelta(hours=5, seconds=20))
    assert created(5, 5.005) == []
    assert created(5 + 25 / 3600, 5.5) == [first]
    assert created(4.5, 5 + 25 / 3600) == [second]


def test_without_jobs_none_was_submitted() -> None:
    assert created(0, 1) == []
