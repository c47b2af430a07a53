"""What an attacker who may write to Redis puts into our queues: pickles that leave a trace, and other rubbish."""

from __future__ import annotations

import base64
import os
import pickle
import time
import zlib
from pathlib import Path
from typing import Any

import redis
from rq.utils import now, utcformat


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.trace),))


def plant(
    client: redis.Redis, entry: str, trace: Path, *, queue: str = "jobs-normal", origin: str | None = None
) -> None:
    """An entry of the queue whose hash has a bomb in each field that RQ unpickles, and names code in the others."""
    bomb = pickle.dumps(Bomb(trace))
    moment = utcformat(now())
    fields: dict[str, Any] = {
        "data": zlib.compress(bomb),
        "meta": bomb,
        "result": bomb,
        "exc_info": zlib.compress(b"looks harmless"),
        "success_callback_name": "os.abort",
        "failure_callback_name": "tests.support.bombs.touch",
        "stopped_callback_name": "os.abort",
        "webhooks": b'[{"url": "http://127.0.0.1:9/"}]',
        "created_at": moment,
        "enqueued_at": moment,
        "origin": queue if origin is None else origin,
        "status": "queued",
        "description": "<b>os.system</b>",
        "timeout": 180,
    }
    client.hset(f"rq:job:{entry}", items=[part for item in fields.items() for part in item])
    client.xadd(f"rq:results:{entry}", {"type": 1, "return_value": base64.b64encode(bomb)})
    client.sadd("rq:queues", f"rq:queue:{queue}")
    client.rpush(f"rq:queue:{queue}", entry)


def register_as_running(client: redis.Redis, entry: str, *, queue: str = "jobs-normal", abandoned: bool) -> None:
    """The entry among those that run; an abandoned one is RQ's to clean up."""
    client.hset(f"rq:job:{entry}", "status", "started")
    moment = time.time() + (-10 if abandoned else 1000)
    client.zadd(f"rq:wip:{queue}", {f"{entry}:e1": moment})
    client.hset(
        f"rq:execution:{entry}:e1",
        mapping={"id": "e1", "job_id": entry, "created_at": moment, "last_heartbeat": moment, "worker_name": "w"},
    )


def touch(*args: Any) -> None:
    """A callback that an entry names: it must not be called."""
    Path(os.environ["DJANGO_JOBS_TEST_DIR"], "called").touch()
