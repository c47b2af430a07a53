"""Workers that die, freeze, or lose their supervisor."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from typing import Final

import psutil
import redis
from rq.suspension import resume, suspend

from django_jobs.models import EngineLease, ExecutionLog, Job, Worker
from django_jobs.statuses import LogReason, Status
from tests.acceptance.steps import (
    PATIENCE,
    Stage,
    assert_stays,
    freeze,
    freeze_all_of,
    has_ended,
    messages_of,
    path_of,
    reasons_of,
    wait_for_all,
    wait_for_idle_workers,
    wait_for_message,
    wait_for_status,
)
from tests.support import verbs
from tests.support.factories import make_job_type
from tests.support.tuning import SHORT_GRACE, tuned
from tests.support.verbs import LEASE_OVER, UNSTORED
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool


def seconds_between(job: Job, first: str, then: str) -> float:
    """From the first time that the job got one status until the next time that it got the other."""
    rows = list(ExecutionLog.objects.filter(job=job).order_by("id"))
    start = next(index for index, row in enumerate(rows) if row.to_status == first)
    end = next(row for row in rows[start:] if row.to_status == then)
    return (end.timestamp - rows[start].timestamp).total_seconds()


def test_a_job_whose_child_is_killed_runs_again_within_seconds(processes: ProcessPool, stage: Stage) -> None:
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    processes.worker("--processes", "2")

    os.kill(recorded.pid(attempt=1), signal.SIGKILL)
    second = recorded.pid(attempt=2)
    recorded.let_go()
    status = wait_for_status(recorded.job, Status.COMPLETED)

    assert second != recorded.pid(attempt=1)
    assert recorded.lines() == [("start", 1), ("start", 2), ("end", 2)]
    assert (status.attempt, status.retry_count, status.result) == (2, 1, {"attempt": 2})
    assert path_of(recorded.job)[-4:] == [Status.FAILED, Status.QUEUED, Status.RUNNING, Status.COMPLETED]
    assert reasons_of(recorded.job, Status.FAILED)[:1] == [LogReason.WORKER_LOST]
    assert seconds_between(recorded.job, Status.FAILED, Status.RUNNING) < 15  # long before its lease is over


#: A child claims all that lies there in one set, whatever it believes to know of how long its handlers run, and stores
#: the ends of a set together, however long its process stands still in between.
IN_ONE_SET: Final = tuned(claim_ahead_seconds=600.0, requeue_seconds=600.0)


def test_a_poison_job_costs_its_claimed_neighbours_no_retry_and_ends_as_dead_letter(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis
) -> None:
    kind = make_job_type("die_if_asked", max_retries=1, retry_delay=0)
    processes.worker("--processes", "1", environ=IN_ONE_SET)
    # So many that the child learns that they are fast, and claims the next ones in sets.
    wait_for_all([stage.submit(kind) for _ in range(60)])

    suspend(redis_client)
    neighbours = [stage.submit(kind) for _ in range(5)]
    poison = stage.submit(kind, die=True)
    neighbours += [stage.submit(kind) for _ in range(20)]
    resume(redis_client)

    wait_for_status(poison, Status.DEAD_LETTER)
    wait_for_all(neighbours)
    rows = Job.objects.filter(pk__in=[job.pk for job in neighbours])
    assert set(rows.values_list("retry_count", flat=True)) == {0}
    assert path_of(poison).count(Status.RUNNING) == 2
    assert reasons_of(poison, Status.FAILED) == [LogReason.WORKER_LOST] * 2
    requeued = [text for job in neighbours for text in messages_of(job, Status.QUEUED) if text]
    assert requeued
    # What ran before it in the same set had ended; how is stored for all of a set at once.
    ended = [text for text in requeued if UNSTORED in text]
    assert 0 < len(ended) < len(requeued)


def test_a_job_whose_child_is_frozen_runs_elsewhere_and_the_thawed_attempt_writes_nothing(
    processes: ProcessPool, stage: Stage
) -> None:
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    processes.worker("--processes", "2", settings={"LEASE_SECONDS": 2})
    frozen = recorded.pid(attempt=1)
    recorded.wait_until_noted()

    freeze(psutil.Process(frozen))
    assert recorded.pid(attempt=2) != frozen
    recorded.let_go(attempt=1)
    os.kill(frozen, signal.SIGCONT)
    wait_until(lambda: {("end", 1), ("stopped", 1)} & set(recorded.lines()), PATIENCE, "the end of the thawed attempt")
    # The other child is busy, so this one ran in the thawed one, after it had reported its late end.
    wait_for_status(stage.submit(make_job_type()), Status.COMPLETED)
    late = wait_for_status(recorded.job, Status.RUNNING)
    assert (late.attempt, late.result) == (2, None)

    recorded.let_go(attempt=2)
    status = wait_for_status(recorded.job, Status.COMPLETED)
    assert (status.attempt, status.retry_count, status.result) == (2, 1, {"attempt": 2})
    assert path_of(recorded.job).count(Status.RUNNING) == 2
    (message,) = messages_of(recorded.job, Status.FAILED)
    assert LEASE_OVER in message


def test_a_thawed_attempt_that_lost_its_job_is_stopped(processes: ProcessPool, stage: Stage) -> None:
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    processes.worker("--processes", "2", settings={"LEASE_SECONDS": 2})
    frozen = recorded.pid(attempt=1)

    freeze(psutil.Process(frozen))
    recorded.pid(attempt=2)
    os.kill(frozen, signal.SIGCONT)
    recorded.wait_for("stopped", attempt=1)

    recorded.let_go()
    status = wait_for_status(recorded.job, Status.COMPLETED)
    assert (status.attempt, status.result) == (2, {"attempt": 2})
    assert recorded.lines() == [("start", 1), ("start", 2), ("stopped", 1), ("end", 2)]


def test_jobs_of_a_machine_that_is_gone_run_elsewhere_once_their_leases_are_over(
    processes: ProcessPool, stage: Stage
) -> None:
    kind = make_job_type("record_and_wait")
    recorded = [stage.submit_recorded(kind, name) for name in ("first", "second")]
    settings = {"LEASE_SECONDS": 2}
    gone = processes.worker("--processes", "2", settings=settings)
    for one in recorded:
        one.wait_until_noted()

    for process in freeze_all_of(gone):
        process.kill()
    gone.wait(PATIENCE)
    Worker.objects.update(place="another machine")
    EngineLease.objects.filter(pk="scheduler").update(expires_at=verbs.now())  # it lasts for ten seconds
    processes.worker("--processes", "2", settings=settings)
    for one in recorded:
        one.wait_for("start", attempt=2)
        one.let_go()

    wait_for_all([one.job for one in recorded])
    assert set(Job.objects.values_list("attempt", "retry_count")) == {(2, 1)}
    (message,) = messages_of(recorded[0].job, Status.FAILED)
    assert LEASE_OVER in message


def test_a_whole_worker_that_is_frozen_past_its_leases_and_thawed_writes_nothing_and_works_on(
    processes: ProcessPool, stage: Stage
) -> None:
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    settings = {"LEASE_SECONDS": 2}
    frozen = processes.worker("--processes", "2", settings=settings)
    recorded.wait_until_noted()

    tree = freeze_all_of(frozen)
    EngineLease.objects.filter(pk="scheduler").update(expires_at=verbs.now())  # it lasts for ten seconds
    other = processes.worker("--processes", "1", settings=settings)
    recorded.wait_for("start", attempt=2)
    for process in tree:
        process.resume()
    recorded.wait_for("stopped", attempt=1)
    assert wait_for_status(recorded.job, Status.RUNNING).attempt == 2
    recorded.let_go(attempt=2)

    status = wait_for_status(recorded.job, Status.COMPLETED)
    assert (status.attempt, status.retry_count, status.result) == (2, 1, {"attempt": 2})
    (message,) = messages_of(recorded.job, Status.FAILED)
    assert LEASE_OVER in message
    assert other.stop() == 0
    wait_for_status(stage.submit(make_job_type()), Status.COMPLETED)
    assert frozen.is_running()


def test_children_without_a_supervisor_finish_their_job_claim_nothing_more_and_leave(
    processes: ProcessPool, stage: Stage
) -> None:
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    worker = processes.worker("--processes", "2")
    busy = recorded.pid(attempt=1)
    children = wait_for_idle_workers(worker, 2)

    worker.popen.kill()
    worker.wait(PATIENCE)
    wait_until(lambda: worker.log().count("event=supervisor_gone") == 2, PATIENCE, "both children to notice")
    waiting = stage.submit(make_job_type())
    others = [child for child in children if child.pid != busy]
    wait_until(lambda: all(map(has_ended, others)), PATIENCE, "the idle children to leave")
    assert_stays(waiting, {Status.PENDING, Status.QUEUED}, 0.5)
    assert wait_for_status(recorded.job, Status.RUNNING).attempt == 1

    recorded.let_go()
    status = wait_for_status(recorded.job, Status.COMPLETED)
    assert (status.attempt, status.retry_count) == (1, 0)
    wait_until(lambda: all(map(has_ended, children)), PATIENCE, "all children to leave")
    assert path_of(waiting)[-1] in {Status.PENDING, Status.QUEUED}


def test_a_handler_that_never_stops_does_not_outlive_its_supervisor_for_long(
    processes: ProcessPool, stage: Stage
) -> None:
    job = stage.submit(make_job_type("swallow_everything", default_timeout=5, max_retries=0))
    settings = {"LEASE_SECONDS": 3}
    worker = processes.worker("--processes", "1", "--no-scheduler", settings=settings, environ=tuned(**SHORT_GRACE))
    wait_for_message(job, "waiting")
    children = worker.children()

    worker.popen.kill()
    wait_until(lambda: all(map(has_ended, children)), PATIENCE, "the child to end")
    processes.start("jobs_scheduler", settings=settings)
    assert wait_for_status(job, Status.DEAD_LETTER).attempt == 1


def test_the_lease_of_a_running_job_is_renewed_also_without_a_supervisor(processes: ProcessPool, stage: Stage) -> None:
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    # The grace is for a worker that is told to stop; nobody told this one.
    settings = {"LEASE_SECONDS": 2, "SHUTDOWN_GRACE_SECONDS": 1}
    worker = processes.worker("--processes", "1", "--no-scheduler", settings=settings)
    child = psutil.Process(recorded.pid(attempt=1))
    processes.start("jobs_scheduler", settings={"LEASE_SECONDS": 2})

    worker.popen.kill()
    worker.wait(PATIENCE)
    leases = {Job.objects.values_list("lease_expires_at", flat=True).get(pk=recorded.job.pk)}

    def renewed_often() -> bool:
        leases.add(Job.objects.values_list("lease_expires_at", flat=True).get(pk=recorded.job.pk))
        return len(leases) > 12

    wait_until(renewed_often, PATIENCE, "the lease to be renewed for twice its length")
    recorded.let_go()
    status = wait_for_status(recorded.job, Status.COMPLETED)
    assert (status.attempt, status.retry_count) == (1, 0)
    assert None not in leases
    assert all(second - first for first, second in pairwise(sorted(lease for lease in leases if lease)))
    wait_until(lambda: has_ended(child), PATIENCE, "the child to leave")
