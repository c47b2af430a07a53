"""The measurements, by name. Each starts what it needs, does the harm, and returns how long the cure took."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Final

import psutil

from lab.faults.guarantees.fail_overs import machine_lost, postgresql_fails_over, redis_fails_over
from lab.faults.guarantees.stage import Stage, stage
from lab.faults.guarantees.table import Measured
from tests.support.record import Event
from tests.support.redis_servers import RedisProcess
from tests.support.waiting import wait_until
from tests.support.workers import ManagedProcess

WAITING_JOBS: Final = 1_000
GRACE_SECONDS: Final = 2
#: Seconds that a job runs where another tenant's job waits behind such.
RUN_SECONDS: Final = 0.5


def child_killed(repeat: int) -> Measured:
    """Kill the process that runs a job."""
    with stage() as (place, _):
        place.site.start("jobs_worker", "--processes", "2")
        values = [_run_again_after(place, lambda pid: os.kill(pid, signal.SIGKILL)) for _ in range(repeat)]
    return Measured("a worker's child is killed", "its job runs again", 1.0, "1 s", values)


def worker_killed(repeat: int) -> Measured:
    """Kill a worker whole, and start another one on the same host at once."""
    with stage() as (place, _):
        workers = [place.site.start("jobs_worker", "--processes", "2")]

        def replace_worker(pid: int) -> None:
            workers[-1].clean_up()
            workers.append(place.site.start("jobs_worker", "--processes", "2"))

        values = [_run_again_after(place, replace_worker) for _ in range(repeat)]
    event = "a worker is killed whole, and started again on the same host"
    return Measured(event, "its jobs run again", 3.0, "3 s", values)


def _run_again_after(place: Stage, harm: Callable[[int], None]) -> float:
    """Submit a long job, harm the process that runs it, and return the seconds until its second attempt begins."""
    since = time.monotonic()
    place.site.call("submit_some(1, 20)")
    (first,) = _begun(place, since, 1)
    moment = time.monotonic()
    harm(first.pid)
    (again,) = _begun(place, moment, 1)
    place.site.call("cancel_all()")
    return again.at - moment


def _begun(place: Stage, since: float, count: int) -> list[Event]:
    what = f"{count} jobs to begin"
    wait_until(lambda: len(place.site.begins_since(since)) >= count, 90, f"{what}:\n{place.site.logs()}")
    return place.site.begins_since(since)[:count]


def redis_emptied(repeat: int) -> Measured:
    """Empty Redis while a thousand jobs have tickets in it, and count until all are back."""
    slots, many = WAITING_JOBS // 2, {"MAX_IN_FLIGHT_PER_ORGANIZATION": WAITING_JOBS}
    with stage(many) as (place, broker):
        place.site.start("jobs_scheduler")
        worker = place.site.start("jobs_worker", "--processes", "2", "--threads", str(slots), "--no-scheduler")
        place.wait_for("SELECT coalesce(sum(slots), 0) >= 1000 FROM django_jobs_worker", "workers to be known")
        with frozen(worker):
            place.site.call(f"submit_some({WAITING_JOBS}, 0)")
            wait_until(lambda: _tickets(broker) >= WAITING_JOBS, 60, f"the tickets:\n{place.site.logs()}")
            values = [_until_all_are_back(place, broker) for _ in range(repeat)]
    return Measured("Redis is emptied, 1,000 jobs wait", "all tickets are back", 3.0, "3 s", values)


@contextlib.contextmanager
def frozen(worker: ManagedProcess) -> Iterator[None]:
    """Stop a worker and its children for a while: they take nothing, and count as living for half a minute."""
    processes = [psutil.Process(worker.pid), *worker.children()]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def _until_all_are_back(place: Stage, broker: RedisProcess) -> float:
    with broker.client() as client:
        client.flushall()
    moment = time.monotonic()
    wait_until(lambda: _tickets(broker) >= WAITING_JOBS, 60, f"the tickets to be back:\n{place.site.logs()}")
    return time.monotonic() - moment


def _tickets(broker: RedisProcess) -> int:
    with broker.client() as client:
        return sum(int(client.llen(key)) for key in client.scan_iter("rq:queue:jobs-*"))


def handler_ignores_cancel(repeat: int) -> Measured:
    """Cancel a job whose handler ignores everything."""
    with stage({"CANCEL_GRACE_SECONDS": GRACE_SECONDS}) as (place, _):
        place.site.start("jobs_worker", "--processes", "2")
        values = list(_cancels(place, repeat))
    event = "a job is canceled whose handler ignores everything"
    return Measured(event, "it ends as Canceled", GRACE_SECONDS + 2.0, "`CANCEL_GRACE_SECONDS` (here 2) + 2 s", values)


def _cancels(place: Stage, repeat: int) -> Iterator[float]:
    for _ in range(repeat):
        place.site.call("submit_deaf()")
        place.wait_for("SELECT bool_or(status = 'Running' AND progress = 1) FROM django_jobs_job", "it to run")
        place.site.call("cancel_all()")
        place.wait_for("SELECT NOT bool_or(status = 'Running') FROM django_jobs_job", "it to end")
        took = "extract(epoch FROM canceled_at - cancel_requested_at)"
        yield place.number(f"SELECT {took} FROM django_jobs_job ORDER BY id DESC LIMIT 1")


def other_tenant_waits(repeat: int) -> Measured:
    """Submit a job of one tenant behind a long backlog of another one's."""
    with stage() as (place, _):
        place.site.start("jobs_worker", "--processes", "2")
        place.site.call(f"submit_some(1000, {RUN_SECONDS}, 'ORG-A')")
        _begun(place, 0, 10)
        for _ in range(5 * repeat):
            place.site.call(f"submit_some(1, {RUN_SECONDS}, 'ORG-B')")
        theirs = "organization_name = 'ORG-B'"
        place.wait_for(f"SELECT bool_and(started_at IS NOT NULL) FROM django_jobs_job WHERE {theirs}", "them to run")
        waits = f"SELECT extract(epoch FROM started_at - created_at) FROM django_jobs_job WHERE {theirs}"
        ran = "extract(epoch FROM completed_at - started_at)"
        run = place.number(f"SELECT avg({ran}) FROM django_jobs_job WHERE status = 'Completed'")
        values = [float(row[0]) / run for row in place.server.ask(waits)]
    event = "another tenant has a thousand jobs waiting"
    return Measured(event, "a tenant's own job starts", 2.0, "2 run times a slot", values, unit="run times")


ALL: Final = {
    function.__name__: function
    for function in (
        child_killed,
        worker_killed,
        machine_lost,
        redis_emptied,
        redis_fails_over,
        postgresql_fails_over,
        handler_ignores_cancel,
        other_tenant_waits,
    )
}
