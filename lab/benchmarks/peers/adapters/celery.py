"""Celery with Redis as broker and result backend, tuned for short tasks as its optimizing guide says."""

from __future__ import annotations

from typing import ClassVar

import celery

from lab.benchmarks.peers import work as works
from lab.benchmarks.peers.adapters import servers
from lab.benchmarks.peers.adapters.peer import Peer, program, redis_url

app = celery.Celery("peers", broker=redis_url(), backend=redis_url())
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
)
TASKS = {name: app.task(getattr(works, name), name=name) for name in ("nothing", "wait", "tell")}


class Celery(Peer):
    """One worker with two prefork processes."""

    packages: ClassVar = ("celery", "kombu", "redis", "hiredis")
    on_postgres: ClassVar = False
    has_bulk: ClassVar = False
    has_slots: ClassVar = False

    def reset(self) -> None:
        servers.redis().flushdb()

    def submit(self, jobs: int) -> None:
        self.fill("nothing", jobs)

    def fill(self, work: str, jobs: int) -> None:
        task = TASKS[work]
        for _ in range(jobs):
            task.delay()

    def submit_tell(self, submitted: float, port: int) -> None:
        TASKS["tell"].delay(submitted, port)

    def left(self) -> int:
        redis = servers.redis()
        return int(redis.llen("celery") + redis.hlen("unacked"))

    def commands(self, *, fifty: bool) -> list[list[str]]:
        return [_worker("both", "--pool=prefork", "--concurrency=2")]


class CeleryThreads(Celery):
    """Two workers with ten threads each, or fifty."""

    has_slots: ClassVar = True

    def commands(self, *, fifty: bool) -> list[list[str]]:
        threads = f"--concurrency={50 if fifty else 10}"
        return [_worker(name, "--pool=threads", threads) for name in ("first", "second")]


def _worker(name: str, *options: str) -> list[str]:
    command = [program("celery"), "-A", "lab.benchmarks.peers.adapters.celery", "worker", "--loglevel=WARNING"]
    return [*command, f"--hostname={name}@%h", *options]
