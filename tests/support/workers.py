"""Management commands as real processes on the test database: workers to be stopped, frozen and killed."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil
from django.db import connection

from tests.support import process_states
from tests.support.databases import database_url
from tests.support.nursery import NURSERIES
from tests.support.slots import worker_options
from tests.support.waiting import wait_until
from tests.support.worker_children import without_fork_servers

MANAGE_PY: Final = Path(__file__).resolve().parent.parent.parent / "manage.py"
#: Longer than SHUTDOWN_GRACE_SECONDS, after which a worker has no excuse.
STOP_TIMEOUT: Final = 90.0


class ManagedProcess:
    """One ``manage.py`` command and the processes that it starts."""

    def __init__(
        self,
        arguments: tuple[str, ...],
        log_path: Path,
        environ: Mapping[str, str],
        prefix: Sequence[str] = (),
        root: Path = MANAGE_PY.parent,
        *,
        is_fresh: bool = True,
    ) -> None:
        """``prefix`` is a command that runs the one behind it, such as one that enters a network namespace.

        ``root`` has the ``manage.py``, of another release where it is not this one's. What ``is_fresh`` is no fork.
        """
        self.arguments = arguments
        self.log_path = log_path
        with log_path.open("wb") as log:
            forked = None if is_fresh else NURSERIES.start(arguments, environ, log.fileno())
            # Its own session: a signal for pytest, such as Ctrl-C, is not one for the worker.
            self.popen = forked or subprocess.Popen(
                [*prefix, sys.executable, "-u", str(root / MANAGE_PY.name), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=root,
                env=environ,
                start_new_session=True,
            )
        self._seen: dict[int, psutil.Process] = {}

    @property
    def pid(self) -> int:
        return self.popen.pid

    def log(self) -> str:
        """What the process has written until now, on both streams."""
        return self.log_path.read_text(errors="replace")

    def is_running(self) -> bool:
        return self.popen.poll() is None

    def children(self) -> list[psutil.Process]:
        """The living processes below this one, at any depth, without the server that forks them."""
        try:
            found = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            found = []
        self._seen.update((child.pid, child) for child in found)
        return without_fork_servers(found)

    def wait_for_log(self, text: str, timeout: float = 60.0) -> None:
        """Until ``text`` appears in the log; a process that ends without it fails the test at once."""

        def appeared_or_ended() -> bool:
            return text in self.log() or not self.is_running()

        wait_until(appeared_or_ended, timeout, f"{text!r} in the log of {self}:\n{self.log()}")
        if text not in self.log():
            raise AssertionError(f"{self} ended ({self.popen.returncode}) without {text!r}:\n{self.log()}")

    def wait(self, timeout: float) -> int:
        """The exit code, once the process has ended by itself."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self} still runs after {timeout:g} s:\n{self.log()}") from None

    def stop(self, timeout: float = STOP_TIMEOUT) -> int:
        """Ask for an orderly end (SIGTERM) and return the exit code."""
        if self.is_running():
            self.popen.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def clean_up(self) -> None:
        """End the process and everything below it, frozen or not, whatever state a test left them in."""
        self.children()
        if self.is_running():
            self.popen.kill()
        self.popen.wait()
        # Looked up after the parent is gone, so that it cannot replace what is killed here. psutil compares
        # start times, hence a reused pid is not taken for ours.
        for process in self._survivors():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        wait_until(lambda: all(map(_is_gone, self._seen.values())), 60, f"the end of what {self} started")

    def _survivors(self) -> list[psutil.Process]:
        """Our session's members and the children seen before: an orphan is nobody's child any more."""
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == self.pid:
                    self._seen[process.pid] = process
            except ProcessLookupError:
                continue
        return [process for process in self._seen.values() if process.is_running()]

    def __str__(self) -> str:
        return f"manage.py {' '.join(self.arguments)} (pid {self.pid})"


def _is_gone(process: psutil.Process) -> bool:
    """Dead, though perhaps not yet buried by whoever inherited it: such a one holds nothing any more.

    A process is shown as a zombie once its main thread is dead. While others are still dying, its connections are open:
    where it waited for a ticket, it would be given that of the next test.
    """
    try:
        if not process.is_running():
            return True
        return process.status() == psutil.STATUS_ZOMBIE and not _other_threads(process.pid)
    except psutil.NoSuchProcess:
        return True


def _other_threads(pid: int) -> list[str]:
    try:
        return [task.name for task in Path(f"/proc/{pid}/task").iterdir() if task.name != str(pid)]
    except OSError:  # it is gone by now, or this is another system
        return []


class ProcessPool:
    """Starts commands for one test and ends whatever of them is left when it is over."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.processes: list[ManagedProcess] = []
        self._numbers = itertools.count(1)

    def start(
        self,
        *arguments: str,
        settings: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> ManagedProcess:
        """``manage.py`` with ``arguments`` on the test database; ``settings`` go into its ``DJANGO_JOBS``."""
        log_path = self.directory / f"{next(self._numbers)}-{arguments[0]}.log"
        environment = process_environ(settings or {}, environ or {})
        process = ManagedProcess(arguments, log_path, environment, is_fresh=False)
        self.processes.append(process)
        return process

    def worker(
        self,
        *options: str,
        settings: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> ManagedProcess:
        """``manage.py jobs_worker`` with ``options``; unless they say how many, with one child and the chosen slots."""
        if "--processes" not in options:
            options = ("--processes", "1", *options)
        return self.start("jobs_worker", *worker_options(options), settings=settings, environ=environ)

    def clean_up(self) -> None:
        # Newest first: a scheduler does not get to rescue the jobs of workers that end before it.
        for process in reversed(self.processes):
            process.clean_up()

    def logs(self) -> str:
        """All that was written, for the report of a failed test."""
        return "\n".join(f"--- {process}\n{process.log()}" for process in self.processes)

    def states(self) -> str:
        """What all that runs does at this moment, for the same report."""
        running = [process for process in self.processes if process.is_running()]
        return "\n".join(process_states.describe([psutil.Process(it.pid), *it.children()]) for it in running)


def process_environ(settings: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which ``tests.settings`` mean the test database, and the Redis of this run."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": database_url(connection.settings_dict),
        "DJANGO_JOBS_TEST_SETTINGS": json.dumps(dict(settings)),
        **environ,
    }
