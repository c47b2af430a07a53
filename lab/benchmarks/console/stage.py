"""A million jobs as the console sees them: uneven organizations and types, failures in groups, alarms, activity.

Written by SQL and reproducible: what is random comes from the row's number. The Execution Log has rows where pages read
them: of the newest jobs, and of those that failed.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.models import Permission, User
from django.db import connection
from django.utils import timezone

from django_jobs.models import (
    Alert,
    EngineLease,
    ExecutionLog,
    Job,
    JobType,
    Membership,
    Operation,
    Organization,
    OrganizationActivity,
    Span,
    TypeActivity,
    Worker,
)
from lab.benchmarks import history, setting
from lab.benchmarks.setting import Lane, insert_waiting

ORGANIZATIONS: Final = 200
TYPES: Final = 50
DAYS: Final = 30
FAILED: Final = 5_000
GROUPS: Final = 300
#: Of the newest jobs all log rows are written.
LOGGED: Final = 20_000
#: Organization 0 has a sixth of the jobs, the last of them a six-hundredth part.
LARGE: Final = "CONSOLE-000"
WORKER: Final = "bench-4711-0123abcd"
STAFF, ADMIN = "console-staff", "console-admin"
_MODELS: Final = ("job", "executionlog", "jobtype", "organization", "membership", "batch", "schedule")

_JOBS: Final = """
    INSERT INTO {job} (
        job_type_id, organization_id, organization_name, owner_id, owner_name, status, priority, progress,
        progress_message, input_parameters, metadata, output_reference, error_message, error_type, error_fingerprint,
        retry_count, max_retries, retry_delay, job_hash, timeout_seconds, created_at, queued_at, started_at,
        completed_at, canceled_at, canceled_by, has_children, is_orphaned, attempt, worker_name, ready_at,
        next_retry_at, result)
    SELECT 'type_' || lpad(kind::text, 2, '0'), o.id, o.name, u.id, coalesce(u.username, ''), s, p, 0, '',
        jsonb_build_object('customer_id', n % 1000, 'mail', jsonb_build_object('language', 'en', 'number', n)),
        '{{}}', '', CASE WHEN s IN {failed}
            THEN 'Service ' || g || ' did not answer: attempt ' || n || ' waited for 30 s.' ELSE '' END,
        CASE WHEN s IN {failed} THEN 'Transient' ELSE '' END,
        CASE WHEN s IN {failed} THEN encode(sha256(g::text::bytea), 'hex') ELSE '' END,
        CASE WHEN s IN {failed} THEN 3 ELSE 0 END, 5, 60, '', 60, t, CASE WHEN s <> 'Pending' THEN t END,
        CASE WHEN s NOT IN ('Pending', 'Queued', 'Canceled') THEN t + interval '1 second' END,
        CASE WHEN s IN ('Completed', 'Dead Letter') THEN t + hash(n, 8) ^ 3 * interval '60 seconds' END,
        CASE WHEN s = 'Canceled' THEN t END, '', false, false,
        CASE WHEN s IN ('Pending', 'Queued', 'Canceled') THEN 0 WHEN s IN {failed} THEN 4 ELSE 1 END,
        CASE WHEN s IN ('Pending', 'Queued', 'Canceled') THEN ''
             WHEN n % 50 = 0 THEN '{worker}' ELSE 'bench-' || n % 7 || '-0000' || lpad(to_hex(n % 7), 4, '0') END,
        CASE WHEN s = 'Pending' THEN t WHEN s IN ('Failed', 'Timed Out') THEN now() + interval '1 hour' END,
        CASE WHEN s IN ('Failed', 'Timed Out') THEN now() + interval '1 hour' END,
        CASE WHEN s = 'Completed' THEN '{{"rows": 3}}'::jsonb END
    FROM (
        SELECT n, t, g, p, o_number, u_number,
            CASE WHEN g IS NULL THEN floor({types} * hash(n, 6) ^ 2)::int ELSE g % {types} END AS kind,
            CASE WHEN g IS NOT NULL THEN (ARRAY['Dead Letter', 'Failed', 'Timed Out'])[1 + floor(3 * hash(n, 3) ^ 2)]
                 WHEN n > {size} * 0.99 AND hash(n, 4) < 0.9 THEN 'Pending'
                 WHEN n > {size} * 0.99 AND n % ({size} / 2000) = 1 THEN 'Queued'
                 WHEN n > {size} * 0.99 AND n % ({size} / 2000) = 2 THEN 'Running'
                 WHEN hash(n, 4) < 0.006 THEN 'Canceled'
                 ELSE 'Completed' END AS s
        FROM (
            SELECT n, now() - ({size} - n) * (interval '{days} days' / {size}) AS t, {priority} AS p,
                floor({organizations} * hash(n, 1) ^ 3)::int AS o_number,
                CASE WHEN hash(n, 7) < 0.7 THEN floor(hash(n, 9) * {users})::int END AS u_number,
                CASE WHEN n % ({size} / {failures}) = 0 THEN floor({groups} * hash(n, 10) ^ 1.5)::int END AS g
            FROM generate_series({first}, {last}) n
        ) drawn
    ) raw
    JOIN {organizations_table} o ON o.name = 'CONSOLE-' || lpad(o_number::text, 3, '0')
    LEFT JOIN auth_user u ON u.username = 'scale-' || u_number
    ORDER BY n"""
_LOGS: Final = """
    INSERT INTO {log} (
        job_id, from_status, to_status, "timestamp", actor, message, attempt, worker_name, traceback, organization_id,
        transaction_id, oldest_open_id)
    SELECT j.id, f, t, CASE WHEN step < 4 THEN j.created_at ELSE coalesce(j.completed_at, j.created_at) END,
        'system', '', j.attempt, j.worker_name,
        CASE WHEN step = 4 AND j.error_message <> ''
            THEN 'Traceback (most recent call last):' || repeat(E'\\n  File "mails.py", line 17, in send', 20)
                || E'\\nServiceError: ' || j.error_message ELSE '' END,
        j.organization_id, 1, 1
    FROM {job} j JOIN LATERAL (
        VALUES (1, '', 'Pending'), (2, 'Pending', 'Queued'), (3, 'Queued', 'Running'), (4, 'Running', j.status)
    ) moves(step, f, t) ON step <= CASE WHEN j.status = 'Pending' THEN 1 WHEN j.status = 'Queued' THEN 2
        WHEN j.status = 'Running' THEN 3 ELSE 4 END
    WHERE j.id > {size} - {logged} OR j.status IN {failed}
    ORDER BY j.id, step"""
_SUMS: Final = """
    INSERT INTO {table} ({who} span, starts_at, job_type, submitted, started, completed, failed, died, canceled,
        run_seconds, run_histogram, wait_seconds, wait_histogram)
    SELECT {read} {span}, date_bin('{span} seconds', created_at, '2000-01-01Z'), job_type_id,
        count(*), count(started_at), count(*) FILTER (WHERE status = 'Completed'),
        count(*) FILTER (WHERE error_fingerprint <> ''), count(*) FILTER (WHERE status = 'Dead Letter'),
        count(canceled_at), count(*), jsonb_build_object('-5', count(*), '4', count(*) / 9),
        count(started_at), jsonb_build_object('0', count(started_at))
    FROM {job} WHERE created_at >= now() - interval '{days} days' GROUP BY {groups}"""
#: For how many days there are sums of each span.
_SUMMED_DAYS: Final = {Span.MINUTE: 2, Span.HOUR: 8, Span.DAY: DAYS}


def fill(size: int) -> None:
    """Replace everything by so many jobs and what belongs to them. Afterwards no table has statistics."""
    setting.reset()
    for model in (TypeActivity, OrganizationActivity, JobType, Alert, Operation, Membership, Organization):
        model.objects.all().delete()
    JobType.objects.bulk_create(
        JobType(pk=f"type_{number:02}", handler_method="lab.benchmarks.handlers.nothing", deduplication_window=0)
        for number in range(TYPES)
    )
    titles = [f"CONSOLE-{number:03}" for number in range(ORGANIZATIONS)]
    Organization.objects.bulk_create(Organization(name=name, title=f"Customer {name[-3:]} Ltd") for name in titles)
    users = [User(username=f"scale-{number}") for number in range(history.USERS)]
    User.objects.bulk_create(users, ignore_conflicts=True)
    _add_people()
    names = {
        "size": size, "types": TYPES, "users": history.USERS, "days": DAYS, "job": Job._meta.db_table,
        "log": ExecutionLog._meta.db_table, "organizations_table": Organization._meta.db_table,
        "priority": history.PRIORITY, "organizations": ORGANIZATIONS, "failures": FAILED, "groups": GROUPS,
        "logged": LOGGED, "worker": WORKER, "failed": "('Dead Letter', 'Failed', 'Timed Out')",
    }  # fmt: skip
    with connection.cursor() as cursor, history.without_indexes(Job, ExecutionLog):
        history.create_hash(cursor)
        for first in range(1, size + 1, history.PART):
            part = names | {"first": first, "last": min(size, first + history.PART - 1)}
            cursor.execute(history.with_hash(_JOBS.format(**part)))
        cursor.execute(_LOGS.format(**names))
    _sum_up()
    _raise_alarms()
    forget_statistics()


def _add_people() -> None:
    """A superuser, and staff who look after the large organization: they may see every page about jobs."""
    User.objects.get_or_create(username=ADMIN, defaults={"is_staff": True, "is_superuser": True})
    staff, _ = User.objects.get_or_create(username=STAFF, defaults={"is_staff": True})
    permissions = Permission.objects.filter(codename__in=[f"view_{name}" for name in _MODELS])
    staff.user_permissions.set(permissions)
    Membership.objects.create(user=staff, organization=Organization.objects.get(name=LARGE), role=Membership.Role.ADMIN)


def _sum_up() -> None:
    with connection.cursor() as cursor:
        for span, days in _SUMMED_DAYS.items():
            told = {"span": int(span), "days": days, "job": Job._meta.db_table}
            of_type = {"table": TypeActivity._meta.db_table, "who": "", "read": "", "groups": "1, 2, 3"}
            of_tenant = {
                "table": OrganizationActivity._meta.db_table,
                "who": "organization_id, organization_name,",
                "read": "organization_id, organization_name,",
                "groups": "1, 2, 3, 4, 5",
            }
            for which in (of_type, of_tenant):
                cursor.execute(_SUMS.format(**told, **which))
    newest = ExecutionLog.objects.order_by("-pk").values_list("pk", flat=True)[0]
    EngineLease.objects.create(name="rollups", state={"done": newest})


def _raise_alarms() -> None:
    """Open alarms of ten types that fail, and of dead letters; as many that are over; a scheduler that is alive."""
    now = timezone.now()
    concerned = {str(pk): 5 for pk in Organization.objects.order_by("name").values_list("pk", flat=True)[:20]}
    facts = {
        "attempts": 863,
        "failed": 863,
        "organizations": concerned,
        "error": "Service 7 did not answer",
        "count": 5,
    }
    subjects = [("type_failing", f"type_{number:02}") for number in range(10)] + [("dead_letters", "")]
    Alert.objects.bulk_create(
        Alert(
            rule=rule, subject=subject, raised_at=now, seen_at=now, facts=facts,
            cleared_at=None if is_open else now, open_key=f"{rule}:{subject}" if is_open else None,
        )
        for rule, subject in subjects for is_open in (True, False)
    )  # fmt: skip
    EngineLease.objects.update_or_create(name="scheduler", defaults={"holder": "bench", "ticked_at": now})
    Worker.objects.bulk_create(
        Worker(name=name, hostname="bench", pid=4711, queues="jobs-normal", slots=1, started_at=now, last_seen=now)
        for name in (WORKER, "bench-4712-0123abce")
    )


def keep_alive() -> None:
    """Let the scheduler and the workers look alive for as long as the next requests take."""
    EngineLease.objects.filter(name="scheduler").update(ticked_at=timezone.now())
    Worker.objects.update(last_seen=timezone.now())


def forget_statistics() -> None:
    """Make the database know nothing of the tables, as where autovacuum never ran."""
    tables: Any = [model._meta.db_table for model in (Job, ExecutionLog, TypeActivity, OrganizationActivity, Alert)]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM pg_statistic WHERE starelid = ANY(%s::regclass[])", [tables])
        cursor.execute("UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid = ANY(%s::regclass[])", [tables])


def analyze() -> None:
    """Do what autovacuum would have done."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def add_pending(jobs: int, job_type: str) -> None:
    """So many jobs of the large organization that wait."""
    JobType.objects.get_or_create(pk=job_type, defaults={"handler_method": "lab.benchmarks.handlers.nothing"})
    insert_waiting([Lane(job_type, Organization.objects.get(name=LARGE), jobs)])


def add_dead(jobs: int, job_type: str) -> None:
    """So many Dead Letters of the large organization."""
    add_pending(jobs, job_type)
    Job.objects.filter(job_type=job_type).update(
        status="Dead Letter", ready_at=None, error_message="Service 1 did not answer", error_type="Transient",
        error_fingerprint="0" * 64, attempt=1, started_at=timezone.now(), completed_at=timezone.now(),
    )  # fmt: skip
