"""One object that names a set of jobs: stored, told in words, and turned into a query."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import Any, Final

import pytest

from django_jobs.exceptions import InvalidFilter
from django_jobs.models import Job, JobType, Organization
from tests.support.brokers import WORKER, job_in, pending_job, running_job
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.verbs import FILTER_TERMS, JobFilter

pytestmark = pytest.mark.usefixtures("broker")

MOMENT: Final = dt.datetime(2026, 1, 5, 9, tzinfo=dt.UTC)


@pytest.fixture
def mine() -> Organization:
    return make_organization(name="ORG-MINE")


@pytest.fixture
def mails() -> JobType:
    return make_job_type(type_name="mails")


def test_what_is_stored_is_read_again(mine: Organization) -> None:
    filters = JobFilter(
        status=("Dead Letter", "Failed"),
        job_type=("mails",),
        organization=(mine.pk,),
        priority=(2,),
        owner="alice",
        job_id=((7, 2026),),
        batch=(3, 2026),
        created_after=MOMENT,
        created_before=MOMENT + dt.timedelta(days=1),
        error_fingerprint="",
        error="refused",
        has_error=True,
        pool="gpu",
        worker="w-1",
        operation=4,
        parameters=((("customer", "id"), "17"),),
    )
    assert JobFilter.from_json(filters.as_json()) == filters


def test_a_filter_that_finds_nothing_stays_one(mails: JobType) -> None:
    pending_job(job_type=mails)
    stored = JobFilter.from_json(JobFilter(job_id=()).as_json())
    assert not stored.queryset().exists()


def test_an_error_that_begins_with_a_line_break_is_one(mails: JobType) -> None:
    job = job_in("Dead Letter", job_type=mails)
    Job.objects.filter(pk=job.pk).update(error_message="\nno such host")
    assert [job.pk for job in JobFilter(has_error=True).queryset()] == [job.pk]
    assert not JobFilter(has_error=False).queryset().exists()


def test_what_another_release_stored_is_refused_and_not_left_out() -> None:
    with pytest.raises(InvalidFilter):
        JobFilter.from_json({"status": ["Failed"], "moon": "full"})


@pytest.mark.parametrize(
    "filters",
    [
        JobFilter(error=" "),
        JobFilter(error=" timeout "),
        JobFilter(error="x" * 300),
        JobFilter(error_fingerprint=" "),
        JobFilter(parameters=((("a",), "1"), (("a",), '"1"'), (("b", "c"), " x:y "), (("d",), ""))),
    ],
    ids=["blank", "blanks", "long", "fingerprint", "parameters"],
)
def test_what_is_stored_is_read_again_to_the_letter(filters: JobFilter) -> None:
    assert JobFilter.from_json(filters.as_json()) == filters


@pytest.mark.parametrize("stored", [{"owner": ""}, {"owner": None}, {"all": False}, {"status": [""]}], ids=str)
def test_a_stored_value_that_asks_for_nothing_is_refused(stored: dict[str, Any]) -> None:
    with pytest.raises(InvalidFilter):
        JobFilter.from_json({"job_type": ["mails"], **stored})


def test_where_the_policy_decides_job_by_job_only_system_admins_filter_by_parameters(
    mine: Organization, mails: JobType, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "ACCESS_POLICY": "tests.support.policies.OwnJobsOnly"}
    pending_job(job_type=mails, organization=mine, parameters={"n": 17})
    filters = JobFilter(parameters=((("n",), "17"),))
    assert not filters.queryset(make_user(admin_of=[mine])).exists()
    assert filters.queryset(make_system_admin("root")).exists()
    assert filters.queryset().exists()


def test_only_jobs_that_the_user_may_see_are_found(mine: Organization, mails: JobType) -> None:
    own, _foreign = pending_job(job_type=mails, organization=mine), pending_job(job_type=mails)
    member = make_user(member_of=[mine])
    assert list(JobFilter(job_type=("mails",)).queryset(member)) == [own]
    assert list(JobFilter(all=True).queryset(member)) == [own]


def test_a_parameter_whose_values_are_hidden_finds_nothing(mine: Organization, mails: JobType, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("token",)}
    pending_job(job_type=mails, organization=mine, parameters={"token": "abc", "Token": "abc", "n": 17})
    member = make_user(member_of=[mine])
    for name in ("token", "Token"):
        assert not JobFilter.read({"parameters": f"{name}:abc"}, member).queryset(member).exists()
        assert JobFilter.read({"parameters": f"{name}:abc"}).queryset().exists()
    assert JobFilter.read({"parameters": {"n": 17}}, member).queryset(member).exists()


def test_system_admins_alone_find_jobs_by_the_names_of_workers(mine: Organization) -> None:
    running_job(organization=mine)
    for user, found in ((make_user(admin_of=[mine]), False), (make_system_admin(), True), (None, True)):
        assert JobFilter.read({"worker": WORKER}, user).queryset(user).exists() == found


def test_an_object_with_a_hidden_value_cannot_be_guessed_as_a_whole(
    mine: Organization, mails: JobType, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SENSITIVE_PARAMETERS": ("token",)}
    held = {"Token": "abc"}
    pending_job(job_type=mails, organization=mine, parameters={"login": held, "all": [held], "title": "[draft] {x}"})
    member = make_user(member_of=[mine])
    for name, value in (("login", held), ("all", [held])):
        for text in (json.dumps(value), json.dumps(value, separators=(",", ":"))):
            for typed in (text, f'"{text}"'):
                assert not JobFilter.read({"parameters": {name: typed}}, member).queryset(member).exists()
    assert JobFilter.read({"parameters": {"title": "[draft] {x}"}}, member).queryset(member).exists()


def test_two_filters_name_what_both_name(mails: JobType) -> None:
    both = JobFilter(status=("Failed", "Pending")).both(JobFilter(status=("Pending",), owner="a"))
    assert (both.status, both.owner) == (("Pending",), "a")
    assert JobFilter(owner="a").both(JobFilter(owner="b")).job_id == ()


def test_each_field_says_what_it_asks_for() -> None:
    assert [field.name for field in dataclasses.fields(JobFilter)] == list(FILTER_TERMS)


def test_many_values_are_told_in_short(mails: JobType) -> None:
    assert JobFilter(job_type=tuple("abcdefgh")).words() == [("type", "a, b, c, d, e and 3 more")]
