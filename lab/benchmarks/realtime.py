"""What live progress costs and how soon it arrives: sockets, drain, progress. Prints figures; asserts nothing.

    createdb bench_live
    export DATABASE_URL=postgres://postgres@127.0.0.1/bench_live REDIS_URL=redis://127.0.0.1:6379/7
    export DJANGO_SETTINGS_MODULE=lab.benchmarks.settings
    python -m django migrate && python -m lab.benchmarks.realtime [sockets|drain|progress ...]

The Redis database is emptied. Clients, submitter and server share the machine: a server alone is faster.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import resource
import statistics
import sys
import threading
import time
from typing import NamedTuple

import django

from tests.support import verbs

django.setup()

import psutil
from django.utils import timezone
from websockets.asyncio.client import ClientConnection, connect

from django_jobs import JobContext, submit_job, submit_jobs
from django_jobs.models import ExecutionLog
from django_jobs.statuses import Status
from lab.benchmarks import setting
from lab.benchmarks.live_setting import admins_headers, make_organizations, server, without_layer
from tests.support.verbs import NOW, Interrupter, Move, ProgressBuffer, Ticket

SOCKETS = 1_000
EVENTS_A_SECOND = 200
SECONDS = 20
#: A client that a broken layer left behind catches up within 30 s.
LATE_SECONDS = 35
DRAINED_JOBS = 40_000
DRAINS = 3
CALLS = 100_000


def sockets() -> None:
    """A thousand sockets on one ASGI process; status events at a steady rate, heard by their organizations' sockets."""
    for organizations in (1_000, 100, 20):
        names = make_organizations(organizations)
        pks = make_jobs(names)
        with server() as (process, port):
            asyncio.run(measure_sockets(process, port, names, pks))


async def measure_sockets(process: psutil.Process, port: int, names: list[str], pks: list[int]) -> None:
    heard: list[float] = []
    url, headers = f"ws://127.0.0.1:{port}/ws/jobs/", await admins_headers(SOCKETS)
    started = time.monotonic()
    connections = [await connect(url, additional_headers=item) for item in headers]
    for number, connection in enumerate(connections):
        await connection.send(json.dumps({"action": "join", "room": f"org:{names[number % len(names)]}"}))
    for connection in connections:
        assert json.loads(await connection.recv())["event"] == "joined"
    joined = time.monotonic() - started
    readers = [asyncio.create_task(read(connection, heard)) for connection in connections]
    before = process.cpu_times()
    await asyncio.to_thread(cancel_steadily, pks)
    await asyncio.sleep(3)
    after = process.cpu_times()
    expected = EVENTS_A_SECOND * SECONDS * SOCKETS // len(names)
    in_time = len(heard)
    await asyncio.to_thread(wait_for_all, heard, expected)
    heard.sort()
    print(
        f"sockets: {SOCKETS} in {len(names):,} organizations, joined in {joined:.1f} s; {EVENTS_A_SECOND} events/s: "
        f"{len(heard):,} of {expected:,} frames, {len(heard) - in_time:,} of them late, "
        f"median {statistics.median(heard) * 1000:.0f} ms, "
        f"p99 {heard[int(0.99 * len(heard))] * 1000:.0f} ms, at most {heard[-1] * 1000:.0f} ms; "
        f"server {process.memory_info().rss / 1e6:.0f} MB, "
        f"{(after.user + after.system - before.user - before.system) / SECONDS:.0%} of a core"
    )
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*(connection.close() for connection in connections))


def wait_for_all(heard: list[float], expected: int) -> None:
    """Wait for the frames that are late, as long as it takes until a poll finds what a notification lost."""
    started = time.monotonic()
    while len(heard) < expected and time.monotonic() - started < LATE_SECONDS:
        time.sleep(0.5)


async def read(connection: ClientConnection, heard: list[float]) -> None:
    async for frame in connection:
        message = json.loads(frame)
        if message["event"] == "job_status_changed":
            heard.append(time.time() - dt.datetime.fromisoformat(message["data"]["updated_at"]).timestamp())


def cancel_steadily(pks: list[int]) -> None:
    """Each cancel is one event."""
    started = time.monotonic()
    for number, pk in enumerate(pks):
        time.sleep(max(0.0, started + number / EVENTS_A_SECOND - time.monotonic()))
        values = {"canceled_at": NOW}
        verbs.move(
            [Move(pk=pk, to_status=Status.CANCELED, values=values)],
            verbs.Terms(sources=[Status.PENDING], actor=verbs.user_named("bench")),
        )
    verbs.drain_broadcasts(5)


def make_jobs(names: list[str]) -> list[int]:
    """Jobs that wait for tomorrow, of each organization in turn."""
    tomorrow = timezone.now() + dt.timedelta(days=1)
    jobs = submit_jobs(
        {
            "job_type": "nothing",
            "organization": names[number % len(names)],
            "parameters": {"n": number},
            "run_at": tomorrow,
        }
        for number in range(EVENTS_A_SECOND * SECONDS)
    )
    return [job.pk for job in jobs]


def drain() -> None:
    """The no-op drain without a layer, with one that nobody listens to, and with listeners in each organization."""
    rates: dict[str, list[Drained]] = {"no layer": [], "a layer": [], "listeners": []}
    for _ in range(DRAINS):
        setting.fill_backlog(DRAINED_JOBS)
        with without_layer():
            rates["no layer"].append(drained())
        setting.fill_backlog(DRAINED_JOBS)
        rates["a layer"].append(drained())
        make_organizations(10)
        setting.fill_backlog(DRAINED_JOBS)  # before the clients come: it empties Redis
        with server() as (process, port):
            rates["listeners"].append(asyncio.run(drained_before_listeners(port)))
            print(f"drain: the server has {process.memory_info().rss / 1e6:.0f} MB")
    for what, found in rates.items():
        jobs, cpu = (
            statistics.median(item.rate for item in found),
            statistics.median(item.microseconds for item in found),
        )
        print(f"drain: {what:<10} {jobs:,.0f} jobs/s, {cpu:.0f} µs of the workers' CPU a job; of {len(found)}")


async def drained_before_listeners(port: int) -> Drained:
    names = [f"BENCH-{number:02}" for number in range(setting.ORGANIZATIONS)]
    url, headers = f"ws://127.0.0.1:{port}/ws/jobs/", await admins_headers(len(names))
    connections = [await connect(url, additional_headers=item) for item in headers]
    for name, connection in zip(names, connections, strict=True):
        await connection.send(json.dumps({"action": "join", "room": f"org:{name}"}))
    counts = [asyncio.create_task(count(connection)) for connection in connections]
    rate = await asyncio.to_thread(drained)
    await asyncio.gather(*(connection.close() for connection in connections))
    print(f"drain: listeners took {sum(await asyncio.gather(*counts)):,} frames")
    return rate


async def count(connection: ClientConnection) -> int:
    frames = 0
    async for _ in connection:
        frames += 1
    return frames


class Drained(NamedTuple):
    """Jobs a second, from the first claim to the last settle, and what a job cost the workers in CPU time.

    On a machine that does other things too, the second says more.
    """

    rate: float
    microseconds: float


def drained() -> Drained:
    with setting.workers(2) as supervisor:
        done = ExecutionLog.objects.filter(to_status=Status.COMPLETED)
        while done.count() < DRAINED_JOBS:
            time.sleep(0.2)
        times_of_all = [process.cpu_times() for process in (supervisor, *supervisor.children(recursive=True))]
    cpu = sum(item.user + item.system for item in times_of_all)
    times = ExecutionLog.objects.filter(to_status__in=[Status.RUNNING, Status.COMPLETED]).order_by("timestamp")
    first, last = times.values_list("timestamp", flat=True)[0], times.reverse().values_list("timestamp", flat=True)[0]
    return Drained(DRAINED_JOBS / (last - first).total_seconds(), 1e6 * cpu / DRAINED_JOBS)


def progress() -> None:
    """``update_progress`` in a tight loop, while another thread writes what it reports."""
    organization = setting.reset()[0]
    job = submit_job("nothing", organization, run_at=timezone.now() + dt.timedelta(days=1))
    buffer = ProgressBuffer("bench")
    ticket = Ticket(job.pk, job.created_at.year, 1, job.priority, "default")
    claimed = verbs.claimed_job(verbs.store().claim_rows([job.pk])[0], ticket, print, "bench")
    context = JobContext(claimed, Interrupter(on_main_thread=True, report=buffer.report))
    done = threading.Event()

    def flush() -> None:
        while not done.wait(0.5):
            buffer.flush()

    thread = threading.Thread(target=flush)
    thread.start()
    started = time.perf_counter()
    for number in range(CALLS):
        context.update_progress(100 * number // CALLS, "at work")
    seconds = time.perf_counter() - started
    done.set()
    thread.join()
    print(f"progress: {1e6 * seconds / CALLS:.1f} µs a call, {CALLS:,} calls")


BENCHMARKS = {"progress": progress, "sockets": sockets, "drain": drain}

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (8_192, 8_192))
    for name in sys.argv[1:] or BENCHMARKS:
        BENCHMARKS[name]()
