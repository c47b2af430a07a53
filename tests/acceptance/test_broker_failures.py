"""Redis that is emptied, gone, or somebody else's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import django_rq.settings
import pytest
import redis

from django_jobs.broker import connection
from django_jobs.broker.tickets import MARKER
from django_jobs.engine.ports import use_broker
from django_jobs.models import Job
from django_jobs.statuses import Status
from tests.acceptance.steps import (
    Stage,
    path_of,
    status_of,
    wait_for_all,
    wait_for_status,
)
from tests.support.factories import make_job_type
from tests.support.valkey import EmbeddedValkey, embedded_valkey
from tests.support.workers import ProcessPool


@pytest.fixture
def own_valkey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedValkey]:
    """A Redis that only this test uses, also for what it submits itself."""
    with embedded_valkey(tmp_path / "own-valkey") as server:
        queues = {name: {"URL": server.url} for name in django_rq.settings.QUEUES}
        monkeypatch.setattr(django_rq.settings, "QUEUES", queues)
        forget_the_broker()
        yield server
    monkeypatch.undo()
    forget_the_broker()


def forget_the_broker() -> None:
    """This process connects anew, and holds no grudge against a Redis that failed."""
    if connection.shared.cache_info().currsize:
        connection.shared().close()
    connection.shared.cache_clear()
    use_broker(None)


def test_emptying_redis_before_a_worker_comes_loses_no_waiting_job(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis
) -> None:
    kind = make_job_type()
    jobs = [stage.submit(kind) for _ in range(100)]
    assert Job.objects.filter(status=Status.QUEUED).exists()

    redis_client.flushdb()
    processes.worker()

    wait_for_all(jobs)
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}


def test_emptying_redis_under_a_busy_worker_loses_no_waiting_job_and_changes_no_status(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis
) -> None:
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    processes.worker("--processes", "1")
    recorded.wait_for("start", attempt=1)
    kind = make_job_type()
    jobs = [stage.submit(kind) for _ in range(100)]
    assert Job.objects.filter(status=Status.QUEUED).exists()

    redis_client.flushdb()
    recorded.let_go()

    wait_for_all([recorded.job, *jobs])
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}
    for job in jobs:
        assert path_of(job).count(Status.QUEUED) == 1


def test_submitting_while_redis_is_down_succeeds_fast_and_everything_runs_when_it_is_back(
    processes: ProcessPool, stage: Stage, own_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    kind = make_job_type()
    environ = {"REDIS_URL": own_valkey.url}
    worker = processes.worker(environ=environ)
    wait_for_status(stage.submit(kind), Status.COMPLETED)

    own_valkey.stop()
    started = time.monotonic()
    jobs = [stage.submit(kind) for _ in range(10)]
    seconds = time.monotonic() - started

    assert seconds < 10  # two seconds at the most for the first, and then the breaker spares the others
    # A worker that was just dispatching when Redis went takes them back at once.
    wait_for_all(jobs, Status.PENDING)
    worker.wait_for_log("event=broker_unavailable")
    with embedded_valkey(tmp_path / "restarted-valkey", port=own_valkey.port):
        wait_for_all(jobs)
        assert set(Job.objects.values_list("attempt", flat=True)) == {1}
        processes.clean_up()


def test_a_worker_that_starts_before_redis_waits_for_it(
    processes: ProcessPool, stage: Stage, own_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    own_valkey.stop()
    job = stage.submit(make_job_type())
    worker = processes.worker(environ={"REDIS_URL": own_valkey.url})
    worker.wait_for_log("the workers go on trying")

    with embedded_valkey(tmp_path / "late-valkey", port=own_valkey.port):
        wait_for_status(job, Status.COMPLETED)
        processes.clean_up()


def test_a_worker_refuses_the_redis_of_another_installation_and_says_why(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis
) -> None:
    theirs = "11111111-2222-3333-4444-555555555555"
    redis_client.set(MARKER, theirs)
    job = stage.submit(make_job_type())

    worker = processes.worker()

    assert worker.wait(30) != 0
    assert f"The broker belongs to installation {theirs}" in worker.log()
    assert "Give each installation a Redis database of its own" in worker.log()
    assert "Traceback" not in worker.log()
    assert status_of(job) in {Status.PENDING, Status.QUEUED}
