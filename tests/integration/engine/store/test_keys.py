"""Keys that a statement gives to rows before it inserts them."""

from __future__ import annotations

import pytest
from django.db import connection

from django_jobs import submit_job, submit_jobs
from django_jobs.models import ExecutionLog, Job, JobType, Organization
from tests.support import verbs

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only there keys are given before"),
]


def _key() -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {verbs.next_key.__wrapped__(ExecutionLog, connection.alias)} WHERE %s", [True])
        return int(cursor.fetchone()[0])


def test_keys_come_from_the_sequence_of_the_table() -> None:
    assert _key() + 1 == _key()


def test_keys_come_from_the_columns_default_where_its_sequence_is_not_its_own() -> None:
    """As after a restore by some tools, or where a host made the table a partitioned one."""
    table = ExecutionLog._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} ALTER id DROP IDENTITY")
        cursor.execute('CREATE SEQUENCE "of nobody\'s 5%" START 700')
        cursor.execute(f"ALTER TABLE {table} ALTER id SET DEFAULT nextval('\"of nobody''s 5%\"')")
    assert (_key(), _key()) == (700, 701)


@pytest.mark.usefixtures("broker")
def test_keys_come_from_the_schema_that_the_rows_go_to(kind: JobType, organization: Organization) -> None:
    """As where a host gives each of its customers a schema."""

    def submit() -> list[int]:
        return [submit_job(kind, organization).pk] + [
            job.pk for job in submit_jobs([{"job_type": kind, "organization": organization}] * 2)
        ]

    submit()
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA customer")
        for model in (Job, ExecutionLog):
            table = model._meta.db_table
            cursor.execute(f"CREATE TABLE customer.{table} (LIKE {table} INCLUDING ALL)")
            cursor.execute(f"ALTER TABLE customer.{table} ALTER id RESTART WITH 700000")
        cursor.execute("SET LOCAL search_path TO customer, public")
    assert submit() == [700_000, 700_001, 700_002]
    assert list(ExecutionLog.objects.order_by("pk").values_list("pk", flat=True)) == [700_000, 700_001, 700_002]
