"""Processes with Django set up, which fork what the tests start: that takes a quarter of the time of a fresh one.

Most of what a short-lived worker or server costs is that its interpreter loads Django and all apps. The supervisor's
own fork server is used: what it forks becomes the tests' own child.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from django_jobs.worker.processes import _serve
from tests.support import late_settings, verbs
from tests.support.verbs import FORK_MAX_ARGUMENTS, AdoptedProcess, ForkServer

ROOT: Final = Path(__file__).resolve().parent.parent.parent
#: For so long it may load Django, however slow the machine is.
LOAD_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.01
#: Each holds some 80 MB.
MOST: Final = 6
#: Commands that stay, and what starts servers. The others, which end by themselves, count as one.
SERVICES: Final = frozenset({"jobs_worker", "jobs_scheduler", "rqworker", "runserver", "shell", "-m"})
#: What differs from test to test, and is read by handlers alone if at all.
IGNORED: Final = frozenset({"PYTEST_CURRENT_TEST", "DJANGO_JOBS_TEST_STEPS", "DJANGO_JOBS_FAULTS_RECORD"})


class ForkedCommand(AdoptedProcess):
    """A command that was forked, with what the tests use of ``subprocess.Popen``."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended. Raises ``subprocess.TimeoutExpired``."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"pid {self.pid}", timeout or 0)
            time.sleep(POLL_SECONDS)
        return code

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class Nursery(ForkServer):
    """The tests' end of a process that has loaded Django in one environment."""

    def __init__(self, environ: Mapping[str, str], modules: Sequence[str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(LOAD_SECONDS)
        with theirs:
            # What it logs while it loads is of no test; how a command logs that is in its own log.
            self._process: Any = subprocess.Popen(
                [sys.executable, "-u", "-m", __name__, str(theirs.fileno()), *modules],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
                env=dict(environ),
                start_new_session=True,
            )
        self._receive()

    def start(self, arguments: Sequence[str], environ: Mapping[str, str], pipes: Sequence[int]) -> ForkedCommand:
        return ForkedCommand(self.fork([list(arguments), dict(environ)], pipes).pid)


class Nurseries:
    """One for all environments that differ only in what a process takes over late.

    The first of each service there, and of the other commands, is a fresh interpreter, so that what only such a one can
    fail at is seen.
    """

    def __init__(self) -> None:
        self._uses: Counter[Any] = Counter()
        self._nurseries: dict[Any, Nursery] = {}

    def start(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        output: int,
        given: int | None = None,
        modules: Sequence[str] = (),
    ) -> ForkedCommand | None:
        """Fork ``manage.py`` with these arguments, or a module after ``-m``; None where a fresh interpreter is to.

        It writes to the descriptor ``output``, errors too, unless it reads from ``given``. It has loaded ``modules``.
        """
        early = late_settings.early_part({name: text for name, text in environ.items() if name not in IGNORED})
        key = (early, *modules)
        self._uses[use := (key, arguments[0] if arguments[0] in SERVICES else "")] += 1
        if self._uses[use] == 1 or sys.platform != "linux" or len(repr([arguments, environ])) > FORK_MAX_ARGUMENTS // 2:
            return None
        pipes = [output] if given is None else [output, given]
        try:
            return self._of(key, environ, modules).start(arguments, environ, pipes)
        except OSError:  # a fresh one tells why it does not start
            return None

    def _of(self, key: Any, environ: Mapping[str, str], modules: Sequence[str]) -> Nursery:
        nursery = self._nurseries.pop(key, None)
        if nursery is None or nursery.is_lost:
            nursery = Nursery(late_settings.loading(environ), modules)
        self._nurseries[key] = nursery  # the one that was used last is the last
        if len(self._nurseries) > MOST:
            self._nurseries.pop(next(iter(self._nurseries))).close()
        return nursery

    def close(self) -> None:
        while self._nurseries:
            self._nurseries.popitem()[1].close()


NURSERIES: Final = Nurseries()


def main(descriptor: str, *modules: str) -> None:
    """Load what most commands load, connect to nothing, and fork."""
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import load_command_class
    from django.db import connections

    for name in () if modules else ("jobs_scheduler", "jobs_worker"):
        load_command_class("django_jobs", name)
    importlib.import_module(settings.ROOT_URLCONF)  # each command's checks look at the addresses
    for name in modules:
        importlib.import_module(name)
    if (broadcaster := verbs.get_broadcaster()) is not None:
        broadcaster.load()
    connections.close_all()
    gc.collect()
    gc.freeze()
    _serve(socket.socket(fileno=int(descriptor)), _begin)


def _begin(work: Any, descriptors: Sequence[int]) -> NoReturn:
    """Go on as a fresh interpreter would, and end as one does."""
    (arguments, environ), (output, *given) = work, descriptors
    os.setsid()  # a signal for pytest, such as Ctrl-C, is not one for this
    os.dup2(output, 1)
    for descriptor in given:
        os.dup2(descriptor, 0)
    if not given:
        os.dup2(output, 2)
    for descriptor in (output, *given):
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environ)
    late_settings.take_over()
    code = _run(arguments)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(arguments: list[str]) -> int:
    """Run the command or the module; return the exit code."""
    from django.core.management import execute_from_command_line

    try:
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = ["manage.py", *arguments]
            execute_from_command_line(sys.argv)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  (as an interpreter does)
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main(*sys.argv[1:])
