"""The path of one job through the package: how many files and functions a trace meets. Prints, and judges by request.

    DATABASE_URL=postgres://… REDIS_URL=redis://… DJANGO_SETTINGS_MODULE=lab.benchmarks.settings \\
        python -m lab.path [--functions] [--check]

Two ways are traced, each in the thread that walks it. The idle way is a submission, then one round of a worker's child,
which takes, claims, runs and settles the job. The way through a pass is a submission in a transaction, a pass of the
dispatcher for nine jobs of three organizations, and the same round. All is done once before: loading is no part of a
path. The tables of jobs and the Redis are emptied.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

import django

django.setup()

from django.db import transaction

import django_jobs
from django_jobs import submit_job
from django_jobs.models import Job, Organization
from django_jobs.statuses import Status
from lab.benchmarks import setting
from tests.support import verbs

PACKAGE: Final = Path(django_jobs.__file__).parent
#: The most files and functions of a way.
BUDGETS: Final = {"idle": (35, 230), "through a pass": (45, 350)}
#: After a backlog, new jobs are not queued by their own insert for some seconds.
REST_SECONDS: Final = 6.0
#: In how many rounds the child has run all jobs of a step; it needs two or three.
MOST_ROUNDS: Final = 20


class Trace(NamedTuple):
    """The functions that were called, as pairs of file and name in the order of their first calls, and all calls."""

    functions: dict[tuple[str, str], None]
    calls: int

    @property
    def files(self) -> set[str]:
        """Return the files of the functions."""
        return {file for file, _ in self.functions}

    def __add__(self, other: Any) -> Trace:
        return Trace(self.functions | other.functions, self.calls + other.calls)


def trace(work: Callable[[], object]) -> Trace:
    """Do the work and return what it called of the package in this thread."""
    functions: dict[tuple[str, str], None] = {}
    calls = 0

    def note(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            calls += 1
            functions[str(path.relative_to(PACKAGE)), frame.f_code.co_qualname] = None

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return Trace(functions, calls)


class Stage:
    """A child in this process, which waits for jobs of three organizations."""

    def __init__(self) -> None:
        self.organizations: list[Organization] = setting.reset()[:3]
        self.child = self._new_child()
        self.child.housekeeper.announce()
        self.child.state.consumer.announce()

    @staticmethod
    def _new_child() -> verbs.Child:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        name, options = "path-1", verbs.WorkerOptions()
        consumer = verbs.get_broker().consumer(name, options.queues)
        return verbs.Child(verbs.ChildState(name, options, consumer, verbs.SharedSlots.create(1)), os.getppid())

    def submit(self) -> None:
        submit_job("nothing", organization=self.organizations[0])

    def submit_in_a_transaction(self) -> None:
        with transaction.atomic():
            self.submit()

    def fill(self) -> None:
        """Let nine jobs wait for a pass."""
        setting.insert_waiting([setting.Lane("nothing", organization, 3) for organization in self.organizations])

    def run_all(self) -> None:
        """Take, claim, run and settle until nothing is left. Exits where a job does not complete."""
        for _ in range(MOST_ROUNDS):
            if not Job.objects.exclude(status=Status.COMPLETED).exists():
                return
            verbs.dispatch()
            self.round()
        raise SystemExit("A job did not complete. Does another worker use this database or this Redis?")

    def round(self) -> None:
        """Let the child do one round, which ends with what it ran."""
        self.child._round()
        self.child.slots.wait()


def ways() -> dict[str, dict[str, Trace]]:
    """Return the traces of both ways, step by step. Each step is done once before."""
    stage = Stage()
    found: dict[str, dict[str, Trace]] = {}
    for _ in range(2):
        time.sleep(REST_SECONDS)
        for _ in range(3):
            stage.submit()
            stage.round()
        steps = found["idle"] = {"submit": trace(stage.submit)}
        steps["take, claim, run, settle"] = trace(stage.round)
        stage.run_all()
        stage.fill()
        one_pass = trace(verbs.dispatch)
        stage.run_all()
        steps = found["through a pass"] = {"submit in a transaction": trace(stage.submit_in_a_transaction)}
        steps["a pass"] = one_pass
        steps["take, claim, run, settle"] = trace(stage.round)
        stage.run_all()
    return found


def main() -> int:
    """Print the figures; return 1 where one is above its budget and that is asked."""
    parser = argparse.ArgumentParser(description="The path of one job, as files and functions.")
    parser.add_argument("--functions", action="store_true", help="print each function in the order of its first call")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a way has more than its budget")
    options = parser.parse_args()
    print(f"{'':32} {'calls':>7} {'functions':>10} {'files':>6}")
    is_above = False
    for way, steps in ways().items():
        whole = Trace({}, 0)
        for name, step in steps.items():
            print(f"  {name:30} {step.calls:>7} {len(step.functions):>10} {len(step.files):>6}")
            whole += step
        files, functions = BUDGETS[way]
        print(
            f"{way:32} {whole.calls:>7} {len(whole.functions):>10} {len(whole.files):>6}  (budget {functions}, {files})"
        )
        is_above = is_above or len(whole.files) > files or len(whole.functions) > functions
        if options.functions:
            print(*(f"    {file}: {name}" for file, name in whole.functions), sep="\n")
    return int(options.check and is_above)


if __name__ == "__main__":
    sys.exit(main())
