"""Another PostgreSQL takes over while jobs are submitted and run."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from lab.faults.conftest import MakeSite
from lab.faults.site import PATIENCE, PROMISED, end, work
from tests.support.pgbouncer import PgBouncer
from tests.support.postgresql import PostgresCluster
from tests.support.redis_servers import RedisProcess
from tests.support.waiting import wait_until

Clusters = Callable[..., PostgresCluster]


def _fail_over(lost: PostgresCluster, heir: PostgresCluster) -> None:
    lost.stop("immediate")
    heir.promote()


@pytest.mark.parametrize("is_synchronous", [True, False], ids=["synchronous", "asynchronous"])
def test_work_goes_on_when_a_standby_is_promoted(
    clusters: Clusters, own_redis: RedisProcess, site: MakeSite, *, is_synchronous: bool
) -> None:
    first = clusters()
    second = clusters(of=first)
    if is_synchronous:
        first.configure(synchronous_standby_names="standby")
    place = site(first.database(second), {"URL": own_redis.url})
    work(place)
    if not is_synchronous:
        second.configure(primary_conninfo="")  # it hears no more, and will have forgotten what happens from now on
        moment = time.monotonic()
        wait_until(lambda: len(place.begins_since(moment)) > 10, PATIENCE, "work that will be forgotten")
    _fail_over(first, second)
    seconds = place.wait_for_flow()
    judged = end(place, second, lost_rows=not is_synchronous)
    print(f"\nPostgreSQL failed over: work went on after {seconds:.1f} s; {judged}")
    assert judged["findings"] == []
    assert (judged["gone"] == 0) is is_synchronous
    assert seconds <= PROMISED


def test_work_goes_on_when_pgbouncer_leads_to_another_server(
    clusters: Clusters, own_redis: RedisProcess, bouncer: PgBouncer, site: MakeSite
) -> None:
    first = clusters()
    second = clusters(of=first)
    first.configure(synchronous_standby_names="standby")
    bouncer.start(first)
    place = site(bouncer.database(), {"URL": own_redis.url})
    work(place)
    _fail_over(first, second)
    bouncer.lead_to(second)
    seconds = place.wait_for_flow()
    judged = end(place, second)
    print(f"\nPgBouncer leads elsewhere: work went on after {seconds:.1f} s; {judged}")
    assert judged["findings"] == []
    assert judged["gone"] == 0
    assert seconds <= PROMISED
