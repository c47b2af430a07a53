"""A machine with workers is cut off and comes back, or is lost for good."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from lab.faults.conftest import MakeSite
from lab.faults.distant_workers import DistantWorkers
from lab.faults.machines import SERVER_ADDRESS, Machines
from lab.faults.site import LEASE_SECONDS, PATIENCE, end
from tests.support.postgresql import PostgresCluster
from tests.support.waiting import wait_until

#: Seconds after which the jobs of a lost machine run again.
PROMISED = LEASE_SECONDS + 5.0


@pytest.fixture
def cluster(clusters: Callable[..., PostgresCluster], machines: Machines, site: MakeSite) -> DistantWorkers:
    prefix = machines.on_server()
    server = clusters(host=SERVER_ADDRESS, prefix=prefix)
    made = DistantWorkers(site(server.database(), {"URL": machines.redis.url}, prefix), server, machines)
    made.start()
    return made


def test_the_jobs_of_a_machine_that_is_cut_off_run_elsewhere_and_it_works_again_when_it_is_back(
    cluster: DistantWorkers,
) -> None:
    name = cluster.leader()
    held = cluster.cut_off(name)
    seconds = cluster.wait_until_run_again(held)
    wait_until(lambda: held & cluster.returned(), PATIENCE, f"what {name} cannot store:\n{cluster.site.logs()}")
    cluster.machines.heal(name)
    healed, since = time.monotonic(), cluster.now()
    wait_until(
        lambda: cluster.has_claimed_since(name, since), PATIENCE, f"{name} to work again:\n{cluster.site.logs()}"
    )
    back = time.monotonic() - healed
    judged = end(cluster.site, cluster.server)
    print(f"\nCut off with {len(held)} jobs: they ran again after {seconds:.1f} s; {judged}")
    print(f"The machine was at work {back:.1f} s after its line was mended")
    # Else something was late, and not refused.
    assert cluster.moved(name, "Completed") <= cluster.moved(name, "Running") - held
    assert judged["findings"] == []
    assert judged["gone"] == 0
    assert seconds <= PROMISED


def test_the_jobs_of_a_machine_that_is_lost_with_the_leading_scheduler_run_elsewhere(cluster: DistantWorkers) -> None:
    name = cluster.leader()
    held = cluster.lose(name)
    seconds = cluster.wait_until_run_again(held)
    judged = end(cluster.site, cluster.server)
    print(f"\nMachine and leader lost with {len(held)} jobs: all ran again after {seconds:.1f} s; {judged}")
    assert judged["findings"] == []
    assert judged["gone"] == 0
    assert seconds <= PROMISED
