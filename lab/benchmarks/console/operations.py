"""What an operation takes from the start by REST to its outcome, worked off by a scheduler of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import psutil
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from django_jobs.models import EngineLease, Job
from lab.benchmarks.console import stage
from tests.support import verbs

CANCELED, RETRIED = 50_000, 20_000
MOST_SECONDS: Final = 300
PAUSE: Final = 0.1


@contextlib.contextmanager
def scheduler() -> Iterator[psutil.Process]:
    """A scheduler that leads, in a process of its own; there are no workers."""
    EngineLease.objects.filter(name="scheduler").delete()
    verbs.shared_redis().flushdb()
    process = subprocess.Popen([sys.executable, "-m", "django", "jobs_scheduler"], env=os.environ)
    try:
        while not EngineLease.objects.filter(name="scheduler").exists():
            time.sleep(PAUSE)
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def measure() -> Iterator[tuple[str, float, float, str]]:
    """Yield what was done, the seconds that it took, those of the scheduler's CPU, and the outcome."""
    stage.add_pending(CANCELED, "mass_canceled")
    stage.add_dead(RETRIED, "mass_retried")
    stage.analyze()
    with scheduler() as process:
        yield f"cancel {CANCELED:,} pending jobs", *_operate(process, "cancel", "mass_canceled")
        yield f"retry {RETRIED:,} Dead Letters", *_operate(process, "retry", "mass_retried")


def _operate(process: psutil.Process, action: str, job_type: str) -> tuple[float, float, str]:
    client = APIClient(HTTP_HOST="127.0.0.1")
    client.force_authenticate(User.objects.get(username=stage.ADMIN))
    started, cpu = time.perf_counter(), sum(process.cpu_times()[:2])
    answer: Any = client.post("/api/jobs/operations/", {"action": action, "filters": {"job_type": job_type}}, "json")
    if answer.status_code != 202:
        raise RuntimeError(f"{action} answered {answer.status_code}: {answer.content!r}")
    address = f"/api/jobs/operations/{answer.json()['id']}/"
    while (told := client.get(address).json())["state"] == "running":
        if time.perf_counter() - started > MOST_SECONDS:
            raise RuntimeError(f"{action} did not end: {told}")
        time.sleep(PAUSE)
    took, cpu = time.perf_counter() - started, sum(process.cpu_times()[:2]) - cpu
    left = Job.objects.filter(job_type=job_type, status="Pending" if action == "cancel" else "Dead Letter").count()
    if told["state"] != "done" or left:
        raise RuntimeError(f"{action} left {left} jobs: {told}")
    return took, cpu, str(told["outcome"])
