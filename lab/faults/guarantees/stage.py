"""Servers and a site of a measurement's own, ended with it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.faults.site import Site
from tests.support.postgresql import PostgresCluster
from tests.support.redis_servers import RedisProcess
from tests.support.waiting import wait_until


class Stage:
    """A PostgreSQL and a site on it."""

    def __init__(self, site: Site, server: PostgresCluster) -> None:
        self.site, self.server = site, server

    def number(self, sql: str) -> float:
        """Return the one number that a statement gives."""
        return float(self.server.ask(sql)[0][0] or "nan")

    def wait_for(self, sql: str, what: str, timeout: float = 60.0) -> None:
        """Wait until a statement that gives a truth value gives true."""
        wait_until(lambda: self.server.ask(sql) == [["t"]], timeout, f"{what}:\n{self.site.logs()}")


@contextlib.contextmanager
def postgresql(**options: Any) -> Iterator[PostgresCluster]:
    """Start a PostgreSQL."""
    server = PostgresCluster(**options)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def redis() -> Iterator[RedisProcess]:
    """Start a Redis."""
    server = RedisProcess(['save ""'])
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def site(
    database: Mapping[str, Any],
    queue: Mapping[str, Any],
    *,
    prefix: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> Iterator[Site]:
    """Make a site in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="django-jobs-guarantees-") as directory:
        os.environ["DJANGO_JOBS_TEST_DIR"] = directory
        made = Site(Path(directory), database, queue, prefix, settings)
        try:
            yield made
        finally:
            made.close()


@contextlib.contextmanager
def stage(settings: Mapping[str, Any] | None = None) -> Iterator[tuple[Stage, RedisProcess]]:
    """Start servers, and make the tables and what jobs need."""
    with (
        postgresql() as server,
        redis() as broker,
        site(server.database(), {"URL": broker.url}, settings=settings) as made,
    ):
        made.prepare()
        yield Stage(made, server), broker
