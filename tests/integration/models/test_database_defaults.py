"""The database itself fills in what an insert of another release does not name."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_jobs.models import ExecutionLog, Job, JobType, Worker
from tests.support.factories import make_job_type, make_organization

NOW = timezone.now()


def insert(model: Any, **given: Any) -> Any:
    """The row of an insert that names only these columns."""
    fields = [model._meta.get_field(name) for name in given]
    values = [field.get_db_prep_save(value, connection) for field, value in zip(fields, given.values(), strict=True)]
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {model._meta.db_table} ({columns}) VALUES ({', '.join(['%s'] * len(values))})", values
        )
    return model.objects.get(**given)


def test_an_insert_need_not_name_what_has_a_default(subtests: pytest.Subtests) -> None:
    kind, organization = make_job_type(), make_organization()
    job = {"job_type": kind.pk, "organization": organization.pk, "organization_name": "ORG", "created_at": NOW}
    log = {"job": 7, "to_status": "Pending", "timestamp": NOW, "actor": "me", "organization": organization.pk}
    worker = {"name": "w", "hostname": "h", "pid": 1, "queues": "", "started_at": NOW, "last_seen": NOW}
    cases: list[tuple[Any, dict[str, Any]]] = [
        (Job, job),
        (JobType, {"type_name": "by_hand", "handler_method": "shop.jobs.run"}),
        (ExecutionLog, log),
        (Worker, worker),
    ]
    for model, given in cases:
        with subtests.test(model=model.__name__):
            row, plain = insert(model, **given), model()
            others = [field.attname for field in model._meta.concrete_fields if field.name not in {*given, "id"}]
            assert {name: getattr(row, name) for name in others} == {name: getattr(plain, name) for name in others}


def values(job: Job) -> dict[str, Any]:
    return {field.attname: getattr(job, field.attname) for field in Job._meta.concrete_fields}


def test_many_new_jobs_leave_to_the_database_what_it_writes_by_itself() -> None:
    fixed: dict[str, Any] = {"job_type": make_job_type(), "organization": make_organization(), "created_at": NOW}
    for progress in (0, 7):
        jobs = [Job(**fixed, metadata={"n": number}, progress=number) for number in (0, progress)]
        with CaptureQueriesContext(connection) as context:
            Job.primary.bulk_create(jobs)
        (sql,) = [query["sql"] for query in context if query["sql"].startswith("INSERT")]
        columns = sql.partition(") ")[0]
        assert not {name for name in ("expires_at", "error_message", "status") if name in columns}
        assert ("progress" in columns) == bool(progress)
        assert [values(Job.objects.get(pk=job.pk)) for job in jobs] == [values(job) for job in jobs]
