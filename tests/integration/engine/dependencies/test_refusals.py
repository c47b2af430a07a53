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


def errors_of(*args: Any, **kwargs: Any) -> list[Any]:
    """What a refused submission says of its parents, and nothing else: codes and values."""
    with pytest.raises(InvalidSubmission) as caught:
        submit_job(*args, **kwargs)
    assert set(caught.value.errors) == {"depends_on"}
    texts: list[Any] = caught.value.errors["depends_on"]
    return [(text.code, text.values) for text in texts]


def test_an_unknown_parent_is_refused(kind: JobType, organization: Organization) -> None:
    assert errors_of(kind, organization, depends_on="JOB-2026-99999") == [("unknown_job", {"job": "JOB-2026-99999"})]


def test_a_parent_of_another_year_is_unknown(submit: Submitter, kind: JobType, organization: Organization) -> None:
    name = f"JOB-1999-{submit().pk:05d}"
    assert errors_of(kind, organization, depends_on=name) == [("unknown_job", {"job": name})]


def test_another_organizations_job_is_refused_like_an_unknown_one(kind: JobType, organization: Organization) -> None:
    other = submit_job(kind, make_organization())
    assert errors_of(kind, organization, depends_on=other) == [("unknown_job", {"job": other.name})]


@pytest.mark.parametrize(("ended", "word"), [(kill, "Dead Letter"), (cancel_job, "Canceled")])
def test_a_parent_that_has_ended_without_completing_is_refused(
    submit: Submitter, kind: JobType, organization: Organization, ended: Any, word: str
) -> None:
    parent = submit()
    ended(parent)
    values = {"job": parent.name, "status": word}
    assert errors_of(kind, organization, depends_on=parent) == [("will_not_complete", values)]


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
            ((code, _),) = errors_of(kind, organization, depends_on=bad)
            assert code == "not_a_job_id"


def test_all_that_is_wrong_with_a_list_is_said(submit: Submitter, kind: JobType, organization: Organization) -> None:
    canceled = cancel_job(submit())
    found = errors_of(kind, organization, depends_on=[submit(), 7, "JOB-2026-99999", None, canceled])
    assert [code for code, _ in found] == ["not_a_job_id", "not_a_job_id", "unknown_job", "will_not_complete"]


def test_too_many_parents_are_refused(kind: JobType, organization: Organization) -> None:
    names = [f"JOB-2026-{number:05d}" for number in range(1, 10_002)]
    assert errors_of(kind, organization, depends_on=names) == [("too_many", {"most": 10_000})]
    assert {code for code, _ in errors_of(kind, organization, depends_on=names[:-1])} == {"unknown_job"}


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
