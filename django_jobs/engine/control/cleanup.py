"""Deleting what the engine itself keeps for a while: announcements, sums, tickets of sockets."""

from __future__ import annotations

import datetime as dt

from django_jobs.engine.control import replays
from django_jobs.engine.insight import rollups
from django_jobs.engine.sockets import open_sockets, tickets
from django_jobs.engine.store import database
from django_jobs.models import Worker

WORKER_FORGOTTEN_SECONDS = 120


def forget_activity() -> int:
    """Delete old sums of the activity, and old replays."""
    return rollups.forget_old() + replays.forget_old()


def forget_sockets() -> int:
    """Delete tickets that nobody used, and sockets of processes that are gone."""
    return tickets.forget_expired() + open_sockets.forget_dead()


def forget_workers() -> int:
    """Remove the announcements of workers that were not seen for two minutes."""
    since = database.now() - dt.timedelta(seconds=WORKER_FORGOTTEN_SECONDS)
    return Worker.primary.filter(last_seen__lt=since).delete()[0]
