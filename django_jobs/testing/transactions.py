"""What commits would do for jobs, done inside a test's transaction, in which nothing is ever committed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from django.db import Error, connections

logger = logging.getLogger("django_jobs")


def held_open() -> list[Any]:
    """Return the connections on which a test holds a transaction open."""
    return [connection for connection in connections.all(initialized_only=True) if connection.in_atomic_block]


class Commits:
    """The functions that wait for a commit, from the moment on at which this was made. They run without one."""

    def __init__(self) -> None:
        self._before = {connection.alias: len(connection.run_on_commit) for connection in held_open()}

    def run(self) -> None:
        """Call what was registered since then. An exception is raised, unless its function was registered as robust."""
        for connection in held_open():
            for function, robust in self._taken_from(connection):
                try:
                    function()
                except Exception:
                    if not robust:
                        raise
                    logger.exception("event=on_commit_failed")

    def forget(self, connection: Any) -> None:
        """Forget what was registered on a connection, since it was rolled back."""
        del connection.run_on_commit[self._before.get(connection.alias, 0) :]

    def _taken_from(self, connection: Any) -> Iterator[tuple[Any, bool]]:
        """Yield the functions one by one, since each may register more."""
        start = self._before.get(connection.alias, 0)
        while len(connection.run_on_commit) > start:
            _, function, robust = connection.run_on_commit.pop(start)
            yield function, robust


class Shelter:
    """A savepoint around a handler in each transaction that a test holds open.

    In production each of the handler's statements would be committed, so they stay, whatever it raises. But if it left
    the transaction unusable, all that it wrote there is rolled back, because the test must go on.
    """

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self._inside = [
            (connection, connection.savepoint(), len(connection.atomic_blocks)) for connection in held_open()
        ]

    def leave(self) -> None:
        """Give the transactions back as they were found."""
        for connection, savepoint, depth in reversed(self._inside):
            while len(connection.atomic_blocks) > depth:  # blocks that the handler never left
                error = RuntimeError("left open by a handler")
                connection.atomic_blocks[-1].__exit__(type(error), error, None)
            if connection.needs_rollback or not _answers(connection):
                connection.needs_rollback = False
                connection.savepoint_rollback(savepoint)
                self._commits.forget(connection)
            else:
                connection.savepoint_commit(savepoint)


def _answers(connection: Any) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchall()
    except Error:
        return False
    return True
