"""Workers that are ordered to be quiet, to take jobs again and to stop, as real processes obey."""

from __future__ import annotations

import signal

import pytest

from django_jobs.models import Worker, WorkerOrder
from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, assert_stays, wait_for_status
from tests.support import slots, verbs
from tests.support.factories import make_job_type
from tests.support.slots import Slots
from tests.support.tuning import tuned
from tests.support.valkey import EmbeddedValkey
from tests.support.verbs import Order
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

#: Supervisors look for orders more often than every other second.
ATTENTIVE = tuned(order_pause_seconds=0.1)


def supervisor() -> str:
    """The name of the supervisor, once its processes are known."""
    found: list[str] = []

    def is_known() -> bool:
        found[:] = Worker.objects.values_list("supervisor", flat=True).distinct()
        return bool(found)

    wait_until(is_known, PATIENCE, "a worker")
    return found[0]


def order(verb: Order) -> None:
    assert verbs.give_order(supervisor(), verb) is not None


def wait_until_quiet(count: int) -> None:
    quiet = Worker.objects.filter(quiet_since__isnull=False)
    wait_until(lambda: quiet.count() == count, PATIENCE, f"{count} quiet processes")


@pytest.mark.parametrize("way", [Slots.ONE, Slots.THREADS])
def test_a_quiet_worker_finishes_what_runs_takes_nothing_new_and_resumes(
    way: Slots, processes: ProcessPool, stage: Stage
) -> None:
    slots.choose(way)
    running = stage.submit_recorded(make_job_type("record_and_wait"), "long")
    processes.worker("--processes", "1", environ=ATTENTIVE)
    running.wait_for("start", 1)
    order(Order.QUIET)
    wait_until_quiet(1)
    late = stage.submit(make_job_type("echo"))
    assert_stays(late, {Status.PENDING, Status.QUEUED}, 1)
    assert WorkerOrder.objects.get().obeyed_at is not None

    running.let_go()
    wait_for_status(running.job, Status.COMPLETED)
    assert_stays(late, {Status.PENDING, Status.QUEUED}, 0.5)
    order(Order.RESUME)
    wait_for_status(late, Status.COMPLETED)
    wait_until_quiet(0)


def test_a_worker_that_is_ordered_to_stop_gives_its_jobs_the_grace_and_leaves(
    processes: ProcessPool, stage: Stage
) -> None:
    job = stage.submit(make_job_type("wait_with_checkpoints"))
    worker = processes.worker("--processes", "2", settings={"SHUTDOWN_GRACE_SECONDS": 1}, environ=ATTENTIVE)
    wait_for_status(job, Status.RUNNING)
    order(Order.STOP)
    assert worker.wait(PATIENCE) == 0
    wait_for_status(job, Status.PENDING, Status.QUEUED)
    given = WorkerOrder.objects.get()
    assert given.obeyed_at is not None
    assert given.left_at is not None
    assert not Worker.objects.exists()
    assert "event=worker_ordered order=stop by=system" in worker.log()


def test_an_order_does_not_hold_for_the_worker_that_is_started_next(processes: ProcessPool, stage: Stage) -> None:
    first = processes.worker("--processes", "1", environ=ATTENTIVE)
    order(Order.QUIET)
    wait_until_quiet(1)
    assert first.stop() == 0
    processes.worker("--processes", "1", environ=ATTENTIVE)
    wait_for_status(stage.submit(make_job_type("echo")), Status.COMPLETED)


def test_of_two_supervisors_on_one_host_only_the_one_obeys_that_was_ordered(
    processes: ProcessPool, stage: Stage
) -> None:
    processes.worker("--processes", "1", environ=ATTENTIVE)
    order(Order.QUIET)
    processes.worker("--processes", "1", "--no-scheduler", environ=ATTENTIVE)
    wait_until(lambda: Worker.objects.count() == 2, PATIENCE, "both")
    wait_until_quiet(1)
    wait_for_status(stage.submit(make_job_type("echo")), Status.COMPLETED)


def test_a_process_that_takes_the_place_of_a_dead_one_is_quiet_too(processes: ProcessPool, stage: Stage) -> None:
    worker = processes.worker("--processes", "1", environ=ATTENTIVE)
    order(Order.QUIET)
    wait_until_quiet(1)
    victim = Worker.objects.get()
    [child] = [child for child in worker.children() if child.pid == victim.pid]
    child.send_signal(signal.SIGKILL)
    wait_until(lambda: Worker.objects.exclude(pk=victim.pk).exists(), PATIENCE, "another process")
    assert_stays(stage.submit(make_job_type("echo")), {Status.PENDING, Status.QUEUED}, 1)


def test_a_quiet_burst_finishes_what_runs_and_leaves(processes: ProcessPool, stage: Stage) -> None:
    running = stage.submit_recorded(make_job_type("record_and_wait"), "long")
    worker = processes.worker("--processes", "1", "--burst", environ=ATTENTIVE)
    running.wait_for("start", 1)
    order(Order.QUIET)
    wait_until_quiet(1)
    late = stage.submit(make_job_type("echo"))
    running.let_go()
    wait_for_status(running.job, Status.COMPLETED)
    assert worker.wait(PATIENCE) == 0
    assert_stays(late, {Status.PENDING, Status.QUEUED}, 0.5)


def test_orders_are_obeyed_while_redis_is_away(
    processes: ProcessPool, stage: Stage, own_valkey: EmbeddedValkey
) -> None:
    worker = processes.worker("--processes", "1", environ={"REDIS_URL": own_valkey.url, **ATTENTIVE})
    supervisor()
    own_valkey.stop()
    worker.wait_for_log("event=broker_unavailable")
    order(Order.QUIET)
    wait_until_quiet(1)
    order(Order.STOP)
    assert worker.wait(PATIENCE) == 0
