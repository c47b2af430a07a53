"""Jobs that kill their workers before any handler begins."""

from __future__ import annotations

import re

import pytest
import redis
from rq.suspension import resume, suspend

from django_jobs.models import Job, JobType
from django_jobs.statuses import LogReason, Status
from tests.acceptance.steps import Stage, messages_of, path_of, reasons_of, wait_for_all, wait_for_status
from tests.support.factories import make_job_type
from tests.support.workers import ProcessPool

SETTINGS = {"HANDLER_MODULES": ["tests.support.handlers", "tests.support.coroutines", "tests.support.fatal_import"]}
DYING = {"DIE_AT_IMPORT": "1"}


def fatal_type() -> JobType:
    kind = make_job_type(max_retries=1, retry_delay=0)
    JobType.objects.filter(pk=kind.pk).update(handler_method="tests.support.fatal_import.run")
    return JobType.objects.get(pk=kind.pk)


@pytest.mark.parametrize("options", [(), ("--threads", "4")], ids=["main thread", "threads"])
def test_a_job_whose_import_kills_its_worker_ends_as_dead_letter_and_its_bystanders_pay_nothing(
    processes: ProcessPool, stage: Stage, redis_client: redis.Redis, options: tuple[str, ...]
) -> None:
    kind = make_job_type("echo", deduplication_window=0)
    processes.worker("--processes", "1", *options, settings=SETTINGS, environ=DYING)
    # So many that the child learns how fast they are, and takes the next ones in sets.
    wait_for_all([stage.submit(kind) for _ in range(60)])

    suspend(redis_client)
    bystanders = [stage.submit(kind) for _ in range(3)]
    culprit = stage.submit(fatal_type())
    bystanders += [stage.submit(kind) for _ in range(20)]
    resume(redis_client)

    wait_for_status(culprit, Status.DEAD_LETTER, timeout=90)
    wait_for_all(bystanders)
    rows = Job.objects.filter(pk__in=[job.pk for job in bystanders])
    # In other threads some may run at that moment: which of them killed the process cannot be told.
    running = set() if not options else {1, 2}
    assert set(rows.values_list("retry_count", flat=True)) - running == {0}
    assert set(reasons_of(culprit, Status.FAILED)) == {LogReason.WORKER_LOST}
    assert all(re.search(r"\b3\b", text) for text in messages_of(culprit, Status.FAILED))
    assert path_of(culprit).count(Status.RUNNING) <= 5
