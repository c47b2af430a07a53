"""An installation whose workers stand on several machines, so that one can be cut off or lost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, TypeAlias

from lab.faults.machines import Machines
from lab.faults.site import PATIENCE, Site
from tests.support import record as records
from tests.support.postgresql import PostgresCluster
from tests.support.waiting import RARE_SECONDS, wait_until
from tests.support.workers import ManagedProcess

NAMES: Final = ("machine-1", "machine-2", "machine-3")
#: Seconds for which what runs again does so: it is still at work when a machine is back that held the job before.
RUNS_AGAIN: Final = 6.0
#: Pairs of a job and the number of an attempt of it.
Attempts: TypeAlias = set[tuple[int, int]]


class DistantWorkers:
    """Workers with schedulers on three machines, and jobs of a second; what runs again does so for longer."""

    def __init__(self, site: Site, server: PostgresCluster, machines: Machines) -> None:
        self.site, self.server, self.machines = site, server, machines
        self.workers: dict[str, ManagedProcess] = {}
        #: When a machine was cut off last, by the monotonic clock.
        self.cut_at = 0.0

    def start(self) -> None:
        """Start the workers and who submits, where the tables are made, and wait until all machines work."""
        for name in NAMES:
            prefix = self.machines.on(name)
            self.workers[name] = self.site.start("jobs_worker", "--processes", "2", prefix=prefix)
        self.site.submitter(1.0, RUNS_AGAIN)
        what = f"all to work:\n{self.site.logs()}"
        wait_until(lambda: all(map(self.runs, NAMES)), PATIENCE, what, pause=RARE_SECONDS)

    def runs(self, name: str) -> Attempts:
        """Return the attempts that run on a machine, by what the database knows."""
        return self._attempts(
            f"SELECT id, attempt FROM django_jobs_job WHERE status = 'Running' AND worker_name LIKE '{name}-%'"
        )

    def moved(self, name: str, status: str) -> Attempts:
        """Return the attempts that a machine moved to a status, by the Execution Log."""
        return self._attempts(
            "SELECT job_id, attempt FROM django_jobs_executionlog"
            f" WHERE to_status = '{status}' AND worker_name LIKE '{name}-%'"
        )

    def returned(self) -> Attempts:
        """Return the attempts whose handlers returned, by their own record, stored or not."""
        events = records.read(self.site.record)
        return {(event.pk, event.attempt) for event in events if event.how == records.RETURNED}

    def _attempts(self, sql: str) -> Attempts:
        return {(int(pk), int(attempt)) for pk, attempt in self.server.ask(sql)}

    def leader(self) -> str:
        """Return the machine whose scheduler leads."""
        rows = self.server.ask("SELECT holder FROM django_jobs_enginelease WHERE name = 'scheduler'")
        return next(name for name in NAMES if rows[0][0].startswith(f"{name}-"))

    def has_claimed_since(self, name: str, moment: str) -> bool:
        """Return whether a machine claimed a job after a moment of the database's clock."""
        who = f"worker_name LIKE '{name}-%' AND to_status = 'Running'"
        return bool(
            self.server.ask(f"SELECT 1 FROM django_jobs_executionlog WHERE {who} AND timestamp > '{moment}' LIMIT 1")
        )

    def now(self) -> str:
        """Return the database's time."""
        return self.server.ask("SELECT now()")[0][0]

    def cut_off(self, name: str) -> Attempts:
        """Cut a machine off while it has jobs in hand, and return their attempts."""

        def cut_off() -> Attempts:
            self.machines.cut_off(name)
            self.cut_at = time.monotonic()
            held = self.runs(name)
            if not held:
                self.machines.heal(name)
            return held

        return wait_until(cut_off, PATIENCE, f"{name} to be cut off with jobs:\n{self.site.logs()}")

    def lose(self, name: str) -> Attempts:
        """End all that runs on a machine while it has jobs in hand, and return their attempts.

        Its line goes first, so that not even the ends of connections are seen.
        """
        held = self.cut_off(name)
        self.workers[name].popen.kill()
        return held

    def wait_until_run_again(self, held: Attempts) -> float:
        """Wait until a later attempt of each job has begun; return how many seconds after the cut the last one did."""

        def begins() -> Mapping[tuple[int, int], float]:
            """When the first later attempts began, of those jobs of which one did."""
            begun = self.site.begins_since(self.cut_at)[::-1]
            return {(pk, old): new.at for new in begun for pk, old in held if new.pk == pk and new.attempt > old}

        wait_until(lambda: begins().keys() == held, PATIENCE, f"the jobs {held} to run again:\n{self.site.logs()}")
        return max(begins().values()) - self.cut_at
