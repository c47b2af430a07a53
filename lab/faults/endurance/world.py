"""The stage of the long run: servers of its own, the lines to them, and the processes that work on them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from lab.faults.endurance.lines import Line
from lab.faults.endurance.servers import Servers
from tests.support.record import VARIABLE as RECORD
from tests.support.slots import worker_options
from tests.support.workers import ManagedProcess

#: The commands that run; a child with threads runs coroutines as well as one without.
WORKERS: Final[Mapping[str, tuple[str, ...]]] = {
    "main threads": ("jobs_worker", "--processes", "2"),
    "threads": ("jobs_worker", "--processes", "2", "--threads", "4"),
}
STANDBY: Final = "standby"
SUBMITTERS: Final = ("submitter 1", "submitter 2", "submitter 3")


class World:
    """Everything that runs. Call :meth:`close` in any case."""

    def __init__(self, servers: Servers, seed: int) -> None:
        self.directory = servers.directory
        self._seed = seed
        self.servers = servers
        self.lines: dict[str, Mapping[str, Line]] = {}
        self.running: dict[str, ManagedProcess] = {}
        self._all: list[ManagedProcess] = []
        #: What was killed, or told to leave.
        self._leaving: set[ManagedProcess] = set()
        #: What ended although nobody made it.
        self.died: list[str] = []

    def draw_lines(self) -> None:
        for name in (*WORKERS, STANDBY, "submitters"):
            self.lines[name] = {
                "postgres": Line(f"{name} to postgres", self.servers.postgres.port),
                "redis": Line(f"{name} to redis", self.servers.redis.port),
            }

    def start_all(self) -> None:
        for name in (*WORKERS, STANDBY, *SUBMITTERS):
            self.start(name)

    def start(self, name: str) -> None:
        """Start a process of this name; an earlier one may still be leaving."""
        if name in WORKERS:
            command, *options = WORKERS[name]
            arguments = (command, *worker_options(tuple(options)))
        elif name == STANDBY:
            arguments = ("jobs_scheduler",)
        else:
            journal = self.directory / f"{len(self._all)}.journal"
            code = "from lab.faults.endurance.submitter import main"
            arguments = ("shell", "-v", "0", "-c", f"{code}; main({str(journal)!r}, {self._seed + len(self._all)})")
        log = self.directory / f"{len(self._all):03}-{name.replace(' ', '-')}.log"
        process = ManagedProcess(arguments, log, self.environ(name))
        self._all.append(process)
        self.running[name] = process

    def environ(self, name: str) -> dict[str, str]:
        """The environment of a process: it reaches the servers over lines of its own."""
        servers, lines = self.servers, self.lines.get(name, self.lines["submitters"])
        return {
            **os.environ,
            "DATABASE_URL": servers.postgres.url.replace(f":{servers.postgres.port}/", f":{lines['postgres'].port}/"),
            "REDIS_URL": servers.redis.url.replace(f":{servers.redis.port}/", f":{lines['redis'].port}/"),
            RECORD: str(self.record),
        }

    @property
    def record(self) -> Path:
        """What the handlers write down."""
        return self.directory / "record"

    def kill(self, name: str, *, tree: bool) -> None:
        """Kill the process, or it and all below it at once."""
        process = self.running[name]
        below = process.children()
        self.signal([psutil.Process(process.pid)] if process.is_running() else [], signal.SIGKILL)
        self.signal(below if tree else [], signal.SIGKILL)
        process.popen.wait()
        self._leaving.add(process)

    def retire(self, name: str) -> None:
        """Tell it to leave in order; the next one starts at once, as at a deployment."""
        process = self.running[name]
        self._leaving.add(process)
        if process.is_running():
            process.popen.send_signal(signal.SIGTERM)
        self.start(name)

    def tree(self, name: str) -> list[psutil.Process]:
        """The process and what it started; empty if it is gone."""
        process = self.running[name]
        return [psutil.Process(process.pid), *process.children()] if process.is_running() else []

    @staticmethod
    def signal(processes: list[psutil.Process], number: int) -> None:
        for process in processes:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    def replace_dead(self) -> None:
        """Start what ended by itself again, as systemd would; that it ended is a finding."""
        for name, process in [*self.running.items()]:
            if not process.is_running() and process not in self._leaving:
                self.died.append(f"{process} ended by itself ({process.popen.returncode}): {_last_line(process)}")
                self.start(name)

    def stop_submitters(self) -> None:
        for name in SUBMITTERS:
            self.running.pop(name).clean_up()

    def leave(self, patience: float) -> list[str]:
        """Tell all that still runs to leave; which did not within the patience, in sentences."""
        left = [process for process in self._all if process.is_running()]
        for process in left:
            process.popen.send_signal(signal.SIGTERM)
        until = time.monotonic() + patience
        late = [process for process in left if not _ends(process, until)]
        return [f"{process} did not leave within {patience:g} s: {_last_line(process)}" for process in late]

    def close(self) -> None:
        """End everything that was started here."""
        lines = [line for pair in self.lines.values() for line in pair.values()]
        for action in (*(process.clean_up for process in reversed(self._all)), *(line.close for line in lines)):
            try:
                action()
            except Exception as error:  # noqa: BLE001  (the others are to end all the same)
                print(f"closing: {error!r}", flush=True)


def _ends(process: ManagedProcess, until: float) -> bool:
    try:
        process.popen.wait(max(0.1, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _last_line(process: ManagedProcess) -> str:
    lines = process.log().strip().splitlines()
    return lines[-1] if lines else ""
