"""What many jobs leave behind in a database that keeps few of them. Prints sizes; asserts nothing.

    python -m lab.benchmarks.bloat [--jobs 1000000] [--round 50000]

Wants what ``lab.benchmarks.engine`` wants, and a server whose autovacuum is on. In each round so many jobs are
submitted and worked off by two children; then those of the round before are deleted. Autovacuum does what it does
meanwhile. After each round: the sizes of the tables and of their indexes, and dead rows. What the last round leaves is
compared with what the same rows need.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, NamedTuple

import django

django.setup()

from django.db import connection

from django_jobs import submit_jobs
from django_jobs.models import ExecutionLog, Job, Organization
from django_jobs.statuses import UNFINISHED
from lab.benchmarks import setting
from tests.support.verbs import Pruner

TABLES = tuple(model._meta.db_table for model in (Job, ExecutionLog))
CHUNK = 10_000
MEGABYTE = 1024 * 1024


class Size(NamedTuple):
    """Of one table: megabytes of the table and of its indexes, and rows, living and dead as the server counts them."""

    table: float
    indexes: float
    rows: int
    dead: int
    vacuums: int

    def __str__(self) -> str:
        return f"{self.table:8,.1f} MB {self.indexes:8,.1f} MB indexes {self.dead:8,} dead {self.vacuums:3} vacuums"


def size_of(table: str) -> Size:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_table_size(relid), pg_indexes_size(relid), n_live_tup, n_dead_tup, autovacuum_count "
            "FROM pg_stat_user_tables WHERE relname = %s",
            [table],
        )
        in_table, in_indexes, *rest = cursor.fetchone()
    return Size(in_table / MEGABYTE, in_indexes / MEGABYTE, *rest)


def run(jobs: int, at_once: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW autovacuum")
        if cursor.fetchone()[0] != "on":
            raise SystemExit("Turn the server's autovacuum on.")
    organizations = setting.reset()
    done = 0
    with setting.workers(2):
        while done < jobs:
            began = time.monotonic()
            _work_off(organizations, at_once)
            _delete(at_once if done else 0)
            done += at_once
            print(f"{done:>10,} jobs, {at_once / (time.monotonic() - began):,.0f}/s", flush=True)
            for table in TABLES:
                print(f"    {table:26} {size_of(table)}", flush=True)
    _compare_with_compact()


def _work_off(organizations: list[Organization], count: int) -> None:
    for start in range(0, count, CHUNK):
        items: list[dict[str, Any]] = [
            {"job_type": "nothing", "organization": organizations[n % len(organizations)], "parameters": {"number": n}}
            for n in range(start, min(count, start + CHUNK))
        ]
        submit_jobs(items)
    while Job.objects.filter(status__in=sorted(UNFINISHED)).exists():
        time.sleep(0.2)


def _delete(jobs: int) -> None:
    """Delete so many, which have ended."""
    pruner = Pruner(days=0)
    while jobs > 0 and (deleted := pruner.prune(0.0)):
        jobs -= deleted


def _compare_with_compact() -> None:
    """What the tables and their indexes have for the rows of one round, and what they need."""
    before = {table: size_of(table) for table in TABLES}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"VACUUM FULL {table}")
    for table in TABLES:
        print(f"{table}: {before[table]} before, {size_of(table)} written anew")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m lab.benchmarks.bloat")
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--round", type=int, default=50_000)
    options = parser.parse_args()
    run(options.jobs, options.round)
