"""huey with Redis: two processes for what computes, threads for what waits."""

from __future__ import annotations

from typing import ClassVar

import huey as library

from lab.benchmarks.peers import work as works
from lab.benchmarks.peers.adapters import servers
from lab.benchmarks.peers.adapters.peer import Peer, program, redis_url

# An outcome is stored for jobs that return nothing too.
huey = library.RedisHuey("peers", url=redis_url(), store_none=True)
TASKS = {name: huey.task(name=name)(getattr(works, name)) for name in ("nothing", "wait", "tell")}


class Huey(Peer):
    """A consumer of two processes; for fifty jobs at once two consumers of fifty threads."""

    packages: ClassVar = ("huey", "redis", "hiredis")
    on_postgres: ClassVar = False
    has_bulk: ClassVar = False

    def reset(self) -> None:
        servers.redis().flushdb()

    def submit(self, jobs: int) -> None:
        self.fill("nothing", jobs)

    def fill(self, work: str, jobs: int) -> None:
        task = TASKS[work]
        for _ in range(jobs):
            task()

    def submit_tell(self, submitted: float, port: int) -> None:
        TASKS["tell"](submitted, port)

    def left(self) -> int:
        return int(huey.pending_count())

    def commands(self, *, fifty: bool) -> list[list[str]]:
        consumer = [program("huey_consumer"), "lab.benchmarks.peers.adapters.huey.huey", "--quiet", "-g", "TERM"]
        if fifty:
            return [[*consumer, "-k", "thread", "-w", "50"]] * 2
        return [[*consumer, "-k", "process", "-w", "2"]]
