"""The same work again: what counts as the same, and what keeps nobody out."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any

import pytest
from django.db import transaction
from django.db.migrations.state import ProjectState

from django_jobs import retry_job, submit_job
from django_jobs.exceptions import DuplicateJob, InvalidSubmission
from django_jobs.models import DuplicateGate, DuplicateKey, ExecutionLog, Job, JobType, Organization
from tests.support import verbs
from tests.support.brokers import job_in
from tests.support.cases import rolled_back
from tests.support.factories import make_job_type, make_organization
from tests.support.statements import statements_of

pytestmark = pytest.mark.usefixtures("broker")

NOON = dt.datetime(2026, 5, 4, 12, 0, tzinfo=dt.UTC)
SOME_ID = uuid.UUID("6f1f1d0e-8a3c-4a5b-9a93-0d2f4b7c1e55")


@pytest.fixture
def kind() -> JobType:
    return make_job_type(deduplication_window=300)


def refused(*args: Any, **kwargs: Any) -> DuplicateJob:
    with pytest.raises(DuplicateJob) as caught:
        submit_job(*args, **kwargs)
    return caught.value


def test_the_same_work_is_refused_with_the_earlier_job(kind: JobType, organization: Organization) -> None:
    first = submit_job(kind, organization, {"month": 3})
    error = refused(kind, organization, {"month": 3})
    assert error.existing == first
    assert (error.code, error.facts) == ("duplicate_job", {"job": first.name, "status": "Pending"})


def test_a_refused_submission_leaves_nothing_behind(kind: JobType, organization: Organization) -> None:
    first = submit_job(kind, organization, {"month": 3})
    refused(kind, organization, {"month": 3})
    assert list(Job.objects.all()) == [first]
    assert ExecutionLog.objects.count() == DuplicateKey.objects.count() == 1


def test_the_earlier_job_comes_as_it_is_now(kind: JobType, organization: Organization) -> None:
    job_in("Running", job_type=kind, organization=organization)
    assert refused(kind, organization).existing.status == "Running"


def test_the_earlier_job_may_be_returned_instead(kind: JobType, organization: Organization) -> None:
    first = submit_job(kind, organization, {"month": 3})
    assert submit_job(kind, organization, {"month": 3}, on_duplicate="return") == first
    assert Job.objects.count() == 1


def test_what_is_no_duplicate_is_submitted_though_an_earlier_job_was_asked_for(
    kind: JobType, organization: Organization
) -> None:
    job = submit_job(kind, organization, on_duplicate="return")
    assert list(Job.objects.all()) == [job]


def test_a_bad_wish_for_duplicates_is_refused(
    subtests: pytest.Subtests, kind: JobType, organization: Organization
) -> None:
    cases: list[Any] = ["ignore", "", None, 1, []]
    for on_duplicate in cases:
        with subtests.test(on_duplicate=on_duplicate):
            with pytest.raises(InvalidSubmission) as caught:
                submit_job(kind, organization, on_duplicate=on_duplicate)
            assert caught.value.codes == {"on_duplicate": ["invalid_choice"]}


def test_another_type_does_other_work(kind: JobType, organization: Organization) -> None:
    submit_job(kind, organization, {"month": 3})
    assert submit_job(make_job_type(deduplication_window=300), organization, {"month": 3}).pk


def test_another_organization_does_other_work(kind: JobType, organization: Organization) -> None:
    submit_job(kind, organization, {"month": 3})
    assert submit_job(kind, make_organization(), {"month": 3}).pk


def test_other_parameters_are_other_work(subtests: pytest.Subtests, kind: JobType, organization: Organization) -> None:
    cases: list[Any] = [{}, {"month": 4}, {"month": "3"}, {"month": 3, "year": None}, {"month": [3]}]
    submit_job(kind, organization, {"month": 3})
    for parameters in cases:
        with subtests.test(parameters=parameters):
            assert submit_job(kind, organization, parameters).pk


def test_what_is_stored_alike_is_the_same_work(
    subtests: pytest.Subtests, kind: JobType, organization: Organization
) -> None:
    cases: list[tuple[Any, Any]] = [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
        ({"at": NOON}, {"at": "2026-05-04T12:00:00Z"}),
        ({"day": NOON.date()}, {"day": "2026-05-04"}),
        ({"price": decimal.Decimal("1.50")}, {"price": "1.50"}),
        ({"id": SOME_ID}, {"id": str(SOME_ID)}),
        ({"items": (1, 2)}, {"items": [1, 2]}),
        ({1: "x"}, {"1": "x"}),
        ({}, None),
    ]
    for one, other in cases:
        with rolled_back(subtests, one=one, other=other):
            first = submit_job(kind, organization, one)
            assert refused(kind, organization, other).existing == first


def test_priority_moment_and_metadata_make_no_other_work(kind: JobType, organization: Organization) -> None:
    first = submit_job(kind, organization)
    again = refused(kind, organization, priority="High", run_at=NOON, metadata={"trace": 1})
    assert again.existing == first


@pytest.mark.parametrize("status", ["Canceled", "Dead Letter"])
def test_an_earlier_job_that_was_canceled_or_died_keeps_nobody_out(
    kind: JobType, organization: Organization, status: str
) -> None:
    job_in(status, job_type=kind, organization=organization)
    second = submit_job(kind, organization)
    assert refused(kind, organization).existing == second


def test_every_other_earlier_job_keeps_the_same_work_out(
    subtests: pytest.Subtests, kind: JobType, organization: Organization
) -> None:
    for status in ("Pending", "Queued", "Running", "Failed", "Timed Out", "Completed"):
        with rolled_back(subtests, status=status):
            first = job_in(status, job_type=kind, organization=organization)
            assert refused(kind, organization).existing == first


def test_a_dead_job_that_was_retried_keeps_the_same_work_out_again(kind: JobType, organization: Organization) -> None:
    first = retry_job(job_in("Dead Letter", job_type=kind, organization=organization))
    assert refused(kind, organization).existing == first


def test_a_submission_that_was_rolled_back_keeps_nobody_out(kind: JobType, organization: Organization) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012  (the submission comes first)
        submit_job(kind, organization)
        raise ZeroDivisionError
    assert submit_job(kind, organization).pk


def test_a_refusal_leaves_the_callers_transaction_usable(kind: JobType, organization: Organization) -> None:
    with transaction.atomic():
        submit_job(kind, organization)
        refused(kind, organization)
        submit_job(kind, organization, {"other": 1})
    assert Job.objects.count() == 2


def test_a_key_whose_job_was_deleted_keeps_nobody_out(kind: JobType, organization: Organization) -> None:
    submit_job(kind, organization)
    Job.objects.all().delete()
    job = submit_job(kind, organization)
    assert DuplicateKey.objects.get().job_id == job.pk


def test_a_duplicate_of_a_disabled_type_is_refused_for_that(kind: JobType, organization: Organization) -> None:
    submit_job(kind, organization)
    JobType.objects.update(is_enabled=False)
    with pytest.raises(InvalidSubmission):
        submit_job(kind, organization, on_duplicate="return")


#: On PostgreSQL a submission is one statement; elsewhere a transaction of a few.
@pytest.mark.parametrize(("window", "most"), [(0, 7), (300, 14)])
def test_an_ordinary_submission_takes_few_statements(organization: Organization, window: int, most: int) -> None:
    kind = make_job_type(deduplication_window=window)
    submit_job(kind.type_name, organization.name, {"number": 0})
    count = statements_of(lambda: submit_job(kind.type_name, organization.name, {"number": 1}))
    assert count <= most


def test_nothing_is_written_after_the_tables_are_gone(db: None) -> None:
    """As after ``migrate django_jobs zero``."""
    DuplicateGate.objects.all().delete()
    verbs.after_migrate(using="default", apps=ProjectState().apps)
    assert not DuplicateGate.objects.exists()
