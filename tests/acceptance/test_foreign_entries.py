"""Redis is not trusted: what is no ticket of ours is set aside by every kind of worker, and nothing of it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
import redis
from django.core.management import call_command
from rq import Queue

from django_jobs.statuses import Status
from tests.acceptance.steps import PATIENCE, Stage, path_of, wait_for_status
from tests.support import verbs
from tests.support.bombs import plant, register_as_running
from tests.support.factories import make_job_type
from tests.support.waiting import wait_until
from tests.support.workers import ManagedProcess, ProcessPool

ALL_QUEUES = ("jobs-critical", "jobs-high", "jobs-normal", "jobs-low")
ASIDE: Final = "rq:django_jobs:set_aside:jobs-normal"
#: How jobs can be run: our worker in its ways, and RQ's own.
WORKERS: Final = {
    "processes": ("jobs_worker", "--processes", "1"),
    "threads": ("jobs_worker", "--processes", "1", "--threads", "4"),
    "burst": ("jobs_worker", "--processes", "1", "--burst"),
    "rqworker": ("rqworker", *ALL_QUEUES),
    "rqworker on one queue": ("rqworker", "jobs-normal"),
    "rqworker with its scheduler": ("rqworker", *ALL_QUEUES, "--with-scheduler"),
    "rqworker in a burst": ("rqworker", *ALL_QUEUES, "--burst"),
    "rqworker-pool": ("rqworker-pool", *ALL_QUEUES, "--num-workers", "1"),
}
RUBBISH: Final = [
    b"\xff\xfe\x00\x80",
    b"JOB-2026-00001-" + b"9" * 5000,
    b"JOB-2026-" + b"9" * 5000 + b"-1",
    b"JOB-2026-9223372036854775808-1",
    b"JOB-2026-00001-2147483648",
    b"JOB-2026-00001-01",
    b"x" * 100_000,
    b"a:b:c\r\nevent=dead_letter",
    b"",
]


@pytest.mark.parametrize("how", list(WORKERS))
def test_a_planted_entry_is_set_aside_and_not_executed(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis, how: str
) -> None:
    trace = stage.directory / "exploded"
    plant(redis_client, "abc", trace)
    plant(redis_client, "def", trace, origin="default")
    register_as_running(redis_client, "def", abandoned=True)
    plant(redis_client, "ghi", trace)
    redis_client.lrem("rq:queue:jobs-normal", 1, "ghi")
    redis_client.zadd("rq:scheduled:jobs-normal", {"ghi": 1})
    job = stage.submit(make_job_type("echo"), number=1)
    # A forged hash under the id of a ticket of ours.
    redis_client.lrem("rq:queue:jobs-normal", 1, f"{job.name}-1")
    plant(redis_client, f"{job.name}-1", trace)

    worker = processes.start(*WORKERS[how])

    assert wait_for_status(job, Status.COMPLETED).result == {"echo": {"number": 1}}
    wait_until(lambda: {b"abc", b"def"} <= set(redis_client.lrange(ASIDE, 0, -1)), PATIENCE, "both set aside")
    assert b"abc" not in redis_client.lrange("rq:queue:jobs-normal:intermediate", 0, -1), "RQ would put it back."
    assert redis_client.hget("rq:job:abc", "data")
    assert not trace.exists()
    assert "event=child_ended" not in worker.log() or how == "burst"


@pytest.mark.parametrize("how", ["processes", "threads"])
def test_no_rubbish_in_a_queue_stops_a_worker_or_a_ticket(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis, how: str
) -> None:
    kind = make_job_type()
    redis_client.rpush("rq:queue:jobs-normal", *RUBBISH)
    jobs = [stage.submit(kind) for _ in range(3)]
    worker = processes.start(*WORKERS[how])
    wait_until(lambda: redis_client.llen(ASIDE) == len(RUBBISH), PATIENCE, "all of it set aside")
    redis_client.rpush("rq:queue:jobs-normal", *RUBBISH)  # also into a wait that blocks
    jobs += [stage.submit(kind) for _ in range(3)]
    for job in jobs:
        wait_for_status(job, Status.COMPLETED)
    wait_until(lambda: redis_client.llen(ASIDE) == 2 * len(RUBBISH), PATIENCE, "all of it set aside")
    assert worker.log().count("event=foreign_entry ") == 1
    assert "Traceback" not in worker.log()
    assert "event=dead_letter" not in [line.split()[0] for line in worker.log().splitlines() if line]


def test_a_forged_ticket_runs_nothing_that_does_not_wait(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis
) -> None:
    later = stage.submit(make_job_type("return_what_was_asked_for"), value="x")
    wrong_year = f"JOB-1999-{later.pk:05d}-1"
    redis_client.delete("rq:queue:jobs-normal")
    redis_client.rpush("rq:queue:jobs-critical", "JOB-2026-99999-1", f"{later.name}-7", wrong_year)
    processes.worker("--processes", "1")
    wait_for_status(later, Status.COMPLETED)
    assert path_of(later).count(Status.RUNNING) == 1


@pytest.mark.parametrize("how", ["rqworker", "rqworker on one queue"])
def test_rubbish_in_rqs_registries_ends_no_plain_worker(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis, how: str
) -> None:
    for registry in ("failed", "finished", "wip", "scheduled", "deferred"):
        redis_client.zadd(f"rq:{registry}:jobs-normal", {b"\xff\xfe": 1, b"": 2, b"a:b:c": 3})
    redis_client.rpush("rq:queue:jobs-normal:intermediate", b"\xff")
    redis_client.sadd("rq:groups", b"\xff")
    job = stage.submit(make_job_type())
    worker = processes.start(*WORKERS[how])
    wait_for_status(job, Status.COMPLETED)
    assert "event=rq_maintenance_failed" in worker.log()
    assert worker.is_running()


@pytest.mark.parametrize("key", ["rq:workers", "rq:workers:jobs-normal", "rq:django_jobs:bell"])
def test_rubbish_in_the_place_of_a_list_or_the_bell_holds_up_no_job(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis, key: str
) -> None:
    redis_client.set(key, "rubbish")
    job = stage.submit(make_job_type())
    processes.worker("--processes", "1")
    wait_for_status(job, Status.COMPLETED)


def test_the_examination_tells_of_what_was_set_aside(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    verbs.use_broker(None)
    redis_client.rpush("rq:queue:jobs-low", b"\x1b[31mred", *(f"stranger-{number}" for number in range(1100)))
    worker = processes.worker("--processes", "1", "--burst")
    worker.wait(2 * PATIENCE)
    assert str(verbs.get_broker().set_aside()) == "1,000+"
    (finding,) = [item for item in verbs.examine() if item.subject == "foreign jobs"]
    assert (finding.level, "1,000+" in finding.text, "stranger-1099" in finding.text) == ("WARNING", True, True)
    assert "\x1b[31mred" not in finding.text + worker.log()
    call_command("jobs_status", "--json")
    assert json.loads(capsys.readouterr().out)["set_aside"] == 1000


def test_a_foreign_job_runs_where_the_host_says_so(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis, settings: object
) -> None:
    done: Path = stage.directory / "foreign"
    foreign = Queue("jobs-normal", connection=redis_client).enqueue("tests.support.handlers.foreign_work", str(done))
    worker: ManagedProcess = processes.worker("--processes", "1", settings={"FOREIGN_RQ_JOBS": "run"})

    wait_until(lambda: foreign.get_status(refresh=True) == "finished", PATIENCE, "the foreign job")
    assert done.read_text() == "foreign work was done\n"
    wait_for_status(stage.submit(make_job_type()), Status.COMPLETED)
    assert "event=child_ended" not in worker.log()


def test_a_plain_rqworker_runs_it_too_where_the_host_says_so(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis
) -> None:
    done = stage.directory / "foreign"
    Queue("jobs-normal", connection=redis_client).enqueue("tests.support.handlers.foreign_work", str(done))
    processes.start("rqworker", *ALL_QUEUES, "--burst", settings={"FOREIGN_RQ_JOBS": "run"}).wait(2 * PATIENCE)
    assert done.read_text() == "foreign work was done\n"
