"""Which pool's workers run a job type, as this process remembers it for a second.

What is decided by it may be out of date for so long. Nothing wrong runs for that reason: the claim reads the type
itself, a ticket in another pool's queue is void there, and the reconciliation issues it in the right one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from django.db import Error

from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.store import database
from django_jobs.models import JobType
from django_jobs.pools import configured

logger = logging.getLogger("django_jobs")

#: Seconds after which the types are read anew.
MEMORY_SECONDS: Final = 1.0


class _Memory(NamedTuple):
    """The pools of the types that do not run in the default one, of which database, and until when that holds."""

    alias: str
    holds_until: float
    pools: Mapping[str, str]


_NOTHING: Final = _Memory("", 0.0, MappingProxyType({}))
_memory: _Memory = _NOTHING
#: Held by who reads: others go on with what they have.
_reading: Final = threading.Lock()


def are_several() -> bool:
    """Return whether there is any pool beside the default one."""
    return bool(configured())


def pool_of(job_type: str) -> str:
    """Return the name of the pool that runs a job type, also of one that is not configured.

    While only the default pool is configured nothing is read, and that is the answer: there the types of other pools
    are found by the statements that read types anyway.
    """
    return _pools().get(job_type, DEFAULT_POOL) if are_several() else DEFAULT_POOL


def forget(**_: Any) -> None:
    """Forget it, as a process that has just started, or since this process changed a type. Also a signal's receiver."""
    global _memory  # noqa: PLW0603  (a process-wide memory)
    _memory = _NOTHING


def _pools() -> Mapping[str, str]:
    global _memory  # noqa: PLW0603
    known, alias = _memory, database.alias()
    if known.alias == alias and time.monotonic() < known.holds_until:
        return known.pools
    if not _reading.acquire(blocking=known.alias != alias):
        return known.pools
    try:
        asked = time.monotonic()
        rows = JobType.primary.exclude(pool=DEFAULT_POOL).values_list("pk", "pool")
        _memory = known = _Memory(alias, asked + MEMORY_SECONDS, dict(rows))
    except Error as error:  # what was known is better than a ticket that is not pushed
        logger.warning("event=pools_unread error=%r", error)
    finally:
        _reading.release()
    return known.pools
