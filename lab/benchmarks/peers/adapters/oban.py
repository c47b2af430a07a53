"""Oban for Python, by the makers of Oban for Elixir and on the same tables."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar

import oban
from oban.schema import install
from psycopg_pool import AsyncConnectionPool

from lab.benchmarks.peers import work as works
from lab.benchmarks.peers.adapters import servers
from lab.benchmarks.peers.adapters.peer import Peer, database_url, program

nothing = oban.job()(works.nothing_async)
wait = oban.job()(works.wait_async)
tell = oban.job()(works.tell_async)
JOBS = {"nothing": nothing, "wait": wait}


class Oban(Peer):
    """Two nodes with the ten slots of the documents' examples, or with fifty."""

    packages: ClassVar = ("oban", "psycopg")

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._client: Any = None

    def install(self) -> None:
        self._run(self._install())

    def reset(self) -> None:
        servers.run_sql("TRUNCATE oban_jobs RESTART IDENTITY")

    def submit(self, jobs: int) -> None:
        self._run(self._submit(jobs))

    def fill(self, work: str, jobs: int) -> None:
        self._run(self._fill(work, jobs))

    def submit_tell(self, submitted: float, port: int) -> None:
        self._run(self._submit_tell(submitted, port))

    def left(self) -> int:
        return servers.count("SELECT count(*) FROM oban_jobs WHERE state IN ('available', 'executing', 'retryable')")

    def commands(self, *, fifty: bool) -> list[list[str]]:
        command = [program("oban"), "start", "--dsn", database_url(), "--log-level=WARNING"]
        command += ["--queues", f"default:{50 if fifty else 10}", "--cron-modules", __name__]
        return [command, command]

    def _run(self, what: Coroutine[Any, Any, None]) -> None:
        self._runner.run(what)

    async def _open(self) -> Any:
        if self._client is None:
            pool = AsyncConnectionPool(database_url(), min_size=1, max_size=10, open=False)
            await pool.open()
            self._client = oban.Oban(pool=pool)
        return self._client

    async def _install(self) -> None:
        async with AsyncConnectionPool(database_url(), min_size=1, open=False) as pool:
            await install(pool)

    async def _submit(self, jobs: int) -> None:
        client = await self._open()
        for _ in range(jobs):
            await client.enqueue(nothing.new())

    async def _fill(self, work: str, jobs: int) -> None:
        client = await self._open()
        await client.enqueue_many(JOBS[work].new() for _ in range(jobs))

    async def _submit_tell(self, submitted: float, port: int) -> None:
        client = await self._open()
        await client.enqueue(tell.new(submitted, port))
