"""A child process as its supervisor sees it: alive, frozen, dead and of what."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid

from django_jobs.worker.board import NO_WISH, Board, Running
from django_jobs.worker.interruption import SIGNAL
from django_jobs.worker.options import WorkerOptions


class ChildProcess:
    """One child, from its start to what became of it."""

    def __init__(self, host: str, options: WorkerOptions) -> None:
        # A new name at every start: RQ refuses the name of a killed worker for minutes.
        self.name = f"{host}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.board = Board.create(options.threads)
        self.started = time.monotonic()
        #: Why and how the supervisor killed it, if it did: a reason, and `lost`, `timed_out` or `interrupted`.
        self.killed: tuple[str, str] | None = None
        command = [sys.executable, "-m", "django_jobs.worker", self.name, options.to_json()]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self.process = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
            [*command, str(self.board.descriptor), str(os.getpid())], pass_fds=[self.board.descriptor], env=environment
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def is_frozen(self) -> bool:
        """Whether it was stopped by a signal, as by SIGSTOP or a debugger."""
        if not hasattr(os, "waitid"):
            return False
        try:
            # WNOWAIT leaves the state to be asked for again, and the exit to subprocess.
            state = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return state is not None and state.si_code == os.CLD_STOPPED

    def running(self) -> list[Running]:
        return self.board.running()

    def wish(self, item: Running, wish: int) -> None:
        """Ask it to stop a job, once."""
        if item.wish == NO_WISH:
            self.board.wish(item.slot, wish)
            self.send(SIGNAL)

    def send(self, number: int) -> None:
        if not self.has_ended():
            self.process.send_signal(number)

    def kill(self, reason: str, how: str) -> None:
        if self.killed is None:
            self.killed = (reason, how)
        self.send(signal.SIGKILL)

    def fate(self) -> tuple[str, str]:
        """(reason, how) it ended, for the jobs that it leaves behind."""
        if self.killed is not None:
            return self.killed
        code = self.process.returncode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = " (perhaps out of memory)" if name == "SIGKILL" else ""
            return f"process {self.pid} was killed by {name}{hint}", "lost"
        return f"process {self.pid} exited with code {code}", "lost"
