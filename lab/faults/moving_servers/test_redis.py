"""Sentinels make another Redis the one that takes writes, while jobs are submitted and run."""

from __future__ import annotations

from collections.abc import Callable

from lab.faults.conftest import MakeSite
from lab.faults.site import PROMISED, end, work
from tests.support.postgresql import PostgresCluster
from tests.support.redis_servers import MASTER, WatchedRedis
from tests.support.waiting import wait_until


def test_work_goes_on_when_sentinels_choose_another_redis(
    clusters: Callable[..., PostgresCluster], sentinels: WatchedRedis, site: MakeSite
) -> None:
    server = clusters()
    queue = {"SENTINELS": sentinels.addresses, "MASTER_NAME": MASTER, "DB": 0}
    place = site(server.database(), queue)
    work(place)
    lost = sentinels.master()
    sentinels.servers[0].kill()
    wait_until(lambda: sentinels.master() != lost, 30, "the Sentinels to choose")
    seconds = place.wait_for_flow()
    judged = end(place, server)
    print(f"\nRedis failed over: work went on after {seconds:.1f} s; {judged}")
    assert judged["findings"] == []
    assert judged["gone"] == 0
    assert seconds <= PROMISED
