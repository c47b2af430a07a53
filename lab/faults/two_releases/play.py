"""The change from one release to the other: one works alone, both work, and the first one's workers leave."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

from django_jobs.models import ExecutionLog
from django_jobs.statuses import Status
from lab.faults import tables
from lab.faults.drain import drain
from lab.faults.endurance import judgment, mix, report, submitter
from lab.faults.endurance.servers import SETTINGS, Servers
from lab.faults.two_releases.release import Release
from tests.support import record
from tests.support.waiting import wait_until
from tests.support.workers import ManagedProcess

#: So many jobs complete in each step.
ENOUGH: Final = 25
PATIENCE: Final = 120.0
#: No process is stopped without a word here, so that a lease that runs out is a fault, and not a slow machine's.
PLAYED: Final = {**SETTINGS, "LEASE_SECONDS": 60}


class Side:
    """One release at work: a worker, and web processes that submit, each with its own journal."""

    _numbers: Final = count(1)

    def __init__(self, release: Release, servers: Servers) -> None:
        self.release = release
        self._servers = servers
        own = {"DJANGO_JOBS_TEST_SETTINGS": json.dumps(PLAYED), record.VARIABLE: str(servers.directory / "record")}
        self._environ = release.environ({**servers.environ(), **own})
        self._processes: list[ManagedProcess] = []
        self._journals: list[Path] = []

    def start(self, seed: int) -> None:
        """Start two web processes and a worker with its scheduler."""
        for number in range(2):
            self._submit(seed + 1000 * number)
        self.worker = self._run("jobs_worker", "--processes", "2", "--threads", "3")

    def _submit(self, seed: int) -> None:
        journal = self._servers.directory / f"{self.release.name}-{seed}.journal"
        code = f"from lab.faults.endurance.submitter import main; main({str(journal)!r}, {seed})"
        self._journals.append(journal)
        self._run("shell", "-v", "0", "-c", code)

    def _run(self, *arguments: str) -> ManagedProcess:
        log = self._servers.directory / f"{next(self._numbers):02}-{self.release.name}-{arguments[0]}.log"
        process = ManagedProcess(arguments, log, self._environ, root=self.release.root)
        self._processes.append(process)
        return process

    def submitted(self) -> set[int]:
        """The jobs that its web processes were promised."""
        promises = [promise for journal in self._journals for promise in submitter.promises_in(journal)]
        return {promise.pk for promise in promises if promise.what == "submitted"}

    def completed(self, of: set[int] | None = None) -> int:
        """How many jobs, or how many of these, its worker completed."""
        name = f"{socket.gethostname()[:40]}-{self.worker.pid}-"
        logs = ExecutionLog.primary.filter(to_status=Status.COMPLETED, worker_name__startswith=name)
        found = set(logs.values_list("job_id", flat=True))
        return len(found if of is None else found & of)

    def stop_web(self) -> None:
        for process in self._processes:
            if process is not self.worker:
                process.clean_up()

    def close(self) -> None:
        for process in reversed(self._processes):
            process.clean_up()

    def died(self) -> list[str]:
        """Which of its processes ended by themselves."""
        return [f"{process} ended: {process.log()[-500:]}" for process in self._processes if not process.is_running()]


def play(servers: Servers, first: Release, second: Release, seed: int) -> list[str]:
    """Go from one release to the other under load, print a report, and return what is wrong."""
    mix.make_rows()
    before, after = Side(first, servers), Side(second, servers)
    began = time.monotonic()

    def step(text: str, *counts: Callable[[], int]) -> None:
        so_far = [of() for of in counts]
        wait_until(lambda: all(of() >= now + ENOUGH for of, now in zip(counts, so_far, strict=True)), PATIENCE, text)
        print(f"{time.monotonic() - began:6.1f}  {text}", flush=True)

    try:
        before.start(seed)
        step(f"{first.name} workers and web on the new schema", before.completed)
        after.start(seed + 1)
        step("workers and web of both", before.completed, after.completed)
        crosswise = [lambda: before.completed(after.submitted()), lambda: after.completed(before.submitted())]
        step("each runs the other's jobs", *crosswise)
        found = [*before.died(), *after.died()]
        found += _leave(before.worker)
        step(f"{second.name} workers beside {first.name} web", lambda: after.completed(before.submitted()))
        before.stop_web()
        after.stop_web()
        found += drain()
        found += _leave(after.worker)
        return [*found, *_judge(servers)]
    finally:
        before.close()
        after.close()


def _leave(worker: ManagedProcess) -> list[str]:
    worker.popen.send_signal(signal.SIGTERM)
    code = worker.wait(PATIENCE)
    return [f"{worker} left with {code}."] if code else []


def _judge(servers: Servers) -> list[str]:
    evidence = judgment.Evidence(
        tables=tables.read_tables(),
        promises=list(submitter.journal(servers.directory)),
        events=record.read(servers.directory / "record"),
        record=servers.directory / "record",
    )
    found = [*judgment.findings(evidence)]
    found += [f"Attempt {attempt} of job {pk} lost its lease." for pk, attempt in judgment.lost_leases(evidence.tables)]
    print("\n".join(["", *report.lines(evidence, {}, found)]), flush=True)
    return found
