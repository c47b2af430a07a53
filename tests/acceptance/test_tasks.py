"""Tasks of Django's interface, by a real worker."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from django.db import transaction

from django_jobs.models import Job
from tests.acceptance.steps import PATIENCE, Stage
from tests.support import tasks
from tests.support.verbs import TaskResultStatus
from tests.support.waiting import wait_until
from tests.support.workers import ProcessPool

SYSTEM: Final = {"SYSTEM_ORGANIZATION": "SYSTEM"}


def test_a_worker_runs_tasks_and_tries_them_again(processes: ProcessPool, stage: Stage, settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **SYSTEM}
    worker = processes.worker("--processes", "1", "--threads", "2", settings=SYSTEM)
    with transaction.atomic():
        tried = tasks.succeed_at.using(organization=stage.organization).enqueue(2)
        double, fails = tasks.double.enqueue(21), tasks.fail_in_loop.enqueue("boom")
    for result in (tried, double, fails):
        wait_until(partial(_is_finished, result), PATIENCE, f"the end of {result.id}")
    worker_ids = set(tried.worker_ids + double.worker_ids + fails.worker_ids)
    assert (tried.return_value, tried.attempts, len(tried.errors)) == (2, 2, 1)
    assert double.return_value == {"doubled": 42, "job": double.id}
    assert (fails.status, fails.errors[0].exception_class) == (TaskResultStatus.FAILED, ValueError)
    assert all(worker_ids)
    worker.wait_for_log(f"Task id={fails.id} path=tests.support.tasks.fail_in_loop state=FAILED")
    assert worker.stop() == 0


def test_of_one_priority_a_worker_runs_the_larger_numbers_first(
    processes: ProcessPool, stage: Stage, settings: Any
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, **SYSTEM}
    with transaction.atomic():
        results = {
            number: task.using(organization=stage.organization, priority=number).enqueue(1)
            for number, task in ((51, tasks.add), (100, tasks.bare), (75, tasks.add), (76, tasks.bare))
        }
    worker = processes.worker("--processes", "1", settings=SYSTEM)
    for result in results.values():
        wait_until(partial(_is_finished, result), PATIENCE, f"the end of {result.id}")
    began: dict[int, Any] = {number: Job.objects.by_id(result.id).started_at for number, result in results.items()}
    assert sorted(began, key=began.__getitem__) == [100, 76, 75, 51]
    assert [result.task.priority for result in results.values()] == list(results)
    assert worker.stop() == 0


def _is_finished(result: Any) -> bool:
    result.refresh()
    return bool(result.is_finished)
