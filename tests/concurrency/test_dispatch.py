"""Many dispatchers at once: every ready job gets one ticket, and no wake-up is lost between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from django_jobs import submit_job
from django_jobs.models import EngineLease, Job, JobType, Organization
from django_jobs.statuses import Status
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import assert_histories_are_chains, is_small, make_pending, run_crowd
from tests.support import verbs
from tests.support.brokers import ALL_QUEUES
from tests.support.factories import make_job_type, make_organization
from tests.support.tuning import Tuning

CROWD = 6


@pytest.fixture
def wide_window(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that wants more tickets than any test makes."""
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_IN_FLIGHT_PER_ORGANIZATION": 100_000}
    verbs.announce_worker("a-large-worker", ALL_QUEUES, slots=5_000)


@pytest.fixture
def patience(tuning: Tuning) -> None:
    """Who submits never gives up, rather than after a second: on a slow machine another's pass takes longer."""
    tuning.set(dispatch_lock_wait_seconds=60.0, dispatch_pauses_seconds=(0.01,) * 6_000)


def assert_each_has_one_ticket(broker: CrowdedBroker, jobs: list[Job]) -> None:
    assert set(Job.objects.values_list("status", flat=True)) == {Status.QUEUED}
    assert Counter(broker.pushed) == {f"{job.name}-1": 1 for job in jobs}
    assert_histories_are_chains()


def test_dispatchers_at_once_dispatch_each_job_exactly_once(broker: CrowdedBroker, wide_window: None) -> None:
    broker.is_full = True
    size = 40 if is_small() else 400
    kinds = [make_job_type(), make_job_type(default_priority="High")]
    jobs = [job for kind in kinds for _ in range(2) for job in make_pending(kind, make_organization(), size // 4)]
    broker.is_full = False

    run_crowd([verbs.dispatch] * CROWD)

    assert_each_has_one_ticket(broker, jobs)


def test_the_first_dispatchers_of_a_new_database_do_not_hinder_each_other(
    broker: CrowdedBroker, wide_window: None
) -> None:
    broker.is_full = True
    jobs = make_pending(make_job_type(), make_organization(), 20)
    broker.is_full = False
    EngineLease.objects.all().delete()

    run_crowd([verbs.dispatch] * CROWD)

    assert EngineLease.objects.filter(pk="dispatcher").count() == 1
    assert_each_has_one_ticket(broker, jobs)


def test_jobs_submitted_at_once_are_all_dispatched_with_no_scheduler_to_look_after_them(
    broker: CrowdedBroker, wide_window: None, patience: None
) -> None:
    kind = make_job_type()
    organizations = [make_organization() for _ in range(2)]
    each = 10 if is_small() else 60
    jobs: list[Job] = []

    def submitter(kind: JobType, organization: Organization) -> Callable[[], None]:
        def run() -> None:
            for number in range(each):
                jobs.append(submit_job(kind, organization, {"number": number}))  # noqa: PERF401

        return run

    run_crowd([submitter(kind, organizations[index % 2]) for index in range(CROWD)])

    assert len(jobs) == CROWD * each
    assert_each_has_one_ticket(broker, jobs)


def test_more_jobs_than_the_window_holds_leave_exactly_the_window_at_the_broker(
    broker: CrowdedBroker,
) -> None:
    verbs.forget_window()
    broker.is_full = True
    make_pending(make_job_type(), make_organization(), 30)
    broker.is_full = False

    run_crowd([verbs.dispatch] * CROWD)

    assert len(broker.pushed) == verbs.MIN_WINDOW
    assert Job.objects.filter(status=Status.QUEUED).count() == verbs.MIN_WINDOW
