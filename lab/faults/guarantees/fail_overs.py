"""Measurements in which servers or machines are lost for good: each is made on new ones."""

from __future__ import annotations

from typing import Final

from lab.faults.distant_workers import NAMES, DistantWorkers
from lab.faults.guarantees.stage import postgresql, redis, site
from lab.faults.guarantees.table import Measured
from lab.faults.machines import SERVER_ADDRESS, Machines
from lab.faults.site import LEASE_SECONDS, work
from tests.support.redis_servers import MASTER, watched_redis
from tests.support.waiting import wait_until

AFTER_IT: Final = "work goes on, counted from when the new server takes writes"


def machine_lost(repeat: int) -> Measured:
    """Lose a machine with its workers and the leading scheduler."""
    values = [_machine_lost() for _ in range(repeat)]
    event = "a machine is lost with its workers, and with the leading scheduler"
    promised = f"`LEASE_SECONDS` (here {LEASE_SECONDS}) + 5 s"
    return Measured(event, "its jobs run again", LEASE_SECONDS + 5.0, promised, values)


def _machine_lost() -> float:
    machines = Machines(NAMES)
    try:
        machines.make()
        prefix = machines.on_server()
        with (
            postgresql(host=SERVER_ADDRESS, prefix=prefix) as server,
            site(server.database(), {"URL": machines.redis.url}, prefix=prefix) as place,
        ):
            place.prepare()
            workers = DistantWorkers(place, server, machines)
            workers.start()
            name = workers.leader()
            return workers.wait_until_run_again(workers.lose(name))
    finally:
        machines.close()


def postgresql_fails_over(repeat: int) -> Measured:
    """Lose the PostgreSQL that takes writes; its standby is promoted."""
    values = [_postgresql_fails_over() for _ in range(repeat)]
    return Measured("PostgreSQL fails over to a standby", AFTER_IT, 10.0, "10 s", values)


def _postgresql_fails_over() -> float:
    with postgresql() as first, redis() as broker:
        second = first.standby()
        try:
            with site(first.database(second), {"URL": broker.url}) as place:
                place.prepare()
                work(place)
                first.stop("immediate")
                second.promote()
                return place.wait_for_flow()
        finally:
            second.close()


def redis_fails_over(repeat: int) -> Measured:
    """Lose the Redis that takes writes; Sentinels choose the other one."""
    values = [_redis_fails_over() for _ in range(repeat)]
    return Measured("Redis fails over by Sentinel", AFTER_IT, 10.0, "10 s", values)


def _redis_fails_over() -> float:
    with postgresql() as server, watched_redis() as watched:
        queue = {"SENTINELS": watched.addresses, "MASTER_NAME": MASTER, "DB": 0}
        with site(server.database(), queue) as place:
            place.prepare()
            work(place)
            lost = watched.master()
            watched.servers[0].kill()
            wait_until(lambda: watched.master() != lost, 30, "the Sentinels to choose")
            return place.wait_for_flow()
