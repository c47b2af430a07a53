"""Logs of attempts whose job somebody deleted who knows nothing of logs."""

from __future__ import annotations

import pytest

from django_jobs.engine.control import lost_logs
from django_jobs.engine.control.lost_logs import LostLogs
from django_jobs.engine.scheduler import Scheduler
from django_jobs.models import AttemptLog
from tests.support.brokers import pending_job

pytestmark = pytest.mark.usefixtures("broker")


def make_logs(*job_pks: int) -> None:
    """A log of two attempts for each job."""
    AttemptLog.objects.bulk_create(AttemptLog(job_id=pk, attempt=number) for pk in job_pks for number in (1, 2))


def kept() -> list[int]:
    return sorted(set(AttemptLog.objects.values_list("job_id", flat=True)))


def test_the_logs_of_jobs_that_are_gone_go_and_those_of_others_stay() -> None:
    job = pending_job()
    make_logs(job.pk, job.pk + 1, job.pk + 2)
    assert LostLogs().forget() == 4
    assert kept() == [job.pk]


def test_all_are_looked_at_in_turn_and_then_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_logs, "LOOKED_AT_ONCE", 2)
    first, second = pending_job(), pending_job()
    make_logs(first.pk, second.pk, second.pk + 1)
    watch = LostLogs()
    assert [watch.forget() for _ in range(3)] == [0, 0, 2]
    make_logs(second.pk + 1)
    assert [watch.forget() for _ in range(4)] == [0, 0, 0, 2]


def test_the_scheduler_does_it() -> None:
    make_logs(pending_job().pk + 1)
    assert Scheduler("one").tick()["forget_logs"] == 2
