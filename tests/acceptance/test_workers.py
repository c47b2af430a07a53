"""Workers as operators see them: their options, and whom they serve first."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import psutil
import pytest
import redis
from rq import Queue, Worker
from rq.suspension import resume, suspend

from django_jobs import submit_job, submit_jobs
from django_jobs.models import Job
from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, assert_stays, status_of, wait_for_all, wait_for_status
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import tuned
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

ALL_QUEUES = ("jobs-critical", "jobs-high", "jobs-normal", "jobs-low")


def test_a_burst_runs_everything_that_waits_and_leaves(processes: ProcessPool, stage: Stage) -> None:
    kind = make_job_type("echo")
    jobs = [stage.submit(kind, number=number) for number in range(60)]

    assert processes.worker("--burst", "--processes", "2").wait(2 * PATIENCE) == 0
    assert {status_of(job) for job in jobs} == {Status.COMPLETED}
    results = Job.objects.order_by("pk").values_list("result", flat=True)
    assert list(results) == [{"echo": {"number": number}} for number in range(60)]


def test_a_burst_runs_a_long_chain_of_jobs_each_of_which_waits_for_the_one_before(
    processes: ProcessPool, stage: Stage
) -> None:
    kind = make_job_type("echo")
    jobs = [stage.submit(kind)]
    for number in range(15):
        jobs.append(submit_job(kind, stage.organization, {"number": number}, depends_on=jobs[-1]))
    worker = processes.worker("--burst", "--processes", "1")

    assert worker.wait(2 * PATIENCE) == 0
    assert {status_of(job) for job in jobs} == {Status.COMPLETED}
    # One process runs them. Another one may look once more at the end, or after a ticket that came late; none for each.
    assert worker.log().count("event=child_started") <= 3


def test_a_burst_waits_for_nothing_that_lies_in_other_queues_than_its_own(processes: ProcessPool, stage: Stage) -> None:
    low = make_job_type("echo", default_priority="Low")
    job = stage.submit(low)
    worker = processes.worker("--burst", "--queues", "jobs-high")

    assert worker.wait(PATIENCE) == 0
    assert status_of(job) == Status.QUEUED
    assert worker.log().count("event=child_started") <= 3


def test_threads_run_as_many_jobs_at_once_in_one_process(processes: ProcessPool, stage: Stage) -> None:
    kind = make_job_type("record_and_wait")
    recorded = [stage.submit_recorded(kind, f"job-{number}") for number in range(4)]
    processes.worker("--processes", "1", "--threads", "4")

    # On a machine without a processor to spare, what was claimed may be requeued once before it begins.
    wait_until(lambda: all(one.lines() for one in recorded), PATIENCE, "all to begin")
    assert len({one.pid(attempt) for one in recorded for word, attempt in one.lines() if word == "start"}) == 1
    for one in recorded:
        one.let_go()
    wait_for_all([one.job for one in recorded])
    assert {len(one.lines()) for one in recorded} == {2}
    assert set(Job.objects.values_list("retry_count", flat=True)) == {0}


def test_a_child_is_replaced_after_its_number_of_jobs(processes: ProcessPool, stage: Stage) -> None:
    kind = make_job_type()
    jobs = [stage.submit(kind) for _ in range(7)]
    worker = processes.worker("--processes", "1", "--max-jobs", "3")

    wait_for_all(jobs)
    assert sorted(Counter(Job.objects.values_list("worker_name", flat=True)).values()) == [1, 3, 3]
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}
    assert worker.is_running()
    assert "ERROR" not in worker.log()


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_child_that_holds_too_much_memory_is_replaced(processes: ProcessPool, stage: Stage, threads: str) -> None:
    kind = make_job_type()
    options = ("--processes", "1", "--threads", threads, "--max-memory")
    worker = processes.worker(*options, "1")  # each holds more
    first = stage.submit(kind)
    wait_for_all([first])
    worker.wait_for_log("event=memory_limit")  # with threads the main loop looks a moment after a job's end
    second = stage.submit(kind)
    wait_for_all([second])

    assert len(set(Job.objects.values_list("worker_name", flat=True))) == 2
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}
    assert worker.is_running()
    assert "ERROR" not in worker.log()


def test_a_child_that_holds_less_memory_than_it_may_goes_on(processes: ProcessPool, stage: Stage) -> None:
    kind = make_job_type()
    worker = processes.worker("--processes", "1", "--max-memory", "100000")
    for _ in range(2):
        wait_for_all([stage.submit(kind)])

    assert len(set(Job.objects.values_list("worker_name", flat=True))) == 1
    assert "event=memory_limit" not in worker.log()


def test_a_burst_goes_on_with_another_child_as_long_as_jobs_are_left(processes: ProcessPool, stage: Stage) -> None:
    kind = make_job_type("echo")
    jobs = [stage.submit(kind, number=number) for number in range(5)]

    few_rounds = tuned(burst_rounds=3)  # a round in which nothing ran counts, no other
    worker = processes.worker("--burst", "--processes", "1", "--max-jobs", "1", environ=few_rounds)
    assert worker.wait(3 * PATIENCE) == 0
    assert {status_of(job) for job in jobs} == {Status.COMPLETED}


def test_a_worker_without_a_scheduler_leaves_due_retries_to_jobs_scheduler(
    processes: ProcessPool, stage: Stage
) -> None:
    kind = make_job_type("fail_until_attempt", retry_delay=1)
    job = stage.submit(kind, succeeds_at=2)
    processes.worker("--no-scheduler")
    wait_for_status(job, Status.FAILED)
    assert_stays(job, {Status.FAILED}, 2.5)

    scheduler = processes.start("jobs_scheduler")
    status = wait_for_status(job, Status.COMPLETED)
    assert (status.attempt, status.retry_count) == (2, 1)
    assert scheduler.stop() == 0


def test_a_worker_takes_only_the_queues_that_it_is_given(processes: ProcessPool, stage: Stage) -> None:
    normal, urgent = stage.submit(make_job_type()), stage.submit(make_job_type(default_priority="Critical"))
    processes.worker("--queues", "jobs-critical")

    wait_for_status(urgent, Status.COMPLETED)
    assert status_of(normal) == Status.QUEUED
    processes.worker("--queues", "jobs-normal", "--no-scheduler")
    wait_for_status(normal, Status.COMPLETED)


def test_results_that_cannot_be_stored_are_dead_letter_and_hurt_no_neighbour(
    processes: ProcessPool, stage: Stage
) -> None:
    kind = make_job_type("return_what_was_asked_for")
    neighbours = [stage.submit(kind) for _ in range(30)]
    bad = [stage.submit(kind, result=name) for name in ("set", "nul", "surrogate", "huge")]
    neighbours += [stage.submit(kind) for _ in range(10)]
    worker = processes.worker("--processes", "1")

    for job in bad:
        status = wait_for_status(job, Status.DEAD_LETTER)
        assert "result" in status.error_message.lower()
        assert (status.error_type, status.result, status.attempt) == ("Permanent", None, 1)
    wait_for_all(neighbours)
    good = Job.objects.filter(pk__in=[job.pk for job in neighbours], attempt=1, result={"text": "good"})
    assert good.count() == len(neighbours)
    assert "event=child_ended" not in worker.log()


def test_an_idle_worker_says_what_it_serves_and_leaves_at_once_when_told_to(
    processes: ProcessPool, redis_client: redis.Redis
) -> None:
    worker = processes.start("jobs_worker", settings={"SHUTDOWN_GRACE_SECONDS": 300})
    wait_until(lambda: len(Worker.all(connection=redis_client)) == 2, PATIENCE, "two workers in RQ's list")
    assert re.search(r"\b2\b.* jobs-critical, jobs-high, jobs-normal, jobs-low\b", worker.log())
    children = worker.children()

    assert worker.stop() == 0
    assert not any(child.is_running() for child in children)
    assert "ERROR" not in worker.log()
    assert not psutil.pid_exists(worker.pid)


REVERSED = dict(zip(("Critical", "High", "Normal", "Low"), reversed(ALL_QUEUES), strict=True))


def test_the_queues_of_the_priorities_are_the_hosts_choice(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "QUEUES": REVERSED}
    job = stage.submit(make_job_type(default_priority="Critical"))
    assert Queue("jobs-low", connection=redis_client).get_job_ids() == [f"{job.name}-1"]
    processes.worker("--processes", "1", settings={"QUEUES": REVERSED})
    wait_for_status(job, Status.COMPLETED)


def test_a_small_organization_is_served_between_the_jobs_of_one_with_a_long_backlog(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis
) -> None:
    kind, other = make_job_type(), make_organization()
    suspend(redis_client)
    many = submit_jobs([{"job_type": kind, "organization": stage.organization}] * 600)
    few = submit_jobs([{"job_type": kind, "organization": other}] * 5)
    processes.worker("--processes", "1")
    resume(redis_client)

    wait_for_all([*many, *few])
    order = list(Job.objects.order_by("started_at"))
    assert max(order.index(job) for job in few) < 200


@pytest.mark.slots("one", reason="ten slots end all that lies in Redis before the urgent ones are dispatched there")
def test_urgent_jobs_that_come_later_go_before_a_long_backlog(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis
) -> None:
    kind = make_job_type()
    suspend(redis_client)
    low = submit_jobs([{"job_type": kind, "organization": stage.organization, "priority": "Low"}] * 300)
    high = submit_jobs([{"job_type": kind, "organization": stage.organization, "priority": "High"}] * 20)
    critical = submit_jobs([{"job_type": kind, "organization": make_organization(), "priority": "Critical"}] * 20)
    processes.worker("--processes", "1")
    resume(redis_client)

    wait_for_all([*low, *high, *critical])
    order = list(Job.objects.order_by("started_at"))
    assert max(order.index(job) for job in critical) < 60
    assert max(order.index(job) for job in high) < 120
