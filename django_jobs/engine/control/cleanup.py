"""Deleting what the engine keeps for itself: activity, operations, workers, sockets and their tickets."""

from __future__ import annotations

import datetime as dt
from typing import Final

from django.db.models import Q

from django_jobs.engine.control import operations, worker_orders
from django_jobs.engine.insight import rollups
from django_jobs.engine.sockets import open_sockets, tickets
from django_jobs.engine.store import database
from django_jobs.models import Worker

#: After so many seconds without a sign, the announcement of a worker is deleted.
WORKER_FORGOTTEN_SECONDS: Final = 120


def forget_activity() -> int:
    """Delete old sums of the activity, and old operations; return how many rows went."""
    return rollups.forget_old() + operations.forget_old()


def forget_sockets() -> int:
    """Delete tickets that nobody used, and sockets of processes that are gone; return how many rows went."""
    return tickets.forget_expired() + open_sockets.forget_dead()


def forget_workers() -> int:
    """Delete the announcements of workers that were silent for two minutes, and what was ordered those that are gone.

    Returns how many rows went.
    """
    now, silence = database.now(), dt.timedelta(seconds=WORKER_FORGOTTEN_SECONDS)
    # The last sign of one that died before the clock was set back is still to come.
    silent = Q(last_seen__lt=now - silence) | Q(last_seen__gt=now + silence)
    return Worker.primary.filter(silent).delete()[0] + worker_orders.forget_old()
