"""Threads that read the database for an event loop, each with one connection that stays open between reads.

``database_sync_to_async`` would share a thread with everything else, and open and close a connection for every read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Generic, TypeVar

from django.db import Error, connections, reset_queries

from django_jobs.engine.store import database

Q = TypeVar("Q")
T = TypeVar("T")
#: So many questions a call, so that others get the thread in between.
TOGETHER: Final = 50


class Reader:
    """One thread and its connection; calls wait for each other."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """The result of ``function``, which only reads: where the connection turns out broken it is called again."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, _read, function, args)

    def close(self, *last: Callable[[], object]) -> None:
        """Close the connection and end the thread, soon: once it has done what it was asked for, and ``last``."""
        for function in last:
            self._pool.submit(_read, function, ())
        self._pool.submit(connections.close_all)
        self._pool.shutdown(wait=False)


class Together(Generic[Q, T]):
    """Asks a reader in one call what many want to know at the same moment.

    ``function`` answers a list of questions with as many answers, in order; an exception among them is raised where
    that question was asked. A thread is woken once for all of them, and so need not fight the event loop for each.
    """

    def __init__(self, reader: Reader, function: Callable[[list[Q]], Sequence[T | Exception]]) -> None:
        self._reader = reader
        self._function = function
        self._waiting: deque[tuple[Q, asyncio.Future[T]]] = deque()
        self._task: asyncio.Task[None] | None = None

    def ask(self, question: Q) -> asyncio.Future[T]:
        """Return the answer, which comes."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._task is None:
            self._task = asyncio.create_task(self._ask_all())
        return future

    async def _ask_all(self) -> None:
        asked: list[tuple[Q, asyncio.Future[T]]] = []
        try:
            while self._waiting:
                asked = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
                for (_, future), answer in zip(asked, await self._answers(asked), strict=True):
                    if future.cancelled():
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._task = None
            for _, future in (*asked, *self._waiting):  # nobody waits for ever where this was broken off
                future.cancel()
            self._waiting.clear()

    async def _answers(self, asked: list[tuple[Q, asyncio.Future[T]]]) -> Sequence[T | Exception]:
        try:
            return await self._reader.read(self._function, [question for question, _ in asked])
        except Exception as error:  # noqa: BLE001  (theirs who asked)
            return [error] * len(asked)


def one_by_one(questions: Sequence[Q], answer: Callable[[Q], T], key: Callable[[Q], Hashable]) -> list[T | Exception]:
    """Answer each question, or say what it fails with. Those with equal keys are answered once."""
    known: dict[Hashable, T | Exception] = {}
    for question in questions:
        if key(question) not in known:
            try:
                known[key(question)] = insist(answer, question)
            except Exception as error:  # noqa: BLE001  (raised where it was asked)
                known[key(question)] = error
    return [known[key(question)] for question in questions]


def _read(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    reset_queries()
    database.mend_connections()
    return insist(function, *args)


def insist(function: Callable[..., T], *args: Any) -> T:
    """The result of ``function``, which is called again on new connections where one turns out broken."""
    try:
        return function(*args)
    except Error:
        for connection in connections.all(initialized_only=True):
            connection.close()
        return function(*args)
    except StopIteration as error:  # before Python 3.12 no future takes it, and whoever waits would wait for ever
        raise RuntimeError("StopIteration") from error
