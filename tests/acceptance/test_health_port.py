"""A real worker that is probed, and scraped by a real Prometheus."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import psutil
import pytest
from django.db import connection

from django_jobs import submit_jobs
from django_jobs.models import Job
from tests.acceptance.steps import Stage, wait_for_all
from tests.support.addresses import free_port
from tests.support.databases import DistantDatabase
from tests.support.factories import make_job_type
from tests.support.probes import Answered, ask, code_of, value_of
from tests.support.prometheus import prometheus_of
from tests.support.tuning import tuned
from tests.support.waiting import wait_until
from tests.support.workers import ManagedProcess, ProcessPool

#: The history is summed up once no transaction of the server is open that began before, of whichever database.
PATIENCE = 90.0
ATTEMPTS = "django_jobs_attempts_total"
RUNS = "django_jobs_run_seconds_count"
WAITS = "django_jobs_wait_seconds_count"
EXITS = "django_jobs_child_exits_total"
#: The history is summed up more often, and sooner where the database does not tell which transactions are open.
DILIGENT = tuned(rollup_pause_seconds=0.5, log_open_seconds=3.0)


def run_echoes(stage: Stage, count: int) -> None:
    kind = make_job_type("echo")
    items = [{"job_type": kind, "organization": stage.organization, "parameters": {"number": n}} for n in range(count)]
    jobs: list[Job] = submit_jobs(items)
    wait_for_all(jobs)


def kill_children(worker: ManagedProcess) -> int:
    """Kill those that live. One that is to be replaced, after its twentieth job, may leave before the blow."""
    killed = 0
    for child in worker.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                child.kill()
                killed += 1
    return killed


def scraped_within_a_second(port: int) -> Answered:
    """The metrics. At the third try at the latest they are there within a second: the machine may be busy."""
    for _ in range(2):
        with contextlib.suppress(OSError):
            return ask(port, "/metrics", timeout=1.0)
    return ask(port, "/metrics", timeout=1.0)


def wait_for_value(port: int, name: str, value: float, **labels: str) -> None:
    found = f"{name} = {value}"
    wait_until(lambda: value_of(ask(port, "/metrics").body, name, **labels) == value, PATIENCE, found, pause=0.1)


def test_counters_survive_the_deaths_of_children_as_a_real_prometheus_sees(
    processes: ProcessPool, stage: Stage, tmp_path: Path
) -> None:
    port = free_port()
    worker = processes.worker("--processes", "2", "--max-jobs", "20", "--health-port", str(port), environ=DILIGENT)
    run_echoes(stage, 100)
    wait_for_value(port, ATTEMPTS, 100, outcome="completed")
    wait_for_value(port, RUNS, 100)
    wait_until(lambda: len(worker.children()) == 2, PATIENCE, "two children")

    # As many as jobs, and those that a busy machine requeued before they began.
    attempts = value_of(ask(port, "/metrics").body, ATTEMPTS)
    wait_until(lambda: kill_children(worker), PATIENCE, "a child to be killed")
    wait_until(lambda: value_of(ask(port, "/metrics").body, EXITS, how="unexpected") >= 1, PATIENCE, "the deaths")
    assert value_of(ask(port, "/metrics").body, EXITS, how="clean") >= 1
    assert value_of(ask(port, "/metrics").body, ATTEMPTS) == attempts
    run_echoes(stage, 30)
    wait_for_value(port, ATTEMPTS, 130, outcome="completed")
    wait_for_value(port, "django_jobs_submitted_total", 130)
    wait_until(lambda: value_of(ask(port, "/metrics").body, WAITS) >= 130, PATIENCE, "the waits")
    wait_until(lambda: code_of(port, "/ready") == 200, PATIENCE, "a worker that is ready")

    with prometheus_of(port, tmp_path / "prometheus") as prometheus:
        prometheus.wait_for(f'sum({ATTEMPTS}{{outcome="completed"}})', 130)
        prometheus.wait_for("sum(django_jobs_run_seconds_count)", 130)
        prometheus.wait_for("sum(django_jobs_workers)", 2)
        prometheus.wait_for('up{job="django_jobs"}', 1)


def test_a_scheduler_tells_what_waits(processes: ProcessPool, stage: Stage) -> None:
    stage.submit(make_job_type("echo"))
    port = free_port()
    scheduler = processes.start("jobs_scheduler", "--health-port", str(port), environ=DILIGENT)
    wait_until(lambda: code_of(port, "/ready") == 200, PATIENCE, "a scheduler that is ready")
    wait_for_value(port, "django_jobs_scheduler_leads", 1)
    wait_for_value(port, "django_jobs_submitted_total", 1)
    wait_until(lambda: value_of(ask(port, "/metrics").body, "django_jobs_backlog") == 1, PATIENCE, "the backlog")
    assert scheduler.stop() == 0


@pytest.mark.skipif(connection.vendor == "sqlite", reason="there is no line to a file")
def test_a_worker_whose_database_goes_away_is_live_not_ready_and_scraped_within_a_second(
    processes: ProcessPool, stage: Stage, distant: DistantDatabase
) -> None:
    port = free_port()
    processes.worker("--health-port", str(port), environ={"DATABASE_URL": distant.url})
    wait_until(lambda: code_of(port, "/ready") == 200, PATIENCE, "a worker that is ready")

    distant.cut()
    wait_until(lambda: code_of(port, "/ready") == 503, PATIENCE, "a worker that is not ready")
    assert len(json.loads(ask(port, "/ready").body)["reasons"]) == 1
    assert code_of(port, "/live") == 200
    answered = scraped_within_a_second(port)
    assert (answered.code, value_of(answered.body, "django_jobs_database_up")) == (200, 0)
    distant.mend()
    wait_until(lambda: code_of(port, "/ready") == 200, PATIENCE, "a worker that is ready again")


@pytest.mark.parametrize("command", ["jobs_worker", "jobs_scheduler"])
def test_who_waits_for_its_database_is_live_and_not_ready(processes: ProcessPool, tmp_path: Path, command: str) -> None:
    port = free_port()
    nowhere = f"sqlite:///{tmp_path}/nowhere/db.sqlite3"
    waiting = processes.start(command, "--health-port", str(port), environ={"DATABASE_URL": nowhere})
    waiting.wait_for_log("(OperationalError: ")
    assert code_of(port, "/live") == 200
    assert json.loads(ask(port, "/ready").body)["status"] == "not ready"
    assert scraped_within_a_second(port).code == 200
