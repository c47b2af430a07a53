"""A process that forks children at any time, since it stays as its supervisor was before that had a thread or a line.

So a child that takes the place of another starts within milliseconds, from the code that was loaded, and shares the
memory of that. Python's multiprocessing has such a process too; it is called a fork server there.

What it forks becomes the supervisor's own child, who alone is told how it ends. It is forked by a process in between
that ends at once; the supervisor adopts what that leaves behind: PR_SET_CHILD_SUBREAPER in prctl(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import gc
import json
import logging
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NoReturn

from django_jobs.worker.process_start import AdoptedProcess, ForkedProcess

logger = logging.getLogger("django_jobs")

#: What the server runs in a new child: arguments that JSON can hold, and the descriptors that go with them.
Begin = Callable[[Any, Sequence[int]], NoReturn]

#: For so long the server may take to fork, and to leave. It takes milliseconds.
ANSWER_SECONDS: Final = 5.0
#: Bytes of the arguments of a child.
MAX_ARGUMENTS: Final = 65_536
MAX_DESCRIPTORS: Final = 8
#: How ps and top call it.
NAME: Final = b"jobs-forkserver"
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_SET_NAME: Final = 15
_GET_NAME: Final = 16
_SET_CHILD_SUBREAPER: Final = 36


class ForkServer:
    """The supervisor's end. Its :meth:`fork` is for one thread."""

    def __init__(self, begin: Begin) -> None:
        """Fork it from this process, which must be alone in itself. Raises OSError where the system cannot do that."""
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(ANSWER_SECONDS)
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
        self._end(signal.SIGKILL)  # a frozen one must not fork later

    def close(self) -> None:
        """Let the server end; its children go on."""
        self._end(None)

    def _end(self, number: int | None) -> None:
        process, self._process = self._process, None
        self._socket.close()
        if process is None:
            return
        if number is not None:
            process.send_signal(number)
        deadline = time.monotonic() + ANSWER_SECONDS
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
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
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
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
