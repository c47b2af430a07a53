"""The steps of the demo, in order."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from random import Random
from typing import Any, Final

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management import call_command

from django_jobs import JobStatus, Status, get_job_metrics, get_job_status, submit_job
from django_jobs.conf import jobs_settings
from django_jobs.statuses import TERMINAL
from example_project.demo import services
from example_project.demo.console import list_samples, progress_bar, say, show_invoices, summary, welcome
from example_project.demo.samples import submit_samples
from example_project.demo.services import DemoError, Service
from example_project.shop import providers
from example_project.shop.catalog import SHOPS
from example_project.shop.seeding import seed

# A whole year: more than a hundred pages, so that there is progress to see.
PARAMETERS: Final[dict[str, Any]] = {"template": "monthly_report", "date_range": ["2025-01-01", "2025-12-31"]}
LOOK_EVERY: Final = 0.1
SUMMARY_EVERY: Final = 2.0
JOB_SECONDS: Final = 300
INTERRUPTED: Final = 130


def run(*, once: bool, port: int, kill: int | None) -> int:
    """Run the whole demo, or a part of it, and return the command's exit code. Raises DemoError.

    ``kill`` is the seed of chance where only the invoice run is wanted, and its process to be killed.
    """
    if not once and kill is None:
        services.require_free_port(port)
    if os.environ.get("REDIS_URL"):
        return run_here(once=once, port=port, kill=kill)
    with services.embedded_valkey() as url:
        # The same command again, in a process whose settings name the Valkey that was just started.
        command = [sys.executable, "manage.py", *sys.argv[1:]]
        process = subprocess.Popen(command, cwd=settings.BASE_DIR, env={**os.environ, "REDIS_URL": url})
        # Ours is to wait: the other process stops everything, and Valkey must outlive it.
        at_its_end(lambda *_: process.terminate())
        return process.wait()


def run_here(*, once: bool, port: int, kill: int | None) -> int:
    # What this process logs goes to a file, so that the terminal shows what the demo says.
    logging.basicConfig(filename=services.log_file("demo"), filemode="w", level=logging.WARNING, force=True)
    at_its_end(interrupt)
    try:
        services.require_redis()
        say("Preparing the database.")
        call_command("migrate", verbosity=0, interactive=False)
        seed(say)
        if kill is not None:
            return run_killed(kill)
        return run_once() if once else serve(port)
    except KeyboardInterrupt:
        say("Stopped.")
        return INTERRUPTED if once or kill is not None else 0


def at_its_end(act: Callable[..., object]) -> None:
    """Let Ctrl+C, SIGTERM and a closed terminal call ``act``. Under ``nohup`` a closed terminal ends nothing."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, act)


def interrupt(*_: object) -> None:
    """Stop in order. Only the first signal counts, so that the clean-up is not disturbed."""
    at_its_end(lambda *_: None)  # not SIG_IGN: of a signal that has arrived already Python would complain
    raise KeyboardInterrupt


def follow(job_id: str, worker: Service) -> JobStatus:
    """Show the job's progress, and return its last status."""
    deadline = time.monotonic() + JOB_SECONDS
    with progress_bar(job_id) as show:
        while time.monotonic() < deadline:
            status = get_job_status(job_id)
            show(status)
            if status.status in TERMINAL:
                return status
            worker.check()
            time.sleep(LOOK_EVERY)
    raise DemoError(f"{job_id} did not end within {JOB_SECONDS} seconds. The worker's log: {worker.log}")


def submit_main_job() -> str:
    """Return the id of a new job, or of the same work that was submitted some minutes ago."""
    return submit_job("pdf_generation", SHOPS[0].organization, PARAMETERS, on_duplicate="return").name


def run_once() -> int:
    """Follow the main job from its submission to its file; return 0 if it completed."""
    with services.worker() as worker:
        status = follow(submit_main_job(), worker)
    say(f"{status.job_id}: {status.status}")
    if status.output_reference is None:
        say(f"Reason: {status.error_message or 'none given'}")
        return 1
    say(f"The report: {default_storage.path(status.output_reference)}")
    return 0


def serve(port: int) -> int:
    """Run worker and web server until Ctrl+C. Raises DemoError when one of them ends by itself."""
    grace = jobs_settings.SHUTDOWN_GRACE_SECONDS
    with ExitStack() as stack:
        stack.callback(say, "All stopped.")
        running = [stack.enter_context(services.worker()), stack.enter_context(services.web_server(port))]
        stopping = f"Stopping. A job that runs now has {grace} s to end; after them it goes back to the queue."
        stack.callback(say, stopping)
        main_job = submit_main_job()
        for shop in SHOPS:
            list_samples(shop, submit_samples(shop))
        welcome(port, main_job)  # last, so that it stays in sight
        show = stack.enter_context(summary())
        while True:
            for service in running:
                service.check()
            show(get_job_metrics()["job_count_by_status"])
            time.sleep(SUMMARY_EVERY)


# An invoice run whose process is killed at random moments: ``manage.py demo --kill``.

ORDERS: Final = 20
KILLS: Final = 6
#: How long the pretended providers take for one thing, and how often they are looked at.
SECONDS: Final = 0.04
CALLS_EVERY: Final = 0.005


def run_killed(seed: int) -> int:
    """Run it to its end and show what became of each invoice; return 0 if all was done once."""
    name = secrets.token_hex(8)
    with services.worker() as worker:
        parameters = {"orders": ORDERS, "seconds": SECONDS, "run": name}
        job_id = submit_job("invoice_run", SHOPS[0].organization, parameters).name
        say(f"{job_id} charges, books and mails {ORDERS} invoices. Its process will be killed {KILLS} times.")
        kill_at_random(name, worker, Random(seed))  # noqa: S311  (moments, no secrets)
        status = follow(job_id, worker)
    calls, done = providers.calls(name), providers.done(name)
    show_invoices(done)
    say(f"{job_id}: {status.status} at attempt {status.attempt}, after {KILLS} kills.")
    say(f"The providers were asked {len(calls)} times for {done.total()} things, each of which they did once.")
    say("What was asked again was under way when the process died; the same key told them that they had done it.")
    is_all = len(done) == done.total() == ORDERS * len(providers.SERVICES)
    return 0 if is_all and status.status == Status.COMPLETED else 1


def kill_at_random(name: str, worker: Service, chance: Random) -> None:
    """Kill the process that does the run of this name, at moments by chance in the midst of its work."""
    killed: int | None = None
    for moment in sorted(chance.sample(range(1, ORDERS * len(providers.SERVICES)), KILLS)):
        deadline = time.monotonic() + JOB_SECONDS
        while len(calls := providers.calls(name)) < moment or calls[-1].pid == killed:
            worker.check()
            if time.monotonic() > deadline:
                raise DemoError(f"The invoice run stands still. The worker's log: {worker.log}")
            time.sleep(CALLS_EVERY)
        time.sleep(chance.uniform(0, SECONDS))
        killed = calls[-1].pid
        os.kill(killed, signal.SIGKILL)
