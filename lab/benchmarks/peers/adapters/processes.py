"""Worker processes: started, looked at and stopped with all their children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

STOP_SECONDS: Final = 15


class Workers:
    """The processes of some commands and what they are descended into."""

    def __init__(self, processes: list[subprocess.Popen[bytes]], log: Path) -> None:
        self._processes = processes
        self._log = log

    def tree(self) -> list[psutil.Process]:
        """Return every process that is there now."""
        found = []
        for process in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                root = psutil.Process(process.pid)
                found += [root, *root.children(recursive=True)]
        return found

    def cpu_seconds(self) -> float:
        """Return what all of them have used so far, with that of children who have ended and were waited for."""
        seconds = 0.0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                seconds += times.user + times.system + times.children_user + times.children_system
        return seconds

    def megabytes(self) -> float:
        """Return the memory of all; of what several share, each has its part (PSS)."""
        return sum(process.memory_full_info().pss for process in self.tree()) / 1e6

    def check(self) -> None:
        """Fail with the end of the log when one of the commands has ended."""
        for process in self._processes:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended with {process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """Return the end of what they wrote."""
        return self._log.read_text(errors="replace")[-800:].strip()


@contextlib.contextmanager
def running(commands: list[list[str]]) -> Iterator[Workers]:
    """Run commands, each as the leader of a group of processes of its own."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        with log.open("wb") as output:
            processes = [
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
                for command in commands
            ]
        try:
            yield Workers(processes, log)
        finally:
            _stop(processes)


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
