"""Entries of our queues that are no tickets of ours: set aside, remembered by their ids, and logged.

Redis is not trusted: whoever may write to it may put anything into a queue. Of an entry nothing but its id is read.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import redis
from redis import Redis
from rq.defaults import RQ_KEY_PREFIX

from django_jobs.broker import tickets
from django_jobs.conf import jobs_settings
from django_jobs.engine.foreign_entries import ForeignEntry, SetAside
from django_jobs.engine.ports import Ticket
from django_jobs.statuses import Priority

logger = logging.getLogger("django_jobs")

#: The value of FOREIGN_RQ_JOBS by which a host trusts whoever may write to Redis.
RUN: Final = "run"
#: How many ids are remembered of each queue, the newest first. RQ's own hash of an entry stays where it was.
MAX_REMEMBERED: Final = 1000
MAX_ID_BYTES: Final = 500
SHOWN_CHARACTERS: Final = 100
NEWEST: Final = 3
LOGGED_EVERY_SECONDS: Final = 10.0
KEY: Final = f"{RQ_KEY_PREFIX}:django_jobs:set_aside:"


def are_run() -> bool:
    """Return whether the host wants RQ to run foreign entries; any other value of the setting means no."""
    return bool(jobs_settings.FOREIGN_RQ_JOBS == RUN)


def is_foreign(entry_id: str) -> bool:
    """Return whether an entry of one of our queues is no ticket of ours."""
    return Ticket.parse(entry_id, Priority.NORMAL) is None


def shown(entry_id: str) -> str:
    """Return an id as a log or a terminal may show it: in ASCII, and not long."""
    text = ascii(entry_id)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def set_aside(connection: Redis, found: Sequence[ForeignEntry]) -> None:
    """Remember entries that were taken from our queues, and log them.

    Where Redis does not answer they are only logged. RQ's hashes of them stay in Redis either way.
    """
    _log.add(found)
    by_queue: dict[str, list[bytes]] = defaultdict(list)
    for entry in found:
        by_queue[entry.queue].append(tickets.as_bytes(entry.id)[:MAX_ID_BYTES])
    try:
        with connection.pipeline() as pipeline:
            for queue, ids in by_queue.items():
                pipeline.lpush(KEY + queue, *ids)
                pipeline.ltrim(KEY + queue, 0, MAX_REMEMBERED - 1)
            pipeline.execute()
    except (redis.RedisError, OSError) as error:
        ids_shown = [shown(entry.id) for entry in found[:NEWEST]]
        logger.warning("event=foreign_entry_forgotten rq_jobs=%s error=%r", ids_shown, error)


def look(connection: Redis, names: Sequence[str]) -> SetAside:
    """Return what was set aside of these queues."""
    with connection.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.llen(KEY + name)
            pipeline.lrange(KEY + name, 0, NEWEST - 1)
        answers: list[Any] = pipeline.execute()
    counts, newest = answers[::2], [entry_id for ids in answers[1::2] for entry_id in ids]
    return SetAside(
        count=sum(counts),
        is_capped=any(count >= MAX_REMEMBERED for count in counts),
        newest=tuple(shown(tickets.as_id(entry_id)) for entry_id in newest),
    )


class _RateLimitedLog:
    """Logs the first entry at once, and then at most one line in LOGGED_EVERY_SECONDS: there may be a flood of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = -math.inf
        self._unlogged = 0

    def add(self, found: Sequence[ForeignEntry]) -> None:
        """Log these entries now, or count them for the next line."""
        with self._lock:
            self._unlogged += len(found)
            if not found or time.monotonic() - self._last < LOGGED_EVERY_SECONDS:
                return
            count, self._unlogged, self._last = self._unlogged, 0, time.monotonic()
        first = found[0]
        logger.warning("event=foreign_entry queue=%s rq_job=%s count=%s", first.queue, shown(first.id), count)


_log: Final = _RateLimitedLog()
