"""A child as its supervisor sees it: what its board tells, the stacks that it leaves, and its process."""

from __future__ import annotations

import itertools
import logging
import os
import re
import signal
import tempfile
import time
import uuid
from collections.abc import Iterable
from subprocess import Popen
from typing import Final

from django_jobs.conf import DEFAULT_POOL, jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.execution.leases import Loss
from django_jobs.engine.store.values import AttemptKey
from django_jobs.texts import Text, say
from django_jobs.worker import processes
from django_jobs.worker.interruption import SIGNAL
from django_jobs.worker.processes import REASONS, RECYCLED, STACKS_SIGNAL, AdoptedProcess, ForkServer, WorkerOptions
from django_jobs.worker.shared import LoopStep, OccupiedSlot, SharedSlots, StopRequest


class _Still:
    """For how many seconds a number has not changed."""

    def __init__(self) -> None:
        self._number = -1
        self.seconds = 0.0

    def look(self, number: int, passed: float) -> None:
        self.seconds = self.seconds + passed if number == self._number else 0.0
        self._number = number


class ChildWatch:
    """Looks at one child's board again and again."""

    def __init__(self, slots: SharedSlots) -> None:
        self._slots = slots
        self._looked = time.monotonic()
        self._loop, self._pulses = _Still(), _Still()
        #: The set that was revoked last, when, and whether what of it had not begun was returned.
        self._revoked, self._revoked_at, self._is_returned = 0, 0.0, True

    def look(self) -> None:
        """Look once."""
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, timing.LONGEST_CHILDREN_LOOK_SECONDS), now
        self._loop.look(self._slots.board.loop, passed)
        self._pulses.look(self._slots.board.pulses, passed)

    def stalled(self, seconds: float) -> LoopStep | None:
        """Return what the child's loop has been doing for so long, where that should have ended; else None."""
        return (self._slots.board.step or None) if self._loop.seconds > seconds else None

    def take_revoked(self) -> list[AttemptKey]:
        """Return each attempt that waits behind a handler that holds the interpreter.

        The child begins none of them, since it announces a beginning first and then looks whether it is revoked. Here
        it is revoked first; what was not announced a moment later will not begin.
        """
        if not self.is_held():
            return []
        number, claimed = self._slots.board.claimed()
        if number != self._revoked:
            if claimed:
                self._slots.board.revoke(number)
                self._revoked, self._revoked_at, self._is_returned = number, time.monotonic(), False
            return []
        if self._is_returned or time.monotonic() - self._revoked_at < timing.REVOCATION_SEEN_SECONDS:
            return []
        self._is_returned = True
        begun = {item.key for item in self._slots.occupied()}
        begun |= self._slots.ended()  # later, since a handler may end meanwhile
        return [pair for pair in claimed if pair not in begun]

    def is_held(self, seconds: float = timing.INTERPRETER_HELD_SECONDS) -> bool:
        """Return whether a handler has held the interpreter for so long."""
        if self._pulses.seconds < seconds:
            return False
        return any(item.seconds > seconds for item in self._slots.occupied())

    def keeps_others_from_writing(self) -> bool:
        """Return whether a handler has held the interpreter for long while another thread wrote to the database."""
        return self._slots.board.is_writing and self.is_held(timing.INTERPRETER_LONG_HELD_SECONDS)


logger = logging.getLogger("django_jobs")

# The stacks that a child wrote, for the Execution Logs of the jobs that ran in it.
#
# Up to Python 3.12 the signal can come while the interpreter enters a function from C, such as another signal's
# handler: for some instructions the thread's frame is then what was in memory before. Where that is nothing, the thread
# seems to have no frame, and the process is asked again.


#: How often a process is asked at most.
MAX_QUESTIONS: Final = 3
#: What ``faulthandler`` writes of a thread without a frame.
NO_FRAME: Final = "<no Python frame>"
#: Stands before the stack of the job's own thread.
OWN_THREAD: Final = "The handler's thread:"
MAX_BYTES: Final = 512_000
MAX_TEXT: Final = 60_000
_THREAD: Final = re.compile(r"^(?:Current )?[Tt]hread 0x([0-9a-f]+)", re.MULTILINE)


class StackFile:
    """The file with a child's stacks, as its supervisor sees it."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            self.descriptor = os.dup(file.fileno())
        self._questions = 0
        self._asked = 0.0
        self._size = self._size_before = 0
        self._grown_at = 0.0

    def ask(self) -> None:
        """Note that the process was asked for its stacks just now."""
        self._questions += 1
        self._asked = self._grown_at = time.monotonic()
        self._size = self._size_before = os.fstat(self.descriptor).st_size

    def look(self, running: Iterable[OccupiedSlot]) -> bool:
        """Look what the process has written, in which these jobs run; return whether it may still write."""
        now, size = time.monotonic(), os.fstat(self.descriptor).st_size
        if size != self._size:
            self._size, self._grown_at = size, now
        if now - self._asked >= timing.STACKS_SECONDS:
            return False
        is_quiet = self._size > self._size_before and now - self._grown_at > timing.STACKS_QUIET_SECONDS
        return not (is_quiet and self._has_threads_of(running))

    def _has_threads_of(self, running: Iterable[OccupiedSlot]) -> bool:
        """Return whether the process has written the threads of these jobs since it was asked."""
        _, blocks = _parted(self.read(self._size_before))
        return all(item.thread in blocks for item in running if item.thread)

    def is_to_be_asked_again(self, running: Iterable[OccupiedSlot]) -> bool:
        """Return whether the thread of one of these jobs seemed to have no frame, each time that it was asked."""
        if not 0 < self._questions < MAX_QUESTIONS:
            return False
        _, blocks = _parted(self.read())
        return any(NO_FRAME in blocks.get(item.thread, "") for item in running)

    def read(self, start: int = 0) -> str:
        """Return what was written from this byte on."""
        return os.pread(self.descriptor, MAX_BYTES, start).decode(errors="replace").replace("\0", "")

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def tracebacks(raw: str, running: Iterable[OccupiedSlot], what: str, *, was_asked: bool) -> dict[AttemptKey, Text]:
    """Return the text for each job's Execution Log, by attempt: ``what`` happened, then the stacks.

    The job's own thread comes first. Empty where the process was not asked, and wrote nothing.
    """
    if not raw and not was_asked:
        return {}
    if not raw:
        text = say("%(what)s. There are no stacks: the process did not answer.", code="no_stacks", what=what)
        return {item.key: text for item in running}
    pattern = "%(what)s. The stacks of its threads at that time:\n\n%(stacks)s"
    return {item.key: say(pattern, code="stacks", what=what, stacks=_own_first(raw, item)) for item in running}


def _own_first(raw: str, item: OccupiedSlot) -> str:
    """Return the stacks with that of the job's thread first, and with a title."""
    head, blocks = _parted(raw)
    own = blocks.pop(item.thread, "")
    named = f"{OWN_THREAD}\n{own}" if own else ""
    text = "\n\n".join(part for part in (head, named, *blocks.values()) if part)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def _parted(raw: str) -> tuple[str, dict[int, str]]:
    """Return what stands before the first thread, and each thread's last stack that shows a frame, if one does."""
    starts = [found.start() for found in _THREAD.finditer(raw)] or [len(raw)]
    blocks: dict[int, str] = {}
    for start, end in itertools.pairwise([*starts, len(raw)]):
        block = raw[start:end].strip()
        found = _THREAD.match(block)
        thread = int(found[1], 16) if found else 0
        if block and (thread not in blocks or NO_FRAME not in block):
            blocks[thread] = block
    return raw[: starts[0]].strip(), blocks


# A child process as its supervisor sees it: whether it lives, is frozen or ended, and why it ended.


class ChildProcess:
    """One child, from its start to its end."""

    def __init__(
        self,
        host: str,
        options: WorkerOptions,
        fork_server: ForkServer | None = None,
    ) -> None:
        """Have the server fork it, or else start a fresh interpreter. Raises OSError where neither is possible."""
        # A new name at every start, because RQ refuses the name of a killed worker for minutes.
        place = host if options.pool == DEFAULT_POOL else f"{options.pool}@{host}"
        self.name = f"{place}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.slots = SharedSlots.create(options.slots)
        self.watch = ChildWatch(self.slots)
        self.stacks = StackFile()
        self.started = time.monotonic()
        #: Why, how (`lost`, `timed_out` or `interrupted`) and for which attempt the supervisor kills it, if it does.
        self.killed: tuple[str, str, AttemptKey | None] | None = None
        #: When it was told to take no more jobs, because it will be killed for one of them.
        self.condemned_at: float | None = None
        self.process = self._started(options, fork_server)

    def _started(self, options: WorkerOptions, fork_server: ForkServer | None) -> AdoptedProcess | Popen[bytes]:
        arguments, descriptors = [self.name, options.to_json()], [self.slots.descriptor, self.stacks.descriptor]
        try:
            if fork_server is None or fork_server.is_lost:
                return processes.start_fresh("django_jobs.worker", arguments, descriptors)
            return fork_server.fork([*arguments, os.getpid()], descriptors)
        except OSError:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self.process.pid

    def has_ended(self) -> bool:
        """Return whether the process is gone."""
        return self.process.poll() is not None

    def is_frozen(self) -> bool:
        """Return whether it was stopped by a signal, such as SIGSTOP, or by a debugger."""
        if not hasattr(os, "waitid"):
            return False
        try:
            # WNOWAIT keeps the state for the next look, and the exit code for subprocess.
            state = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return state is not None and state.si_code == os.CLD_STOPPED

    def running(self) -> list[OccupiedSlot]:
        """Return what runs in it, or ran in it when it ended."""
        return self.slots.occupied()

    def request_stop(self, item: OccupiedSlot, request: StopRequest) -> None:
        """Ask it once to stop a job."""
        if item.stop_request == StopRequest.NONE:
            self.slots.request_stop(item, request)
            self.send(SIGNAL)

    def send(self, number: int) -> None:
        """Send it a signal; nothing where it has ended."""
        if not self.has_ended():
            self.process.send_signal(number)

    def kill(self, reason: str, how: str, culprit: AttemptKey | None = None) -> None:
        """Kill it once it has written its stacks; ``culprit`` is the attempt for which it is killed, if any.

        Does not wait: call it, or :meth:`go_on_killing`, again and again until the process is gone.
        """
        if self.killed is None:
            self.killed = (reason, how, culprit)
            self._ask_for_stacks()
        self.go_on_killing()

    def _ask_for_stacks(self) -> None:
        self.stacks.ask()
        self.send(STACKS_SIGNAL)

    def go_on_killing(self) -> None:
        """Send SIGKILL to a child that was asked for its stacks, once it has written them or will not."""
        if self.killed is None:
            return
        if self.is_frozen():
            self.send(signal.SIGKILL)
        elif not self.stacks.look(self.running()):
            if self.stacks.is_to_be_asked_again(self.running()):
                self._ask_for_stacks()
            else:
                self.send(signal.SIGKILL)

    def kill_for(self, item: OccupiedSlot, reason: str, how: str) -> None:
        """Kill it because this job does not stop. Before that the other jobs that run in it get the usual grace.

        Not while a handler holds the interpreter: they cannot use it.
        """
        grace = float(jobs_settings.SHUTDOWN_GRACE_SECONDS)
        is_first, now = self.condemned_at is None, time.monotonic()
        self.condemned_at = self.condemned_at or now
        is_vain = len(self.running()) <= 1 or self.watch.is_held(timing.INTERPRETER_LONG_HELD_SECONDS)
        if is_vain or now - self.condemned_at > grace:
            self.kill(reason, how, item.key)
        if is_first:
            # Not before the stacks are asked for: they are to show the handler, not how this signal is handled.
            self.send(signal.SIGTERM)

    def loss(self) -> Loss:
        """Return what its end means for the jobs that ran in it."""
        reason, how, culprit = self.killed or (self._own_end(), "lost", None)
        running, in_hand = self.running(), self.slots.in_hand()
        what = f"{reason}: process {self.pid} was killed" if self.killed else reason
        return Loss(
            worker_name=self.name,
            started=frozenset(item.key for item in running),
            ended=self.slots.ended(),
            in_hand=in_hand,
            examined=next((pair for pair in in_hand if pair[0] == self.slots.board.examined), None),
            gave_up=self.process.returncode in {0, RECYCLED, *REASONS} and not in_hand,
            reason=reason,
            how=how,
            culprit=culprit,
            tracebacks=tracebacks(self.stacks.read(), running, what, was_asked=self.killed is not None),
        )

    def close(self) -> None:
        """Release what was shared with it; to be called when it is gone."""
        self.slots.close()
        self.stacks.close()

    def _own_end(self) -> str:
        code = self.process.returncode
        if code is None or code >= 0:
            return say("process %(pid)s exited with code %(exit)s", code="exited", pid=self.pid, exit=code)
        try:
            name = signal.Signals(-code).name
        except ValueError:  # a real-time signal has no name
            name = f"signal {-code}"
        why = " (perhaps out of memory)" if name == "SIGKILL" else ""
        text = "process %(pid)s was killed by %(signal)s%(why)s"
        return say(text, code="killed", pid=self.pid, signal=name, why=why)
