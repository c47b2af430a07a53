"""dramatiq with its Redis broker, its default middleware and results in Redis."""

from __future__ import annotations

from typing import ClassVar

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from lab.benchmarks.peers import work as works
from lab.benchmarks.peers.adapters import servers
from lab.benchmarks.peers.adapters.peer import Peer, program, redis_url

broker = RedisBroker(url=redis_url())
broker.add_middleware(Results(backend=RedisBackend(url=redis_url())))
dramatiq.set_broker(broker)
ACTORS = {
    name: dramatiq.actor(getattr(works, name), actor_name=name, store_results=True)
    for name in ("nothing", "wait", "tell")
}


class Dramatiq(Peer):
    """Two processes with the default of eight threads, or with fifty."""

    packages: ClassVar = ("dramatiq", "redis", "hiredis")
    on_postgres: ClassVar = False
    has_bulk: ClassVar = False

    def reset(self) -> None:
        servers.redis().flushdb()

    def submit(self, jobs: int) -> None:
        self.fill("nothing", jobs)

    def fill(self, work: str, jobs: int) -> None:
        actor = ACTORS[work]
        for _ in range(jobs):
            actor.send()

    def submit_tell(self, submitted: float, port: int) -> None:
        ACTORS["tell"].send(submitted, port)

    def left(self) -> int:
        return int(servers.redis().hlen("dramatiq:default.msgs"))

    def commands(self, *, fifty: bool) -> list[list[str]]:
        threads = "50" if fifty else "8"
        module = "lab.benchmarks.peers.adapters.dramatiq"
        return [[program("dramatiq"), "--skip-logging", "--processes", "2", "--threads", threads, module]]
