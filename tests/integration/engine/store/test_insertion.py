"""Inserting jobs, whichever way a store does it: every column, what stands beside the row, and the same work again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import models

from django_jobs.models import DependencyTask, DuplicateKey, ExecutionLog, Job, JobDependency, JobType, Organization
from django_jobs.statuses import RunAfter
from tests.support.brokers import pending_job, reread
from tests.support.factories import make_user
from tests.support.verbs import LostRace, MariaDBStore, NewJob, SQLiteStore, Store

pytestmark = pytest.mark.usefixtures("broker")

Insert = Callable[[NewJob], bool]

#: Stores where equal work is submitted one after the other.
ONE_AT_A_TIME = (MariaDBStore, SQLiteStore)
#: What the store says of a new row; every other column is the instance's.
COMPUTED = {"id", "created_at", "ready_at", "is_delayed"}
LONG_AGO = dt.datetime(2020, 2, 29, 12, 0, 0, 123456, tzinfo=dt.UTC)
HASH = "0f" * 32


@pytest.fixture(params=["one", "many"])
def insert(request: pytest.FixtureRequest, each_store: Store) -> Insert:
    """Inserts a job by itself, or in a list."""
    if request.param == "one":
        return each_store.insert

    def insert_many(new: NewJob) -> bool:
        keys = [new.job.job_hash] if new.window else []
        each_store.lock_keys(keys)
        if each_store.same_work(keys):
            return False
        each_store.insert_many([new])
        return True

    return lambda new: each_store.in_transaction(lambda: insert_many(new))


def new_job(kind: JobType, organization: Organization, **fields: Any) -> NewJob:
    values = {name: fields.pop(name) for name in ("window", "parents", "versions") if name in fields}
    job = Job(job_type=kind, organization=organization, organization_name=str(organization), **fields)
    return NewJob(job=job, **values)


class Masked:
    """A key as some libraries have it: an object, of which the model's field makes what is stored."""

    def __init__(self, key: int) -> None:
        self.key = key

    def __int__(self) -> int:
        return self.key


def unlike_default(field: models.Field[Any, Any]) -> Any:
    """A value that this field holds only if it was written."""
    if isinstance(field, models.JSONField):
        return {"text": "ünïcödé %s '", "none": None, "list": [1]}
    if isinstance(field, models.DateTimeField):
        return LONG_AGO
    if isinstance(field, models.BooleanField):
        return True
    return 3 if isinstance(field, models.IntegerField) else "7 %s '"


def test_every_column_that_is_not_computed_is_written_from_the_instance(
    insert: Insert, kind: JobType, organization: Organization
) -> None:
    special = {
        "job_type_id": kind.pk,
        "organization_id": organization.pk,
        "owner_id": make_user().pk,
        "batch_id": 12,
        "status": "Failed",
        "run_after": RunAfter.ENDED,
    }
    fields = [field for field in Job._meta.concrete_fields if field.attname not in COMPUTED]
    values = {field.attname: special.get(field.attname) or unlike_default(field) for field in fields}
    assert all(values[field.attname] != field.get_default() for field in fields)
    job = Job(**values)
    assert insert(NewJob(job=job))
    stored = reread(job)
    assert {name: getattr(stored, name) for name in values} == values


def test_defaults_are_those_of_the_model(insert: Insert, kind: JobType, organization: Organization) -> None:
    new = new_job(kind, organization)
    expected = {field.attname: getattr(new.job, field.attname) for field in Job._meta.concrete_fields}
    assert insert(new)
    stored = reread(new.job)
    assert {name: getattr(stored, name) for name in expected if name not in COMPUTED} == {
        name: value for name, value in expected.items() if name not in COMPUTED
    }


def test_a_job_holds_its_own_values_whatever_the_jobs_before_it_held(
    insert: Insert, kind: JobType, organization: Organization
) -> None:
    special = {"owner_name": "zoë", "metadata": {"a": "%s"}, "run_at": LONG_AGO, "max_retries": 3, "is_orphaned": True}
    plain = {name: Job._meta.get_field(name).get_default() for name in special}  # type: ignore[union-attr]
    for fields in (plain, special, plain, {**plain, "retry_delay": 7}):
        new = new_job(kind, organization, **fields)
        assert insert(new)
        stored = reread(new.job)
        assert {name: getattr(stored, name) for name in fields} == fields
        assert stored.retry_delay == new.job.retry_delay


def test_the_instance_gets_what_the_database_gave(
    insert: Insert, each_store: Store, kind: JobType, organization: Organization
) -> None:
    new = new_job(kind, organization, owner_name="zoë")
    assert insert(new)
    stored, log = reread(new.job), ExecutionLog.objects.get()
    assert (new.job.pk, new.job.created_at, new.job.ready_at) == (stored.pk, stored.created_at, stored.ready_at)
    assert stored.ready_at == stored.created_at == log.timestamp
    assert abs(stored.created_at - each_store.now()) < dt.timedelta(minutes=1)
    assert not new.job._state.adding
    assert (new.log_id, log.job_id, log.organization_id) == (log.pk, stored.pk, organization.pk)
    assert (log.from_status, log.to_status, log.actor, log.actor_kind) == ("", "Pending", "zoë", "user")
    assert (log.message, log.attempt, log.worker_name, log.traceback) == ("", 0, "", "")


def test_a_job_is_ready_at_its_moment_and_not_while_it_waits_for_others(
    insert: Insert, each_store: Store, kind: JobType, organization: Organization
) -> None:
    later = each_store.now() + dt.timedelta(hours=1)
    parent = pending_job(kind, organization)
    news = [
        new_job(kind, organization, run_at=later),
        new_job(kind, organization, run_at=LONG_AGO),
        new_job(kind, organization, parents=[parent.pk]),
    ]
    assert all(insert(new) for new in news)
    first, second, third = (reread(new.job) for new in news)
    assert (first.ready_at, second.ready_at, third.ready_at) == (later, second.created_at, None)
    assert list(JobDependency.objects.values_list("child_id", "parent_id")) == [(third.pk, parent.pk)]
    assert list(DependencyTask.objects.values_list("job_id", flat=True)) == [third.pk]


def test_the_same_work_is_kept_out_for_as_long_as_it_is_asked_for(
    insert: Insert, each_store: Store, kind: JobType, organization: Organization
) -> None:
    first, second = (new_job(kind, organization, job_hash=HASH, window=60) for _ in range(2))
    assert insert(first)
    assert not insert(second)
    assert [job.pk for job in Job.objects.all()] == [first.job.pk]
    assert {key: job.pk for key, job in each_store.same_work([HASH, "f" * 64]).items()} == {HASH: first.job.pk}
    assert insert(new_job(kind, organization, job_hash=HASH, window=0))


def test_a_key_of_somebody_who_came_in_between_is_not_taken_over(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    if isinstance(each_store, ONE_AT_A_TIME):
        pytest.skip("nobody comes in between while equal work is locked")
    first, second = (new_job(kind, organization, job_hash=HASH, window=60) for _ in range(2))
    assert each_store.insert(first)
    with pytest.raises(LostRace):
        each_store.in_transaction(lambda: each_store.insert_many([second]))
    assert DuplicateKey.objects.get().job_id == Job.objects.get().pk == first.job.pk


def test_while_equal_work_is_locked_a_key_is_taken_over_at_once_that_a_deleted_job_left(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    if not isinstance(each_store, ONE_AT_A_TIME):
        pytest.skip("a key without a job may be that of a job which is not committed yet")
    first, second = (new_job(kind, organization, job_hash=HASH, window=60) for _ in range(2))
    assert each_store.insert(first)
    Job.objects.filter(pk=first.job.pk).delete()
    assert each_store.insert(second)
    assert DuplicateKey.objects.get().job_id == second.job.pk


@pytest.mark.parametrize("how", ["expired", "Canceled", "Dead Letter"])
def test_a_key_that_keeps_nobody_out_any_more_is_taken_over(
    insert: Insert, each_store: Store, kind: JobType, organization: Organization, how: str
) -> None:
    first, second = (new_job(kind, organization, job_hash=HASH, window=60) for _ in range(2))
    assert insert(first)
    if how == "expired":
        DuplicateKey.objects.update(expires_at=each_store.now())
    else:
        Job.objects.filter(pk=first.job.pk).update(status=how, ready_at=None)
    assert each_store.same_work([HASH]) == {}
    assert insert(second)
    key = DuplicateKey.objects.get()
    assert (key.pk, key.job_id) == (HASH, second.job.pk)
    assert key.expires_at > each_store.now() + dt.timedelta(seconds=50)


def test_the_keys_of_the_hosts_models_may_be_objects(insert: Insert, kind: JobType, organization: Organization) -> None:
    user = make_user()
    new = new_job(kind, organization, owner_id=Masked(user.pk))
    vars(new.job)["organization_id"] = Masked(organization.pk)
    assert insert(new)
    (stored,) = Job.objects.values("owner_id", "organization_id")
    assert stored == {"owner_id": user.pk, "organization_id": organization.pk}


def test_many_are_written_in_their_order_and_each_with_its_log_row(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    news = [new_job(kind, organization, input_parameters={"number": number}) for number in range(5)]
    each_store.in_transaction(lambda: each_store.insert_many(news))
    assert [job.input_parameters["number"] for job in Job.objects.order_by("pk")] == list(range(5))
    assert list(ExecutionLog.objects.order_by("pk").values_list("pk", "job_id")) == [
        (new.log_id, new.job.pk) for new in news
    ]


def test_a_job_is_inserted_only_while_what_it_was_made_for_is_as_it_was_read(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    read = each_store.read_targets(kind.pk, "name", organization.name)
    if read is None:  # this store cannot tell, so that nothing is ever remembered
        assert each_store.holds(None)
        return
    assert read.kind["type_name"] == kind.pk
    assert read.tenant["id"] == organization.pk
    assert each_store.holds(read.versions)
    assert each_store.insert(new_job(kind, organization, versions=read.versions))
    kind.save()
    assert not each_store.holds(read.versions)
    assert not each_store.insert(new_job(kind, organization, versions=read.versions))
    assert each_store.read_targets(kind.pk, "name", "ORG-none") is None
