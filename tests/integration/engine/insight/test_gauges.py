"""The gauges of the installation, and that every event of the history is counted once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from django_jobs.models import EngineLease, JobType, Organization
from django_jobs.statuses import Status
from tests.support import verbs
from tests.support.alerts import make_alert
from tests.support.brokers import MemoryBroker, end, job_in, pending_job, returned, running_job
from tests.support.statements import before_statement
from tests.support.verbs import ProcessCounts

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def counts(broker: MemoryBroker) -> Iterator[ProcessCounts]:
    counts = ProcessCounts()
    verbs.start_counting(counts)
    yield counts
    verbs.stop_counting()


@pytest.mark.usefixtures("alone")
def test_a_renamed_organization_is_counted_by_the_id_that_it_has_now(
    settings: Any, broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "METRICS_ORGANIZATIONS": 5}
    counts = ProcessCounts(organizations=5)
    verbs.start_counting(counts)
    try:
        _, claimed = running_job(job_type=kind, organization=organization)
        Organization.objects.filter(pk=organization.pk).update(name="renamed")
        verbs.forget_organization_ids()
        end(returned(claimed))
        verbs.catch_up_rollups()
    finally:
        verbs.stop_counting()
    assert {organization for _, organization in counts.read()} == {"renamed"}


def test_they_tell_what_waits_died_works_and_is_wrong(
    broker: MemoryBroker, kind: JobType, organization: Organization
) -> None:
    pending_job(kind, organization)
    job_in(Status.DEAD_LETTER, job_type=kind, organization=organization)
    make_alert("dead_letters", "", {"count": 1})
    verbs.announce_worker("working", broker_queues(), slots=4)
    verbs.announce_worker("quiet", broker_queues(), slots=4, quiet_since=verbs.now())

    found = verbs.read_gauges()
    assert (found.backlog["Normal"], found.jobs[Status.DEAD_LETTER], found.alerts) == (1, 1, {"dead_letters": 1})
    assert found.workers == {("default", False): 1, ("default", True): 1}
    assert found.slots == {"default": 4}
    assert found.age < 60


def test_an_empty_installation_has_gauges_of_nothing(broker: MemoryBroker) -> None:
    found = verbs.read_gauges()
    assert set(found.backlog.values()) == set(found.jobs.values()) == {0}
    assert (found.oldest_waiting_seconds, found.workers, found.breakers) == (0.0, {("default", False): 0}, {})


@pytest.mark.usefixtures("alone")
def test_the_history_is_counted_once_however_often_it_is_summed_up(
    counts: ProcessCounts, kind: JobType, organization: Organization
) -> None:
    job_in(Status.COMPLETED, job_type=kind, organization=organization)
    job_in(Status.CANCELED, job_type=kind, organization=organization)
    with before_statement("UPDATE", EngineLease, lambda: 1 / 0), pytest.raises(ZeroDivisionError):
        verbs.catch_up_rollups()
    for _ in range(3):
        verbs.catch_up_rollups()
    (tally,) = counts.read().values()
    assert (tally.submitted, tally.completed, tally.canceled) == (2, 1, 1)
    assert tally.attempts["Completed"] == 1
    assert [sum(histogram.values()) for histogram in (tally.wait_histogram, tally.attempt_histogram)] == [1, 1]


def broker_queues() -> list[str]:
    return ["jobs-critical", "jobs-high", "jobs-normal", "jobs-low"]
