"""What RQ and django-rq make of workers, and workers of what RQ brings them."""

from __future__ import annotations

import pytest
import redis
from django.test import Client
from rq import Worker
from rq.suspension import resume, suspend
from rq.worker import BaseWorker

from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, RecordedJob, Stage, assert_stays, path_of, status_of, wait_for_status
from tests.support import verbs
from tests.support.factories import make_job_type, make_user
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

ALL_QUEUES = ("jobs-critical", "jobs-high", "jobs-normal", "jobs-low")
#: Sorted by name, as django-rq counts.
NORMAL_INDEX = 3


def test_a_plain_rqworker_runs_jobs(processes: ProcessPool, stage: Stage) -> None:
    good = stage.submit(make_job_type("echo"), number=1)
    bad = stage.submit(make_job_type("fail_for_good", default_priority="High"))

    assert processes.start("rqworker", *ALL_QUEUES, "--burst").wait(2 * PATIENCE) == 0
    assert wait_for_status(good, Status.COMPLETED).result == {"echo": {"number": 1}}
    assert wait_for_status(bad, Status.DEAD_LETTER).error_message == "never again"


@pytest.mark.parametrize("queues", [ALL_QUEUES, ["jobs-normal"]], ids=["all queues", "one queue"])
def test_a_plain_rqworker_that_takes_a_ticket_too_early_runs_the_one_that_it_pushes_for_it(
    processes: ProcessPool, stage: Stage, queues: list[str]
) -> None:
    job = stage.submit(make_job_type())
    # Redis has taken the ticket, but its answer did not come.
    verbs.unqueue([job.pk], "The broker could not take it")
    assert status_of(job) == Status.PENDING

    assert processes.start("rqworker", *queues, "--burst").wait(2 * PATIENCE) == 0
    assert status_of(job) == Status.COMPLETED
    assert path_of(job).count(Status.RUNNING) == 1


@pytest.mark.parametrize("what", ["nothing", "another type", "a rest of it"])
def test_a_plain_rqworker_needs_nothing_of_a_ticket_but_its_id(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis, what: str
) -> None:
    job = stage.submit(make_job_type())
    key = f"rq:job:{job.name}-1"
    assert redis_client.delete(key)
    if what == "another type":
        redis_client.set(key, "rubbish")
    elif what == "a rest of it":
        redis_client.hset(key, "worker_name", "w")

    assert redis_client.lrange("rq:queue:jobs-normal", 0, -1) == [f"{job.name}-1".encode()]
    assert processes.start("rqworker", *ALL_QUEUES, "--burst").wait(2 * PATIENCE) == 0
    assert status_of(job) == Status.COMPLETED
    assert not redis_client.exists(key)


@pytest.fixture
def running(processes: ProcessPool, stage: Stage) -> RecordedJob:
    """A job that runs in one of two children."""
    recorded = stage.submit_recorded(make_job_type("record_and_wait"))
    processes.worker("--processes", "2")
    recorded.wait_for("start", attempt=1)
    return recorded


def busy_workers(redis_client: redis.Redis) -> list[BaseWorker]:
    """The RQ workers that RQ knows to run something. What it reads of one it reads at different moments."""
    found = Worker.all(connection=redis_client)
    return [worker for worker in found if worker.get_state() == "busy" and worker.get_current_job_id()]


def are_idle(redis_client: redis.Redis) -> bool:
    """Whether RQ knows of workers, and of none that it runs anything."""
    found = Worker.all(connection=redis_client)
    return bool(found) and all(item.get_state() == "idle" and not item.get_current_job_id() for item in found)


def test_rq_lists_the_workers_and_what_they_run(running: RecordedJob, redis_client: redis.Redis) -> None:
    wait_until(lambda: len(Worker.all(connection=redis_client)) == 2, PATIENCE, "two workers in RQ's list")
    (worker,) = wait_until(lambda: busy_workers(redis_client), PATIENCE, "a worker that runs a job")
    current = worker.get_current_job()
    assert current is not None
    assert current.id == f"{running.job.name}-1"
    assert worker.pid == running.pid(attempt=1)
    assert tuple(worker.queue_names()) == ALL_QUEUES

    running.let_go()
    wait_for_status(running.job, Status.COMPLETED)
    wait_until(lambda: are_idle(redis_client), PATIENCE, "RQ to know that it ended")


def test_workers_that_leave_are_off_the_list_of_rq(processes: ProcessPool, redis_client: redis.Redis) -> None:
    worker = processes.worker("--processes", "2")
    wait_until(lambda: len(Worker.all(connection=redis_client)) == 2, PATIENCE, "two workers in RQ's list")
    assert worker.stop() == 0
    assert Worker.all(connection=redis_client) == []


def test_the_pages_of_django_rq_answer_while_a_job_runs_and_when_it_is_over(
    running: RecordedJob, redis_client: redis.Redis, client: Client
) -> None:
    client.force_login(make_user(is_staff=True, is_superuser=True))
    (worker,) = wait_until(lambda: busy_workers(redis_client), PATIENCE, "a worker that runs a job")
    ticket = f"{running.job.name}-1"
    pages = {
        "/django-rq/": "jobs-normal",
        f"/django-rq/workers/{NORMAL_INDEX}/": worker.name,
        f"/django-rq/workers/{NORMAL_INDEX}/{worker.key}/": ticket,
        f"/django-rq/queues/{NORMAL_INDEX}/": "jobs-normal",
        f"/django-rq/queues/{NORMAL_INDEX}/details/": "jobs-normal",
        f"/django-rq/queues/{NORMAL_INDEX}/started/": ticket,
        f"/django-rq/queues/{NORMAL_INDEX}/finished/": "jobs-normal",
        f"/django-rq/queues/{NORMAL_INDEX}/failed/": "jobs-normal",
        f"/django-rq/queues/{NORMAL_INDEX}/{ticket}/": ticket,
    }
    for url, text in pages.items():
        response = client.get(url)
        assert response.status_code == 200, url
        assert text in response.content.decode(), url

    running.let_go()
    wait_for_status(running.job, Status.COMPLETED)
    wait_until(lambda: are_idle(redis_client), PATIENCE, "RQ to know that it ended")
    for url in list(pages)[:-1]:
        assert client.get(url).status_code == 200, url


def test_the_suspension_of_rq_is_obeyed(processes: ProcessPool, stage: Stage, redis_client: redis.Redis) -> None:
    kind = make_job_type()
    processes.worker()
    wait_for_status(stage.submit(kind), Status.COMPLETED)

    suspend(redis_client)
    job = stage.submit(kind)
    assert_stays(job, {Status.QUEUED}, 1)
    resume(redis_client)
    wait_for_status(job, Status.COMPLETED)
    assert path_of(job).count(Status.RUNNING) == 1
