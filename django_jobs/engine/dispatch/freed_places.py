"""Dispatching since jobs ended that were counted by limits of their types: others may start in their place.

Such ends come from all workers at once. One process at a time makes passes; whoever finds it at work rings the bell
and goes on, since the one at work looks at the bell when its pass is over. So no worker waits in line for a pass that
another one makes for it.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from django_jobs.engine.dispatch import dispatcher, turns, window
from django_jobs.engine.ports import get_broker
from django_jobs.engine.store import database
from django_jobs.engine.transitions import Moved

#: So many seconds pass between two passes of one process, so that each serves several ends.
PAUSE_SECONDS: Final = 0.003


def dispatch(priority: int, in_pools: Collection[str] = (), *, is_known: bool = False) -> int:
    """Dispatch in place of jobs of this priority that ended; return how many jobs went.

    With ``is_known``, nothing ended that a pass that is under way might not know: then nobody needs the bell.
    Raises BrokerUnavailable, and errors of the database.
    """
    broker = get_broker()
    seen = broker.look()
    if not window.read_window().has_room(priority, 1.0, seen.depths, in_pools=in_pools):
        return 0
    total, moved = 0, _try()
    if moved is None and not is_known:
        broker.ring()
        moved = _try()  # it may have looked at the bell just before
    while moved is not None:
        dispatcher.push(moved)
        total += len(moved)
        rings, seen = seen.rings, broker.look()
        if seen.rings == rings:
            break
        time.sleep(PAUSE_SECONDS)
        moved = _try()
    return total


def _try() -> list[Moved] | None:
    """Make a pass; return None if another process makes one."""
    return database.in_transaction(turns.fill_window)
