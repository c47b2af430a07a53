"""A child process as its supervisor sees it: alive, frozen, dead and of what."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid

from django_jobs.conf import jobs_settings
from django_jobs.engine.execution.leases import Loss
from django_jobs.worker import stacks
from django_jobs.worker.interruption import SIGNAL
from django_jobs.worker.options import WorkerOptions
from django_jobs.worker.shared_slots import NO_WISH, Board, Running
from django_jobs.worker.stacks import StackFile


class ChildProcess:
    """One child, from its start to what became of it."""

    def __init__(self, host: str, options: WorkerOptions) -> None:
        # A new name at every start: RQ refuses the name of a killed worker for minutes.
        self.name = f"{host}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.board = Board.create(options.threads)
        self.stacks = StackFile()
        self.started = time.monotonic()
        #: Why, how (`lost`, `timed_out` or `interrupted`) and for which attempt the supervisor killed it, if it did.
        self.killed: tuple[str, str, tuple[int, int] | None] | None = None
        #: When it was told to take no more jobs, because one of them is going to cost its life.
        self.condemned_at: float | None = None
        command = [sys.executable, "-m", "django_jobs.worker", self.name, options.to_json()]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self.process = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
            [*command, *map(str, (self.board.descriptor, self.stacks.descriptor, os.getpid()))],
            pass_fds=[self.board.descriptor, self.stacks.descriptor],
            env=environment,
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
            self.board.wish(item, wish)
            self.send(SIGNAL)

    def send(self, number: int) -> None:
        if not self.has_ended():
            self.process.send_signal(number)

    def kill(self, reason: str, how: str, culprit: tuple[int, int] | None = None) -> None:
        """End it, once it has left its stacks; with a ``culprit`` (job, attempt), for that one's sake.

        To be called again, or :meth:`go_on_killing`, until it is gone. Nobody waits here.
        """
        if self.killed is None:
            self.killed = (reason, how, culprit)
            self.stacks.ask()
            self.send(stacks.SIGNAL)
        self.go_on_killing()

    def go_on_killing(self) -> None:
        """Kill one that was asked for its stacks, when they are there, or will not come."""
        if self.killed is not None and (self.is_frozen() or not self.stacks.is_awaited()):
            self.send(signal.SIGKILL)

    def kill_for(self, item: Running, reason: str, how: str) -> None:
        """End it because this job does not stop. Others that run in it get the grace of an orderly end first."""
        grace = float(jobs_settings.SHUTDOWN_GRACE_SECONDS)
        if self.condemned_at is None:
            self.condemned_at = time.monotonic()
            self.send(signal.SIGTERM)
        if len(self.running()) <= 1 or time.monotonic() - self.condemned_at > grace:
            self.kill(reason, how, item.key)

    def loss(self) -> Loss:
        """What its end means to the jobs that it leaves behind."""
        reason, how, culprit = self.killed or (self._own_end(), "lost", None)
        running = self.running()
        what = f"{reason}: process {self.pid} was killed" if self.killed else reason
        return Loss(
            worker_name=self.name,
            started=frozenset(item.key for item in running),
            ended=self.board.ended(),
            reason=reason,
            how=how,
            culprit=culprit,
            tracebacks=stacks.tracebacks(self.stacks.read(), running, what, was_asked=self.killed is not None),
        )

    def close(self) -> None:
        """Let go of what was shared with it, when it is gone."""
        self.board.close()
        self.stacks.close()

    def _own_end(self) -> str:
        code = self.process.returncode
        if code is None or code >= 0:
            return f"process {self.pid} exited with code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:  # a real-time signal has no name
            name = f"signal {-code}"
        return f"process {self.pid} was killed by {name}{' (perhaps out of memory)' if name == 'SIGKILL' else ''}"
