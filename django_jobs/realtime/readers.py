"""Threads that read the database for an event loop, each with one connection that stays open between reads.

``database_sync_to_async`` would share a thread with everything else, and open and close a connection for every read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import Error, connections, reset_queries

from django_jobs.engine import database

T = TypeVar("T")


class Reader:
    """One thread and its connection; calls wait for each other."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """The result of ``function``, which only reads: where the connection turns out broken it is called again."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, _read, function, args)

    def close(self) -> None:
        """Close the connection and end the thread, soon."""
        self._pool.submit(connections.close_all)
        self._pool.shutdown(wait=False)


def _read(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    reset_queries()
    database.mend_connections()
    try:
        return function(*args)
    except Error:
        for connection in connections.all(initialized_only=True):
            connection.close()
        return function(*args)
