"""Connections to Redis, as the host configured them in RQ_QUEUES, on which no call waits for long."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator
from typing import Any

import django_rq
import redis
from django.core.exceptions import ImproperlyConfigured
from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection
from redis.retry import Retry

from django_jobs import pools
from django_jobs.conf import DEFAULT_POOL
from django_jobs.engine.ports import Queue
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.statuses import Priority
from django_jobs.texts import say

CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 1.0
BLOCK_SECONDS = 2


def queue_name(priority: int, pool: str = DEFAULT_POOL) -> str:
    """Return the name of a priority's RQ queue."""
    return Queue(pool, priority).name


def queue_names() -> list[str]:
    """Return the names of all our queues, the most urgent of each pool first."""
    return pools.queue_names()


def connect(answer_seconds: float = ANSWER_SECONDS) -> Redis:
    """Return a new client with its own pool. No call takes longer than connecting and ``answer_seconds``.

    Where the server is a replica by now, and takes no writes, the connection ends: its address may lead to another one.

    It sends no CLIENT SETINFO when it connects: that costs a round trip, and each process the memory in which redis-py
    reads the metadata of its package. Raises ImproperlyConfigured when RQ_QUEUES does not say where Redis is.
    """
    name = queue_name(Priority.NORMAL)
    try:
        client: Redis = django_rq.get_connection(name)
    # The text may hold a part of the password. AttributeError: the URL is None, as of a variable that nobody has set.
    except (AttributeError, KeyError, ValueError) as error:
        raise ImproperlyConfigured(
            f"RQ_QUEUES[{name!r}] leads to no Redis ({type(error).__name__}). Write its URL as redis://host:6379/0, "
            "rediss://… or unix://…, with what is special in a password percent-encoded."
        ) from error
    # redis-py renamed the option: one name now, two names in earlier versions.
    is_new = "driver_info" in inspect.signature(AbstractConnection.__init__).parameters
    unsaid: dict[str, Any] = {"driver_info": None} if is_new else {"lib_name": None, "lib_version": None}
    client.connection_pool.connection_kwargs.update(
        socket_timeout=answer_seconds,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[redis.ReadOnlyError],
        **unsaid,
    )
    return client


@functools.cache
def shared() -> Redis:
    """Return the process's client for short calls.

    It sends no HELLO either when it connects. Only calls whose answers have one form in both protocols may be made.
    """
    client = connect()
    client.connection_pool.connection_kwargs.update(protocol=2)
    return client


def close_shared() -> None:
    """Close the connections of the process's client for short calls, if there is one; the next call makes another."""
    if shared.cache_info().currsize:
        shared().connection_pool.disconnect()
        shared.cache_clear()  # what it has beside them goes with it, such as lines to Sentinels


@contextlib.contextmanager
def errors_translated() -> Iterator[None]:
    """Raise BrokerUnavailable for whatever Redis raises inside the block."""
    try:
        yield
    except redis.exceptions.OutOfMemoryError as error:
        raise BrokerUnavailable(
            say("Redis is full: it holds as much as its maxmemory allows", code="broker_full")
        ) from error
    except redis.ReadOnlyError as error:
        raise BrokerUnavailable(
            say("Redis takes no writes: it is a replica of another server", code="broker_read_only")
        ) from error
    except (redis.AuthenticationError, redis.BusyLoadingError, redis.ResponseError) as error:
        # A wrong password, or it is loading: Redis is there but cannot serve now.
        raise BrokerUnavailable(say("Redis refuses: %(error)s", code="broker_refuses", error=str(error))) from error
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        text = "Redis does not answer (%(error)s)"
        raise BrokerUnavailable(say(text, code=BrokerUnavailable.code, error=type(error).__name__)) from error
