"""An invoice run whose process is killed at random moments: ``manage.py demo --kill``."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from random import Random
from typing import TYPE_CHECKING, Any, Final

from django_jobs import Status, get_job_status, submit_job
from example_project.demo import services
from example_project.demo.services import DemoError, Service
from example_project.shop import providers

if TYPE_CHECKING:
    from django_jobs import JobStatus

ORGANIZATION: Final = "ORG-2025-00001"
ORDERS: Final = 20
KILLS: Final = 6
#: How long the pretended providers take for one thing.
SECONDS: Final = 0.04
LOOK_EVERY: Final = 0.005
JOB_SECONDS: Final = 300
ENDED: Final = {Status.COMPLETED, Status.CANCELED, Status.DEAD_LETTER}


def run_killed(seed: int) -> int:
    """Run it to its end and show what became of each invoice; return 0 if all was done once."""
    from example_project.demo.console import say, show_invoices

    run = secrets.token_hex(8)
    with services.worker() as worker:
        job_id = submit_invoice_run(run)
        say(f"{job_id} charges, books and mails {ORDERS} invoices. Its process will be killed {KILLS} times.")
        killed = kill_at_random(run, worker, Random(seed))  # noqa: S311  (moments, no secrets)
        status = wait_for_end(job_id, worker)
    done, calls = providers.done(run), providers.calls(run)
    invoices = sorted({call.subject for call in calls})
    show_invoices({invoice: [done[service, invoice] for service in providers.SERVICES] for invoice in invoices})
    say(f"{job_id}: {status.status} at attempt {status.attempt}, after {killed} kills.")
    say(f"The providers were asked {len(calls)} times for {done.total()} things, each of which they did once.")
    say("What was asked again was under way when the process died; the same key told them that they had done it.")
    is_right = (
        len(invoices) == ORDERS and set(done.values()) == {1} and done.total() == ORDERS * len(providers.SERVICES)
    )
    return 0 if is_right and status.status == Status.COMPLETED else 1


def submit_invoice_run(run: str) -> str:
    parameters: dict[str, Any] = {"orders": ORDERS, "seconds": SECONDS, "run": run}
    return submit_job("invoice_run", ORGANIZATION, parameters).name


def kill_at_random(run: str, worker: Service, chance: Random) -> int:
    """Kill the process that runs the job, at moments by chance in the midst of its work; return how often."""
    moments = sorted(chance.sample(range(1, ORDERS * len(providers.SERVICES)), KILLS))
    killed = 0
    deadline = time.monotonic() + JOB_SECONDS
    while killed < len(moments) and time.monotonic() < deadline:
        worker.check()
        calls = providers.calls(run)
        if len(calls) >= moments[killed]:
            time.sleep(chance.uniform(0, SECONDS))
            killed += kill(providers.calls(run)[-1].pid)
            wait_for_call(run, len(calls), worker, deadline)
        time.sleep(LOOK_EVERY)
    return killed


def kill(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def wait_for_call(run: str, known: int, worker: Service, deadline: float) -> None:
    """Wait until another process goes on with the job."""
    before = providers.calls(run)[known - 1].pid
    while providers.calls(run)[-1].pid == before and time.monotonic() < deadline:
        worker.check()
        time.sleep(LOOK_EVERY)


def wait_for_end(job_id: str, worker: Service) -> JobStatus:
    deadline = time.monotonic() + JOB_SECONDS
    while time.monotonic() < deadline:
        status = get_job_status(job_id)
        if status.status in ENDED:
            return status
        worker.check()
        time.sleep(0.1)
    raise DemoError(f"{job_id} did not end within {JOB_SECONDS} seconds. The worker's log: {worker.log}")
