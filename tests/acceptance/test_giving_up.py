"""What a worker does when it cannot work: it waits, or says why it does not; a burst never waits for long."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import redis
from django.db import connection
from rq.suspension import resume, suspend

from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, status_of, wait_for_status
from tests.support.databases import DistantDatabase
from tests.support.factories import make_job_type
from tests.support.own_redis import forget_the_broker, use_redis_at
from tests.support.tuning import tuned
from tests.support.valkey import EmbeddedValkey, embedded_valkey
from tests.support.verbs import BROKER_AWAY, DATABASE_AWAY, EXIT_REASONS, FOREIGN_BROKER, MARKER, WORKERS_SUSPENDED
from tests.support.waiting import wait_until
from tests.support.workers import ManagedProcess, ProcessPool

#: Nothing listens there.
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "valkey"


def code_of(worker: ManagedProcess) -> int:
    """The exit code of one that is to end by itself; it would else wait for ever."""
    return worker.wait(2 * PATIENCE)


def test_a_burst_without_redis_ends_with_the_reason(processes: ProcessPool, stage: Stage) -> None:
    stage.submit(make_job_type())
    worker = processes.worker("--burst", environ={"REDIS_URL": NOWHERE})
    assert code_of(worker) == 1
    assert re.search("CommandError: .*ConnectionError", worker.log())


def test_a_burst_without_a_database_ends_with_the_reason(processes: ProcessPool, tmp_path: Path) -> None:
    nowhere = {
        "sqlite": f"sqlite:///{tmp_path}/no/such.sqlite3",
        "postgresql": "postgres://nobody@127.0.0.1:1/nothing",
        "mysql": "mysql://nobody@127.0.0.1:1/nothing",
    }
    worker = processes.worker("--burst", environ={"DATABASE_URL": nowhere[connection.vendor]})
    assert code_of(worker) == 1
    assert re.search(r"CommandError: .*\(OperationalError: ", worker.log())


@pytest.mark.parametrize("threads", [1, 2])
def test_a_burst_that_redis_leaves_ends_with_the_reason(
    processes: ProcessPool, stage: Stage, own_valkey: EmbeddedValkey, threads: int
) -> None:
    kind = make_job_type("record_and_wait")
    running = [stage.submit_recorded(kind, f"job-{number}") for number in range(threads)]
    stage.submit(make_job_type())
    options = ("--burst", "--processes", "1", "--threads", str(threads))
    worker = processes.worker(*options, environ={"REDIS_URL": own_valkey.url})
    for recorded in running:
        recorded.wait_for("start", attempt=1)
    own_valkey.stop()
    for recorded in running:
        recorded.let_go()
    assert code_of(worker) == 1
    assert {status_of(recorded.job) for recorded in running} == {Status.COMPLETED}
    assert f"CommandError: {EXIT_REASONS[BROKER_AWAY]}" in worker.log()


def test_a_burst_while_rq_is_suspended_ends_at_once_with_the_reason(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis
) -> None:
    suspend(redis_client)
    job = stage.submit(make_job_type())
    worker = processes.worker("--burst", "--processes", "1")
    assert code_of(worker) == 1
    assert f"CommandError: {EXIT_REASONS[WORKERS_SUSPENDED]}" in worker.log()
    assert status_of(job) == Status.QUEUED
    resume(redis_client)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite is a file, which does not go away")
def test_a_burst_that_the_database_leaves_ends_with_the_reason(processes: ProcessPool, stage: Stage) -> None:
    database = DistantDatabase()
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    environ = {"DATABASE_URL": database.url, **tuned(lease_renewer_leave_seconds=1.0)}
    worker = processes.worker("--burst", "--processes", "1", settings={"LEASE_SECONDS": 3}, environ=environ)
    recorded.wait_for("start", attempt=1)
    database.cut()
    recorded.let_go()
    assert code_of(worker) == 1
    assert f"CommandError: {EXIT_REASONS[DATABASE_AWAY]}" in worker.log()
    database.close()


def test_a_worker_that_starts_without_redis_looks_later_whose_it_is(
    processes: ProcessPool, stage: Stage, directory: Path
) -> None:
    with embedded_valkey(directory) as server, redis.Redis.from_url(server.url) as client:
        port, url = int(server.url.rpartition(":")[2].partition("/")[0]), server.url
        client.set(MARKER, "somebody-else")
        client.save()  # so that it is there from the first moment of the next one
    worker = processes.worker("--processes", "2", environ={"REDIS_URL": url})
    worker.wait_for_log("ConnectionError")
    wait_until(lambda: len(worker.children()) == 2, PATIENCE, "two children")
    job = stage.submit(make_job_type())
    with embedded_valkey(directory, port) as server, redis.Redis.from_url(server.url) as client:
        assert code_of(worker) == 1
        assert client.get(MARKER) == b"somebody-else"
        assert f"CommandError: {EXIT_REASONS[FOREIGN_BROKER]}" in worker.log()
        assert [key for key in client.keys("*") if key != MARKER.encode()] == []
    assert status_of(job) != Status.COMPLETED


def test_a_worker_that_starts_without_redis_marks_one_that_is_nobodys(
    processes: ProcessPool, stage: Stage, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded_valkey(directory) as server:
        port, url = int(server.url.rpartition(":")[2].partition("/")[0]), server.url
    worker = processes.worker("--processes", "1", environ={"REDIS_URL": url})
    worker.wait_for_log("ConnectionError")
    with embedded_valkey(directory, port) as server, redis.Redis.from_url(server.url) as client:
        use_redis_at(server.url, monkeypatch)
        wait_for_status(stage.submit(make_job_type()), Status.COMPLETED)
        assert client.get(MARKER)
        assert worker.stop() == 0
    monkeypatch.undo()
    forget_the_broker()


def test_a_handler_that_leaves_with_one_of_our_exit_codes_stops_no_worker(processes: ProcessPool, stage: Stage) -> None:
    job = stage.submit(make_job_type("misbehave", max_retries=0), how="os._exit", code=113)
    worker = processes.worker("--processes", "1")
    wait_for_status(job, Status.DEAD_LETTER)
    wait_for_status(stage.submit(make_job_type()), Status.COMPLETED)
    assert worker.is_running()
