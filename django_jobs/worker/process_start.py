"""How a supervisor starts a process: it forks it, or starts a fresh interpreter.

A forked process shares the memory in which the host's code was loaded, and need not load it again. That is safe only
while nothing but one thread runs, without connections: so the supervisor forks a server at its start, which forks the
children (:mod:`.fork_server`). Where it cannot, each child is a fresh interpreter.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn, Protocol

from django_jobs.worker import memory

_TASKS: Final = Path("/proc/self/task")
#: What a supervisor obeys itself: a child must not get it with the supervisor's receiver, and miss it.
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Process(Protocol):
    """What is known of a process that was started; ``returncode`` is negative for a signal, as in subprocess."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None:
        """Return how the process ended; None while it lives."""

    def send_signal(self, sig: int) -> None:
        """Send it a signal; nothing where it is known to have ended."""


def may_fork() -> bool:
    """Return whether this process can be forked: it must be alone in itself, for no thread but this one is copied.

    A lock that another thread holds, of Python's or of a library in C, would stay locked for ever in the child.
    """
    try:
        return sys.platform == "linux" and len(list(_TASKS.iterdir())) == 1
    except OSError:  # this system does not show it
        return False


def prepare(load: Callable[[], object] = lambda: None) -> None:
    """Make this process ready to be shared, if it can be: load what every child would load, and drop what none needs.

    What is loaded is taken out of the collection of garbage, which would write to it.
    """
    if may_fork():
        load()
        gc.collect()
        memory.give_back()
        gc.freeze()


class AdoptedProcess:
    """A child of this process, whoever forked it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._looking = threading.Lock()

    def poll(self) -> int | None:
        """Return how the process ended; None while it lives. To be called from any thread."""
        with self._looking:  # the system tells it once
            if self.returncode is None:
                try:
                    pid, status = os.waitpid(self.pid, os.WNOHANG)
                except ChildProcessError:  # it tells nobody where SIGCHLD is ignored; subprocess takes that for 0 too
                    pid, status = self.pid, 0
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send it a signal; nothing where it is known to have ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)


class ForkedProcess(AdoptedProcess):
    """A copy of this process that goes on in a function, and ends in it."""

    def __init__(self, work: Callable[[], NoReturn]) -> None:
        """Fork. Raises OSError where the system has no process or memory left."""
        sys.stdout.flush()
        sys.stderr.flush()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if pid == 0:
            try:
                work()
            finally:
                os._exit(1)  # whatever happened: the copy must not go on as a supervisor
        super().__init__(pid)


def environment() -> dict[str, str]:
    """Return the environment for a process that is to import what this one can."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def start_fresh(module: str, arguments: Sequence[str], descriptors: Sequence[int]) -> Process:
    """Start a module in a fresh interpreter, which inherits these descriptors. Raises OSError where that fails."""
    return subprocess.Popen(  # noqa: S603  (our own interpreter and module)
        [sys.executable, "-m", module, *arguments, *map(str, descriptors), str(os.getpid())],
        pass_fds=descriptors,
        env=environment(),
    )
