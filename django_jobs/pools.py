"""Pools: kinds of workers, each with four queues of its own. ``DJANGO_JOBS["POOLS"]`` names them, read live."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from django_jobs.conf import DEFAULT_POOL, jobs_settings
from django_jobs.statuses import Priority
from django_jobs.texts import say

#: Characters of a pool's name.
MAX_NAME: Final = 40
_NAME: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_NAME}}}\Z", re.ASCII)
_BY_URGENCY: Final = tuple(sorted(Priority, reverse=True))


class Queue(NamedTuple):
    """Where tickets wait: those of one priority, for the workers of one pool."""

    pool: str
    priority: int

    @property
    def name(self) -> str:
        """Return the name that the broker has for it. Raises KeyError for a pool that is not configured."""
        return queues_of(self.pool)[Priority(self.priority).word]


def names() -> tuple[str, ...]:
    """Return the names of the pools, the default one first."""
    others = configured()
    return (DEFAULT_POOL, *others) if others else (DEFAULT_POOL,)


def configured() -> Mapping[str, Any]:
    """Return POOLS without the default pool, and without what system checks refuse."""
    pools = jobs_settings.POOLS
    if not pools or not isinstance(pools, Mapping):
        return {}
    return {name: value for name, value in pools.items() if is_name(name) and name != DEFAULT_POOL}


def is_name(name: object) -> bool:
    """Return whether a pool may have this name."""
    return isinstance(name, str) and _NAME.match(name) is not None


def queues_of(pool: str) -> dict[str, str]:
    """Return the queue of each priority, by its word, the most urgent first. Raises KeyError for an unknown pool."""
    if pool == DEFAULT_POOL:
        named, default = jobs_settings.QUEUES, None
    else:
        named, default = named_queues(configured()[pool]), f"jobs-{pool}-"
    return {
        item.word: str(named[item.word] if default is None else named.get(item.word, default + item.word.lower()))
        for item in _BY_URGENCY
    }


def not_configured(pool: str) -> str:
    """Return what is said of jobs of a pool that is not configured."""
    return say("The pool %(pool)r is not in DJANGO_JOBS['POOLS'].", code="unknown_pool", pool=pool)


def named_queues(value: object) -> Mapping[str, Any]:
    """Return the queues that a pool's value in POOLS names; none where it is malformed, as system checks say."""
    queues = value.get("QUEUES") if isinstance(value, Mapping) else None
    return queues if isinstance(queues, Mapping) else {}


def named() -> dict[Queue, str]:
    """Return the name of each queue, those of the default pool first, of each pool the most urgent first."""
    return {
        Queue(pool, int(Priority[word.upper()])): name for pool in names() for word, name in queues_of(pool).items()
    }


def all_queues() -> tuple[Queue, ...]:
    """Return the queues of all pools, in the order of :func:`named`."""
    return tuple(Queue(pool, int(priority)) for pool in names() for priority in _BY_URGENCY)


def queue_names(pool: str | None = None) -> list[str]:
    """Return the names of a pool's queues, or of all queues, the most urgent of each pool first."""
    return [name for item in (names() if pool is None else (pool,)) for name in queues_of(item).values()]


def by_queue_name() -> dict[str, Queue]:
    """Return what each queue is for, by its name: where several share one, the lowest priority of the first pool."""
    found: dict[str, Queue] = {}
    for queue, name in named().items():
        if name not in found or found[name].pool == queue.pool:
            found[name] = queue
    return found


def served_by(queues: Collection[str], known: Mapping[Queue, str] | None = None) -> frozenset[Queue]:
    """Return the queues that have these names; without any, those of the default pool.

    ``known`` is what :func:`named` says, for a caller who asks more than once.
    """
    wanted = queues or queue_names(DEFAULT_POOL)
    return frozenset(queue for queue, name in (known or named()).items() if name in wanted)


def of_pool(queues: Iterable[Queue], pool: str) -> frozenset[Queue]:
    """Return those of the queues that are of this pool."""
    return frozenset(queue for queue in queues if queue.pool == pool)


#: What was filled in: the dict, the name, and the value that it got.
_filled_in: Final[list[tuple[dict[str, Any], str, Any]]] = []


def fill_rq_queues(**kwargs: Any) -> None:
    """Give what the host's ``RQ_QUEUES`` does not define of the pools' queues the connection of the default pool's
    Normal queue, after what an earlier call has filled in was taken out. Also a receiver of ``setting_changed``.

    The host's own dict is changed, since django-rq reads the setting live and others may have imported it earlier.
    """
    if kwargs.get("setting", "DJANGO_JOBS") not in {"DJANGO_JOBS", "RQ_QUEUES"}:
        return
    for filled, name, value in _filled_in:
        if filled.get(name) is value:
            del filled[name]
    _filled_in.clear()
    queues: Any = getattr(settings, "RQ_QUEUES", None)
    if not isinstance(queues, dict):
        return
    try:
        others = configured()
        connection: Any = queues.get(str(jobs_settings.QUEUES[Priority.NORMAL.word])) if others else None
        wanted = [name for pool in others for name in queue_names(pool) if name not in queues]
    except (ImproperlyConfigured, KeyError, TypeError):  # as system checks say
        return
    for name in wanted if isinstance(connection, Mapping) else ():
        queues[name] = value = dict(connection)
        _filled_in.append((queues, name, value))
