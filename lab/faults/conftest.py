"""Sites on servers that a test started."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from lab.faults.machines import Machines
from lab.faults.site import Site
from tests.support.pgbouncer import PgBouncer
from tests.support.postgresql import PostgresCluster
from tests.support.redis_servers import RedisProcess, WatchedRedis, watched_redis

stash: Final = pytest.StashKey[Site]()
#: Nobody listens there.
NO_REDIS: Final = "redis://127.0.0.1:1/0"


class MakeSite(Protocol):
    def __call__(self, database: Mapping[str, Any], queue: Mapping[str, Any], prefix: Sequence[str] = ()) -> Site: ...


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.failed and stash in item.stash:
        report.sections.append(("Logs of the processes", item.stash[stash].logs()))
    return report


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeSite]:
    """Makes a site; its processes end with the test."""
    made: list[Site] = []

    def make(database: Mapping[str, Any], queue: Mapping[str, Any], prefix: Sequence[str] = ()) -> Site:
        made.append(Site(tmp_path, database, queue, prefix))
        request.node.stash[stash] = made[-1]
        return made[-1]

    yield make
    for item in made:
        item.close()


@pytest.fixture(scope="session")
def with_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresCluster]:
    """A PostgreSQL server with the tables and what jobs need, stopped: made once, since that takes long."""
    cluster = PostgresCluster()
    try:
        cluster.make()
        cluster.start()
        Site(tmp_path_factory.mktemp("with-tables"), cluster.database(), {"URL": NO_REDIS}).prepare()
        cluster.stop()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def clusters(with_tables: PostgresCluster) -> Iterator[Callable[..., PostgresCluster]]:
    """Makes PostgreSQL servers with tables, which end with the test: one that leads, and a copy of each with ``of``."""
    made: list[PostgresCluster] = []

    def make(of: PostgresCluster | None = None, **options: Any) -> PostgresCluster:
        if of is None:
            cluster = PostgresCluster(**options)
            made.append(cluster)
            cluster.make_like(with_tables)
            cluster.start()
        else:
            cluster = of.standby()
            made.append(cluster)
        return cluster

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture
def own_redis() -> Iterator[RedisProcess]:
    """A Redis of the test's own."""
    server = RedisProcess(['save ""'])
    server.start()
    yield server
    server.close()


@pytest.fixture
def bouncer() -> Iterator[PgBouncer]:
    """A PgBouncer, to be started in front of a server."""
    pooler = PgBouncer()
    yield pooler
    pooler.close()


@pytest.fixture
def sentinels() -> Iterator[WatchedRedis]:
    """A Redis with a replica, and Sentinels that watch them."""
    with watched_redis() as watched:
        yield watched


@pytest.fixture
def machines() -> Iterator[Machines]:
    """Three machines for workers, and one with a Redis."""
    if os.geteuid() != 0:
        pytest.fail("Network namespaces need root.")
    made = Machines(("machine-1", "machine-2", "machine-3"))
    try:
        made.make()
        yield made
    finally:
        made.close()
