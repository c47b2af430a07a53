"""A duty of the leading scheduler that must not wait for the others: it has a thread and a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from django_jobs.engine.store import database, line_watch

#: Seconds between two looks whether this scheduler leads, and after a turn that failed.
LOOK: Final = 1.0
#: Seconds to wait for a turn that goes on when the scheduler ends.
JOIN_SECONDS: Final = 2.0


class DutyThread:
    """A thread that takes turns whenever ``leads`` says so.

    ``step`` does one turn, and returns how much it did and for how many seconds to rest. ``report`` is the scheduler's
    way of doing a duty by its name, which logs failures.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], tuple[int, float]],
        leads: Callable[[], bool],
        report: Callable[[str, Callable[[], int]], int],
    ) -> None:
        self._name = name
        self._step = step
        self._leads = leads
        self._report = report
        self._pause = LOOK
        self._is_stopped = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start to take turns."""
        self._thread.start()

    def wake(self) -> None:
        """End the rest, if it rests. Any thread may call this."""
        self._woken.set()

    def stop(self) -> None:
        """End after the turn that goes on, and wait for that a moment: its transaction ends with the process."""
        self._is_stopped = True
        self.wake()
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while not self._is_stopped:
            self._woken.wait(self._turn())
            self._woken.clear()
        database.drop_connections()

    def _turn(self) -> float:
        """Take a turn, and return for how many seconds to rest. Who does not lead holds no connection."""
        if not self._leads():
            database.drop_connections()
            return LOOK
        database.mend_connections()
        self._pause = LOOK
        with line_watch.waiting(line_watch.DUTY_SECONDS):
            self._report(self._name, self._do)
        return self._pause

    def _do(self) -> int:
        count, self._pause = self._step()
        return count
