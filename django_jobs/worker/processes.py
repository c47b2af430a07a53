"""A worker's processes: their options, how one starts, why it leaves, and what it uses."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import faulthandler
import functools
import gc
import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from django.db import Error

from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine import timing
from django_jobs.exceptions import BrokerUnavailable, ForeignBroker, WorkersSuspended
from django_jobs.texts import say

logger = logging.getLogger("django_jobs")

# The options of ``jobs_worker``, for the supervisor and its children.


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """``processes`` children with ``threads`` slots each, which serve ``queues``: without any, the default pool's.

    ``pool`` is the one that they are for, as their names say.

    A child is replaced after ``max_jobs``, or when it holds more than ``max_memory`` megabytes.
    """

    processes: int = 2
    threads: int = 1
    queues: tuple[str, ...] = ()
    pool: str = DEFAULT_POOL
    burst: bool = False
    scheduler: bool = True
    max_jobs: int | None = None
    max_memory: int | None = None
    #: The name by which the supervisor of these processes is given orders.
    supervisor: str = ""

    @property
    def slots(self) -> int:
        """How many slots a child shows its supervisor: where several jobs run at a time, coroutines have their own."""
        return self.threads if self.threads == 1 else 2 * self.threads

    def to_json(self) -> str:
        """Return the options as a command line argument for a child."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WorkerOptions:
        """Return the options that :meth:`to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "queues": tuple(values["queues"])})


def parse_queues(words: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """Return the queues named in ``words``, each once, in their order; a word may hold several, separated by commas.

    Raises ValueError for a name that is not ``known``, since nothing is ever put into such a queue.
    """
    words = list(words)
    names = dict.fromkeys(name for word in words for name in word.replace(",", " ").split())
    for name in names:
        if name not in known:
            text = "There is no queue %(name)r. DJANGO_JOBS['QUEUES'] has %(known)s."
            raise ValueError(say(text, code="unknown_queue", name=name, known=", ".join(known)))
    if words and not names:
        text = "It names no queue. DJANGO_JOBS['QUEUES'] has %(known)s."
        raise ValueError(say(text, code="names_nothing", known=", ".join(known)))
    return tuple(names)


# How much memory a process has, for ``jobs_worker --max-memory``, and giving back what it has freed.


MEGABYTE: Final = 1_048_576
_STATM: Final = Path("/proc/self/statm")


def memory_megabytes() -> float:
    """Return the megabytes that this process holds now; on macOS, which does not tell, the most it ever held."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / MEGABYTE if sys.platform == "darwin" else most / 1024  # kilobytes elsewhere
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def give_back_memory() -> None:
    """Give the memory that was freed back to the system, where the C library can: malloc_trim(3), which glibc has.

    A process that compiled all that it imported, because there were no ``.pyc`` files, has freed 10 MB and more.
    """
    with contextlib.suppress(AttributeError, TypeError, OSError):  # another C library, or none that Python can ask
        ctypes.CDLL(None).malloc_trim(0)


# The Python stacks of a process that is about to be killed, or that crashed; they show what it was doing.
#
# The child's ``faulthandler`` writes them to a file that it shares with its supervisor. It does so from a signal
# handler in C, so that it works also while a job's handler holds the interpreter's lock. A process that is stopped, or
# waits in the kernel, writes nothing.


STACKS_SIGNAL: Final = signal.SIGUSR2


def leave_stacks_in(descriptor: int) -> None:
    """Make this process write all threads' stacks there at the signal, and when the interpreter crashes."""
    faulthandler.enable(file=descriptor, all_threads=True)
    faulthandler.register(STACKS_SIGNAL, file=descriptor, all_threads=True, chain=False)


# Why a child leaves: as an exit code for its supervisor, and as a sentence for people.


# Codes that other programs, and handlers that call os._exit, are not likely to use.
FOREIGN_BROKER, BROKER_AWAY, DATABASE_AWAY, MISTAKE, SUSPENDED = 113, 114, 115, 116, 118
#: No failure: the child has run as many jobs, or holds as much memory, as it may, and is to be replaced.
RECYCLED: Final = 117
REASONS: Final = {
    FOREIGN_BROKER: say(f"The broker belongs to another installation. {ForeignBroker.advice}", code=ForeignBroker.code),
    BROKER_AWAY: say("Redis does not answer. What was not run waits for the next worker.", code=BrokerUnavailable.code),
    DATABASE_AWAY: say(
        "The database does not answer. What ran and could not be stored runs again.", code="database_unavailable"
    ),
    SUSPENDED: say(
        "RQ's workers are suspended (`rq resume`). What was not run waits for the next worker.",
        code=WorkersSuspended.code,
    ),
    MISTAKE: say("A worker process failed again and again; its log says at what.", code="worker_failed"),
}


class WorkerFailed(Exception):
    """This worker process cannot work and is to leave; ``code`` says why."""

    def __init__(self, code: int) -> None:
        super().__init__(REASONS[code])
        self.code = code


def code_of(error: Exception) -> int:
    """Return the exit code for what kept a worker from working."""
    match error:
        case ForeignBroker():
            return FOREIGN_BROKER
        case WorkersSuspended():
            return SUSPENDED
        case BrokerUnavailable():
            return BROKER_AWAY
        case Error():
            return DATABASE_AWAY
        case _:
            return MISTAKE


# How a supervisor starts a process: it forks it, or starts a fresh interpreter.
#
# A forked process shares the memory in which the host's code was loaded, and need not load it again. That is safe only
# while nothing but one thread runs, without connections: so the supervisor forks a server at its start, which forks the
# children. Where it cannot, each child is a fresh interpreter.


_TASKS: Final = Path("/proc/self/task")
#: What a supervisor obeys itself: a child must not get it with the supervisor's receiver, and miss it.
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def may_fork() -> bool:
    """Return whether this process can be forked: it must be alone in itself, for no thread but this one is copied.

    A lock that another thread holds, of Python's or of a library in C, would stay locked for ever in the child.
    """
    try:
        return sys.platform == "linux" and len(list(_TASKS.iterdir())) == 1
    except OSError:  # this system does not show it
        return False


def prepare_start(load: Callable[[], object] = lambda: None) -> None:
    """Make this process ready to be shared, if it can be: load what every child would load, and drop what none needs.

    What is loaded is taken out of the collection of garbage, which would write to it.
    """
    if may_fork():
        load()
        gc.collect()
        give_back_memory()
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


def child_environment() -> dict[str, str]:
    """Return the environment for a process that is to import what this one can."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def start_fresh(module: str, arguments: Sequence[str], descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start a module in a fresh interpreter, which inherits these descriptors. Raises OSError where that fails."""
    return subprocess.Popen(  # noqa: S603  (our own interpreter and module)
        [sys.executable, "-m", module, *arguments, *map(str, descriptors), str(os.getpid())],
        pass_fds=descriptors,
        env=child_environment(),
    )


# A process that forks children at any time, since it stays as its supervisor was before that had a thread or a line.
#
# So a child that takes the place of another starts within milliseconds, from the code that was loaded, and shares the
# memory of that. Python's multiprocessing has such a process too; it is called a fork server there.
#
# What it forks becomes the supervisor's own child, who alone is told how it ends. It is forked by a process in between
# that ends at once; the supervisor adopts what that leaves behind: PR_SET_CHILD_SUBREAPER in prctl(2).


#: What the server runs in a new child: arguments that JSON can hold, and the descriptors that go with them.
Begin = Callable[[Any, Sequence[int]], NoReturn]

#: Bytes of the arguments of a child.
MAX_ARGUMENTS: Final = 65_536
MAX_DESCRIPTORS: Final = 8
#: How ps and top call it.
NAME: Final = b"jobs-forkserver"
_SET_NAME: Final = 15
_GET_NAME: Final = 16
_SET_CHILD_SUBREAPER: Final = 36


class ForkServer:
    """The supervisor's end. Its :meth:`fork` is for one thread."""

    def __init__(self, begin: Begin) -> None:
        """Fork it from this process, which must be alone in itself. Raises OSError where the system cannot do that."""
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(timing.FORK_SERVER_SECONDS)
        self._process: ForkedProcess | None = None

        def serve() -> NoReturn:
            self._socket.close()
            _serve(theirs, begin)

        try:
            with _adopting():  # also before: some systems pass that on to what is forked meanwhile only
                self._process = ForkedProcess(serve)
        except OSError:
            self._socket.close()
            raise
        finally:
            theirs.close()
        self._receive()  # its first word: it is deaf to signals

    @property
    def is_lost(self) -> bool:
        """Whether it forks nothing any more."""
        return self._process is None

    def fork(self, arguments: Any, descriptors: Sequence[int]) -> AdoptedProcess:
        """Start a child with these arguments; it has copies of the descriptors.

        Raises OSError where the system has no process left, or where the server is lost: then no child was started.
        """
        go, to_go = os.pipe()
        try:
            with _adopting():
                pid = self._ask(json.dumps(arguments).encode(), [go, *descriptors])
            self._check_adopted(pid)
            os.write(to_go, b"!")
        finally:
            os.close(go)
            os.close(to_go)
        return AdoptedProcess(pid)

    def _ask(self, arguments: bytes, descriptors: list[int]) -> int:
        """Return the process id of a child that waits for its word to go; without that word it leaves."""
        try:
            socket.send_fds(self._socket, [arguments], descriptors)
        except OSError as error:
            self._lose(error)
            raise
        pid = self._receive()
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return pid

    def _check_adopted(self, pid: int) -> None:
        """Lose the server if its child is not this process' own: nobody would be told how it ends."""
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError as error:
            self._lose(error)
            raise

    def _receive(self) -> int:
        try:
            answer = self._socket.recv(64)
            if not answer:
                raise ConnectionError(errno.EPIPE, "it has ended")
        except OSError as error:
            self._lose(error)
            raise
        return int(answer)

    def _lose(self, error: OSError) -> None:
        logger.warning("event=fork_server_lost error=%r", error)
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)  # a frozen one must not fork later
        self.close()

    def close(self) -> None:
        """Let the server end; its children go on."""
        process, self._process = self._process, None
        self._socket.close()
        if process is None:
            return
        deadline = time.monotonic() + timing.FORK_SERVER_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Let this process be the parent of what its descendants leave behind meanwhile; raises OSError if it cannot be."""
    _prctl(_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))
    try:
        yield
    finally:
        _prctl(_SET_CHILD_SUBREAPER, ctypes.c_ulong(0))


def _prctl(option: int, argument: Any) -> None:
    try:
        call = ctypes.CDLL(None, use_errno=True).prctl
    except (AttributeError, TypeError) as error:
        raise OSError(errno.ENOSYS, "This system has no prctl") from error
    if call(option, argument, *[ctypes.c_ulong(0)] * 3):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _serve(end: socket.socket, begin: Begin) -> NoReturn:
    """Fork a child for each message, until the supervisor has closed its end or is gone."""
    # A stop goes to the whole group or unit; the supervisor alone obeys it. Blocked, none to a child is lost either.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    on_end = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a host's would take away how a process ended
    name = ctypes.create_string_buffer(16)
    _prctl(_GET_NAME, name)
    _prctl(_SET_NAME, NAME)
    gc.disable()  # else garbage would be collected in memory that all children share
    end.send(b"0")
    while True:
        message, descriptors, flags, _ = socket.recv_fds(end, MAX_ARGUMENTS, MAX_DESCRIPTORS)
        if not message:
            os._exit(0)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        restore = functools.partial(_restore, name, on_end)
        become = functools.partial(_become, end, restore, begin, json.loads(message), descriptors)
        answer = -errno.EMFILE if flags & socket.MSG_CTRUNC else _fork(become)
        for descriptor in descriptors:
            os.close(descriptor)
        end.send(str(answer).encode())


def _fork(become: Callable[[], NoReturn]) -> int:
    """Fork a child by way of a process in between; return its process id, or minus the number of the error."""
    try:
        reading, writing = os.pipe()
    except OSError as error:
        return -(error.errno or errno.EMFILE)
    between = _fork_or_error()
    if between == 0:
        try:
            os.close(reading)
            pid = _fork_or_error()
            if pid == 0:
                os.close(writing)
                become()
            os.write(writing, str(pid).encode())
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(1)  # whatever happened: neither of these goes on as a server
    os.close(writing)
    answer = os.read(reading, 64) if between > 0 else str(between).encode()
    os.close(reading)
    if between > 0:
        os.waitpid(between, 0)
    return int(answer or -errno.EAGAIN)


def _fork_or_error() -> int:
    try:
        return os.fork()
    except OSError as error:
        return -(error.errno or errno.EAGAIN)


def _become(
    end: socket.socket, restore: Callable[[], object], begin: Begin, arguments: Any, descriptors: Sequence[int]
) -> NoReturn:
    """Go on as a child, once the supervisor knows of it."""
    go, *others = descriptors
    end.close()
    restore()
    if not os.read(go, 1):
        os._exit(1)
    os.close(go)
    begin(arguments, others)


def _restore(name: ctypes.Array[ctypes.c_char], on_end: Any) -> None:
    """Undo in a child what the server needs for itself."""
    _prctl(_SET_NAME, name)
    gc.enable()
    signal.signal(signal.SIGCHLD, on_end)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
