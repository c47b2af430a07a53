"""One installation on servers of a test's own: its workers, who submits, and when work went on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from django_jobs.statuses import UNFINISHED
from lab.faults.site_settings import VARIABLE
from tests.support import record as records
from tests.support.postgresql import PostgresCluster
from tests.support.waiting import RARE_SECONDS, wait_until
from tests.support.workers import ManagedProcess

#: Short, so that a test sees leases run out; longer than the leading scheduler's own, as in every installation.
LEASE_SECONDS: Final = 12
#: Seconds until work goes on, once the new server takes writes.
PROMISED: Final = 10.0
#: Seconds after which a step hangs, however slow the machine is. What is promised is judged by itself.
PATIENCE: Final = 240.0
_LOAD: Final = "from lab.faults import load"


class Site:
    """Where the servers are, and the processes that use them."""

    def __init__(
        self,
        directory: Path,
        database: Mapping[str, Any],
        queue: Mapping[str, Any],
        prefix: Sequence[str] = (),
        jobs: Mapping[str, Any] | None = None,
    ) -> None:
        """``prefix`` is put before the commands of those who submit and judge, such as one that enters a namespace.

        ``jobs`` are settings for ``DJANGO_JOBS``.
        """
        self.directory, self._prefix = directory, prefix
        self.promises, self.record = directory / "promises", directory / "record"
        self._processes: list[ManagedProcess] = []
        self._submitters: list[ManagedProcess] = []
        given = {"database": database, "queue": queue, "jobs": {"LEASE_SECONDS": LEASE_SECONDS, **(jobs or {})}}
        self._environ = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "lab.faults.site_settings",
            VARIABLE: json.dumps(given, default=str),
            records.VARIABLE: str(self.record),
        }
        self._environ.pop("DJANGO_JOBS_TEST_SETTINGS", None)

    def start(self, *arguments: str, prefix: Sequence[str] | None = None) -> ManagedProcess:
        """Start ``manage.py`` with these arguments, behind a command such as one that enters a namespace."""
        log = self.directory / f"{len(self._processes)}-{arguments[0]}.log"
        process = ManagedProcess(arguments, log, self._environ, self._prefix if prefix is None else prefix)
        self._processes.append(process)
        return process

    def run(self, *arguments: str) -> str:
        """Run ``manage.py`` to its end, and return what it printed."""
        process = self.start(*arguments)
        if process.wait(PATIENCE):
            raise AssertionError(f"{process} failed:\n{process.log()}")
        return process.log()

    def call(self, code: str) -> str:
        """Run a function of :mod:`.load`, and return what it printed."""
        return self.run("shell", "-v", "0", "-c", f"{_LOAD}; load.{code}")

    def prepare(self) -> None:
        """Make the tables and what jobs need."""
        self.run("migrate", "-v", "0")
        self.call("prepare()")

    def submitter(self, *seconds: float) -> ManagedProcess:
        """Start a process that submits jobs that run for so long, the first attempt and those that follow."""
        code = f"{_LOAD}; load.submit_for_ever({', '.join(map(repr, [str(self.promises), *seconds]))})"
        process = self.start("shell", "-v", "0", "-c", code)
        self._submitters.append(process)
        return process

    def stop_submitters(self) -> None:
        """End who submits."""
        for process in self._submitters:
            process.clean_up()

    def wait_for_flow(self, timeout: float = PATIENCE) -> float:
        """Wait until a submission is acknowledged and a handler begins; return after how many seconds both were."""
        moment = time.monotonic()
        wait_until(lambda: self._flows_since(moment), timeout, f"work to go on:\n{self.logs()}")
        return time.monotonic() - moment

    def _flows_since(self, moment: float) -> bool:
        lines = self.promises.read_text().splitlines() if self.promises.exists() else []
        is_submitted = any(float(line.split()[1]) > moment for line in lines)
        return is_submitted and bool(self.begins_since(moment))

    def begins_since(self, moment: float) -> list[records.Event]:
        """Return the handlers' beginnings after a moment of the monotonic clock."""
        return [event for event in records.read(self.record) if event.what == "begin" and event.at > moment]

    def drain(self, server: PostgresCluster, timeout: float = PATIENCE) -> None:
        """Wait until all jobs have ended, by what this server says."""
        words = ", ".join(f"'{status}'" for status in sorted(UNFINISHED))
        sql = f"SELECT count(*) FROM django_jobs_job WHERE status IN ({words})"
        what = f"the jobs to end:\n{self.logs()}"
        wait_until(lambda: server.ask(sql) == [["0"]], timeout, what, pause=RARE_SECONDS)

    def judge(self, *, lost_rows: bool = False) -> dict[str, Any]:
        """Return what :func:`.load.judge` says at the end."""
        text = self.call(f"judge({str(self.promises)!r}, {str(self.record)!r}, lost_rows={lost_rows})")
        answer: dict[str, Any] = json.loads(text.partition("JUDGED ")[2])
        return answer

    def logs(self) -> str:
        """Return the ends of what the processes wrote."""
        return "\n".join(f"--- {process}\n{process.log()[-3000:]}" for process in self._processes)

    def close(self) -> None:
        """End all processes."""
        for process in reversed(self._processes):
            process.clean_up()


def work(site: Site) -> None:
    """Have two workers and a submitter at work, where the tables are made."""
    site.start("jobs_worker", "--processes", "2")
    site.start("jobs_worker", "--processes", "1", "--threads", "4")
    site.submitter(0.1)
    wait_until(lambda: len(site.begins_since(0)) > 30, PATIENCE, f"work to be done:\n{site.logs()}")


def end(site: Site, server: PostgresCluster, *, lost_rows: bool = False) -> dict[str, Any]:
    """Stop submitting, wait until all has ended, and judge."""
    site.stop_submitters()
    site.drain(server)
    return site.judge(lost_rows=lost_rows)
