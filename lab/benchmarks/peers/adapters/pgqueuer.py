"""PgQueuer with asyncpg, its faster driver, and the pool that its documents recommend for throughput."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import asyncpg
import pgqueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.queries import Queries

from lab.benchmarks.peers import work as works
from lab.benchmarks.peers.adapters import servers
from lab.benchmarks.peers.adapters.peer import Peer, database_url, program


@asynccontextmanager
async def application() -> AsyncIterator[Any]:
    """Make the application that ``pgq run`` runs."""
    async with asyncpg.create_pool(database_url(), min_size=5, max_size=20) as pool:
        queue = pgqueuer.PgQueuer(AsyncpgPoolDriver(pool))

        async def nothing(job: Any) -> None:
            await works.nothing_async()

        async def wait(job: Any) -> None:
            await works.wait_async()

        async def tell(job: Any) -> None:
            await works.tell_async(**json.loads(job.payload))

        for name, function in {"nothing": nothing, "wait": wait, "tell": tell}.items():
            queue.entrypoint(name)(function)
        yield queue


class PgQueuer(Peer):
    """Two workers that take 25 jobs at a time, with at most fifty at once where that is asked."""

    packages: ClassVar = ("pgqueuer", "asyncpg")
    batch_size: ClassVar = 25

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._queries: Any = None

    def install(self) -> None:
        self._runner.run(self._install())

    def reset(self) -> None:
        servers.run_sql("TRUNCATE pgqueuer, pgqueuer_log RESTART IDENTITY")

    def submit(self, jobs: int) -> None:
        self._runner.run(self._submit(jobs))

    def fill(self, work: str, jobs: int) -> None:
        self._runner.run(self._fill(work, jobs))

    def submit_tell(self, submitted: float, port: int) -> None:
        self._runner.run(self._submit_tell(submitted, port))

    def left(self) -> int:
        return servers.count("SELECT count(*) FROM pgqueuer")

    def commands(self, *, fifty: bool) -> list[list[str]]:
        command = [program("pgq"), "run", "lab.benchmarks.peers.adapters.pgqueuer:application"]
        command += [f"--batch-size={self.batch_size}", "--log-level=WARNING"]
        if fifty:
            command += ["--max-concurrent-tasks=50"]
        return [command, command]

    async def _open(self) -> Any:
        if self._queries is None:
            pool = await asyncpg.create_pool(database_url(), min_size=1, max_size=5)
            self._queries = Queries(AsyncpgPoolDriver(pool))
        return self._queries

    async def _install(self) -> None:
        await (await self._open()).install()

    async def _submit(self, jobs: int) -> None:
        queries = await self._open()
        for _ in range(jobs):
            await queries.enqueue("nothing", None)

    async def _fill(self, work: str, jobs: int) -> None:
        queries = await self._open()
        await queries.enqueue([work] * jobs, [None] * jobs, [0] * jobs)

    async def _submit_tell(self, submitted: float, port: int) -> None:
        queries = await self._open()
        await queries.enqueue("tell", json.dumps({"submitted": submitted, "port": port}).encode())


class PgQueuer10(PgQueuer):
    """The same with sets of ten, which is its default."""

    batch_size: ClassVar = 10
