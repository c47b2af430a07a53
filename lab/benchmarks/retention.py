"""What retention does in a second: old jobs with logs, links and keys; the same with its rests; expired keys.

``python -m lab.benchmarks.retention [jobs]``; with ``drain`` before the number, beside workers that
drain a backlog.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Callable

import django
from django.db import connection
from django.utils import timezone

from tests.support import verbs


def main(jobs: int, *, beside_drain: bool) -> None:
    if beside_drain:
        drain(jobs)
        return
    from lab.benchmarks import setting
    from tests.support.verbs import Pruner

    setting.fill_backlog(jobs)
    age(0)
    say("young jobs looked at", jobs, lambda: Pruner().prune(1e9))
    age(40)
    say("old jobs deleted", jobs, lambda: Pruner().prune(1e9))
    setting.fill_backlog(jobs)
    age(40)
    say("the same with its rests", jobs, in_its_thread)
    keys(jobs)
    say("expired keys deleted", jobs, lambda: verbs.forget_expired_keys(1e9))


def say(what: str, jobs: int, act: Callable[[], int]) -> None:
    started = time.perf_counter()
    count = act()
    seconds = time.perf_counter() - started
    print(f"{what:24}{count:>10,} of {jobs:,} in {seconds:.3f} s: {count / seconds:,.0f} a second", flush=True)


def in_its_thread() -> int:
    """Delete all as the scheduler does in the long run: step by step, with the rests between."""
    from django_jobs.models import Job
    from tests.support.verbs import DutyThread, Sweeps

    count, sweeps = Job.objects.count(), Sweeps()
    thread = DutyThread("prune", lambda: sweeps.turn("prune"), lambda: True, lambda _, turn: turn())
    thread.start()
    while Job.objects.exists():
        time.sleep(0.05)
    thread.stop()
    return count


def age(days: int) -> None:
    """Let all jobs have ended so many days ago, each with four log rows, a link to the one before it, and a key."""
    from django_jobs.models import DuplicateKey, ExecutionLog, Job, JobDependency

    job, log, link, key = (model._meta.db_table for model in (Job, ExecutionLog, JobDependency, DuplicateKey))
    moment = f"now() - interval '{days} days'"
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {job} SET status = 'Completed', ready_at = NULL, attempt = 1, fileless_attempts = 1, "
            f"created_at = {moment}, completed_at = {moment}, job_hash = md5(id::text) || md5(id::text)"
        )
        cursor.execute(f"TRUNCATE {link}, {key}")
        cursor.execute(f"INSERT INTO {link} (child_id, parent_id) SELECT id, id - 1 FROM {job} WHERE id > 1")
        cursor.execute(f"INSERT INTO {key} SELECT job_hash, id, {moment} FROM {job}")
        cursor.execute(
            f"INSERT INTO {log} (job_id, from_status, to_status, timestamp, actor, message, attempt, worker_name, "
            f"traceback, organization_id) SELECT id, 'Pending', 'Queued', {moment}, 'system', '', 0, '', '', "
            f"organization_id FROM {job}, generate_series(1, {3 if days == 0 else 0})"
        )
        cursor.execute("VACUUM ANALYZE")


def keys(count: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_jobs_duplicatekey SELECT md5(n::text) || md5(n::text), n, now() - interval '1 hour' "
            "FROM generate_series(1, %s) n",
            [count],
        )


def drain(jobs: int) -> None:
    """Compare how fast a backlog is drained with and without as many old jobs beside it."""
    from django_jobs.models import Job
    from django_jobs.statuses import UNFINISHED
    from lab.benchmarks import setting

    for is_beside in (False, True):
        setting.fill_backlog(jobs)
        if is_beside:
            age(40)
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO django_jobs_job (job_type_id, organization_id, organization_name, owner_name, status, "
                    "priority, progress, progress_message, input_parameters, metadata, output_reference, "
                    "error_message, error_type, retry_count, max_retries, retry_delay, job_hash, timeout_seconds, "
                    "created_at, canceled_by, has_children, is_orphaned, error_fingerprint, attempt, worker_name, "
                    "ready_at) SELECT 'nothing', organization_id, organization_name, '', 'Pending', 1, 0, '', '{}', "
                    "'{}', '', '', '', 0, 5, 60, '', 60, now(), '', false, false, '', 0, '', now() "
                    "FROM django_jobs_job ORDER BY id"
                )
                cursor.execute("VACUUM ANALYZE")
        waiting = Job.objects.filter(status__in=sorted(UNFINISHED))
        yesterday = timezone.now() - dt.timedelta(days=1)
        old = Job.objects.filter(created_at__lt=yesterday)
        before = old.count()
        with setting.workers(2):
            while not Job.objects.filter(status="Completed", created_at__gt=yesterday).exists():
                time.sleep(0.05)
            started = time.perf_counter()
            while waiting.exists():
                time.sleep(0.2)
            seconds = time.perf_counter() - started
            gone = before - old.count()
        print(f"{jobs:,} jobs drained: {jobs / seconds:,.0f} a second, {gone / seconds:,.0f} deleted", flush=True)


if __name__ == "__main__":
    django.setup()
    arguments = sys.argv[1:]
    main(int(arguments[-1]) if arguments else 50_000, beside_drain="drain" in arguments)
