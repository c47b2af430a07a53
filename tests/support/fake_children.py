"""Children without processes, for a supervisor in the test's own process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.support.verbs import ChildProcess, LoopStep, OccupiedSlot, StopRequest, WorkerOptions

STUCK = OccupiedSlot(slot=0, pk=7, attempt=2, stop_request=StopRequest.NONE, started=0.0, timeout=1)
NEIGHBOUR = OccupiedSlot(slot=1, pk=8, attempt=1, stop_request=StopRequest.NONE, started=0.0, timeout=100)


class FakeStacks:
    """Has what a child was asked for, once it ``has_answered``; not what counts where it ``lacks_frames``."""

    def __init__(self) -> None:
        self.has_answered = self.lacks_frames = False

    def ask(self) -> None:
        self.has_answered = False

    def is_to_be_asked_again(self, running: list[OccupiedSlot]) -> bool:
        return self.lacks_frames

    def look(self, running: list[OccupiedSlot]) -> bool:
        return not self.has_answered

    def close(self) -> None:
        """The file is gone."""

    def read(self) -> str:
        return "Thread 0x0000000000000001 (most recent call first):\n" if self.has_answered else ""


class FakeChild(ChildProcess):
    """A child without a process: it notes the signals that it gets."""

    def __init__(self, *running: OccupiedSlot, returncode: int | None = None) -> None:
        self.name = "child"
        self.killed = self.condemned_at = None
        self.process = SimpleNamespace(pid=1234, returncode=returncode, poll=lambda: returncode)  # type: ignore[assignment]
        self.requests: list[tuple[tuple[int, int], StopRequest]] = []
        self.renewals: list[float] = []
        self.in_hand: frozenset[tuple[int, int]] = frozenset()
        self.slots = SimpleNamespace(  # type: ignore[assignment]
            ended=lambda: frozenset({(9, 1)}),
            in_hand=lambda: self.in_hand,
            request_stop=self._note,
            note_renewal=self.renewals.append,
            board=SimpleNamespace(note_quiet=self._note_quiet, examined=8),
            close=lambda: None,
        )
        #: Whether it was told to take no new jobs.
        self.is_quiet = False
        #: What its board says that its loop does for too long, and what of it is revoked.
        self.stalls_at: LoopStep | None = None
        self.revoked: list[tuple[int, int]] = []
        #: Whether a handler has held its interpreter for long, and whether another thread wrote then.
        self.holds_for_long = self.keeps_others_from_writing = False
        self.watch = SimpleNamespace(  # type: ignore[assignment]
            look=lambda: None,
            stalled=lambda _: self.stalls_at,
            take_revoked=lambda: self.revoked,
            is_held=lambda _: self.holds_for_long,
            keeps_others_from_writing=lambda: self.keeps_others_from_writing,
        )
        self.stacks = FakeStacks()  # type: ignore[assignment]
        self.signals: list[int] = []
        self._running = list(running)

    def _note_quiet(self, *, is_quiet: bool) -> None:
        self.is_quiet = is_quiet

    def _note(self, item: OccupiedSlot, request: StopRequest) -> None:
        self.requests.append((item.key, request))

    def running(self) -> list[OccupiedSlot]:
        return self._running

    def is_frozen(self) -> bool:
        return False

    def send(self, number: int) -> None:
        self.signals.append(number)


def options(**given: Any) -> WorkerOptions:
    return WorkerOptions(**{"processes": 1, "threads": 1, "queues": [], "scheduler": False, **given})
