"""What cannot be waited for."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from django_jobs import cancel_job, submit_job
from django_jobs.exceptions import InvalidSubmission
from django_jobs.models import Job, JobDependency, JobType, Organization
from tests.support.factories import make_organization
from tests.support.families import Submitter, kill

pytestmark = pytest.mark.usefixtures("nothing_is_dispatched")


def errors_of(*args: Any, **kwargs: Any) -> list[str]:
    """What a refused submission says of its parents, and nothing else."""
    with pytest.raises(InvalidSubmission) as caught:
        submit_job(*args, **kwargs)
    assert set(caught.value.errors) == {"depends_on"}
    return caught.value.errors["depends_on"]


def test_an_unknown_parent_is_refused(kind: JobType, organization: Organization) -> None:
    assert errors_of(kind, organization, depends_on="JOB-2026-99999") == [
        "There is no job JOB-2026-99999 in this organization."
    ]


def test_a_parent_of_another_year_is_unknown(submit: Submitter, kind: JobType, organization: Organization) -> None:
    name = f"JOB-1999-{submit().pk:05d}"
    assert errors_of(kind, organization, depends_on=name) == [f"There is no job {name} in this organization."]


def test_another_organizations_job_is_refused_like_an_unknown_one(kind: JobType, organization: Organization) -> None:
    other = submit_job(kind, make_organization())
    assert errors_of(kind, organization, depends_on=other) == [f"There is no job {other.name} in this organization."]


@pytest.mark.parametrize(("ended", "word"), [(kill, "Dead Letter"), (cancel_job, "Canceled")])
def test_a_parent_that_has_ended_without_completing_is_refused(
    submit: Submitter, kind: JobType, organization: Organization, ended: Any, word: str
) -> None:
    parent = submit()
    ended(parent)
    (text,) = errors_of(kind, organization, depends_on=parent)
    hope = {"Canceled": "", "Dead Letter": " unless somebody retries it"}[word]
    assert text == f"{parent.name} has ended as {word}: it will not complete{hope}."


def test_what_is_no_job_id_is_refused(subtests: pytest.Subtests, kind: JobType, organization: Organization) -> None:
    cases: list[Any] = [
        7,
        True,
        "7",
        "JOB-2026-1",
        "JOB-2026-00001-1",
        "job-2026-00001",
        b"JOB-2026-00001",
        {"a": 1},
        object,
        Job(pk=7),
    ]
    for bad in cases:
        with subtests.test(bad=bad):
            (text,) = errors_of(kind, organization, depends_on=bad)
            assert "is not a job id such as JOB-2026-00001" in text


def test_all_that_is_wrong_with_a_list_is_said(submit: Submitter, kind: JobType, organization: Organization) -> None:
    canceled = cancel_job(submit())
    texts = errors_of(kind, organization, depends_on=[submit(), 7, "JOB-2026-99999", None, canceled])
    assert len(texts) == 4


def test_too_many_parents_are_refused(kind: JobType, organization: Organization) -> None:
    names = [f"JOB-2026-{number:05d}" for number in range(1, 10_002)]
    assert errors_of(kind, organization, depends_on=names) == ["At most 10000 jobs can be waited for."]


def test_a_refused_parent_leaves_the_callers_transaction_usable(
    submit: Submitter, kind: JobType, organization: Organization
) -> None:
    with transaction.atomic():
        errors_of(kind, organization, depends_on="JOB-2026-99999")
        assert submit().pk
    assert Job.objects.count() == 1


@pytest.mark.parametrize(("child", "parent"), [(0, 0), (0, 1)], ids=["itself", "a later one"])
def test_the_database_lets_no_circle_close(submit: Submitter, child: int, parent: int) -> None:
    jobs = [submit(), submit()]
    with pytest.raises(IntegrityError), transaction.atomic():
        JobDependency.objects.create(child=jobs[child], parent=jobs[parent])
