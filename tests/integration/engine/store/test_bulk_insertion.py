"""Inserting many jobs at once: each holds its own values, whichever of them the others share."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import models

from django_jobs.engine.store import postgresql_inserts as inserts
from django_jobs.models import ExecutionLog, Job, JobType, Organization
from django_jobs.statuses import RunAfter
from tests.support import verbs
from tests.support.brokers import reread
from tests.support.factories import make_organization, make_user
from tests.support.tuning import Tuning
from tests.support.verbs import ColumnSlot, Interpose, NewJob, Store

pytestmark = pytest.mark.usefixtures("broker")

COMPUTED = {"id", "created_at", "ready_at", "is_delayed"}
LONG_AGO = dt.datetime(2020, 2, 29, 12, 0, 0, 123456, tzinfo=dt.UTC)
#: What means something in an array, in JSON or in a statement.
TEXTS = ("", "NULL", "null", '"', "\\", "{a,b}", "a, b", "'%s %(a)s'", " x ", "ünï🙂", "\\u0000", "a\nb\tc")


def new_job(kind: JobType, organization: Organization, **fields: Any) -> NewJob:
    job = Job(job_type=kind, organization=organization, organization_name=str(organization), **fields)
    return NewJob(job=job)


def insert(store: Store, news: list[NewJob]) -> list[Job]:
    store.in_transaction(lambda: store.insert_many(news))
    return [reread(new.job) for new in news]


def unlike_default(field: models.Field[Any, Any], number: int) -> Any:
    if isinstance(field, models.JSONField):
        return {"text": TEXTS[number], "none": None}
    if isinstance(field, models.DateTimeField):
        return LONG_AGO + dt.timedelta(days=number)
    if isinstance(field, models.BooleanField):
        return True
    return 2 + number if isinstance(field, models.IntegerField) else f"{number}%s'\"\\"


@pytest.mark.parametrize("special", [0, 1, 2], ids=["none", "one", "two"])
def test_every_column_is_written_beside_jobs_that_hold_its_default(
    each_store: Store, kind: JobType, organization: Organization, special: int
) -> None:
    user = make_user()
    fields = [field for field in Job._meta.concrete_fields if field.attname not in COMPUTED]
    news = [new_job(kind, organization) for _ in range(3)]
    for number, new in enumerate(news[:special]):
        values = {field.attname: unlike_default(field, number) for field in fields if not field.is_relation}
        values |= {"owner_id": user.pk, "status": ("Failed", "Timed Out")[number], "run_after": RunAfter.ENDED}
        for name, value in values.items():
            setattr(new.job, name, value)
    expected = [{field.attname: getattr(new.job, field.attname) for field in fields} for new in news]
    stored = insert(each_store, news)
    assert [{name: getattr(job, name) for name in expected[0]} for job in stored] == expected


def test_texts_come_back_as_they_went_in(each_store: Store, kind: JobType, organization: Organization) -> None:
    news = [
        new_job(kind, organization, progress_message=text, input_parameters={text: [text]}, result=text)
        for text in TEXTS
    ]
    stored = insert(each_store, news)
    found = [(job.progress_message, job.input_parameters, job.result) for job in stored]
    assert found == [(text, {text: [text]}, text) for text in TEXTS]


def test_what_is_not_there_is_null_beside_what_is(each_store: Store, kind: JobType, organization: Organization) -> None:
    user = make_user()
    news = [
        new_job(kind, organization),
        new_job(kind, organization, result={"a": None}, run_at=LONG_AGO, owner=user, submitted_by_id=4),
    ]
    pks = [job.pk for job in insert(each_store, news)]
    for name in ("result", "run_at", "owner", "submitted_by_id"):
        assert list(Job.objects.filter(**{f"{name}__isnull": True}).values_list("pk", flat=True)) == pks[:1]


def test_each_log_row_tells_who_submitted_the_job_and_of_which_organization(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    other = make_organization()
    news = [
        new_job(kind, organization),
        new_job(kind, other, owner_name='zoë "z"'),
        new_job(kind, organization, owner_name="worker"),
    ]
    insert(each_store, news)
    rows = ExecutionLog.objects.order_by("pk").values_list("pk", "job_id", "organization_id", "actor", "actor_kind")
    assert list(rows) == [
        (news[0].log_id, news[0].job.pk, organization.pk, "system", "system"),
        (news[1].log_id, news[1].job.pk, other.pk, 'zoë "z"', "user"),
        (news[2].log_id, news[2].job.pk, organization.pk, "worker", "user"),
    ]
    assert len(set(ExecutionLog.objects.values_list("transaction_id", "oldest_open_id"))) == 1


def test_jobs_of_one_call_share_their_moment_and_keep_their_order_over_several_statements(
    each_store: Store, kind: JobType, organization: Organization, tuning: Tuning
) -> None:
    tuning.set(inserted_rows=3)
    news = [new_job(kind, organization, retry_delay=10 + number) for number in range(8)]
    stored = insert(each_store, news)
    assert [job.retry_delay for job in Job.objects.order_by("pk")] == [10 + number for number in range(8)]
    assert len({job.created_at for job in stored} | {new.job.ready_at for new in news}) == 1


def test_what_was_encoded_already_is_stored_as_it_is(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    news = [new_job(kind, organization, input_parameters={"a": number}) for number in range(2)]
    for number, new in enumerate(news):
        new.encoded = {"input_parameters": f'{{"a": {number}}}'}
    assert [job.input_parameters for job in insert(each_store, news)] == [{"a": 0}, {"a": 1}]


def test_instances_know_that_they_are_stored_and_where(
    each_store: Store, kind: JobType, organization: Organization
) -> None:
    news = [new_job(kind, organization) for _ in range(2)]
    insert(each_store, news)
    assert [(new.job._state.adding, new.job._state.db) for new in news] == [(False, "default")] * 2


def test_statements_of_ever_new_shapes_are_not_kept_for_good(interpose: Interpose) -> None:
    interpose("next_key", lambda *_: "1")
    for number in range(verbs.INSERTION_SHAPES + 50):
        names = ("created_at", "organization_id", "actor", "actor_kind")
        slots = tuple((name, ColumnSlot(f"{name}_{number}", "text", False, True)) for name in names)
        inserts._bulk_sql("nowhere", slots)
    assert inserts._bulk_sql.cache_info().currsize <= verbs.INSERTION_SHAPES
    inserts._bulk_sql.cache_clear()
