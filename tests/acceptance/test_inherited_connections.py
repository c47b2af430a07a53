"""No child has a connection of its supervisor: a server would take that for alive when its owner is gone."""

from __future__ import annotations

import sys

import psutil
import pytest

from tests.acceptance.steps import PATIENCE
from tests.support.addresses import free_port
from tests.support.waiting import wait_until
from tests.support.worker_children import inherited_sockets
from tests.support.workers import ManagedProcess, ProcessPool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")


def inherited(worker: ManagedProcess) -> int:
    worker.wait_for_log("event=child_started", 2 * PATIENCE)
    wait_until(worker.children, PATIENCE, "a child")
    return inherited_sockets(psutil.Process(worker.pid))


@pytest.mark.parametrize("options", [[], ["--skip-checks"]], ids=str)
def test_what_forks_the_children_is_connected_to_nothing(processes: ProcessPool, options: list[str]) -> None:
    plain = processes.worker(*options)
    probed = processes.worker("--health-port", str(free_port()), *options)
    assert (inherited(plain), inherited(probed)) == (0, 0)
