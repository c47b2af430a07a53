"""A task that many enqueue for the first time at once: one row is made of its type and one of its organization."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.apps import AppConfig, apps
from django.core.management import call_command
from django.db import connection, transaction

from django_jobs.models import Job, JobType, Organization
from tests.concurrency.crowd import run_crowd
from tests.support import tasks, verbs

CROWD = 6


def enqueue() -> None:
    tasks.add.enqueue(1)


def enqueue_in_a_transaction() -> None:
    def work() -> None:
        Job.objects.count()  # from here on a database with repeatable reads shows what there is now
        tasks.add.enqueue(1)

    # MariaDB may end one of them with a deadlock, as the docs say, which is then run again.
    verbs.in_transaction(work)


@pytest.mark.parametrize("member", [enqueue, enqueue_in_a_transaction])
@pytest.mark.usefixtures("broker")
def test_many_enqueue_a_task_for_the_first_time(settings: Any, member: Callable[[], None]) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SYSTEM_ORGANIZATION": "SYSTEM"}
    verbs.forget_seen_tasks()
    run_crowd([member] * CROWD)
    assert JobType.objects.filter(pk="task:tests.support.tasks.add").count() == 1
    assert Organization.objects.filter(name="SYSTEM").count() == 1
    assert Job.objects.count() == CROWD


@pytest.mark.skipif(connection.vendor == "sqlite", reason="has one lock for all rows")
@pytest.mark.usefixtures("broker")
def test_two_transactions_enqueue_new_tasks_in_opposite_order_after_a_deployment(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SYSTEM_ORGANIZATION": "SYSTEM"}
    monkeypatch.setattr(apps, "get_app_configs", lambda: [AppConfig(tasks.__name__, tasks)])
    tasks.bare.enqueue()  # by which there is the organization
    call_command("jobs_sync", stdout=io.StringIO())
    verbs.forget_seen_tasks()
    both = threading.Barrier(2)

    def enqueue_both(*each: Any) -> None:
        with transaction.atomic():
            each[0].enqueue(1)
            both.wait(60)
            each[1].enqueue(1)

    run_crowd([partial(enqueue_both, tasks.add, tasks.double), partial(enqueue_both, tasks.double, tasks.add)])
    assert Job.objects.count() == 5
