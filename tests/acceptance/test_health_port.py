"""A real worker that is probed, and scraped by a real Prometheus."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.db import connection

from django_jobs import submit_jobs
from django_jobs.models import Job
from tests.acceptance.steps import Stage, wait_for_all
from tests.support.databases import DistantDatabase
from tests.support.factories import make_job_type
from tests.support.probes import ask, code_of, free_port, value_of
from tests.support.prometheus import prometheus_of
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

ATTEMPTS = "django_jobs_attempts_total"
RUNS = "django_jobs_run_seconds_count"
EXITS = "django_jobs_child_exits_total"


def run_echoes(stage: Stage, count: int) -> None:
    kind = make_job_type("echo")
    items = [{"job_type": kind, "organization": stage.organization, "parameters": {"number": n}} for n in range(count)]
    jobs: list[Job] = submit_jobs(items)
    wait_for_all(jobs)


def wait_for_value(port: int, name: str, value: float, **labels: str) -> None:
    wait_until(lambda: value_of(ask(port, "/metrics").body, name, **labels) == value, 20, f"{name} = {value}")


def test_counters_survive_the_deaths_of_children_as_a_real_prometheus_sees(
    processes: ProcessPool, stage: Stage, tmp_path: Path
) -> None:
    port = free_port()
    worker = processes.worker("--processes", "2", "--max-jobs", "20", "--health-port", str(port))
    run_echoes(stage, 100)
    wait_for_value(port, ATTEMPTS, 100, outcome="completed")
    wait_for_value(port, RUNS, 100)
    wait_until(lambda: len(worker.children()) == 2, 10, "two children")

    for child in worker.children():
        child.kill()
    wait_for_value(port, EXITS, 2, how="unexpected")
    assert value_of(ask(port, "/metrics").body, ATTEMPTS) == 100
    run_echoes(stage, 30)
    wait_for_value(port, ATTEMPTS, 130, outcome="completed")
    wait_for_value(port, "django_jobs_submitted_total", 130)
    wait_for_value(port, "django_jobs_wait_seconds_count", 130)
    wait_until(lambda: code_of(port, "/ready") == 200, 20, "a worker that is ready")

    with prometheus_of(port, tmp_path / "prometheus") as prometheus:
        prometheus.wait_for(f"sum({ATTEMPTS})", 130)
        prometheus.wait_for("sum(django_jobs_run_seconds_count)", 130)
        prometheus.wait_for("sum(django_jobs_workers)", 2)
        prometheus.wait_for('up{job="django_jobs"}', 1)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="there is no line to a file")
def test_a_worker_whose_database_goes_away_is_live_not_ready_and_scraped_within_a_second(
    processes: ProcessPool, stage: Stage, distant: DistantDatabase
) -> None:
    port = free_port()
    processes.worker("--health-port", str(port), environ={"DATABASE_URL": distant.url})
    wait_until(lambda: code_of(port, "/ready") == 200, 20, "a worker that is ready")

    distant.cut()
    wait_until(lambda: code_of(port, "/ready") == 503, 20, "a worker that is not ready")
    assert "The database does not answer" in json.loads(ask(port, "/ready").body)["reasons"][0]
    assert code_of(port, "/live") == 200
    answered = ask(port, "/metrics", timeout=1.0)
    assert (answered.code, value_of(answered.body, "django_jobs_database_up")) == (200, 0)
    distant.mend()
    wait_until(lambda: code_of(port, "/ready") == 200, 30, "a worker that is ready again")


@pytest.mark.parametrize("command", ["jobs_worker", "jobs_scheduler"])
def test_who_waits_for_its_database_is_live_and_not_ready(processes: ProcessPool, tmp_path: Path, command: str) -> None:
    port = free_port()
    nowhere = f"sqlite:///{tmp_path}/nowhere/db.sqlite3"
    waiting = processes.start(command, "--health-port", str(port), environ={"DATABASE_URL": nowhere})
    waiting.wait_for_log("waiting for it")
    assert code_of(port, "/live") == 200
    assert "It has not begun" in json.loads(ask(port, "/ready").body)["reasons"][0]
    assert ask(port, "/metrics", timeout=1.0).code == 200
