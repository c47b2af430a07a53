"""Where the children come from that take the places of others."""

from __future__ import annotations

import contextlib
import sys

import psutil
import pytest

from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, wait_for_status
from tests.support.factories import make_job_type
from tests.support.waiting import wait_until
from tests.support.worker_children import fork_server_of, sockets_of
from tests.support.workers import ManagedProcess, ProcessPool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")


def working(worker: ManagedProcess) -> list[psutil.Process]:
    """The children that are at work: those have threads."""
    found = []
    for child in worker.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.num_threads() > 1:
                found.append(child)
    return found


def working_child(worker: ManagedProcess) -> psutil.Process:
    """The only child, once it works."""
    wait_until(lambda: working(worker), PATIENCE, "a child that works")
    return working(worker)[0]


def replacement(worker: ManagedProcess) -> psutil.Process:
    """The child that takes the place of the only one, which is killed."""
    child = working_child(worker)
    child.kill()
    worker.wait_for_log("event=child_ended")

    wait_until(lambda: [item for item in working(worker) if item != child], PATIENCE, "another child")
    return next(item for item in working(worker) if item != child)


def test_a_child_that_takes_anothers_place_is_forked_too(processes: ProcessPool, stage: Stage) -> None:
    worker = processes.worker("--processes", "1")
    other = replacement(worker)
    assert other.cmdline() == psutil.Process(worker.pid).cmdline()
    assert other.ppid() == worker.pid
    wait_for_status(stage.submit(make_job_type()), Status.COMPLETED)
    assert worker.stop() == 0
    assert not other.is_running()


def test_without_the_fork_server_a_child_is_a_fresh_process(processes: ProcessPool, stage: Stage) -> None:
    worker = processes.worker("--processes", "1")
    working_child(worker)
    fork_server_of(psutil.Process(worker.pid)).kill()
    fresh = replacement(worker)
    assert not sockets_of(fresh) & sockets_of(psutil.Process(worker.pid))
    worker.wait_for_log("event=fork_server_lost", 30)
    wait_until(
        lambda: any("django_jobs.worker" in item.cmdline() for item in worker.children()), PATIENCE, "a fresh one"
    )
    wait_for_status(stage.submit(make_job_type()), Status.COMPLETED)
    assert worker.stop() == 0


def test_the_fork_server_leaves_with_its_supervisor(processes: ProcessPool) -> None:
    worker = processes.worker("--processes", "1")
    working_child(worker)
    server = fork_server_of(psutil.Process(worker.pid))
    worker.popen.kill()
    server.wait(PATIENCE)
