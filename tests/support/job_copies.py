"""Many rows like that of one job, on any database. They have neither logs nor anything else beside their rows."""

from __future__ import annotations

import copy

from django.db import connection

from django_jobs.models import Job


def copies(pattern: Job, count: int) -> list[int]:
    """Insert so many jobs like this one, and return their keys."""
    jobs = [copy.copy(pattern) for _ in range(count)]
    for job in jobs:
        job.pk, job._state = None, copy.copy(pattern._state)
        job._state.adding = True
    return [job.pk for job in Job.objects.bulk_create(jobs)]


def copies_by_sql(pattern: Job, count: int) -> None:
    """Insert so many jobs like this one, which must be the newest, in few statements: each doubles what there is."""
    quote = connection.ops.quote_name
    table = quote(Job._meta.db_table)
    columns = (str(field.column) for field in Job._meta.concrete_fields if not field.primary_key)
    names = ", ".join(map(quote, columns))
    made = 0
    while made < count:
        more = min(made + 1, count - made)
        rows = f"SELECT {names} FROM {table} WHERE id >= %s ORDER BY id LIMIT %s"
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {table} ({names}) {rows}", [pattern.pk, more])
        made += more
