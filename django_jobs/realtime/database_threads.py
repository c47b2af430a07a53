"""Threads that read the database for an event loop, each with one connection that stays open between reads.

``database_sync_to_async`` would share a thread with everything else, and would open and close a connection for every
read.
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
#: How many questions one call answers at most, so that other callers get the thread in between.
MAX_BATCH: Final = 50


class DatabaseThread:
    """One thread and its database connection. Calls are made one after the other."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """Return the result of ``function``, called in the thread.

        The function must only read: when the connection turns out broken, it is called a second time.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, _read, function, args)

    def close(self) -> None:
        """End the thread and its connection after the calls that wait. Do not wait."""
        self._pool.submit(connections.close_all)
        self._pool.shutdown(wait=False)


class Batcher(Generic[Q, T]):
    """Collects questions that are asked at the same moment, and answers them with one call in a database thread.

    ``function`` takes a list of questions and returns as many answers, in the same order. An exception among the
    answers is raised where that question was asked. The thread wakes once for all questions, so it does not compete
    with the event loop for each of them. (The pattern is known as a data loader.)
    """

    def __init__(self, thread: DatabaseThread, function: Callable[[list[Q]], Sequence[T | Exception]]) -> None:
        self._thread = thread
        self._function = function
        self._waiting: deque[tuple[Q, asyncio.Future[T]]] = deque()
        self._task: asyncio.Task[None] | None = None

    def ask(self, question: Q) -> asyncio.Future[T]:
        """Return a future of the answer."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._task is None:
            self._task = asyncio.create_task(self._ask_all())
        return future

    async def _ask_all(self) -> None:
        asked: list[tuple[Q, asyncio.Future[T]]] = []
        try:
            while self._waiting:
                asked = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                for (_, future), answer in zip(asked, await self._answers(asked), strict=True):
                    if future.cancelled():
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._task = None
            for _, future in (*asked, *self._waiting):  # nobody waits forever after this task was canceled
                future.cancel()
            self._waiting.clear()

    async def _answers(self, asked: list[tuple[Q, asyncio.Future[T]]]) -> Sequence[T | Exception]:
        try:
            return await self._thread.read(self._function, [question for question, _ in asked])
        except Exception as error:  # noqa: BLE001  (raised where the questions were asked)
            return [error] * len(asked)


def answer_each(questions: Sequence[Q], answer: Callable[[Q], T], key: Callable[[Q], Hashable]) -> list[T | Exception]:
    """Return for each question its answer, or the exception that it raised. Equal keys are answered once."""
    known: dict[Hashable, T | Exception] = {}
    for question in questions:
        if key(question) not in known:
            try:
                known[key(question)] = with_reconnect(answer, question)
            except Exception as error:  # noqa: BLE001  (raised where the question was asked)
                known[key(question)] = error
    return [known[key(question)] for question in questions]


def _read(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    reset_queries()
    database.mend_connections()
    return with_reconnect(function, *args)


def with_reconnect(function: Callable[..., T], *args: Any) -> T:
    """Return the result of ``function``. After a database error, close the connections and call it once more."""
    try:
        return function(*args)
    except Error:
        for connection in connections.all(initialized_only=True):
            connection.close()
        return function(*args)
    except StopIteration as error:  # before Python 3.12 no future takes it, and the caller would wait forever
        raise RuntimeError("StopIteration") from error
