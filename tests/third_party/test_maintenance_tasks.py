"""django-maintenance-tasks, whose backfills are tasks that enqueue their own successors, by our backend."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from maintenance_tasks import runner
from maintenance_tasks.models import Run
from maintenance_tasks.task import MaintenanceTask

from django_jobs.models import Job, JobType
from django_jobs.testing import run_jobs

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

NAME = "task:maintenance_tasks.runner.run_batch"
processed: list[int] = []


class Backfill(MaintenanceTask):  # type: ignore[misc]
    """Three batches of numbers."""

    batch_size = 10
    is_throttled = False

    def collection(self) -> range:
        return range(25)

    def process(self, item: int) -> None:
        processed.append(item)

    def throttle(self) -> bool:
        return Backfill.is_throttled


@pytest.fixture(autouse=True)
def _nothing_processed() -> None:
    processed.clear()
    Backfill.is_throttled = False


def start() -> Any:
    return runner.start(Backfill.name)


def test_its_type_has_a_row_before_anybody_starts_one() -> None:
    call_command("jobs_sync")
    assert JobType.objects.get(pk=NAME).handler_method == NAME


def test_a_backfill_goes_from_task_to_task_to_its_end() -> None:
    run = start()
    statuses = run_jobs()
    run.refresh_from_db()
    assert (run.status, run.tick_count, processed) == (Run.Status.SUCCEEDED, 25, list(range(25)))
    assert [(status.job_type, str(status.status), status.organization) for status in statuses] == [
        (NAME, "Completed", "SYSTEM")
    ] * 3


def test_a_backfill_that_is_throttled_waits_for_its_moment() -> None:
    Backfill.is_throttled = True
    start()
    run_jobs()
    [later] = Job.objects.filter(status="Pending")
    assert later.run_at is not None
    assert (later.run_at > timezone.now(), later.input_parameters["kwargs"], processed) == (True, {}, [])


def test_a_backfill_that_raises_says_so_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backfill, "process", lambda *_: 1 / 0)
    run = start()
    [status] = run_jobs()
    run.refresh_from_db()
    assert (run.status, run.error_class, str(status.status)) == ("errored", "builtins.ZeroDivisionError", "Completed")


def test_a_backfill_whose_run_is_gone_fails_as_its_task_does() -> None:
    run = start()
    Run.objects.all().delete()
    result = runner.run_batch.get_result(Job.objects.get().name)
    run_jobs()
    result.refresh()
    assert (result.args, result.status, result.attempts) == ([run.pk or result.args[0], 0], "FAILED", 1)
    assert "DoesNotExist" in result.errors[0].exception_class_path
