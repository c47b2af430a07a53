"""Steps of attempts that are being rescued at the same moment: stored before the rescue, or refused."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection, connections, transaction

from django_jobs.models import ExecutionLog, Job, JobStep
from django_jobs.statuses import Status
from tests.concurrency.conftest import CrowdedBroker
from tests.concurrency.crowd import assert_histories_are_chains, is_small, make_queued, run_crowd
from tests.support import verbs
from tests.support.attempts import FreeRunner
from tests.support.brokers import WORKER, start
from tests.support.factories import make_job_type, make_organization
from tests.support.verbs import Claimed, Interrupted, Moved, Outcome

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 30.0
#: So long a statement that waits for a lock is watched doing so.
WATCH_SECONDS = 0.5


def claimed_jobs(count: int) -> list[Claimed]:
    return [start(job) for job in make_queued(make_job_type(), make_organization(), count)]


def rescue(claimed: Claimed) -> list[Moved]:
    return verbs.settle_lost([(claimed.pk, claimed.attempt)], "its lease ran out", WORKER)


def stepping(claimed: Claimed, ended: list[Outcome]) -> Callable[[], None]:
    """An attempt that takes one step and says how it ended."""
    claimed.handler = lambda context: context.step("charge", dict)
    return lambda: ended.append(verbs.attempt(claimed, verbs.context_for(claimed, FreeRunner())))


def test_a_step_waits_for_a_rescue_that_is_under_way_and_is_refused(full_broker: CrowdedBroker) -> None:
    if not connection.features.has_select_for_update:
        pytest.skip("This database locks no single rows.")
    (claimed,) = claimed_jobs(1)
    ended: list[Outcome] = []
    step = stepping(claimed, ended)

    def run() -> None:
        step()
        connections.close_all()

    thread = threading.Thread(target=run, daemon=True)
    with transaction.atomic():
        rescue(claimed)
        thread.start()
        thread.join(WATCH_SECONDS)
        assert thread.is_alive()
    thread.join(PATIENCE)
    assert isinstance(ended[0], Interrupted)
    assert not JobStep.objects.exists()


def test_no_step_is_stored_behind_a_rescue(full_broker: CrowdedBroker) -> None:
    claimed = claimed_jobs(10 if is_small() else 100)
    ended: list[Outcome] = []

    def all_steps() -> None:
        for item in claimed:
            stepping(item, ended)()

    def all_rescues() -> None:
        for item in claimed:
            while not rescue(item):  # it passes over a row that somebody holds
                pass

    run_crowd([all_steps, all_rescues])
    stored = set(JobStep.objects.values_list("job_id", flat=True))
    refused = {item.claimed.pk for item in ended if isinstance(item, Interrupted)}
    assert stored | refused == {item.pk for item in claimed}
    assert not stored & refused
    assert set(Job.objects.values_list("status", flat=True)) == {Status.FAILED}
    rescued = dict(ExecutionLog.objects.filter(to_status=Status.FAILED).values_list("job_id", "timestamp"))
    assert all(step.done_at <= rescued[step.job_id] for step in JobStep.objects.all())
    assert_histories_are_chains()
