"""Workers that are killed whole, and who notices it on their machine long before their leases run out."""

from __future__ import annotations

import sys

import psutil
import pytest

from django_jobs.models import ExecutionLog
from django_jobs.statuses import ActorKind, Status
from tests.acceptance.steps import PATIENCE, Stage, freeze_all_of, wait_for_status
from tests.support.factories import make_job_type
from tests.support.workers import ManagedProcess, ProcessPool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody knows which processes are gone")


def kill_all_of(worker: ManagedProcess) -> None:
    """As the kernel does with a group of processes that took too much memory."""
    for process in freeze_all_of(worker):
        process.kill()
    worker.wait(PATIENCE)


@pytest.mark.parametrize("options", [[], ["--no-scheduler"]], ids=["with a scheduler", "without"])
def test_jobs_of_a_worker_that_was_killed_whole_run_again_as_soon_as_another_starts_on_its_machine(
    processes: ProcessPool, stage: Stage, options: list[str]
) -> None:
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    gone = processes.worker(*options)
    recorded.wait_for("start", attempt=1)
    recorded.wait_until_noted()
    kill_all_of(gone)

    again = processes.worker(*options)
    again.wait_for_log("event=supervisor_started")
    recorded.wait_for("start", attempt=2)
    recorded.let_go()
    status = wait_for_status(recorded.job, Status.COMPLETED)
    assert (status.attempt, status.retry_count) == (2, 1)
    (row,) = ExecutionLog.objects.filter(job=recorded.job, to_status=Status.FAILED)
    assert (row.actor_kind, str(recorded.pid(attempt=1)) in row.message) == (ActorKind.SCHEDULER, True)


@pytest.mark.slots("one", reason="each child has one of the jobs")
def test_a_worker_that_is_killed_whole_is_noticed_by_its_neighbors_and_an_orphan_left_alone(
    processes: ProcessPool, stage: Stage
) -> None:
    kind = make_job_type("record_and_wait")
    lost, orphaned = [stage.submit_recorded(kind, name) for name in ("lost", "orphaned")]
    gone = processes.worker("--processes", "2", "--no-scheduler")
    for recorded in (lost, orphaned):
        recorded.wait_for("start", attempt=1)
        recorded.wait_until_noted()
    processes.worker("--no-scheduler")
    processes.start("jobs_scheduler")
    child = psutil.Process(lost.pid(attempt=1))

    gone.popen.kill()  # first of all, so that it does not see its child die
    child.kill()
    lost.wait_for("start", attempt=2)
    orphaned.let_go()
    assert wait_for_status(orphaned.job, Status.COMPLETED).attempt == 1
    lost.let_go()
    assert wait_for_status(lost.job, Status.COMPLETED).retry_count == 1
