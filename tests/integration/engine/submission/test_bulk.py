"""Many submissions at once: all of them or none, and in their order."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from django_jobs import cancel_job, get_job_history, submit_job, submit_jobs
from django_jobs.exceptions import DuplicateJob
from django_jobs.models import DuplicateKey, ExecutionLog, Job, JobType, Organization
from tests.support.brokers import MemoryBroker, reread
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user

pytestmark = pytest.mark.usefixtures("broker")

TOMORROW = dt.datetime(2100, 1, 1, 12, 0, tzinfo=dt.UTC)
MANY = 10_000


@pytest.fixture
def kind() -> JobType:
    return make_job_type(deduplication_window=300)


def work(kind: Any, organization: Any, number: int, **fields: Any) -> dict[str, Any]:
    return {"job_type": kind, "organization": organization, "parameters": {"number": number}, **fields}


def test_jobs_come_back_in_the_order_of_their_submissions(kind: JobType, organization: Organization) -> None:
    jobs = submit_jobs([work(kind, organization, number) for number in (3, 1, 2)])
    assert [job.input_parameters["number"] for job in jobs] == [3, 1, 2]
    assert [job.pk for job in jobs] == sorted(job.pk for job in jobs)
    assert [reread(job).input_parameters for job in jobs] == [{"number": 3}, {"number": 1}, {"number": 2}]


def test_every_field_is_taken(kind: JobType, organization: Organization) -> None:
    user = make_user("ada", member_of=[organization])
    item = work(kind.pk, organization.name, 1, priority="High", run_at=TOMORROW, metadata={"trace": 1})
    (job,) = submit_jobs([item], user=user)
    stored = reread(job)
    assert (stored.priority, stored.run_at, stored.ready_at, stored.metadata) == (2, TOMORROW, TOMORROW, {"trace": 1})
    assert (stored.owner, stored.owner_name, stored.organization_name) == (user, "ada", organization.name)
    assert (job.name, job.created_at, job.ready_at) == (stored.name, stored.created_at, stored.ready_at)


def test_each_job_has_its_first_entry_of_history(kind: JobType, organization: Organization) -> None:
    user = make_user("ada", member_of=[organization])
    jobs = submit_jobs([work(kind, organization, number) for number in range(3)], user=user)
    assert [[(entry["to_status"], entry["actor"]) for entry in get_job_history(job)] for job in jobs] == [
        [("Pending", "ada")]
    ] * 3


def test_types_and_organizations_may_be_mixed(kind: JobType, organization: Organization) -> None:
    other_kind, other = make_job_type(default_priority="Low"), make_organization()
    jobs = submit_jobs([work(kind, other, 1), work(other_kind, organization, 1), work(kind, organization, 1)])
    found = [(job.job_type_id, job.organization_id, job.priority) for job in map(reread, jobs)]
    assert found == [(kind.pk, other.pk, 1), (other_kind.pk, organization.pk, 0), (kind.pk, organization.pk, 1)]


@pytest.mark.parametrize("nothing", [[], (), iter([])], ids=["list", "tuple", "iterator"])
def test_nothing_is_no_error(nothing: Any) -> None:
    assert submit_jobs(nothing) == []


def test_any_iterable_will_do(kind: JobType, organization: Organization) -> None:
    assert len(submit_jobs(work(kind, organization, number) for number in range(3))) == 3


def test_without_a_window_there_are_no_twins(organization: Organization) -> None:
    assert len(submit_jobs([work(make_job_type(), organization, 1)] * 3)) == 3


def test_what_many_submitted_keeps_the_same_work_out(kind: JobType, organization: Organization) -> None:
    jobs = submit_jobs([work(kind, organization, number) for number in range(3)])
    with pytest.raises(DuplicateJob) as caught:
        submit_job(kind, organization, {"number": 1})
    assert caught.value.existing == jobs[1]


def test_work_whose_job_was_canceled_or_deleted_may_be_submitted_again(
    kind: JobType, organization: Organization
) -> None:
    items = [work(kind, organization, number) for number in range(2)]
    canceled, deleted = submit_jobs(items)
    cancel_job(canceled)
    Job.objects.filter(pk=deleted.pk).delete()
    assert len(submit_jobs(items)) == 2


def test_a_system_admin_submits_for_everybody(kind: JobType, organization: Organization) -> None:
    items = [work(kind, organization, 1), work(kind, make_organization(), 1)]
    assert len(submit_jobs(items, user=make_system_admin())) == 2


def test_each_item_has_its_own_parents(kind: JobType, organization: Organization) -> None:
    first, second = submit_job(kind, organization, {"a": 1}), submit_job(kind, organization, {"a": 2})
    jobs = submit_jobs(
        [
            work(kind, organization, 1, depends_on=first),
            work(kind, organization, 2, depends_on=[first.name, second]),
            work(kind, organization, 3),
        ]
    )
    assert [[parent.pk for parent in job.depends_on.order_by("pk")] for job in jobs] == [
        [first.pk],
        [first.pk, second.pk],
        [],
    ]
    assert [reread(job).ready_at is None for job in jobs] == [True, True, False]


@pytest.mark.slow
def test_many_thousands_are_stored_with_their_history_and_windows(kind: JobType, organization: Organization) -> None:
    submit_jobs([work(kind, organization, number) for number in range(MANY)])
    assert Job.objects.count() == ExecutionLog.objects.count() == DuplicateKey.objects.count() == MANY


@pytest.mark.parametrize("count", [1, 2_000, 2_001, pytest.param(MANY, marks=pytest.mark.slow)])
def test_any_number_of_jobs_keeps_its_order(organization: Organization, count: int) -> None:
    kind = make_job_type(deduplication_window=0)
    jobs = submit_jobs([work(kind, organization, number) for number in range(count)])
    rows = Job.objects.order_by("pk").values_list("pk", "job_hash", "input_parameters")
    assert list(rows) == [(job.pk, job.job_hash, {"number": number}) for number, job in enumerate(jobs)]
    assert len({job.job_hash for job in jobs}) == count


@pytest.fixture
def few_values() -> Iterator[None]:
    """Statements of no more values than SQLite takes; a smaller number than its own, which may be 32,766 or more."""
    connection.ensure_connection()
    kind = sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER
    own = connection.connection.setlimit(kind, 2_500)
    yield
    connection.connection.setlimit(kind, own)


@pytest.mark.slow
@pytest.mark.skipif(connection.vendor != "sqlite", reason="only there statements have few values")
def test_no_statement_has_more_values_than_the_database_takes(
    kind: JobType, organization: Organization, few_values: None
) -> None:
    parents = [job.name for job in submit_jobs([work(make_job_type(), organization, 0)] * 2_600)]
    items = [work(kind, organization, number, on_duplicate="return") for number in range(2_600)]
    halves = parents[:1_300], parents[1_300:]
    jobs = submit_jobs([item | {"depends_on": halves[number]} for number, item in enumerate(items[:2])])
    jobs += submit_jobs(items[2:])
    assert submit_jobs(items) == jobs


def test_large_parameters_are_no_larger_statements_than_a_database_takes(
    kind: JobType, organization: Organization
) -> None:
    items = [
        work(kind, organization, number) | {"parameters": {"n": number, "text": "x" * 60_000}} for number in range(400)
    ]
    assert len(submit_jobs(items)) == 400


def test_metadata_full_of_quotes_is_no_larger_statement_than_a_database_takes(
    kind: JobType, organization: Organization
) -> None:
    quotes = '"' * 2040
    items = [work(kind, organization, number, metadata={"a": quotes}) for number in range(2_000)]
    assert len(submit_jobs(items)) == 2_000


def test_what_is_rolled_back_leaves_nothing_and_reaches_no_broker(
    kind: JobType, organization: Organization, broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    parent = submit_job(kind, organization, {"a": 1})
    items = [work(kind, organization, number, depends_on=parent) for number in range(3)]
    with django_capture_on_commit_callbacks(execute=True):
        with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012  (the submission comes first)
            submit_jobs(items)
            raise ZeroDivisionError
        assert Job.objects.count() == 1
    assert broker.tickets == []
    assert len(submit_jobs(items)) == 3


def test_jobs_are_dispatched_with_the_commit(
    kind: JobType, organization: Organization, broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        jobs = submit_jobs([work(kind, organization, number) for number in range(3)])
        assert broker.tickets == []
    assert broker.pks() == [job.pk for job in jobs]


def test_submitting_succeeds_while_the_broker_is_down(
    kind: JobType, organization: Organization, broker: MemoryBroker, django_capture_on_commit_callbacks: Any
) -> None:
    broker.is_down = True
    with django_capture_on_commit_callbacks(execute=True):
        submit_jobs([work(kind, organization, number) for number in range(3)])
    assert set(Job.objects.values_list("status", flat=True)) == {"Pending"}
