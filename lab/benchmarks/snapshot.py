"""How fast jobs are drained beside a long snapshot, such as that of a pg_dump. Prints ratios; asserts nothing.

    createdb bench
    export DATABASE_URL=postgres://postgres@127.0.0.1/bench REDIS_URL=redis://127.0.0.1:6379/7
    export DJANGO_SETTINGS_MODULE=lab.benchmarks.settings
    python -m django migrate && python -m lab.benchmarks.snapshot [jobs] [rounds]

While a snapshot is open, dead rows and their index entries stay. A statement that walks past them costs more with each
job. Each round drains so many jobs (200,000) without a snapshot and then beside one. Where the extension
``pg_stat_statements`` is in the database, the statements are named that took longer beside the snapshot; and for each
index, how many entries were read for a job. The Redis database is emptied.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import django

django.setup()

from django.db import connection

from django_jobs.models import ExecutionLog
from django_jobs.statuses import Status
from lab.benchmarks import setting

JOBS: Final = 200_000
STEP_SECONDS: Final = 10
SHOWN: Final = 12
#: A job's rows in the log: submitted, queued, running, completed.
LOG_ROWS: Final = 4


class Drain(NamedTuple):
    """What one drain was like: jobs/s in all and in each STEP_SECONDS, what statements and indexes cost for a job."""

    rate: float
    rates: list[float]
    microseconds: dict[str, float]
    entries: dict[str, float]


@contextlib.contextmanager
def snapshot() -> Iterator[None]:
    """A transaction that sees the database as it is now, and so keeps all that dies from now on."""
    holder: Any = connection.copy()
    with holder.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT 1")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")
            holder.close()


def drain(jobs: int, *, beside_snapshot: bool) -> Drain:
    """Drain so many jobs, from the first claim to the last settle."""
    setting.fill_backlog(jobs)
    with snapshot() if beside_snapshot else contextlib.nullcontext():
        _ask("SELECT pg_stat_reset()")
        if _has_statements():
            _ask("SELECT pg_stat_statements_reset()")
        with setting.workers(2):
            _wait_for(jobs)
        return Drain(*_rates(jobs), _read_statements(jobs), _read_entries(jobs))


def _ask(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def _wait_for(jobs: int) -> None:
    """Wait for the jobs by the log's sequence, which costs nothing; at the end by the log itself."""
    sequence = f"{ExecutionLog._meta.db_table}_id_seq"
    while _ask(f"SELECT last_value FROM {sequence}")[0][0] < LOG_ROWS * jobs:
        time.sleep(0.2)
    while ExecutionLog.objects.filter(to_status=Status.COMPLETED).count() < jobs:
        time.sleep(1)


def _rates(jobs: int) -> tuple[float, list[float]]:
    rows = ExecutionLog.objects.filter(to_status__in=[Status.RUNNING, Status.COMPLETED]).order_by("timestamp")
    first, last = rows.values_list("timestamp", flat=True)[0], rows.reverse().values_list("timestamp", flat=True)[0]
    ends = ExecutionLog.objects.filter(to_status=Status.COMPLETED).values_list("timestamp", flat=True)
    steps = Counter(int((end - first).total_seconds() // STEP_SECONDS) for end in ends.iterator(chunk_size=10_000))
    whole = max(1, int((last - first).total_seconds() // STEP_SECONDS))
    return jobs / (last - first).total_seconds(), [steps[step] / STEP_SECONDS for step in range(whole)]


def _has_statements() -> bool:
    return bool(_ask("SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements'"))


def _read_statements(jobs: int) -> dict[str, float]:
    """Return how many microseconds each statement took for a job; like ones that differ in their length only as one."""
    if not _has_statements():
        return {}
    found: Counter[str] = Counter()
    for text, milliseconds in _ask("SELECT query, total_exec_time FROM pg_stat_statements WHERE total_exec_time > 10"):
        found[" ".join(text.split())[:2000]] += milliseconds * 1_000 / jobs
    return dict(found)


def _read_entries(jobs: int) -> dict[str, float]:
    time.sleep(2)  # the server's processes tell their counts with a delay
    rows = _ask("SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes WHERE idx_tup_read > 0")
    return {name: entries / jobs for name, entries in rows}


def compare(without: list[Drain], beside: list[Drain]) -> None:
    """Print what a snapshot changed."""
    plain, slowed = (statistics.median(item.rate for item in found) for found in (without, beside))
    print(f"drain: {plain:,.0f} jobs/s without a snapshot, {slowed:,.0f} beside one: ratio {slowed / plain:.2f}")
    _table("microseconds of a statement for a job", without[-1].microseconds, beside[-1].microseconds)
    _table("index entries read for a job", without[-1].entries, beside[-1].entries)


def _table(what: str, without: dict[str, float], beside: dict[str, float]) -> None:
    print(f"{what}: without, beside")
    grown = sorted(beside, key=lambda name: beside[name] - without.get(name, 0.0), reverse=True)
    for name in grown[:SHOWN]:
        print(f"  {without.get(name, 0.0):10.2f} {beside[name]:10.2f}  {name[:400]}")


if __name__ == "__main__":
    asked = [int(value) for value in sys.argv[1:]]
    jobs, rounds = asked[0] if asked else JOBS, asked[1] if len(asked) > 1 else 1
    results: dict[bool, list[Drain]] = {False: [], True: []}
    for _ in range(rounds):
        for beside_snapshot, found in results.items():
            found.append(drain(jobs, beside_snapshot=beside_snapshot))
            rates = ", ".join(f"{rate:,.0f}" for rate in found[-1].rates)
            where = "beside a snapshot" if beside_snapshot else "without"
            print(f"{where}: {found[-1].rate:,.0f} jobs/s (in steps of {STEP_SECONDS} s: {rates})", flush=True)
    compare(results[False], results[True])
