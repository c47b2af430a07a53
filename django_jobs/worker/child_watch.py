"""What a supervisor concludes from a child's board: its loop stands still, or a handler holds its interpreter."""

from __future__ import annotations

import time
from typing import Final

from django_jobs.worker.child_board import LoopStep
from django_jobs.worker.shared_slots import SharedSlots

#: A child whose threads show no pulse for so long runs only the code that holds its interpreter.
HELD_SECONDS: Final = 0.25
#: After so many seconds others are no longer waited for that can do nothing meanwhile.
LONG_HELD_SECONDS: Final = 1.0
#: How long a revocation needs to be seen by the child, at the most. Processors need a millionth of it.
SEEN_SECONDS: Final = 0.04
#: Of the time between two looks no more counts: this process may have been frozen.
LONGEST_LOOK_SECONDS: Final = 0.5


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
        passed, self._looked = min(now - self._looked, LONGEST_LOOK_SECONDS), now
        self._loop.look(self._slots.board.loop, passed)
        self._pulses.look(self._slots.board.pulses, passed)

    def stalled(self, seconds: float) -> LoopStep | None:
        """Return what the child's loop has been doing for so long, where that should have ended; else None."""
        return (self._slots.board.step or None) if self._loop.seconds > seconds else None

    def take_revoked(self) -> list[tuple[int, int]]:
        """Return each (job, attempt) that waits behind a handler that holds the interpreter.

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
        if self._is_returned or time.monotonic() - self._revoked_at < SEEN_SECONDS:
            return []
        self._is_returned = True
        begun = {item.key for item in self._slots.occupied()}
        begun |= self._slots.ended()  # later, since a handler may end meanwhile
        return [pair for pair in claimed if pair not in begun]

    def is_held(self, seconds: float = HELD_SECONDS) -> bool:
        """Return whether a handler has held the interpreter for so long."""
        if self._pulses.seconds < seconds:
            return False
        return any(item.seconds > seconds for item in self._slots.occupied())

    def keeps_others_from_writing(self) -> bool:
        """Return whether a handler has held the interpreter for long while another thread wrote to the database."""
        return self._slots.board.is_writing and self.is_held(LONG_HELD_SECONDS)
