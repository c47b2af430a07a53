"""An invoice run whose process is killed at random moments: ``manage.py demo --kill``."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from random import Random
from typing import Any, Final

from django_jobs import Status, submit_job
from example_project.demo import services
from example_project.demo.services import Service
from example_project.shop import providers
from example_project.shop.catalog import SHOPS

ORDERS: Final = 20
KILLS: Final = 6
#: How long the pretended providers take for one thing.
SECONDS: Final = 0.04
LOOK_EVERY: Final = 0.005
JOB_SECONDS: Final = 300


def run_killed(seed: int) -> int:
    """Run it to its end and show what became of each invoice; return 0 if all was done once."""
    from example_project.demo.console import progress_bar, say, show_invoices
    from example_project.demo.runner import follow

    run = secrets.token_hex(8)
    parameters: dict[str, Any] = {"orders": ORDERS, "seconds": SECONDS, "run": run}
    with services.worker() as worker:
        job_id = submit_job("invoice_run", SHOPS[0].organization, parameters).name
        say(f"{job_id} charges, books and mails {ORDERS} invoices. Its process will be killed {KILLS} times.")
        killed = kill_at_random(run, worker, Random(seed))  # noqa: S311  (moments, no secrets)
        with progress_bar(job_id) as show:
            status = follow(job_id, worker, show)
    done, calls = providers.done(run), providers.calls(run)
    invoices = sorted({call.invoice for call in calls})
    show_invoices({invoice: [done[service, invoice] for service in providers.SERVICES] for invoice in invoices})
    say(f"{job_id}: {status.status} at attempt {status.attempt}, after {killed} kills.")
    say(f"The providers were asked {len(calls)} times for {done.total()} things, each of which they did once.")
    say("What was asked again was under way when the process died; the same key told them that they had done it.")
    is_all = len(invoices) == ORDERS and len(done) == done.total() == ORDERS * len(providers.SERVICES)
    return 0 if is_all and status.status == Status.COMPLETED else 1


def kill_at_random(run: str, worker: Service, chance: Random) -> int:
    """Kill the process that runs the job, at moments by chance in the midst of its work; return how often."""
    killed = 0
    deadline = time.monotonic() + JOB_SECONDS
    for moment in sorted(chance.sample(range(1, ORDERS * len(providers.SERVICES)), KILLS)):
        wait_for_calls(run, moment, None, worker, deadline)
        time.sleep(chance.uniform(0, SECONDS))
        pid = providers.calls(run)[-1].pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
        wait_for_calls(run, moment, pid, worker, deadline)
    return killed


def wait_for_calls(run: str, count: int, other_than: int | None, worker: Service, deadline: float) -> None:
    """Wait until the providers got so many calls, the last of them from another process than this one."""
    while time.monotonic() < deadline:
        calls = providers.calls(run)
        if len(calls) >= count and calls[-1].pid != other_than:
            return
        worker.check()
        time.sleep(LOOK_EVERY)
    raise services.DemoError(f"The invoice run stands still. The worker's log: {worker.log}")
