"""Connections to Redis as the host configured them in RQ_QUEUES, but with bounded patience."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import django_rq
from django.core.exceptions import ImproperlyConfigured
from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection
from redis.retry import Retry

from django_jobs.conf import jobs_settings
from django_jobs.statuses import Priority

CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 1.0
BLOCK_SECONDS = 2


def queue_name(priority: int) -> str:
    """The RQ queue of a priority."""
    return str(jobs_settings.QUEUES[Priority(priority).label])


def queue_names() -> list[str]:
    """All queues, the most urgent first."""
    return [queue_name(priority) for priority in sorted(Priority, reverse=True)]


def connect(answer_seconds: float = ANSWER_SECONDS) -> Redis:
    """A new client with its own pool: no call takes longer than connecting and ``answer_seconds``.

    Raises ImproperlyConfigured when RQ_QUEUES does not say where Redis is.
    """
    name = queue_name(Priority.NORMAL)
    try:
        client: Redis = django_rq.get_connection(name)
    except (KeyError, ValueError) as error:  # whose text may hold a part of the password
        raise ImproperlyConfigured(
            f"RQ_QUEUES[{name!r}] leads to no Redis ({type(error).__name__}). Write its URL as redis://host:6379/0, "
            "rediss://… or unix://…, with what is special in a password percent-encoded."
        ) from error
    client.connection_pool.connection_kwargs.update(
        socket_timeout=answer_seconds,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return client


@functools.cache
def shared() -> Redis:
    """The process's client for short calls. It introduces itself with no words, each of which waits for an answer."""
    client = connect()
    is_new = "driver_info" in inspect.signature(AbstractConnection.__init__).parameters  # where it took two names
    unsaid: dict[str, Any] = {"driver_info": None} if is_new else {"lib_name": None, "lib_version": None}
    client.connection_pool.connection_kwargs.update(protocol=2, **unsaid)
    return client
