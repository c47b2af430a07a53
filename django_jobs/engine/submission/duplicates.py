"""The same work again: who was first, exactly, however many submit it at the same moment.

A key row for each piece of work names the job that was accepted last and until when it keeps others out. PostgreSQL
decides inside the inserting statement (``insertion.postgresql``). SQLite has one writer at a time. On MariaDB, where
``ON DUPLICATE KEY`` deadlocks when the winner rolls back, equal work first locks the same one of a thousand fixed rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import IntegrityError, connections, router, transaction

from django_jobs.engine.access import AccessPolicy, get_policy
from django_jobs.engine.lookup import find_job
from django_jobs.engine.store import database
from django_jobs.exceptions import DuplicateJob, JobNotFound
from django_jobs.models import DuplicateGate, DuplicateKey, Job
from django_jobs.models.duplicate import GATES
from django_jobs.statuses import UNSUCCESSFUL

FORGET_BATCH = 1000
KEYS_AT_ONCE = 500


class LostRace(Exception):
    """Somebody submitted the same work in between; look again."""


def find(keys: Iterable[str]) -> dict[str, Job]:
    """Key by key, the job that keeps the same work out now."""
    live = dict(
        DuplicateKey.primary.filter(pk__in=list(keys), expires_at__gt=database.now()).values_list("job_id", "key")
    )
    jobs = Job.primary.filter(pk__in=list(live)).exclude(status__in=sorted(UNSUCCESSFUL))
    return {live[job.pk]: job for job in jobs}


def lock(keys: Iterable[str]) -> None:
    """Make others who submit the same work wait for the end of this transaction, where the vendor needs that."""
    if database.connection().vendor != "mysql":
        return
    wanted = {int(key[:8], 16) % GATES for key in keys}
    rows = DuplicateGate.primary.filter(pk__in=wanted)
    if len(database.locked(rows)) < len(wanted):
        ensure_gates(database.alias())
        list(database.locked(rows.all()))


def ensure_gates(using: str) -> None:
    """The fixed rows of MariaDB; made after each migrate, and again when somebody emptied the table."""
    gates = [DuplicateGate(pk=number) for number in range(GATES)]
    DuplicateGate.objects.using(using).bulk_create(gates, ignore_conflicts=True)


def make_gates(*, using: str, **kwargs: Any) -> None:
    """After each migrate: the gates, on the database that needs them."""
    if connections[using].vendor == "mysql" and router.allow_migrate_model(using, DuplicateGate):
        ensure_gates(using)


def is_visible(existing: Job, user: Any) -> bool:
    """Whether the policy shows the earlier job to ``user``.

    The built-in policy shows people the jobs of every organization for which they may submit.
    """
    if user is None or type(get_policy()) is AccessPolicy:
        return True
    try:
        find_job(existing, user)
    except JobNotFound:
        return False
    return True


def hide_unseen(duplicate: DuplicateJob, user: Any) -> None:
    """Raise it without the earlier job's id, when the policy does not show that job to ``user``."""
    if not is_visible(duplicate.existing, user):
        raise DuplicateJob(duplicate.existing, duplicate.index, is_visible=False) from None


def keep_out(accepted: Sequence[tuple[str, int, int]], now: dt.datetime) -> None:
    """Write the keys of accepted (key, job, window in seconds). LostRace when others got in between.

    The caller holds what :func:`lock` takes.
    """
    rows = [
        DuplicateKey(key=key, job_id=pk, expires_at=now + dt.timedelta(seconds=window))
        for key, pk, window in sorted(accepted)
    ]
    written = _write_unless_live(rows) if database.is_postgresql() else _replace(rows)
    if written < len(rows):
        raise LostRace


def _replace(rows: list[DuplicateKey]) -> int:
    keys = DuplicateKey.primary.all()
    for start in range(0, len(rows), KEYS_AT_ONCE):
        keys.filter(pk__in=[row.pk for row in rows[start : start + KEYS_AT_ONCE]]).delete()
    try:
        with transaction.atomic(using=database.alias()):
            keys.bulk_create(rows, batch_size=KEYS_AT_ONCE)
    except IntegrityError:  # on MariaDB, where the caller chose REPEATABLE READ: its snapshot is older than the key
        return 0
    return len(rows)


def _write_unless_live(rows: list[DuplicateKey]) -> int:
    """Insert or take over, in the order of the keys, waiting for others who hold one; how many that were."""
    dead = ", ".join(f"'{status}'" for status in sorted(UNSUCCESSFUL))
    sql = f"""
        INSERT INTO "{DuplicateKey._meta.db_table}" AS k (key, job_id, expires_at)
        SELECT * FROM unnest(%s::text[], %s::bigint[], %s::timestamptz[]) AS new(key, job_id, expires_at) ORDER BY key
        ON CONFLICT (key) DO UPDATE SET job_id = excluded.job_id, expires_at = excluded.expires_at
        WHERE k.expires_at <= statement_timestamp()
            OR EXISTS (SELECT 1 FROM "{Job._meta.db_table}" j WHERE j.id = k.job_id AND j.status IN ({dead}))
    """  # noqa: S608  (names and literals come from the models)
    with database.connection().cursor() as cursor:
        cursor.execute(sql, [[row.pk for row in rows], [row.job_id for row in rows], [row.expires_at for row in rows]])
        return int(cursor.rowcount)


def prolong(jobs: Mapping[str, int], expires_at: dt.datetime) -> None:
    """Let these jobs, by their keys, keep the same work out until that moment, where they still do."""
    rows = DuplicateKey.primary.all()
    rows.filter(pk__in=list(jobs), job_id__in=list(jobs.values())).update(expires_at=expires_at)


def release(jobs: Iterable[Job]) -> None:
    """These jobs are about to go, and keep nobody out any more."""
    by_key = {job.job_hash: job.pk for job in jobs}
    rows = DuplicateKey.primary.filter(pk__in=list(by_key), job_id__in=list(by_key.values()))
    rows.delete()


def release_missing(keys: Iterable[str]) -> None:
    """Remove keys whose job somebody deleted in another way."""
    rows = dict(DuplicateKey.primary.filter(pk__in=list(keys)).values_list("pk", "job_id"))
    there = set(Job.primary.filter(pk__in=rows.values()).values_list("pk", flat=True))
    for key, pk in rows.items():
        if pk not in there:
            DuplicateKey.primary.filter(pk=key, job_id=pk).delete()


def forget_expired() -> int:
    """Remove keys that keep nobody out any more; one bounded batch."""
    keys = DuplicateKey.primary.all()
    now = database.now()
    old = list(keys.filter(expires_at__lt=now).order_by("expires_at").values_list("pk", flat=True)[:FORGET_BATCH])
    return database.in_transaction(lambda: _forget(old, now)) if old else 0


def _forget(old: list[str], now: dt.datetime) -> int:
    """In the order in which submissions take keys over, and past those that one holds; judged again under the lock,
    since the same work may have been accepted anew in between.
    """
    keys = DuplicateKey.primary.all()
    locked = database.locked(keys.filter(pk__in=old), skip=True)
    expired = [key.pk for key in locked if key.expires_at < now]
    return keys.filter(pk__in=expired).delete()[0]
