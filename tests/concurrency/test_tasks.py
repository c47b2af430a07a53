"""A task that many enqueue for the first time at once: one row is made of its type and one of its organization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_jobs.engine.store import database
from django_jobs.models import Job, JobType, Organization
from django_jobs.tasks import job_types
from tests.concurrency.crowd import run_crowd
from tests.support import tasks

CROWD = 6


def enqueue() -> None:
    tasks.add.enqueue(1)


def enqueue_in_a_transaction() -> None:
    def work() -> None:
        Job.objects.count()  # from here on a database with repeatable reads shows what there is now
        tasks.add.enqueue(1)

    # MariaDB may end one of them with a deadlock, as the docs say, which is then run again.
    database.in_transaction(work)


@pytest.mark.parametrize("member", [enqueue, enqueue_in_a_transaction])
@pytest.mark.usefixtures("broker")
def test_many_enqueue_a_task_for_the_first_time(settings: Any, member: Callable[[], None]) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SYSTEM_ORGANIZATION": "SYSTEM"}
    job_types._seen.clear()
    run_crowd([member] * CROWD)
    assert JobType.objects.filter(pk="task:tests.support.tasks.add").count() == 1
    assert Organization.objects.filter(name="SYSTEM").count() == 1
    assert Job.objects.count() == CROWD
