"""Our queues in Redis: connections, tickets, and entries that are no tickets of ours."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import inspect
import json
import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import django_rq
import redis
from django.core.exceptions import ImproperlyConfigured
from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection
from redis.retry import Retry
from rq.defaults import RQ_KEY_PREFIX
from rq.job import Job as RQJob
from rq.queue import Queue as RQQueue
from rq.suspension import WORKERS_SUSPENDED
from rq.utils import utcformat

from django_jobs.conf import DEFAULT_POOL, jobs_settings
from django_jobs.engine import timing
from django_jobs.engine.ports import ForeignEntry, Queue, SetAside, Ticket
from django_jobs.exceptions import BrokerUnavailable
from django_jobs.statuses import Priority
from django_jobs.texts import say

logger = logging.getLogger("django_jobs")

# Connections to Redis, as the host configured them in RQ_QUEUES, on which no call waits for long.


def connect(answer_seconds: float = timing.BROKER_ANSWER_SECONDS) -> Redis:
    """Return a new client with its own pool. No call takes longer than connecting and ``answer_seconds``.

    Where the server is a replica by now, and takes no writes, the connection ends: its address may lead to another one.

    It sends no CLIENT SETINFO when it connects: that costs a round trip, and each process the memory in which redis-py
    reads the metadata of its package. Raises ImproperlyConfigured when RQ_QUEUES does not say where Redis is.
    """
    name = Queue(DEFAULT_POOL, Priority.NORMAL).name
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
        socket_connect_timeout=timing.BROKER_CONNECT_SECONDS,
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


# How tickets are stored in Redis: as RQ jobs of which only the id is ever read.
#
# A ticket's hash is there for RQ's tools and django-rq's pages. The function that it names is the same in all of them,
# and it holds no pickle. It expires after a day, in case nobody removes it.


ENTRY: Final = "django_jobs.broker.rq_worker.run_ticket"
#: The data of an RQ job: its function, instance, arguments and keyword arguments.
DATA: Final = json.dumps([ENTRY, None, [], {}]).encode()
#: A number that changes whenever somebody rings.
BELL: Final = f"{RQ_KEY_PREFIX}:django_jobs:bell"
#: Who makes passes of the dispatcher for all who ring.
LEADER: Final = f"{RQ_KEY_PREFIX}:django_jobs:leader"
#: The id of the installation whose tickets lie here.
MARKER: Final = f"{RQ_KEY_PREFIX}:django_jobs:installation"

# The hash of one ticket.
_HASH: Final = """
local function write_hash(id)
  local key = ARGV[2] .. id
  redis.call('HSET', key, 'data', ARGV[3], 'created_at', ARGV[4], 'enqueued_at', ARGV[4], 'origin', ARGV[5],
    'description', id, 'status', 'queued', 'timeout', '-1', 'result_ttl', '0')
  redis.call('EXPIRE', key, 86400)
end
"""

# Pushes any number of tickets to one queue in one round trip: first their hashes, then their ids into the list.
_PUSH: Final = f"""{_HASH}
local ids = {{}}
for i = 6, #ARGV do
  write_hash(ARGV[i])
  ids[#ids + 1] = ARGV[i]
end
redis.call('SADD', KEYS[2], KEYS[1])
if ARGV[1] == '1' then
  for i = #ids, 1, -1 do redis.call('LPUSH', KEYS[1], ids[i]) end
else
  for i = 1, #ids do redis.call('RPUSH', KEYS[1], ids[i]) end
end
return #ids
"""

# Writes the hash of a ticket, unless there is one that RQ can read; that then says from which queue it was taken.
_COMPLETE: Final = f"""{_HASH}
if redis.pcall('HEXISTS', KEYS[1], 'data') ~= 1 then
  redis.call('UNLINK', KEYS[1])
  write_hash(ARGV[6])
else
  redis.call('HSET', KEYS[1], 'origin', ARGV[5])
end
"""

# Pops up to ARGV[1] entries from the queues in their order; none while RQ's workers are suspended.
_TAKE: Final = """
local taken = {}
local room = tonumber(ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 1 then return {1} end
for i = 2, #KEYS do
  if room > 0 then
    local ids = redis.call('LPOP', KEYS[i], room)
    if ids then
      for _, id in ipairs(ids) do taken[#taken + 1] = {i - 1, id} end
      room = room - #ids
    end
  end
end
return {0, taken}
"""

# Returns the bell's count and the queues' lengths. A bell that somebody overwrote may be no number; it counts as 0. By
# its first line it is refused where Redis takes no writes, since it is full or a replica: what was queued after such a
# look would get no ticket.
LOOK: Final = """#!lua
local counts = {}
for i = 2, #KEYS do counts[i - 1] = redis.call('LLEN', KEYS[i]) end
return {tonumber(redis.pcall('GET', KEYS[1])) or 0, counts}
"""

# Counts the bell up. One that is no number is replaced by the time, a number that nobody has read there yet.
RING: Final = """
if type(redis.pcall('INCR', KEYS[1])) ~= 'number' then
  redis.call('SET', KEYS[1], redis.call('TIME')[1])
end
"""


# Counts the bell up if it is asked to; then takes the lead, or keeps it, unless somebody else has it. What lasts for
# ever, or for longer than a lead, is none that a leader took.
LEAD: Final = (
    f"if ARGV[3] == '1' then {RING} end"
    """
local leader = redis.pcall('GET', KEYS[2])
local left = redis.call('PTTL', KEYS[2])
if leader and leader ~= ARGV[1] and left >= 0 and left <= tonumber(ARGV[2]) then
  return 0
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
"""
)

# Gives the lead up, if this leader has it.
STOP_LEADING: Final = """
if redis.pcall('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
"""


def as_id(raw: bytes) -> str:
    """Return an entry of a queue as text, whatever its bytes are; :func:`as_bytes` reverses it."""
    return raw.decode("utf-8", "surrogateescape")


def as_bytes(entry_id: str) -> bytes:
    """Return the bytes that :func:`as_id` made this text of."""
    return entry_id.encode("utf-8", "surrogateescape")


def job_key(ticket_id: str) -> str:
    """Return the key of a ticket's hash."""
    return f"{RQJob.redis_job_namespace_prefix}{ticket_id}"


def queue_key(name: str) -> str:
    """Return the key of a queue's list."""
    return f"{RQQueue.redis_queue_namespace_prefix}{name}"


def push(connection: Redis, name: str, ids: Sequence[str], *, front: bool) -> None:
    """Add tickets at the back of a queue, or in their order at its front."""
    connection.eval(_PUSH, 2, queue_key(name), RQQueue.redis_queues_keys, *_hash_values(name, front=front), *ids)


def call_back(connection: Redis, name: str, most: int, is_foreign: Callable[[str], bool]) -> list[str]:
    """Take the ids of tickets out of a queue that has more than ``most`` entries.

    Return those that no worker was quicker to take.
    """
    key = queue_key(name)
    waiting: Any = connection.lrange(key, 0, -1)
    ids = [entry_id for entry_id in map(as_id, waiting if len(waiting) > most else []) if not is_foreign(entry_id)]
    with connection.pipeline(transaction=False) as pipeline:
        for ticket_id in ids:
            pipeline.lrem(key, -1, ticket_id)
        return [ticket_id for ticket_id, count in zip(ids, pipeline.execute(), strict=True) if count]


def complete(connection: Redis, name: str, ticket_id: str) -> None:
    """Write the hash of a ticket that was taken from a queue, if it is gone: RQ drops an entry without one.

    One that is there may name another pool's queue, to which the ticket was pushed later: it gets this one.

    The hash may have expired. Or RQ removed it after an earlier ticket of the same id, which was run when the job did
    not wait for it.
    """
    connection.eval(_COMPLETE, 1, job_key(ticket_id), *_hash_values(name), ticket_id)


def _hash_values(name: str, *, front: bool = False) -> list[Any]:
    """Return the arguments that come before the ids in a script that writes hashes."""
    now = utcformat(dt.datetime.now(dt.UTC))
    return ["1" if front else "0", RQJob.redis_job_namespace_prefix, DATA, now, name]


def take(connection: Redis, names: Sequence[str], count: int, done: Sequence[str] = ()) -> list[tuple[str, str]] | None:
    """Pop up to ``count`` entries and return their (queue, id), the most urgent first; None while RQ is suspended.

    ``done`` are ids of earlier tickets, whose hashes are removed.
    """
    keys = [WORKERS_SUSPENDED, *map(queue_key, names)]
    with connection.pipeline(transaction=False) as pipeline:
        if done:
            pipeline.unlink(*map(job_key, done))
        pipeline.eval(_TAKE, len(keys), *keys, count)
        answer: Any = pipeline.execute()[-1]
    if answer[0]:
        return None
    return [(names[index - 1], as_id(ticket_id)) for index, ticket_id in answer[1]]


def wait(client: Redis, names: Sequence[str], count: int, seconds: int) -> tuple[list[tuple[str, str]], bool]:
    """Pop up to ``count`` entries, waiting at most ``seconds`` for the first, and return their (queue, id).

    The second value says whether RQ is suspended by then: if so, the caller pushes the entries again.

    ``client`` must hold a single connection. Both commands are sent at once, because Redis answers the second as soon
    as the first no longer blocks: so a ticket that comes waits for no further round trip. BLMPOP needs Redis 7.
    """
    link: Any = client.connection
    pop = ("BLMPOP", seconds, len(names), *map(queue_key, names), "LEFT", "COUNT", count)
    try:
        link.send_packed_command(link.pack_commands([pop, ("EXISTS", WORKERS_SUSPENDED)]))
        answer, suspended = link.read_response(), link.read_response()
    except BaseException:
        link.disconnect()  # an answer may still be on its way
        raise
    if not answer:
        return [], bool(suspended)
    name = answer[0].decode().removeprefix(RQQueue.redis_queue_namespace_prefix)
    return [(name, as_id(ticket_id)) for ticket_id in answer[1]], bool(suspended)


# Entries of our queues that are no tickets of ours: set aside, remembered by their ids, and logged.
#
# Redis is not trusted: whoever may write to it may put anything into a queue. Of an entry nothing but its id is read.


#: The value of FOREIGN_RQ_JOBS by which a host trusts whoever may write to Redis.
RUN: Final = "run"
#: How many ids are remembered of each queue, the newest first. RQ's own hash of an entry stays where it was.
MAX_REMEMBERED: Final = 1000
MAX_ID_BYTES: Final = 500
SHOWN_CHARACTERS: Final = 100
NEWEST: Final = 3
KEY: Final = f"{RQ_KEY_PREFIX}:django_jobs:set_aside:"


def are_foreign_run() -> bool:
    """Return whether the host wants RQ to run foreign entries; any other value of the setting means no."""
    return bool(jobs_settings.FOREIGN_RQ_JOBS == RUN)


def is_foreign(entry_id: str) -> bool:
    """Return whether an entry of one of our queues is no ticket of ours."""
    return Ticket.parse(entry_id, Priority.NORMAL) is None


def shown_foreign(entry_id: str) -> str:
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
        by_queue[entry.queue].append(as_bytes(entry.id)[:MAX_ID_BYTES])
    try:
        with connection.pipeline() as pipeline:
            for queue, ids in by_queue.items():
                pipeline.lpush(KEY + queue, *ids)
                pipeline.ltrim(KEY + queue, 0, MAX_REMEMBERED - 1)
            pipeline.execute()
    except (redis.RedisError, OSError) as error:
        ids_shown = [shown_foreign(entry.id) for entry in found[:NEWEST]]
        logger.warning("event=foreign_entry_forgotten rq_jobs=%s error=%r", ids_shown, error)


def look_for_foreign(connection: Redis, names: Sequence[str]) -> SetAside:
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
        newest=tuple(shown_foreign(as_id(entry_id)) for entry_id in newest),
    )


class _RateLimitedLog:
    """Logs the first entry at once, and then at most one line in FOREIGN_ENTRY_LOG_SECONDS: many may come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = -math.inf
        self._unlogged = 0

    def add(self, found: Sequence[ForeignEntry]) -> None:
        """Log these entries now, or count them for the next line."""
        with self._lock:
            self._unlogged += len(found)
            if not found or time.monotonic() - self._last < timing.FOREIGN_ENTRY_LOG_SECONDS:
                return
            count, self._unlogged, self._last = self._unlogged, 0, time.monotonic()
        first = found[0]
        logger.warning("event=foreign_entry queue=%s rq_job=%s count=%s", first.queue, shown_foreign(first.id), count)


_log: Final = _RateLimitedLog()
