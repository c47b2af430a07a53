"""Redis that is emptied, gone, or somebody else's."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from django_jobs import cancel_job, get_job_metrics, get_job_status, submit_jobs
from django_jobs.exceptions import ForeignBroker
from django_jobs.models import Job
from django_jobs.statuses import Status
from tests.acceptance.steps import (
    Stage,
    path_of,
    status_of,
    wait_for_all,
    wait_for_status,
)
from tests.support import slots, verbs
from tests.support.factories import make_job_type
from tests.support.networks import blackhole, slow_line
from tests.support.own_redis import forget_the_broker, use_redis_at
from tests.support.redis_servers import switched_redis
from tests.support.tuning import Tuning
from tests.support.valkey import EmbeddedValkey, embedded_valkey
from tests.support.verbs import MARKER
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool


@pytest.fixture
def own_redis(monkeypatch: pytest.MonkeyPatch, tuning: Tuning) -> Iterator[Callable[[int], None]]:
    """Lets this process, and none that it starts, look for Redis at a port, which may take as long as in production."""
    tuning.let_be("late_broker_seconds")
    yield lambda port: use_redis_at(f"redis://127.0.0.1:{port}/0", monkeypatch)
    monkeypatch.undo()
    forget_the_broker()


def seconds_of(function: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    before()
    started = time.monotonic()
    function()
    return time.monotonic() - started


def seconds_at_best(call: Callable[[], object]) -> float:
    """How long it takes while Redis was not asked before; the least of a few, since the machine may be busy."""
    tries = (seconds_of(call, forget_the_broker) for _ in range(5))
    return next((seconds for seconds in tries if seconds < 2), math.inf)


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
    busy = make_job_type("record_and_wait")
    running = [stage.submit_recorded(busy, f"job-{number}") for number in range(slots.count())]
    processes.worker("--processes", "1")
    for recorded in running:
        recorded.wait_for("start", attempt=1)
    kind = make_job_type()
    jobs = [stage.submit(kind) for _ in range(100)]
    assert Job.objects.filter(status=Status.QUEUED).exists()

    redis_client.flushdb()
    for recorded in running:
        recorded.let_go()

    wait_for_all([*(recorded.job for recorded in running), *jobs])
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


def test_work_goes_on_at_the_server_to_which_the_address_of_redis_leads_by_now(
    processes: ProcessPool, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though no line was cut: the first server answers still, and takes no writes."""
    kind = make_job_type()
    with switched_redis(tmp_path) as switched:
        use_redis_at(switched.url, monkeypatch)
        processes.worker(environ={"REDIS_URL": switched.url})
        wait_for_status(stage.submit(kind), Status.COMPLETED)

        switched.switch()
        jobs = [stage.submit(kind) for _ in range(10)]
        wait_for_all(jobs)
        wait_for_status(stage.submit(kind), Status.COMPLETED)
        processes.clean_up()
        forget_the_broker()


def test_a_full_redis_is_told_once_and_jobs_wait_without_a_change(
    processes: ProcessPool, stage: Stage, own_valkey: EmbeddedValkey
) -> None:
    kind = make_job_type()
    worker = processes.worker(environ={"REDIS_URL": own_valkey.url})
    wait_for_status(stage.submit(kind), Status.COMPLETED)
    with redis.Redis.from_url(own_valkey.url) as client:
        client.config_set("maxmemory", 1)
        jobs = [stage.submit(kind) for _ in range(5)]
        worker.wait_for_log("event=broker_refuses")
        wait_for_all(jobs, Status.PENDING)  # which a process may still take back that just met the refusal
        before, asked = [path_of(job) for job in jobs], evaluations(client)
        wait_until(lambda: evaluations(client) > asked + 5, 30, "the worker to look again")
        assert [path_of(job) for job in jobs] == before
        assert all(path.count(Status.QUEUED) <= 1 for path in before)  # by who submits, and has not heard of it yet

        client.config_set("maxmemory", 0)
        wait_for_all(jobs)
        worker.wait_for_log("event=broker_works_again")
    # The supervisor and its child.
    assert worker.log().count("event=broker_refuses") <= 2


def evaluations(client: redis.Redis) -> int:
    """How many scripts were refused or run."""
    found = client.info("commandstats")["cmdstat_eval"]
    return int(found["calls"]) + int(found["rejected_calls"]) + int(found["failed_calls"])


def test_a_worker_that_starts_before_redis_waits_for_it(
    processes: ProcessPool, stage: Stage, own_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    own_valkey.stop()
    job = stage.submit(make_job_type())
    worker = processes.worker(environ={"REDIS_URL": own_valkey.url})
    worker.wait_for_log("ConnectionError")

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
    assert theirs in worker.log()
    assert ForeignBroker.advice in worker.log()
    assert "Traceback" not in worker.log()
    assert status_of(job) in {Status.PENDING, Status.QUEUED}


def test_no_submission_waits_two_seconds_for_a_redis_that_never_answers_and_the_next_ones_do_not_try(
    stage: Stage, own_redis: Callable[[int], None]
) -> None:
    kind = make_job_type()
    with blackhole() as port:
        own_redis(port)
        first = seconds_at_best(lambda: stage.submit(kind))
        others = seconds_of(lambda: [stage.submit(kind) for _ in range(10)])
        wait_until(lambda: time.monotonic() > verbs.get_broker()._broken_until, 60, "the breaker to close")  # type: ignore[attr-defined]
        again = seconds_of(lambda: stage.submit(kind))

    assert 0.3 < first < 2
    assert others < 4.5  # each that tries takes half a second
    assert 0.3 < again < 5
    assert list(Job.objects.order_by().values_list("status", flat=True).distinct()) == [Status.PENDING]


def test_no_verb_waits_two_seconds_for_a_redis_that_never_answers(
    stage: Stage, own_redis: Callable[[int], None]
) -> None:
    kind = make_job_type()
    with blackhole() as port:
        own_redis(port)
        jobs = submit_jobs([{"job_type": kind, "organization": stage.organization}] * 3)
        calls: list[Callable[[], object]] = [
            lambda: get_job_status(jobs[0].name),
            lambda: cancel_job(jobs[0].name),
            lambda: submit_jobs([{"job_type": kind, "organization": stage.organization}] * 100),
            get_job_metrics,
        ]
        assert [call for call in calls if seconds_at_best(call) >= 2] == []


def test_a_request_that_submits_many_jobs_is_not_held_up_by_a_slow_redis_and_all_of_them_run(
    processes: ProcessPool, stage: Stage, own_valkey: EmbeddedValkey, own_redis: Callable[[int], None]
) -> None:
    kind = make_job_type()
    processes.worker("--processes", "1", environ={"REDIS_URL": own_valkey.url})
    with slow_line(own_valkey.port, 0.7) as port:
        own_redis(port)
        jobs: list[Job] = []
        seconds = seconds_of(lambda: jobs.extend(stage.submit(kind) for _ in range(20)))
        wait_for_all(jobs)

    assert seconds < 11  # twenty that wait take fourteen at least
    processes.clean_up()
