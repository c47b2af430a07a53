"""Many submissions at once: all of them or none, in their order, and each fault at its place."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection, transaction

from django_jobs import cancel_job, submit_job, submit_jobs
from django_jobs.engine.history import get_job_history
from django_jobs.exceptions import DuplicateJob, InvalidSubmission, PermissionDenied
from django_jobs.models import DependencyTask, DuplicateKey, ExecutionLog, Job, JobDependency, JobType, Organization
from tests.support.brokers import MemoryBroker, reread
from tests.support.factories import make_job_type, make_organization, make_system_admin, make_user
from tests.support.statements import statements_of

pytestmark = pytest.mark.usefixtures("broker")

TOMORROW = dt.datetime(2100, 1, 1, 12, 0, tzinfo=dt.UTC)
MANY = 10_000


@pytest.fixture
def kind() -> JobType:
    return make_job_type(deduplication_window=300)


@pytest.fixture
def organization() -> Organization:
    return make_organization()


def work(kind: Any, organization: Any, number: int, **fields: Any) -> dict[str, Any]:
    return {"job_type": kind, "organization": organization, "parameters": {"number": number}, **fields}


def refused(items: Any, **kwargs: Any) -> dict[int, dict[str, list[str]]]:
    """What a refusal says of each bad item; nothing of the list may have been stored."""
    with pytest.raises(InvalidSubmission) as caught:
        submit_jobs(items, **kwargs)
    assert_nothing_is_there()
    flat = {
        f"{index}.{name}": texts for index, errors in caught.value.by_index.items() for name, texts in errors.items()
    }
    assert caught.value.errors == flat
    return caught.value.by_index


def assert_nothing_is_there() -> None:
    for model in (Job, ExecutionLog, DuplicateKey, JobDependency, DependencyTask):
        assert not model._default_manager.exists()


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


@pytest.mark.parametrize("bad", ["text", b"bytes", {"job_type": "x"}, 7, None], ids=repr)
def test_what_is_no_list_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidSubmission) as caught:
        submit_jobs(bad)
    assert set(caught.value.errors) == {"non_field_errors"}


@pytest.mark.parametrize("bad", ["text", None, 7, [], [("job_type", "x")]], ids=repr)
def test_an_item_that_is_no_object_is_refused(kind: JobType, organization: Organization, bad: Any) -> None:
    by_index = refused([work(kind, organization, 1), bad])
    assert {index: set(errors) for index, errors in by_index.items()} == {1: {"non_field_errors"}}


def test_unknown_fields_are_refused_by_name(kind: JobType, organization: Organization) -> None:
    by_index = refused([work(kind, organization, 1, user=1, on_duplicate="return")])
    assert set(by_index[0]) == {"user", "on_duplicate"}


@pytest.mark.parametrize("name", [None, 7, ("a",), "nul\x00", "\ud800", "x" * 1000], ids=ascii)
def test_no_unknown_field_is_too_odd_to_be_named(kind: JobType, organization: Organization, name: Any) -> None:
    assert len(refused([{**work(kind, organization, 1), name: 1}])[0]) == 1


def test_all_that_is_wrong_anywhere_is_said_at_once(kind: JobType, organization: Organization) -> None:
    by_index = refused(
        [
            work("nonesuch", organization, 1),
            work(kind, organization, 2),
            work(kind, "nonesuch", 3, priority="urgent"),
            {},
            work(kind, organization, 4, run_at="soon", depends_on="x", metadata=7) | {"parameters": [1]},
        ]
    )
    assert {index: set(errors) for index, errors in by_index.items()} == {
        0: {"job_type"},
        2: {"organization", "priority"},
        3: {"job_type", "organization"},
        4: {"parameters", "metadata", "run_at", "depends_on"},
    }


def test_disabled_types_and_inactive_organizations_are_refused(kind: JobType, organization: Organization) -> None:
    disabled, inactive = make_job_type(is_enabled=False), make_organization(is_active=False)
    by_index = refused([work(disabled, organization, 1), work(kind, inactive, 1), work(disabled, inactive, 1)])
    assert {index: set(errors) for index, errors in by_index.items()} == {
        0: {"job_type"},
        1: {"organization"},
        2: {"job_type", "organization"},
    }


def test_twins_in_one_list_are_refused(kind: JobType, organization: Organization) -> None:
    by_index = refused([work(kind, organization, number) for number in (1, 2, 1, 2, 3)])
    assert by_index == {
        2: {"non_field_errors": ["The same work stands at position 0 of this list."]},
        3: {"non_field_errors": ["The same work stands at position 1 of this list."]},
    }


def test_without_a_window_there_are_no_twins(organization: Organization) -> None:
    assert len(submit_jobs([work(make_job_type(), organization, 1)] * 3)) == 3


def test_the_first_duplicate_of_earlier_work_is_named(kind: JobType, organization: Organization) -> None:
    first = submit_job(kind, organization, {"number": 7})
    submit_job(kind, organization, {"number": 8})
    with pytest.raises(DuplicateJob) as caught:
        submit_jobs([work(kind, organization, number) for number in (1, 2, 7, 8)])
    assert (caught.value.existing, caught.value.index) == (first, 2)
    assert Job.objects.count() == DuplicateKey.objects.count() == ExecutionLog.objects.count() == 2


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


def test_one_organization_that_is_not_the_users_refuses_all(kind: JobType, organization: Organization) -> None:
    user = make_user(member_of=[organization])
    with pytest.raises(PermissionDenied):
        submit_jobs([work(kind, organization, 1), work(kind, make_organization(), 1)], user=user)
    assert_nothing_is_there()


def test_an_anonymous_user_submits_nothing(kind: JobType, organization: Organization) -> None:
    with pytest.raises(PermissionDenied):
        submit_jobs([work(kind, organization, 1)], user=AnonymousUser())


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


def test_another_organizations_parent_is_refused_where_it_stands(kind: JobType, organization: Organization) -> None:
    with transaction.atomic():
        parent = submit_job(kind, organization, {"a": 1})
        items = [work(kind, owner, 1, depends_on=parent) for owner in (organization, make_organization())]
        with pytest.raises(InvalidSubmission) as caught:
            submit_jobs(items)
    assert caught.value.by_index == {
        1: {"depends_on": [f"There is no job {parent.name} in this organization."]},
    }
    assert Job.objects.count() == 1


def test_many_parents_of_many_items_are_judged_together(kind: JobType, organization: Organization) -> None:
    items = [
        work(kind, organization, number, depends_on=[f"JOB-2026-{number * 10_000 + i:05d}" for i in range(9_000)])
        for number in range(1, 5)
    ]
    assert set(refused(items)) == {0, 1, 2, 3}


#: Statements for MANY jobs with windows. SQLite's driver takes 999 values at once, or more since Django 6.0.
BOUND = {"postgresql": 40, "mysql": 80, "sqlite": 700}


def test_many_thousands_take_few_statements(kind: JobType, organization: Organization) -> None:
    items = [work(kind, organization, number) for number in range(MANY)]
    assert statements_of(lambda: submit_jobs(items)) <= BOUND[connection.vendor]
    assert Job.objects.count() == ExecutionLog.objects.count() == DuplicateKey.objects.count() == MANY


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


def test_a_refusal_leaves_the_callers_transaction_usable(kind: JobType, organization: Organization) -> None:
    with transaction.atomic():
        submit_job(kind, organization, {"number": 1})
        with pytest.raises(DuplicateJob):
            submit_jobs([work(kind, organization, number) for number in range(3)])
        jobs = submit_jobs([work(kind, organization, number) for number in range(2, 5)])
    assert Job.objects.count() == 1 + len(jobs)


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


def test_a_types_serializer_judges_each_item(organization: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    from rest_framework import serializers

    class Numbered(serializers.Serializer[Any]):
        number = serializers.IntegerField(max_value=10)

    kind = make_job_type()
    monkeypatch.setattr("django_jobs.engine.parameters._serializer_class", {kind.pk: Numbered}.get)
    by_index = refused([work(kind, organization, 1), work(kind, organization, 99), work(kind, organization, 3)])
    assert by_index == {1: {"parameters.number": ["Ensure this value is less than or equal to 10."]}}
    assert len(submit_jobs([work(kind, organization, 1), work(kind, organization, 3)])) == 2
