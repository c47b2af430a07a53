"""rq as it is: a pool of two workers that fork for each job, and of two that do not."""

from __future__ import annotations

from typing import ClassVar

import rq as library

from lab.benchmarks.peers import work as works
from lab.benchmarks.peers.adapters import servers
from lab.benchmarks.peers.adapters.peer import Peer, program, redis_url


class RQ(Peer):
    """The workers that its documents recommend for production."""

    packages: ClassVar = ("rq", "redis", "hiredis")
    on_postgres: ClassVar = False
    has_slots: ClassVar = False
    worker: ClassVar = "rq.worker.Worker"

    def __init__(self) -> None:
        self._queue = library.Queue("peers", connection=servers.redis())

    def reset(self) -> None:
        servers.redis().flushdb()

    def submit(self, jobs: int) -> None:
        for _ in range(jobs):
            self._queue.enqueue(works.nothing)

    def fill(self, work: str, jobs: int) -> None:
        function = getattr(works, work)
        self._queue.enqueue_many([library.Queue.prepare_data(function) for _ in range(jobs)])

    def submit_tell(self, submitted: float, port: int) -> None:
        self._queue.enqueue(works.tell, submitted, port)

    def left(self) -> int:
        return int(self._queue.count + self._queue.started_job_registry.get_job_count(cleanup=False))

    def commands(self, *, fifty: bool) -> list[list[str]]:
        pool = [program("rq"), "worker-pool", "--quiet", "--num-workers", "2", "--worker-class", self.worker]
        # Its documents advise to import what jobs need before the fork: the settings module brings the jobs along.
        return [[*pool, "--url", redis_url(), "--config", __name__, "peers"]]


class RQSimple(RQ):
    """The workers that its documents allow for trusted jobs of a few milliseconds."""

    worker: ClassVar = "rq.worker.SimpleWorker"
