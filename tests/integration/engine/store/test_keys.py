"""Keys that a statement gives to rows before it inserts them."""

from __future__ import annotations

import pytest
from django.db import connection

from django_jobs.engine.store.postgresql.columns import next_key
from django_jobs.models import ExecutionLog

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only there keys are given before"),
]


def _key() -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {next_key.__wrapped__(ExecutionLog, connection.alias)} WHERE %s", [True])
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
