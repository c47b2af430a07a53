"""How fast the engine is: drain (also with threads, waits, batches), submit, latency, statements. Only prints figures.

    createdb bench
    export DATABASE_URL=postgres://postgres@127.0.0.1/bench REDIS_URL=redis://127.0.0.1:6379/7
    export DJANGO_SETTINGS_MODULE=lab.benchmarks.settings
    python -m django migrate
    python -m lab.benchmarks.engine [drain|threads|waits|batches|submit|latency|statements ...]

The Redis database is emptied. Machines are noisy: compare figures of one run on one machine.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import django

from tests.support import verbs

django.setup()

from django.db import connection

from django_jobs import submit_job, submit_jobs
from django_jobs.models import Batch, ExecutionLog, Job, JobType
from django_jobs.statuses import Status
from lab.benchmarks import setting
from tests.support.verbs import Interrupter, ProgressBuffer, RQBroker

DRAINED_JOBS = 40_000
SUBMITTED_JOBS = 5_000
LATENCY_JOBS = 200
SET_SIZE = 100


def drain() -> None:
    """No-op jobs with full audit rows, by two child processes, from the first claim to the last settle."""
    _drain("drain", "nothing", DRAINED_JOBS)


def threads() -> None:
    """The same with ten threads in each child."""
    _drain("ten threads each", "nothing", DRAINED_JOBS // 2, threads=10)


def waits() -> None:
    """Jobs that wait for ten milliseconds, fifty at once in each child: functions, then coroutines."""
    _drain("waits of 10 ms, fifty threads each", "wait", DRAINED_JOBS // 2, threads=50)
    _drain("the same as coroutines", "wait_async", DRAINED_JOBS // 2, threads=50)


def _drain(words: str, job_type: str, jobs: int, threads: int = 1) -> None:
    setting.fill_backlog(jobs, job_type)
    with setting.workers(2, threads) as supervisor:
        done = ExecutionLog.objects.filter(to_status=Status.COMPLETED)
        while done.count() < jobs:
            time.sleep(0.2)
        megabytes = setting.child_megabytes(supervisor)
    times = ExecutionLog.objects.filter(to_status__in=[Status.RUNNING, Status.COMPLETED]).order_by("timestamp")
    first, last = times.values_list("timestamp", flat=True)[0], times.reverse().values_list("timestamp", flat=True)[0]
    rows = ExecutionLog.objects.count() / jobs
    sets = jobs / done.values("timestamp").distinct().count()
    rate = jobs / (last - first).total_seconds()
    print(f"{words}: {rate:,.0f} jobs/s by two children; {rows:.1f} log rows a job; settled in sets of {sets:.0f}")
    print(f"memory: children of {', '.join(f'{size:.0f} MB' for size in megabytes)}")


def batches() -> None:
    """The same jobs without batches, in one for each organization, and in batches of ten; three rounds in turn."""
    rates: dict[str, list[float]] = {"none": [], "one each": [], "of ten": []}
    for _ in range(3):
        for words, size in (("none", 0), ("one each", DRAINED_JOBS), ("of ten", 10)):
            setting.fill_backlog(DRAINED_JOBS)
            if size:
                setting.put_into_batches(size)
            else:
                setting.rewrite()
            rates[words].append(rate_of(DRAINED_JOBS))
    plain = statistics.median(rates["none"])
    for words, found in rates.items():
        told = ", ".join(f"{rate:,.0f}" for rate in found)
        print(f"batches, {words}: {told} jobs/s; {statistics.median(found) / plain:.2f} of those without")
    ended = Batch.objects.exclude(completed_at=None)
    print(f"batches that ended: {ended.count():,} of {Batch.objects.count():,}")


def rate_of(jobs: int, threads: int = 1) -> float:
    """Drain so many jobs or a few more; return jobs a second from the first claim to the last settle."""
    with setting.workers(2, threads):
        done = ExecutionLog.objects.filter(to_status=Status.COMPLETED)
        while done.count() < jobs:
            time.sleep(0.2)
        time.sleep(1.5)  # what is left of the batches is added up
    times = ExecutionLog.objects.filter(to_status__in=[Status.RUNNING, Status.COMPLETED]).order_by("timestamp")
    first, last = times.values_list("timestamp", flat=True)[0], times.reverse().values_list("timestamp", flat=True)[0]
    return float(done.count() / (last - first).total_seconds())


def submit() -> None:
    """Jobs submitted one by one by one process, while nobody works."""
    for words, seconds in (("one by one", 0), ("one by one, duplicates refused", 300)):
        organizations = setting.reset()
        JobType.objects.update(deduplication_window=seconds)
        started = time.perf_counter()
        for number in range(SUBMITTED_JOBS):
            submit_job("nothing", organizations[number % len(organizations)].name, {"number": number})
        print(f"submit: {SUBMITTED_JOBS / (time.perf_counter() - started):,.0f} jobs/s {words}")
    organizations = setting.reset()
    items: list[dict[str, Any]] = [
        {"job_type": "nothing", "organization": organizations[number % len(organizations)], "parameters": {"n": number}}
        for number in range(2 * SUBMITTED_JOBS)
    ]
    started = time.perf_counter()
    submit_jobs(items)
    print(f"submit: {len(items) / (time.perf_counter() - started):,.0f} jobs/s in one call of {len(items):,}")


def latency() -> None:
    """From the call of submit_job to the handler's first line, one job at a time on an idle system."""
    organization = setting.reset()[0]
    delays = []
    with setting.workers(2):
        for number in range(LATENCY_JOBS + 20):
            before = time.time()
            job = submit_job("clock", organization, {"number": number})
            while (row := Job.objects.get(pk=job.pk)).status != Status.COMPLETED:
                time.sleep(0.002)
            result: Any = row.result
            delays.append((result["began"] - before) * 1000)
            time.sleep(0.01)
    delays = sorted(delays[20:])  # the first ones wait for the workers to start
    median, p95 = statistics.median(delays), delays[int(0.95 * len(delays))]
    print(f"latency: submit to start {median:.1f} ms at the median, {p95:.1f} ms at p95")


@contextmanager
def counting(what: str, jobs: int) -> Iterator[None]:
    """Statements and Redis commands of a block, a job."""
    statements = 0

    def count(execute: Callable[..., Any], *args: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(*args)

    commands = int(verbs.shared_redis().info("stats")["total_commands_processed"])
    with connection.execute_wrapper(count):
        yield
    commands = int(verbs.shared_redis().info("stats")["total_commands_processed"]) - commands - 1
    print(
        f"statements: {what:<26} {statements:4} ({statements / jobs:.2f} a job), Redis commands {commands / jobs:.2f}"
    )


def statements() -> None:
    """What a set of a hundred costs at each step, and a single submit."""
    organization = setting.reset()[0]
    with counting("submit one, idle broker", 1):
        submit_job("nothing", organization)
    setting.fill_backlog(10 * SET_SIZE)
    verbs.announce_worker("bench", verbs.broker_queue_names(), slots=SET_SIZE)
    worker, progress = RQBroker().consumer("bench"), ProgressBuffer("bench")
    with counting(f"dispatch {SET_SIZE}", SET_SIZE):
        verbs.wake()
    with counting(f"take {SET_SIZE} tickets", SET_SIZE):
        tickets = worker.take_now(SET_SIZE).tickets
    with counting(f"claim {len(tickets)}", len(tickets)):
        claimed = verbs.claim(tickets, "bench")
    ended = []
    for item in claimed:
        runner = Interrupter(on_main_thread=True, report=progress.report)
        ended.append(verbs.run(item, verbs.context_for(item, runner)))
    with counting(f"settle {len(ended)}", len(ended)):
        verbs.settle(ended, "bench")


BENCHMARKS = {
    "statements": statements,
    "submit": submit,
    "latency": latency,
    "drain": drain,
    "threads": threads,
    "waits": waits,
    "batches": batches,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or BENCHMARKS:
        BENCHMARKS[name]()
