"""Dispatching since jobs ended that were counted by limits of their types: others may start in their place.

Such ends come from all workers at once, and to look who has the dispatcher's lock costs a transaction. So whoever
stores one rings the broker's bell and takes the lead, in one call; where somebody else has the lead, that is all. The
leader makes passes for as long as the bell is rung (flat combining: D. Hendler, I. Incze, N. Shavit and M. Tzafrir,
2010). Where a leader dies, its lead runs out, and the workers look again by themselves meanwhile.
"""

from __future__ import annotations

import functools
import os
import time
import uuid
from typing import Final

from django_jobs.engine.dispatch import dispatch_lock, tenant_shares, ticketing, turns
from django_jobs.engine.ports import get_broker
from django_jobs.engine.store import database

#: For so long the lead is taken, and kept at each pass.
LEAD_SECONDS: Final = 0.3
#: For so long one call leads, if others ring all the time.
MOST_SECONDS: Final = 0.5
#: So many seconds pass between two passes, so that each serves several ends.
PAUSE_SECONDS: Final = 0.003
#: For so long it waits where somebody else had the dispatchers' lock.
AGAIN_SECONDS: Final = 0.02

_names: Final[dict[int, str]] = {}


def dispatch(*, has_ended: bool) -> bool:
    """Dispatch in place of jobs that ended, unless somebody else does; return whether to call this again soon.

    Without ``has_ended`` nothing ended that a pass that is under way might not know: then the bell is not rung.
    Call it again soon also where somebody who does not hear the bell had the dispatchers' lock for too long: that pass
    may have begun before the end was stored.
    Raises BrokerUnavailable, and errors of the database.
    """
    broker, until = get_broker(), time.monotonic() + MOST_SECONDS
    rings: int | None = None
    while broker.lead(_name(), LEAD_SECONDS, rings=has_ended and rings is None):
        try:
            while (seen := broker.look()).rings != rings:
                if rings is not None and time.monotonic() > until:
                    return True
                moved = database.in_transaction(functools.partial(turns.fill_window, dispatch_lock.WAIT_SECONDS))
                if moved is None:
                    time.sleep(AGAIN_SECONDS)
                    return True
                ticketing.push_queued(moved)
                rings = None if tenant_shares.ask() else seen.rings
                time.sleep(PAUSE_SECONDS)
                broker.lead(_name(), LEAD_SECONDS, rings=False)
        finally:
            broker.stop_leading(_name())
        # Somebody may have rung, and found this process in the lead, just before it gave that up.
        if broker.look().rings == rings:
            break
    return False


def _name() -> str:
    """Return a name that this process alone has, also where it is a copy of another one."""
    return _names.setdefault(os.getpid(), uuid.uuid4().hex)
