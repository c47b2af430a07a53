"""A worker child that does everything in its main thread, so that its statements come in one order."""

from __future__ import annotations

import os
import time
from typing import Final

from lab.faults.crash_points.world import VICTIM
from tests.support import verbs
from tests.support.tuning import set_for_good
from tests.support.verbs import Child, ChildState, SharedSlots, WorkerOptions

#: Longer than a half open line is believed in.
PATIENCE_SECONDS: Final = 6.0


class SoloChild(Child):
    """A child whose other threads never start; what they would do, :func:`work` does between the rounds."""

    def _go_on_after(self, error: Exception) -> None:
        self._is_own_broker = False
        self._failures.failed(error)
        self.state.stopping.wait(0.05)


def work() -> list[tuple[int, int]]:
    """Work until nothing is left to do, whatever fails meanwhile; return the attempts that the worker still holds.

    It lives, so that nobody else ends those.
    """
    set_for_good(burst_last_look_seconds=0.1)
    options = WorkerOptions(burst=True, scheduler=False, processes=1)
    state = ChildState(VICTIM, options, verbs.get_broker().consumer(VICTIM), SharedSlots.create(1))
    child = SoloChild(state, os.getppid())
    until = time.monotonic() + PATIENCE_SECONDS
    while child._round() or (_has_more(state, child) and time.monotonic() < until):
        state.settle()
    state.settler.finish()
    return sorted(verbs.leases_held_by(VICTIM))


def _has_more(state: ChildState, child: Child) -> bool:
    return bool(state.doubts.tickets()) or not state.in_hand.is_empty() or state.settler.has_unsettled()
